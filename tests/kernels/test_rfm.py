"""The estimators: scikit-learn's own checks, an independent oracle, and what users do to them."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.linalg import solve
from scipy.spatial.distance import cdist, pdist
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from overparam.kernels import (
    IRKMClassifier,
    IRKMRegressor,
    KernelEnsembleClassifier,
    KernelEnsembleRegressor,
    RFMClassifier,
    RFMRegressor,
    bootstrap_interval,
)
from overparam.kernels._table import Rows, merged
from overparam.kernels.recursion import next_feature_matrix

ESTIMATORS = [RFMRegressor, RFMClassifier, IRKMRegressor, IRKMClassifier]
every_estimator = pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)


@pytest.fixture
def table():
    return make_friedman1(120, n_features=6, random_state=0)


def targets(kind, y):
    return y if "Regressor" in kind.__name__ else np.where(y > np.median(y), "high", "low")


@pytest.mark.parametrize(
    "model",
    [
        RFMRegressor(n_iter=1),
        RFMClassifier(n_iter=0),  # five refits for each fit of the checks
        IRKMRegressor(n_iter=1),
        IRKMClassifier(n_iter=1, exponent=1.0),
        KernelEnsembleRegressor(n_iter=0, alpha=1.0),
        KernelEnsembleClassifier(n_iter=0, alpha=1.0, exponent=1.0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_it_is_a_scikit_learn_estimator(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks fit constants, vectors as columns, lists
        outcomes = check_estimator(model, on_fail=None, on_skip=None)
    failed = [str(outcome["exception"]) for outcome in outcomes if outcome["status"] == "failed"]
    assert failed == []
    assert len(outcomes) > 50


def oracle(x, y, z, n_iter, power, bandwidth=10.0, ridge=1e-3):
    """The recursion in SciPy, as its formulas are written."""
    matrix, mean = np.eye(x.shape[1]), y.mean()
    for iteration in range(n_iter + 1):
        values, vectors = np.linalg.eigh(matrix)
        root = (vectors * values.clip(0) ** 0.5) @ vectors.T
        distances = cdist(x @ root, x @ root)
        kernel = np.exp(-distances / bandwidth)
        dual = solve(kernel + ridge * np.eye(len(x)), y - mean, assume_a="pos")
        if iteration == n_iter:
            return np.exp(-cdist(z @ root, x @ root) / bandwidth) @ dual + mean, matrix
        np.fill_diagonal(distances, np.inf)
        slopes = -kernel / (bandwidth * distances)
        gradients = np.stack(
            [((slopes[i] * dual)[:, None] * (x[i] - x)).sum(0) @ matrix for i in range(len(x))]
        )
        values, vectors = np.linalg.eigh(gradients.T @ gradients / len(x))
        matrix = (vectors * values.clip(0) ** power) @ vectors.T
        matrix /= matrix.max()
    raise AssertionError


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_predictions_are_those_of_an_independent_recursion(power, table):
    x, y = table
    model = RFMRegressor(alpha=1e-3, agop_power=power, n_iter=3, standardize=False)
    model.fit(x[:80], y[:80])
    expected, matrix = oracle(x[:80], y[:80], x[80:], 3, power)
    np.testing.assert_allclose(model.predict(x[80:]), expected, atol=1e-8)
    np.testing.assert_allclose(model.feature_matrix_, matrix, atol=1e-8)


def test_by_trace_the_diagonal_is_1_on_average():
    outer = torch.tensor([[4.0, 1.0], [1.0, 2.0]])
    found = next_feature_matrix(outer, 1.0, "trace", 0.0)
    torch.testing.assert_close(found, outer / 3)


def test_so_are_those_of_more_points_than_a_block():
    x, y = make_friedman1(900, n_features=7, noise=0.5, random_state=1)
    settings = {"alpha": 1e-3, "agop_power": 1.0, "standardize": False, "early_stopping": False}
    model = RFMRegressor(n_iter=5, **settings).fit(x[:700], y[:700])
    expected, matrix = oracle(x[:700], y[:700], x[700:], 5, 1.0)
    np.testing.assert_allclose(model.predict(x[700:]), expected, atol=1e-8)
    np.testing.assert_allclose(model.feature_matrix_, matrix, atol=1e-8)


@pytest.mark.parametrize("rows", [120, 1700])
def test_single_precision_differs_by_rounding_only(rows):
    x, y = make_friedman1(rows + 200, n_features=6, random_state=0)
    double, single = (
        RFMRegressor(alpha=1e-2, n_iter=1, dtype=dtype, early_stopping=False).fit(
            x[:rows], y[:rows]
        )
        for dtype in ("float64", "float32")
    )
    assert single.X_fit_.dtype == np.float32
    gap = single.predict(x[rows:]) - double.predict(x[rows:])
    assert np.abs(gap).max() < 5e-3 * y.std()


@every_estimator
def test_a_copy_a_pickle_and_a_second_fit_predict_the_same(kind, table):
    x, y = table
    y = targets(kind, y)
    model = kind(random_state=0).fit(x, y)
    expected = model.predict(x)
    for again in (clone(model).fit(x, y), pickle.loads(pickle.dumps(model)), model.fit(x, y)):
        np.testing.assert_array_equal(again.predict(x), expected)


def global_numpy_state():
    return np.random.get_state()[1].copy()  # noqa: NPY002  (it is what must not change)


@every_estimator
def test_nothing_of_the_users_is_changed(kind, table):
    x, y = table
    before = x.copy(), torch.get_rng_state(), global_numpy_state()
    kind().fit(x, targets(kind, y)).predict(x)
    np.testing.assert_array_equal(x, before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    np.testing.assert_array_equal(global_numpy_state(), before[2])


def test_the_scale_of_columns_and_targets_does_not_matter(table):
    x, y = table
    scales = np.array([1e-3, 1, 10, 1e4, 2, 5])
    plain = RFMRegressor(n_iter=2).fit(x, y)
    scaled = RFMRegressor(n_iter=2).fit(x * scales + 3, 1e3 * y - 7)
    np.testing.assert_allclose(scaled.predict(x * scales + 3), 1e3 * plain.predict(x) - 7)
    np.testing.assert_allclose(scaled.feature_importances_, plain.feature_importances_, atol=1e-9)


@pytest.mark.parametrize("kind", [RFMRegressor, IRKMClassifier, KernelEnsembleRegressor])
def test_a_weight_is_a_repetition_and_order_does_not_matter(kind, table):
    x, y = table
    y = targets(kind, y)
    weights = np.random.default_rng(0).integers(0, 4, len(x))
    weighted = kind(n_iter=2).fit(x, y, sample_weight=weights)
    order = np.random.default_rng(1).permutation(weights.sum())
    repeated = kind(n_iter=2).fit(x.repeat(weights, 0)[order], y.repeat(weights)[order])
    assert weighted.alpha_ == repeated.alpha_
    output = "predict_proba" if kind is IRKMClassifier else "predict"
    np.testing.assert_allclose(
        getattr(weighted, output)(x), getattr(repeated, output)(x), atol=1e-8
    )


def test_rows_are_merged_with_their_mean_target():
    x = np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0], [-0.0, 0.0]])
    targets, weights = np.array([[1.0], [5.0], [4.0], [7.0]]), np.array([1.0, 1, 2, 1])
    rows = merged(Rows(x, targets, weights))
    assert rows.x.tolist() == [[1, 2], [0, 0]]
    assert rows.targets.tolist() == [[3], [6]]
    assert rows.weights.tolist() == [3, 2]


def test_gradients_are_differences_in_the_units_of_the_table(table):
    x, y = table
    x = x * [1, 10, 0.1, 1, 1, 1]
    for model in (
        RFMRegressor(n_iter=2).fit(x, y),
        RFMRegressor(n_iter=1).fit(x, np.c_[y, -2 * y]),
    ):
        point = x[:5] + 0.01
        gradient = model.gradient(point)
        for a in range(x.shape[1]):
            step = np.zeros(x.shape[1])
            step[a] = 1e-5 * x[:, a].std()
            difference = model.predict(point + step) - model.predict(point - step)
            slope = difference.reshape(5, -1) / (2 * step[a])
            np.testing.assert_allclose(gradient[:, :, a], slope, rtol=1e-4, atol=1e-4)


def test_probabilities_sum_to_one_and_their_gradients_to_zero(table):
    x, y = table
    labels = np.digitize(y, np.quantile(y, [0.3, 0.8]))
    model = RFMClassifier(n_iter=1, exponent=1.0).fit(x, labels)
    probabilities = model.predict_proba(x)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert probabilities.min() > 5e-4
    np.testing.assert_allclose(model.gradient(x[:4]).sum(1), 0, atol=1e-10)
    far = model.predict_proba(x[:1] + 1e6)
    np.testing.assert_allclose(far[0], np.bincount(labels) / len(labels), atol=1e-3)
    np.testing.assert_array_equal(model.predict(x), probabilities.argmax(1))


def test_a_frame_counts_by_its_values_and_not_by_its_types(table):
    x, y = table
    plain = pd.DataFrame(x, columns=list("uvwxyz"))
    days = pd.Series(np.arange(len(x)) % 50)
    kind = pd.Series(np.arange(len(x)) % 3)
    first = plain.assign(
        u=plain["u"].astype(object).where(days > 2, None),
        day=pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D"),
        kind=pd.Categorical(kind),
        on=kind == 0,
    )
    model = RFMRegressor(n_iter=1).fit(first, y)
    assert model.encoded_names_.tolist()[5:] == [
        "z", "day", "kind=0", "kind=1", "kind=2", "on=False", "on=True",
    ]  # fmt: skip
    other = first.assign(
        u=first["u"].astype(float),
        day=first["day"].astype(str),
        kind=kind.map(lambda level: f" {level}.0"),
        on=np.where(kind == 0, "yes", "no"),
    )
    expected = model.predict(first)
    np.testing.assert_allclose(model.predict(other), expected, atol=1e-9)
    numbers = first.assign(
        u=first["u"].astype(float).fillna(first["u"].astype(float).median()),
        day=days + 18262.0,
    )
    np.testing.assert_allclose(
        RFMRegressor(n_iter=1).fit(numbers, y).predict(numbers), expected, atol=1e-9
    )


def test_a_frame_brings_names_and_categories(table):
    x, y = table
    levels = np.array(["a", "b", None], dtype=object)[np.random.default_rng(0).integers(0, 3, 120)]
    frame = pd.DataFrame(x, columns=list("uvwxyz")).assign(level=levels)
    shifted = y + 10 * (levels == "a")
    model = RFMRegressor().fit(frame, shifted)
    assert model.feature_names_in_.tolist() == [*"uvwxyz", "level"]
    assert model.encoded_names_.tolist() == [*"uvwxyz", "level=a", "level=b", "level=nan"]
    assert model.feature_importances_.argmax() == 6
    assert model.feature_importances_.sum() == pytest.approx(1)
    assert model.gradient(frame[:2]).shape == (2, 1, 9)
    unseen = frame[:3].assign(level="never seen")
    assert np.isfinite(model.predict(unseen)).all()
    coded = RFMRegressor(categorical_features=["level"]).fit(
        frame.assign(level=pd.Categorical(levels)), shifted
    )
    np.testing.assert_allclose(coded.predict(frame), model.predict(frame))
    array = frame.assign(level=pd.Series(levels).map({"a": 0, "b": 1}).fillna(2)).to_numpy(float)
    by_position = RFMRegressor(categorical_features=[6]).fit(array, shifted)
    np.testing.assert_allclose(by_position.predict(array), model.predict(frame), atol=1e-8)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"u": "other"}))


def test_it_works_in_a_pipeline_under_a_search(table):
    x, y = table
    pipeline = make_pipeline(StandardScaler(), IRKMRegressor(alpha=0.1))
    search = GridSearchCV(pipeline, {"irkmregressor__n_iter": [0, 2]}, cv=2).fit(x, y)
    assert search.best_params_["irkmregressor__n_iter"] == 2


def noisy(rows=700):
    """Pure noise: the more rounds, the worse."""
    draw = np.random.default_rng(0)
    return draw.normal(size=(rows, 8)), draw.normal(size=rows)


def test_the_best_round_is_kept():
    x, y = noisy()
    model = RFMRegressor(alpha=1e-3, agop_power=1.0, random_state=0).fit(x, y)
    errors = [record["validation_error"] for record in model.history_]
    assert model.best_iter_ == int(np.argmin(errors)) < 5
    assert model.n_iter_ == min(5, model.best_iter_ + 2) == len(errors) - 1
    assert len(model.X_fit_) == 700  # the last fit is to all rows
    to_the_end = RFMRegressor(alpha=1e-3, agop_power=1.0, early_stopping=False).fit(x, y)
    assert to_the_end.best_iter_ == 5
    assert "validation_error" not in to_the_end.history_[0]


def test_an_evaluation_set_chooses_the_round_and_nothing_else():
    x, y = noisy(200)
    tracked = RFMRegressor(alpha=1e-3, agop_power=1.0)
    tracked.fit(x[:150], y[:150], eval_set=(x[150:], y[150:]))
    assert len(tracked.X_fit_) == 150
    same = RFMRegressor(alpha=1e-3, agop_power=1.0, n_iter=tracked.best_iter_)
    same.fit(x[:150], y[:150])
    np.testing.assert_array_equal(tracked.predict(x), same.predict(x))
    labels = np.where(y > 0, "b", "a")
    classifier = RFMClassifier(n_iter=1)
    classifier.fit(x[:150], labels[:150], eval_set=(x[150:], labels[150:]))
    assert "validation_error" in classifier.history_[0]


def test_a_callback_sees_every_round(table):
    x, y = table
    seen = []

    def look(iteration, model):
        seen.append((iteration, model.predict(x[:3]), model.feature_matrix_.copy()))

    model = RFMRegressor(n_iter=2, callback=look).fit(x, y)
    assert [iteration for iteration, _, _ in seen] == [0, 1, 2]
    np.testing.assert_array_equal(seen[0][2], np.eye(6))
    np.testing.assert_array_equal(seen[-1][1], model.predict(x[:3]))


def test_the_average_outer_product_is_that_of_its_gradients(table):
    x, y = table
    weights = np.random.default_rng(0).integers(1, 4, len(x))
    model = RFMRegressor(n_iter=1).fit(x, y, sample_weight=weights)
    inner = model.gradient(x)[:, 0] * model.encoding_.units / model._output_map()[0, 0]
    expected = (inner.T * weights) @ inner / weights.sum()
    np.testing.assert_allclose(model.agop_, expected, rtol=1e-6, atol=1e-9)
    assert model.agop_ is model.agop_
    again = model.agop_.copy()
    assert not np.allclose(model.fit(x, -(y**2)).agop_, again)


def test_constant_targets_keep_the_features_and_warn(table):
    with pytest.warns(RuntimeWarning, match="does not depend on its input"):
        model = RFMRegressor(alpha=0.1, n_iter=1).fit(table[0], np.full(120, 3.0))
    np.testing.assert_allclose(model.predict(table[0]), 3)
    np.testing.assert_array_equal(model.feature_importances_, 0)
    np.testing.assert_array_equal(model.importance_interval(n_resamples=3), 0)


def test_importances_lie_in_their_interval(table):
    x, y = table
    model = RFMRegressor(n_iter=2).fit(x, y)
    low, high = model.importance_interval(seed=1)
    assert (low <= model.feature_importances_).all()
    assert (model.feature_importances_ <= high).all()
    np.testing.assert_array_equal(low, model.importance_interval(seed=1)[0])
    order = cdist(model.X_fit_, model._encoded(x).numpy()).argmin(1)
    squares = (model.gradient(x[order])[:, 0] * model.encoding_.units) ** 2
    expected = bootstrap_interval(squares, seed=1)
    np.testing.assert_allclose([low, high], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("machine", [RFMRegressor, IRKMRegressor])
@pytest.mark.parametrize("levels", [2, 40])
def test_a_category_counts_by_what_it_does_and_not_by_its_levels(machine, levels):
    draw = np.random.default_rng(levels)
    n = 300
    a, k, idle = draw.normal(size=n), np.arange(n) % levels, draw.permutation(n) % levels
    effect = draw.normal(size=levels)
    effect = ((effect - effect.mean()) / effect.std())[k]
    frame = pd.DataFrame({"a": a, "k": k, "idle": idle}).astype({"k": "str", "idle": "str"})
    frame["k"], frame["idle"] = "k" + frame["k"], "i" + frame["idle"]
    model = machine(random_state=0, n_iter=2).fit(frame, a + effect + 0.2 * draw.normal(size=n))
    # Variances 1 and 1; what is left of either to learn is no more than the noise's 0.04 a level
    # of 7 rows, and 0.2 beside.
    np.testing.assert_allclose(model.feature_importances_, [0.5, 0.5, 0.0], atol=0.1)
    low, high = model.importance_interval(n_resamples=50)
    assert (low <= model.feature_importances_).all()
    assert (model.feature_importances_ <= high).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel": "gaussian", "bandwidth": "median"},
        {"kernel": "lpq", "p": 1.5, "q": 1.2, "bandwidth": 3.0},
        {"kernel": "dot_exp"},
        {"kernel": lambda x, z: torch.exp(-torch.cdist(x, z).square() / 20)},
        {"bandwidth": "dimension", "feature_matrix": "diag", "normalize": "trace"},
        {"center_gradients": True, "agop_samples": 50, "normalize": None},
        {"solver": "lstsq", "alpha": 0.1},
        {"solver": "eigenpro", "alpha": 1.0},
        {"solver": "cg", "alpha": 0.1, "dtype": "float32"},
    ],
    ids=lambda settings: " ".join(f"{k}={v}"[:20] for k, v in settings.items()),
)
def test_every_setting_beats_the_mean(settings, table):
    x, y = table
    model = RFMRegressor(n_iter=2, random_state=0, **settings).fit(x[:90], y[:90])
    assert model.score(x[90:], y[90:]) > 0.5


def test_a_bandwidth_by_a_rule_is_what_the_rule_says(table):
    x = (table[0] - table[0].mean(0)) / table[0].std(0)
    plain = {"alpha": 0.1, "n_iter": 0, "standardize": False}
    for kernel, norm in (("laplace", "euclidean"), ("lpq", "cityblock")):
        by_median = RFMRegressor(kernel, bandwidth="median", p=1.0, q=1.0, **plain)
        found = by_median.fit(x, table[1]).kernel_.bandwidth
        # torch's median of an even number is the lower of the two in the middle.
        middle = np.quantile(pdist(x, norm), 0.5, method="lower")
        assert found == pytest.approx(middle, rel=1e-12)
    by_dimension = RFMRegressor(bandwidth="dimension", **plain).fit(x, table[1])
    assert by_dimension.kernel_.bandwidth == pytest.approx(12**0.5)
    assert RFMRegressor("dot_exp", **plain).fit(x, table[1]).kernel_.scale == 6


def test_a_quadratic_kernel_learns_a_product_of_columns(generator):
    x = torch.randn(150, 6, generator=generator).numpy()
    model = RFMRegressor("quadratic", alpha=1e-3, n_iter=2, standardize=False)
    model.fit(x[:100], x[:100, 0] * x[:100, 1])
    np.testing.assert_allclose(model.predict(x[100:]), x[100:, 0] * x[100:, 1], atol=0.2)


def test_noise_columns_are_outdone_by_a_diagonal():
    x, y = make_friedman1(900, n_features=20, noise=1.0, random_state=0)
    ridge, reweighted = (
        RFMRegressor(feature_matrix="diag", n_iter=n_iter, random_state=0).fit(x[:600], y[:600])
        for n_iter in (0, 5)
    )
    assert reweighted.score(x[600:], y[600:]) > ridge.score(x[600:], y[600:]) + 0.08


def test_more_columns_than_rows_are_weighed_one_by_one():
    draw = np.random.default_rng(0)
    hidden, x = draw.normal(size=(300, 4)), draw.normal(size=(300, 800)) / 2
    x += hidden @ draw.normal(size=(4, 800))
    y = np.sin(hidden[:, 0]) + hidden[:, 1] * hidden[:, 2]
    model = RFMRegressor(random_state=0).fit(x[:100], y[:100])
    assert model.feature_matrix_.shape == model.agop_.shape == (800,)
    assert model.kernel_.bandwidth == pytest.approx(40)
    full = RFMRegressor(n_iter=1, feature_matrix="full", bandwidth=10.0).fit(x[:100], y[:100])
    assert model.score(x[100:], y[100:]) > full.score(x[100:], y[100:]) + 0.4
    assert model.gradient(x[:2]).shape == (2, 1, 800)
    tall = RFMRegressor(n_iter=1).fit(x[:100, :3], y[:100])
    assert tall.feature_matrix_.shape == (3, 3)
    assert tall.kernel_.bandwidth == 10
    assert RFMRegressor(n_iter=0).fit(x[:100], y[:100]).feature_matrix_.shape == (800,)


def test_breast_cancer_is_told_with_few_errors():
    x, y = load_breast_cancer(return_X_y=True)
    model = RFMClassifier(random_state=0).fit(x[:400], y[:400])
    assert model.score(x[400:], y[400:]) >= 0.95


SMALL = np.eye(4)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"alpha": -1}, "(alpha=...)"),
        ({"alpha": "much"}, "(alpha=...)"),
        ({"n_iter": -1}, "(n_iter=...)"),
        ({"kernel": "laplas"}, "(kernel=...)"),
        ({"bandwidth": "wide"}, "(bandwidth=...)"),
        ({"bandwidth": 0.0}, "RFMRegressor(bandwidth=...)"),
        ({"feature_matrix": "half"}, "(feature_matrix=...)"),
        ({"solver": "lu"}, "(solver=...)"),
        ({"dtype": "float16"}, "(dtype=...)"),
        ({"normalize": "sum"}, "RFMRegressor(normalize=...)"),
        ({"agop_power": 0}, "RFMRegressor(agop_power=...)"),
        ({"weight_floor": -1}, "RFMRegressor(weight_floor=...)"),
        ({"agop_samples": 0}, "(agop_samples=...)"),
        ({"callback": "print"}, "(callback=...)"),
        ({"early_stopping": None}, "(early_stopping=...)"),
        ({"device": "nowhere"}, "(device=...)"),
        ({"validation_fraction": 1.5}, "(validation_fraction=...)"),
        ({"categorical_features": "all"}, "(categorical_features=...)"),
        ({"categorical_features": [9]}, "(categorical_features=...)"),
        ({"categorical_features": ["u"]}, "(categorical_features=...)"),
        ({"categorical_features": [True]}, "(categorical_features=...)"),
    ],
)
def test_a_wrong_setting_is_named(settings, where):
    with pytest.raises(ValueError, match="expected") as error:
        RFMRegressor(**settings).fit(SMALL, np.arange(4.0))
    assert where in str(error.value)


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (lambda: RFMRegressor().fit(np.full((2, 2), np.inf), [0, 1]), "infinity"),
        (lambda: RFMRegressor().fit([[np.inf, np.nan], [0, 1]], [0, 1]), "infinity"),
        (lambda: RFMRegressor().fit(SMALL, [0, 1, 2, np.nan]), "NaN"),
        (lambda: RFMClassifier(exponent=0).fit(SMALL, [0, 1, 0, 1]), r"exponent=\.\.\."),
        (
            lambda: RFMClassifier(class_weight="even").fit(SMALL, [0, 1, 0, 1]),
            r"class_weight=\.\.\.",
        ),
        (lambda: RFMClassifier(class_weight={2: 1}).fit(SMALL, [0, 1, 0, 1]), r"labels out of"),
        (lambda: RFMClassifier(class_weight={1: -1}).fit(SMALL, [0, 1, 0, 1]), "weights ≥ 0"),
        (lambda: RFMRegressor().fit(SMALL, [0, 1]), "inconsistent"),
        (lambda: RFMRegressor().fit(np.empty((0, 3)), []), "0 sample"),
        (lambda: RFMRegressor().fit(SMALL[0], [0, 1, 2, 3]), "2D"),
        (lambda: RFMRegressor().fit(SMALL, range(4), sample_weight=[1, 1, 1, -1]), "sample_weight"),
        (lambda: RFMRegressor().fit(SMALL, range(4), eval_set=SMALL), r"eval_set=\.\.\."),
        (lambda: RFMClassifier().fit(SMALL, [1, 1, 1, 1]), "more than one class"),
        (lambda: RFMClassifier().fit(SMALL, [0.1, 0.2, 0.3, 0.4]), "continuous"),
        (
            lambda: RFMClassifier().fit(SMALL, [0, 1, 0, 1], eval_set=(SMALL, [0, 1, 2, 1])),
            r"labels out of \[0, 1\]",
        ),
        (lambda: RFMRegressor().fit(SMALL, range(4)).predict(SMALL[:, :2]), "features"),
        (
            lambda: RFMRegressor().fit(SMALL, range(4)).importance_interval(level=1),
            r"importance_interval\(level=",
        ),
    ],
)
def test_bad_data_is_refused(fit, words):
    with pytest.raises(ValueError, match=words):
        fit()


def test_an_unfitted_machine_says_so():
    for act in (RFMRegressor().predict, RFMRegressor().gradient, RFMClassifier().predict_proba):
        with pytest.raises(NotFittedError):
            act(SMALL)
    with pytest.raises(NotFittedError):
        _ = RFMRegressor().feature_importances_
