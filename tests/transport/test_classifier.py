"""The adapting classifier: what it gains, when it warns, and what it refuses."""

import warnings

import numpy as np
import pytest
from domains_made import spurious
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from overparam.transport import DiscriminantTransportClassifier as Classifier
from overparam.transport import label_agreement


def accuracy(found, right):
    return float(np.mean(found == right))


@pytest.fixture(scope="module")
def task():
    return spurious(0)


@pytest.fixture(scope="module")
def fitted(task):
    x, y, target, _ = task
    return Classifier().fit(x, y, target)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([Classifier()])
def test_it_is_an_estimator(estimator, check):
    check(estimator)


def test_it_gains_where_features_of_the_source_mislead(task, fitted):
    x, y, target, right = task
    alone = Classifier().fit(x, y).predict(target)
    assert accuracy(fitted.predict(target), right) > accuracy(alone, right) + 0.1
    assert fitted.agreement_.gain > 0
    assert fitted.agreement_.judge == "discriminant"


def test_rounds_gain_over_the_first(task, fitted):
    right = task[-1]
    assert accuracy(fitted.labels_path_[-1], right) > accuracy(fitted.labels_path_[0], right)
    assert len(fitted.labels_path_) == fitted.n_iter_
    assert (fitted.transduction_ == fitted.labels_path_[-1]).all()


def test_the_coupling_has_its_marginals_and_labels_follow_from_it(task, fitted):
    y = task[1]
    n, m = fitted.coupling_.shape
    np.testing.assert_allclose(fitted.coupling_.sum(1), 1 / n, atol=1e-5)
    np.testing.assert_allclose(fitted.coupling_.sum(0), 1 / m, atol=1e-5)
    soft = m * fitted.coupling_.T @ np.eye(5)[y]
    np.testing.assert_allclose(fitted.label_distributions_, soft, atol=1e-3)


def test_directions_have_the_scale_of_the_scatter_they_were_found_with(task):
    x, y, _, _ = task
    from overparam.transport.scatter import class_scatter, discriminant_directions

    between, within = class_scatter(x - x.mean(0), np.eye(5)[y])
    w = discriminant_directions(between, within, 4, 0.1)
    noise = 0.9 * within + 0.1 * np.trace(within) / len(within) * np.eye(len(within))
    np.testing.assert_allclose(w.T @ noise @ w, np.eye(4), atol=1e-10)
    ratios = np.diag(w.T @ between @ w)
    assert (np.diff(ratios) <= 1e-12).all()
    np.testing.assert_allclose(between + within, np.cov(x.T, bias=True), atol=1e-10)


def test_coupled_pairs_scatter_as_their_differences_do():
    from overparam.transport.scatter import coupling_scatter

    draw = np.random.default_rng(0)
    x, y, plan = draw.normal(size=(4, 3)), draw.normal(size=(5, 3)), draw.random((4, 5))
    gaps = x[:, None] - y
    expected = np.einsum("ij,ijk,ijl->kl", plan, gaps, gaps)
    np.testing.assert_allclose(coupling_scatter(x, y, plan), expected, atol=1e-12)


def test_shares_of_the_classes_can_be_told_or_estimated():
    draw = np.random.default_rng(1)
    y, right = np.repeat([0, 1], 50), np.repeat([0, 1], [70, 30])
    centres = np.array([[0.0, 0, 0], [5, 0, 0]])
    x = centres[y] + draw.normal(size=(100, 3))
    target = centres[right] + draw.normal(size=(100, 3))
    # The means differ by the shares alone, so that centring would be a mistake.
    balanced, told, estimated = (
        Classifier(center=False, warn=False, target_priors=priors).fit(x, y, target)
        for priors in ("source", [0.7, 0.3], "estimate")
    )
    assert accuracy(balanced.transduction_, right) < 0.85  # 20 of them have to be wrong
    assert accuracy(told.transduction_, right) > 0.95
    assert accuracy(estimated.transduction_, right) > 0.95
    np.testing.assert_allclose(estimated.target_priors_, [0.7, 0.3], atol=0.05)


def test_it_warns_where_adapting_does_harm_and_only_there(task):
    draw = np.random.default_rng(2)
    y, right = np.repeat(np.arange(3), 40), np.repeat(np.arange(3), [100, 15, 5])
    centres = 3 * np.eye(3, 6)
    x = centres[y] + draw.normal(size=(120, 6))
    target = centres[right] + draw.normal(size=(120, 6))
    with pytest.warns(UserWarning, match="adapting may do harm") as told:
        harmed = Classifier().fit(x, y, target)
    assert len(told) == 1
    assert "target_priors='estimate'" in str(told[0].message)
    alone = Classifier().fit(x, y)
    assert accuracy(harmed.predict(target), right) < accuracy(alone.predict(target), right)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Classifier(warn=False).fit(x, y, target)
        Classifier().fit(*task[:3])


def test_agreement_tells_right_labels_from_wrong_ones():
    x, y, target, right = spurious(3)
    wrong = np.random.default_rng(0).permutation(right)
    good, bad = (label_agreement(x, y, target, found) for found in (right, wrong))
    assert good.adapted > good.unadapted > bad.adapted
    assert good.gain > 0 > bad.gain


def test_labels_may_be_words_and_a_class_may_have_one_row(task):
    x, y, target, right = task
    words = np.array(["e", "d", "c", "b", "a"])
    named = Classifier(warn=False).fit(x, words[y], target)
    assert accuracy(named.predict(target), words[right]) > 0.6
    rare = np.r_[y[:-1], 7]
    assert Classifier(warn=False).fit(x, rare, target).classes_.tolist() == [0, 1, 2, 3, 4, 7]


def test_wide_tables_are_projected_first(task):
    x, y, target, _ = task
    frame = np.linalg.qr(np.random.default_rng(0).normal(size=(300, 20)))[0].T
    narrow = Classifier(pca_components=20).fit(x, y, target)
    wide = Classifier(pca_components=20).fit(x @ frame, y, target @ frame)
    assert wide.components_.shape == (300, 4)
    np.testing.assert_array_equal(wide.predict(target @ frame), narrow.predict(target))


def test_a_target_in_the_way_of_skada_is_the_same(task, fitted):
    x, y, target, _ = task
    domains = np.repeat([1, -2], [len(x), len(target)])
    both = np.r_[y, np.full(len(target), -1)]
    same = clone(fitted).fit(np.concatenate([x, target]), both, sample_domain=domains)
    np.testing.assert_array_equal(same.predict(target), fitted.predict(target))


def test_a_refused_fit_leaves_what_was_fitted(task, fitted):
    x, y, target, _ = task
    model = clone(fitted).fit(x, y, target)
    before = model.predict(target)
    with pytest.raises(ValueError, match="more than one class"):
        model.fit(x, np.zeros(len(x)), target)
    np.testing.assert_array_equal(model.predict(target), before)


NAN, HUGE = np.full((4, 20), np.nan), np.full((4, 20), 1e200)
BAD_FITS = {
    "one class": ({}, {"y": np.zeros(100)}, "more than one class"),
    "a target of another width": ({}, {"Xt": np.ones((5, 3))}, "a table of 20 columns"),
    "a target of NaN": ({}, {"Xt": NAN}, "NaN"),
    "a target of no rows": ({}, {"Xt": np.ones((0, 20))}, "0 sample"),
    "a target too large to square": ({}, {"Xt": HUGE}, "absolute value"),
    "labels of NaN": ({}, {"y": np.r_[np.nan, np.ones(99)]}, "NaN"),
    "labels that are measurements": ({}, {"y": np.linspace(0, 1, 100)}, "label type"),
    "theta": ({"theta": 1.5}, {}, r"theta=\.\.\..*0 to 1"),
    "mu": ({"mu": -1}, {}, r"mu=\.\.\."),
    "raw_share": ({"raw_share": "x"}, {}, r"raw_share=\.\.\."),
    "reg": ({"reg": np.inf}, {}, r"reg=\.\.\."),
    "shrinkage": ({"shrinkage": None}, {}, r"shrinkage=\.\.\."),
    "n_components": ({"n_components": 0}, {}, r"n_components=\.\.\."),
    "pca_components": ({"pca_components": "all"}, {}, r"pca_components=\.\.\."),
    "center": ({"center": 3}, {}, r"center=\.\.\."),
    "max_iter": ({"max_iter": 0}, {}, r"max_iter=\.\.\."),
    "priors of another number": ({"target_priors": [0.5, 0.5]}, {}, r"each of the 5 classes"),
    "priors by an unknown name": ({"target_priors": "even"}, {}, "'even'"),
    "estimated priors without reg": ({"target_priors": "estimate", "reg": 0}, {}, "positive"),
    "two targets": ({}, {"sample_domain": np.ones(100)}, "None with sample_domain"),
    "no rows of a target": ({}, {"Xt": None, "sample_domain": np.ones(100)}, "rows of a target"),
}


@pytest.mark.parametrize("name", BAD_FITS)
def test_a_bad_fit_gets_one_error(name, task):
    x, y, target, _ = task
    settings, changes, words = BAD_FITS[name]
    with pytest.raises(ValueError, match=words):
        Classifier(**settings).fit(**{"X": x, "y": y, "Xt": target, **changes})


def test_columns_of_the_target_in_another_order_are_refused(task):
    import pandas as pd

    x, y, target, _ = task
    names = [f"c{i}" for i in range(20)]
    frame, other = pd.DataFrame(x, columns=names), pd.DataFrame(target, columns=names)
    model = Classifier(warn=False, max_iter=1).fit(frame, y, other)
    with pytest.raises(ValueError, match=r"Xt=(.|\n)*'c0' in place 0(.|\n)*'c19'"):
        model.fit(frame, y, other[names[::-1]])
    for unnamed in (target, pd.DataFrame(target)):
        same = clone(model).fit(frame, y, unnamed)
        np.testing.assert_array_equal(same.transduction_, model.transduction_)


@pytest.mark.parametrize(
    ("rows", "words"), [(np.ones((2, 3)), "20 features"), (NAN, "NaN"), (HUGE, "absolute value")]
)
def test_a_bad_prediction_gets_one_error(rows, words, fitted):
    with pytest.raises(ValueError, match=words):
        fitted.predict(rows)


def test_what_does_not_fit_into_memory_is_refused_before_it_is_begun(task):
    from overparam import memory_limit

    x, y, target, _ = task
    with memory_limit(1000), pytest.raises(MemoryError, match="pass fewer rows"):
        Classifier().fit(x, y, target)


def test_nothing_given_is_changed(task):
    copies = [part.copy() for part in task]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    Classifier(warn=False).fit(*task[:3]).predict(task[2])
    for part, copy in zip(task, copies, strict=True):
        np.testing.assert_array_equal(part, copy)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
