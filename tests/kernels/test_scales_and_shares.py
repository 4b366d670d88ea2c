"""Columns with tails, gaps and zeros; probabilities that hold; two machines weighted."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array
from scipy.special import softmax
from sklearn.datasets import load_digits, make_friedman1
from sklearn.metrics import log_loss
from sklearn.utils import shuffle

from overparam.kernels import (
    ClassCodes,
    KernelEnsembleClassifier,
    KernelEnsembleRegressor,
    Laplace,
    RFMClassifier,
    RFMRegressor,
    fit_ridge,
)
from overparam.kernels._table import Rows
from overparam.kernels.bends import Bends
from overparam.kernels.ensemble import best_shares
from overparam.kernels.exponent import best_exponent
from overparam.kernels.feature_matrix import KernelPredictor
from overparam.kernels.left_out import _leave_one_out, folds_of

EPS = np.finfo(float).eps


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def test_columns_are_bent_where_they_need_it_as_the_formulas_say(draw):
    ratios = np.exp(2 * draw.normal(size=301))
    counts = draw.poisson(np.exp(draw.normal(size=301)))
    tails = draw.standard_t(1.5, size=301)
    plain = draw.normal(size=301).clip(-3, 3)
    x = np.stack([ratios, counts, tails, plain, np.full(301, 0.1)], axis=1)
    bends = Bends.learn(x)
    assert np.isfinite(bends.shift).tolist() == [True, True, False, False, False]
    assert np.isfinite(bends.spread).tolist() == [False, False, True, False, False]
    new = np.stack([ratios / 9, counts - 1.0, 5 * tails, plain, plain], axis=1)
    bent = bends.bent(new)
    u = (new[:, 2] - np.median(tails)) / np.subtract(*np.quantile(
        tails, [0.75, 0.25], method="inverted_cdf"
    ))  # fmt: skip
    # A few roundings each; the logarithm's argument has one, and its size is below 10.
    close = {"rtol": 20 * EPS, "atol": 20 * EPS}
    floor = ratios.min() / 2
    np.testing.assert_allclose(bent[:, 0], np.log(np.maximum(ratios / 9, floor)), **close)
    shift = np.quantile(counts[counts > 0], 0.5, method="inverted_cdf")
    np.testing.assert_allclose(bent[:, 1], np.log(np.maximum(counts - 1, 0) + shift), **close)
    np.testing.assert_allclose(bent[:, 2], u / np.sqrt(1 + (u / 3) ** 2), **close)
    assert (bent[:, 3:] == new[:, 3:]).all()


def test_weights_of_rows_are_repetitions_for_bends(draw):
    x = np.stack([np.exp(2 * draw.normal(size=99)), draw.standard_cauchy(size=99)], axis=1)
    times = draw.integers(1, 4, size=99)
    once = Bends.learn(x, times.astype(float))
    np.testing.assert_array_equal(once.numbers, Bends.learn(np.repeat(x, times, axis=0)).numbers)


def test_gradients_of_bent_columns_are_differences(draw):
    x = np.stack([np.exp(2 * draw.normal(size=80)), draw.standard_cauchy(size=80)], axis=1)
    model = RFMRegressor(n_iter=1, alpha=0.1).fit(x, np.log(x[:, 0]) + np.tanh(x[:, 1]))
    assert model.encoding_.bends is not None
    found = model.gradient(x[:9])[:, 0]
    for column in range(2):
        step = np.zeros_like(x[:9])
        step[:, column] = 1e-5 * np.abs(x[:9, column])
        ends = model.predict(x[:9] + step) - model.predict(x[:9] - step)
        # The error of a central difference is 1e-10 of a third derivative times x³, which the
        # kernel's kink makes large near a centre: rows 1e-5 away from one are centres themselves.
        np.testing.assert_allclose(found[:, column], ends / (2 * step[:, column]), rtol=1e-3)


def test_a_gap_is_the_median_and_zeros_need_not_be_written(draw):
    x, y = make_friedman1(90, n_features=5, random_state=0)
    x[draw.uniform(size=x.shape) < 0.1] = np.nan
    filled = np.where(np.isnan(x), np.nanmedian(x, axis=0), x)
    quick = RFMRegressor(n_iter=1, alpha=0.1)
    with_gaps = quick.fit(x, y).predict(x[:9])
    assert (with_gaps == quick.fit(filled, y).predict(filled[:9])).all()
    few = np.where(filled > 0.7, filled, 0.0)
    dense = quick.fit(few, y).predict(few)
    assert (quick.fit(csr_array(few), y).predict(csr_array(few)) == dense).all()


def test_weights_of_classes_are_weights_of_rows(draw):
    x = draw.normal(size=(60, 3))
    y = np.where(x[:, 0] > 0.8, "rare", "common")
    quick = {"n_iter": 1, "alpha": 0.1}
    by_class = RFMClassifier(**quick, class_weight={"rare": 3}).fit(x, y)
    by_row = RFMClassifier(**quick).fit(x, y, np.where(y == "rare", 3.0, 1.0))
    assert (by_class.predict_proba(x) == by_row.predict_proba(x)).all()
    balanced = RFMClassifier(**quick, class_weight="balanced").fit(x, y)
    np.testing.assert_allclose(balanced.codes_.priors, 0.5, rtol=10 * EPS)
    logarithms = balanced.predict_log_proba(x)
    np.testing.assert_allclose(np.exp(logarithms), balanced.predict_proba(x), rtol=20 * EPS)


def test_the_exponent_is_that_of_the_smallest_penalised_log_loss(draw):
    p = draw.dirichlet(np.ones(4), size=200).clip(1e-3)
    p /= p.sum(1, keepdims=True)
    labels = (p**2).cumsum(1) / (p**2).sum(1, keepdims=True)
    labels = (draw.uniform(size=(200, 1)) > labels).sum(1)
    weights = draw.uniform(0.5, 2, size=200)

    def loss(u):
        q = softmax(np.exp(u) * np.log(p), axis=1)[np.arange(200), labels]
        return -(weights * np.log(q)).sum() / weights.sum() + 8 / weights.sum() * u**2

    found = best_exponent(p, np.eye(4)[labels], weights)
    wanted = minimize_scalar(loss, bounds=(-2, 2), method="bounded", options={"xatol": 1e-9}).x
    # A minimum is known by values to √ε of the scale of u.
    assert abs(np.log(found) - wanted) < 10 * EPS**0.5
    assert 1.3 < found < 3


def test_rows_left_out_of_the_coefficients_are_fits_without_them(draw):
    x, y = torch.from_numpy(draw.normal(size=(12, 2))), torch.from_numpy(draw.normal(size=(12, 2)))
    weights = torch.from_numpy(draw.uniform(0.5, 2, size=12))
    predictor = KernelPredictor(Laplace(2.0), x, torch.zeros_like(y), torch.eye(2).double() * 2)
    found = _leave_one_out(predictor, Rows(x, y, weights), 0.1)
    for row in range(12):
        others = torch.arange(12) != row
        dual = fit_ridge(
            Laplace(2.0), x[others], y[others], ridge=0.1, weights=weights[others],
            feature_matrix=predictor.feature_matrix,
        )  # fmt: skip
        again = KernelPredictor(Laplace(2.0), x[others], dual, predictor.feature_matrix)
        # The condition is below 12 / 0.05, and there are twelve terms.
        torch.testing.assert_close(found[row], again(x[[row]])[0], rtol=1e-11, atol=1e-11)


def test_folds_know_rows_by_what_they_hold(draw):
    x, y = torch.from_numpy(draw.normal(size=(23, 2))), torch.from_numpy(draw.normal(size=(23, 1)))
    folds = folds_of(Rows(x, y, torch.ones(23)))
    order = torch.from_numpy(draw.permutation(23))
    assert (folds_of(Rows(x[order], y[order], torch.ones(23))) == folds[order]).all()
    assert sorted(np.bincount(folds)) == [4, 4, 5, 5, 5]


@pytest.mark.parametrize("rows", [250, 600], ids=["refits", "one inverse"])
def test_ten_classes_are_said_as_surely_as_they_are_known(rows):
    x, y = shuffle(*load_digits(return_X_y=True), random_state=0)
    model = RFMClassifier(n_iter=1, random_state=0).fit(x[:rows], y[:rows])
    rest, labels = x[1000:], y[1000:]
    said = model.predict_proba(rest)
    plain = ClassCodes(model.codes_.basis, model.codes_.priors)
    before = plain.probabilities(model._outputs(rest))
    right = (said.argmax(1) == labels).mean()
    # Codes by least squares are right far more often than they say.
    assert before.max(1).mean() < right - 0.1
    assert abs(said.max(1).mean() - right) < 0.05
    assert log_loss(labels, said) < 0.6 * log_loss(labels, before)
    assert (said.argmax(1) == before.argmax(1)).all()


def test_shares_are_those_of_the_smallest_squared_error(draw):
    target = draw.normal(size=(50, 1))
    members = [target + draw.normal(size=(50, 1)), 2 * target + draw.normal(size=(50, 1))]
    weights = draw.uniform(0.5, 2, size=50)
    rows = Rows(torch.zeros(50, 1), torch.from_numpy(target), torch.from_numpy(weights))
    found = best_shares([torch.from_numpy(m) for m in members], rows)
    columns = np.concatenate(members, axis=1)
    solution = np.linalg.lstsq(
        columns * weights[:, None] ** 0.5, target[:, 0] * weights**0.5, rcond=None
    )[0]
    assert (solution > 0).all()
    # Two columns of condition below 10.
    np.testing.assert_allclose(found, solution / solution.sum(), rtol=1e-12)
    opposed = [torch.from_numpy(-target)] * 2
    assert best_shares(opposed, rows).tolist() == [0.5, 0.5]


def test_two_machines_are_the_sum_of_both():
    x, y = make_friedman1(150, n_features=6, random_state=0)
    model = KernelEnsembleRegressor(n_iter=2, random_state=0).fit(x[:100], y[:100])
    assert abs(sum(member.share for member in model.members_) - 1) < 4 * EPS
    alone = RFMRegressor(n_iter=2, random_state=0).fit(x[:100], y[:100])
    first = model.members_[0]
    np.testing.assert_array_equal(first.dual, alone.dual_coef_)
    np.testing.assert_array_equal(first.feature_matrix, alone.feature_matrix_)
    parts = model.predictor_on("cpu")
    coordinates = model._encoded(x)
    said = sum(
        m.share * p(coordinates) for m, p in zip(model.members_, parts.predictors, strict=True)
    )
    outputs = said.numpy()[:, 0] * model.y_scale_ + model.y_mean_
    np.testing.assert_allclose(model.predict(x), outputs, rtol=20 * EPS)
    gradients = model.gradient(x[:100]) * model.encoding_.units / model.y_scale_[0]
    np.testing.assert_allclose(
        model.agop_, np.einsum("nod,noe->de", gradients, gradients) / 100, rtol=1e-10
    )


def test_a_mean_of_two_has_one_exponent():
    x, y = load_digits(return_X_y=True)
    model = KernelEnsembleClassifier(n_iter=1, random_state=0).fit(x[:600], y[:600])
    assert [member.share for member in model.members_] == [0.5, 0.5]
    assert model.codes_.exponent > 1
    assert model.score(x[1000:], y[1000:]) > 0.9
