"""Trees: one rule to route by, leaves that learn their own features, averages of leaves."""

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.utils.estimator_checks import check_estimator

from overparam.kernels._tree_routing import (
    MOST_LEAVES,
    TEMPERATURES,
    best_temperature,
    leaf_shares,
)
from overparam.kernels.agop_tree import AGOPTreeClassifier, AGOPTreeRegressor
from overparam.kernels.rfm import RFMRegressor
from overparam.kernels.tree_splits import Split, cut


class Plane(RegressorMixin, BaseEstimator):
    """Least squares with the gradient of a linear function: what a split's model must offer."""

    def fit(self, X, y, sample_weight=None):
        self.model_ = LinearRegression().fit(X, y, sample_weight)
        return self

    def predict(self, X):
        return self.model_.predict(X)

    def gradient(self, X):
        slopes = np.atleast_2d(self.model_.coef_)
        return np.broadcast_to(slopes, (len(X), *slopes.shape))


def plane_tree(**settings):
    return AGOPTreeRegressor(Plane(), split_estimator=Plane(), random_state=0, **settings)


@pytest.fixture
def bent():
    """A function with two linear pieces that meet at x₁ = 0, on columns of unlike scale."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 3)) * [1.0, 100.0, 0.01]
    return x, np.where(x[:, 1] > 0, 7 * x[:, 1] + x[:, 0], 5 * x[:, 1] - x[:, 0])


@pytest.mark.parametrize(
    "estimator",
    [
        AGOPTreeRegressor(
            Plane(), split_estimator=Plane(), max_leaf_size=40, split_temperature="tune"
        ),
        AGOPTreeClassifier(
            LogisticRegression(), split_estimator=Plane(), max_leaf_size=15, split_temperature=0.5
        ),
    ],
    ids=["tuned", "soft classes"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_is_an_estimator_of_scikit_learn(estimator):
    check_estimator(estimator)


def test_training_rows_are_predicted_by_the_leaf_they_were_fitted_in(bent):
    x, y = bent
    tree = plane_tree(max_leaf_size=50).fit(x, y)
    assert len(tree.leaves_) == 8
    assert np.array_equal(np.bincount(tree.apply(x)), tree.leaf_sizes_)
    assert tree.leaf_sizes_.sum() == len(x)
    # Row by row, whatever rounding a product with one row at a time has.
    alone = np.concatenate([tree.apply(row[None]) for row in x])
    assert np.array_equal(alone, tree.apply(x))
    for number, leaf in enumerate(tree.leaves_):
        rows = tree.apply(x) == number
        expected = Plane().fit(x[rows], y[rows]).predict(x[rows])
        np.testing.assert_allclose(leaf.predict(x[rows]), expected)
        np.testing.assert_allclose(tree.predict(x[rows]), expected)


def test_the_first_split_is_at_the_median_along_the_sensitive_direction(bent):
    x, y = bent
    tree = plane_tree(max_leaf_size=200).fit(x, y)
    standard = tree.tree_.direction * x.std(axis=0)
    slopes = Plane().fit(x, y).model_.coef_ * x.std(axis=0)
    assert abs(standard @ slopes) == pytest.approx(np.linalg.norm(slopes))
    assert tree.leaf_sizes_.tolist() == [200, 200]
    low, high = np.quantile(x @ tree.tree_.direction, [0.25, 0.75])
    assert tree.tree_.spread == pytest.approx(high - low)


def test_the_tree_does_not_depend_on_the_units_of_columns(bent):
    x, y = bent
    scaled = x * [10.0, 0.1, 1000.0] + [3.0, -2.0, 5.0]
    one, other = (plane_tree(max_leaf_size=100).fit(points, y) for points in (x, scaled))
    assert np.array_equal(one.apply(x), other.apply(scaled))


def test_axis_splits_at_the_most_sensitive_column(bent):
    x, y = bent
    tree = plane_tree(max_leaf_size=200, split="axis").fit(x, y)
    assert np.flatnonzero(tree.tree_.direction).tolist() == [1]


def test_pca_ignores_the_target():
    draw = np.random.default_rng(0)
    shared = draw.normal(size=200)
    x = np.column_stack([shared, shared + 0.1 * draw.normal(size=200), draw.normal(size=200)])
    tree = plane_tree(max_leaf_size=100, split="pca").fit(x, 5 * x[:, 2])
    assert abs(tree.tree_.direction[2]) < 0.2 * abs(tree.tree_.direction[0])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_binary_column_is_split_between_its_values(value):
    draw = np.random.default_rng(0)
    x = np.column_stack([np.where(draw.random(160) < 0.5, value, 7.0), draw.normal(size=160)])
    tree = plane_tree(max_leaf_size=130, split="axis").fit(x, 5 * x[:, 0] + 0.01 * x[:, 1])
    left = int((x[:, 0] < 7).sum())
    assert tree.leaf_sizes_.tolist() == [left, 160 - left]
    assert tree.tree_.threshold * 1 / tree.tree_.direction[0] == pytest.approx((value + 7) / 2)
    assert np.array_equal(tree.apply(x), (x[:, 0] == 7).astype(int))


def test_equal_rows_stay_one_leaf():
    x, y = np.ones((100, 2)), np.arange(100.0)
    tree = plane_tree(max_leaf_size=10, split="pca").fit(x, y)
    assert tree.tree_ == 0
    assert tree.leaf_sizes_.tolist() == [100]


def test_a_constant_target_needs_no_model():
    x = np.random.default_rng(0).normal(size=(60, 2))
    tree = AGOPTreeRegressor(Plane(), max_leaf_size=20, split="pca").fit(x, np.full(60, 3.0))
    assert np.array_equal(tree.predict(x[:5]), np.full(5, 3.0))


@pytest.mark.parametrize(
    ("values", "smallest", "threshold"),
    [
        ([0, 1, 2, 3], 1, 1.5),
        ([0, 0, 0, 1], 1, 0.5),
        ([0, 1, 1, 1], 1, 0.5),
        ([0, 0, 0, 1], 2, None),
        ([5, 5, 5, 5], 1, None),
        ([0, 0, 1, 1 + 1e-13, 1, 2], 1, 0.5),
        ([0, 1, 1, 1, 1, 2, 3], 2, 1.5),
    ],
)
def test_a_cut_is_between_values_and_nearest_to_the_median(values, smallest, threshold):
    found = cut(np.array(values, dtype=float), smallest)
    if threshold is None:
        assert found is None
    else:
        assert found is not None
        assert found[0] == pytest.approx(threshold)
        assert found[1] > 0


def test_soft_weights_are_products_of_sigmoids():
    right = Split(np.array([0.0, 1.0]), 1.0, 2.0, 1, 2)
    tree = Split(np.array([1.0, 0.0]), 0.5, 4.0, 0, right)
    x = np.array([[0.7, 1.3]])
    up, over = (1 / (1 + np.exp(-m / (0.25 * s))) for m, s in ((0.2, 4.0), (0.3, 2.0)))
    expected = [[1 - up, up * (1 - over), up * over]]
    np.testing.assert_allclose(leaf_shares(tree, x, 0.25), expected)
    np.testing.assert_allclose(leaf_shares(tree, x, 1e-6), [[0, 0, 1]], atol=1e-12)
    np.testing.assert_array_equal(leaf_shares(tree, x, 0.0), [[0, 0, 1]])


def test_few_leaves_are_kept_and_their_weights_sum_to_one(bent):
    x, y = bent
    tree = plane_tree(max_leaf_size=10, min_leaf_size=5).fit(x, y)
    assert len(tree.leaves_) > 2 * MOST_LEAVES
    broad, narrow = (leaf_shares(tree.tree_, x, width) for width in (100.0, 0.05))
    assert (np.count_nonzero(broad, axis=1) == MOST_LEAVES).all()
    assert (np.count_nonzero(narrow, axis=1) < MOST_LEAVES).any()
    for weights in (broad, narrow):
        np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_soft_prediction_is_the_weighted_mean_of_the_leaves(bent):
    x, y = bent
    tree = plane_tree(max_leaf_size=120, split_temperature=0.3).fit(x, y)
    assert tree.temperature_ == 0.3
    outputs = np.stack([leaf.predict(x) for leaf in tree.leaves_], axis=1)
    expected = (leaf_shares(tree.tree_, x, 0.3) * outputs).sum(axis=1)
    np.testing.assert_allclose(tree.predict(x), expected)


def test_the_temperature_is_the_best_of_those_tried(bent):
    x, _ = bent
    chosen = []
    for y in (np.sin(x[:, 1] / 50) + x[:, 0], np.where(x[:, 1] > 0, 9.0, -9.0) + x[:, 0]):
        tree = plane_tree(max_leaf_size=100, split="axis").fit(x[:300], y[:300])
        held = x[300:], y[300:, None]
        chosen.append(best_temperature(tree.tree_, tree.leaves_, *held, tree._outputs))
        errors = {}
        for temperature in (0.0, *TEMPERATURES):
            tree.temperature_ = temperature
            errors[temperature] = np.mean((tree.predict(x[300:]) - y[300:]) ** 2)
        assert chosen[-1] == min(errors, key=lambda temperature: errors[temperature])
    assert chosen[0] > chosen[1]  # a smooth function wants a wider border than a jump


def test_tuned_trees_are_fitted_to_all_rows_at_last(bent):
    x, y = bent
    tree = plane_tree(max_leaf_size=100, split_temperature="tune", validation_fraction=0.3)
    tree.fit(x, y)
    assert tree.temperature_ in (0.0, *TEMPERATURES)
    leaf = tree.apply(x)
    assert np.array_equal(np.bincount(leaf), tree.leaf_sizes_)
    assert tree.leaf_sizes_.sum() == 400
    assert tree.leaf_sizes_.tolist() != [100, 100, 100, 100]  # split at medians of the others
    for number, fitted in enumerate(tree.leaves_):
        rows = leaf == number
        expected = Plane().fit(x[rows], y[rows]).predict(x[rows])
        np.testing.assert_allclose(fitted.predict(x[rows]), expected)


def test_leaves_do_not_depend_on_the_number_of_jobs():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(120, 3))
    y = x[:, 0] * x[:, 1]
    settings = {"max_leaf_size": 40, "random_state": 3}
    with joblib.parallel_config(backend="threading"):  # processes take seconds to start
        one, two = (
            AGOPTreeRegressor(RFMRegressor(n_iter=1), n_jobs=n_jobs, **settings).fit(x, y)
            for n_jobs in (1, 2)
        )
    np.testing.assert_allclose(one.predict(x), two.predict(x), rtol=1e-10)


def test_the_users_estimator_stays_as_it_is(bent):
    x, y = bent
    leaf = RFMRegressor(n_iter=0, random_state=5)
    AGOPTreeRegressor(leaf, max_leaf_size=200, random_state=0).fit(x, y)
    assert leaf.random_state == 5
    assert not hasattr(leaf, "dual_coef_")


def test_several_targets_keep_their_columns(bent):
    x, y = bent
    both = np.column_stack([y, -2 * y])
    tree = plane_tree(max_leaf_size=100).fit(x, both)
    single = plane_tree(max_leaf_size=100).fit(x, y)
    np.testing.assert_allclose(tree.predict(x)[:, 0], single.predict(x))
    np.testing.assert_allclose(tree.predict(x)[:, 1], -2 * single.predict(x))


def test_leaves_learn_their_own_features():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(800, 8))
    y = np.where(x[:, 0] > 0, 3 + x[:, 1] + x[:, 2], -3 + x[:, 5] + x[:, 6])
    tree = AGOPTreeRegressor(max_leaf_size=450, random_state=0).fit(x, y)
    standard = tree.tree_.direction / np.linalg.norm(tree.tree_.direction)
    assert abs(standard[0]) > 0.9
    for leaf, own in zip(tree.leaves_, ([5, 6], [1, 2]), strict=True):
        importances = leaf.feature_importances_[1:]
        assert importances[np.array(own) - 1].sum() / importances.sum() > 0.85


def test_classes_missing_from_a_leaf_have_probability_zero_there():
    x = np.linspace(-1, 1, 90)[:, None] * [[1.0, 0.5]]
    y = np.repeat(["a", "b", "c"], 30)
    tree = AGOPTreeClassifier(
        LogisticRegression(), split_estimator=Plane(), max_leaf_size=45, random_state=0
    ).fit(x, y)
    assert tree.classes_.tolist() == ["a", "b", "c"]
    probabilities = tree.predict_proba(x)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert probabilities[0, 2] == 0
    assert probabilities[-1, 0] == 0
    assert tree.score(x, y) > 0.9


def test_a_leaf_of_one_class_is_certain():
    x = np.r_[np.linspace(-2, -1, 30), np.linspace(1, 2, 30)][:, None]
    y = np.repeat([4, 9], 30)
    tree = AGOPTreeClassifier(split_estimator=Plane(), max_leaf_size=40).fit(x, y)
    assert tree.predict_proba([[-3.0], [3.0]]).tolist() == [[1, 0], [0, 1]]
    assert tree.predict([[-3.0], [3.0]]).tolist() == [4, 9]


X, Y = np.arange(40.0).reshape(20, 2), np.arange(20.0)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"max_leaf_size": 0}, ValueError, r"max_leaf_size=...\)` expected a whole number ≥ 1"),
        ({"min_leaf_size": 2.5}, ValueError, r"min_leaf_size=...\)` expected a whole number ≥ 1"),
        ({"split_samples": 1}, ValueError, r"split_samples=...\)` expected a whole number ≥ 2"),
        ({"split": "aegop"}, ValueError, "did you mean 'agop'"),
        ({"split_temperature": -1.0}, ValueError, "None, 'tune' or a number ≥ 0, got -1.0"),
        ({"split_temperature": "tuned"}, ValueError, "None, 'tune' or a number ≥ 0, got 'tuned'"),
        ({"split_temperature": float("nan")}, ValueError, "None, 'tune' or a number ≥ 0, got nan"),
        ({"validation_fraction": 1.0}, ValueError, r"a number in \(0, 1\), got 1.0"),
        ({"estimator": "rfm"}, TypeError, "expected an estimator or None, got 'rfm'"),
        ({"split_estimator": LinearRegression()}, TypeError, "a method gradient"),
    ],
)
@pytest.mark.parametrize("kind", [AGOPTreeRegressor, AGOPTreeClassifier])
def test_a_wrong_setting_says_what_is_wrong(kind, settings, error, message):
    with pytest.raises(error, match=message):
        kind(**settings).fit(X, Y > 9)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.where(X == 3, np.inf, X), Y, "infinity"),
        (X, np.where(Y == 3, np.nan, Y), "NaN"),
        (X[:0], Y[:0], "0 sample"),
        (X, Y[:5], "inconsistent numbers of samples"),
        (Y, Y, "Expected 2D array"),
    ],
)
def test_wrong_data_is_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        AGOPTreeRegressor().fit(x, y)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="labels of more than one class, got one class"):
        AGOPTreeClassifier().fit(X, np.zeros(20))


def test_a_frame_counts_by_its_values_and_not_by_its_types():
    draw = np.random.default_rng(0)
    days = draw.integers(0, 300, 80)
    frame = pd.DataFrame({"a": draw.normal(size=80), "on": days % 2 == 0})
    frame["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")
    y = frame["a"] + days / 100
    model = AGOPTreeRegressor(max_leaf_size=40, random_state=0).fit(frame, y)
    other = frame.assign(
        a=frame["a"].map(repr), day=frame["day"].astype(str), on=np.where(frame["on"], "yes", "no")
    )
    np.testing.assert_allclose(model.predict(other), model.predict(frame), atol=1e-9)


KINDS = np.random.default_rng(5).choice(["red", "green", "blue"], 300)
MIXED = pd.DataFrame({"a": np.random.default_rng(6).normal(size=300), "kind": KINDS})
HEIGHT = pd.Series(KINDS).map({"red": 5.0, "green": 0.0, "blue": -5.0}).to_numpy()


def test_categories_are_split_and_counted_as_one_column():
    y = HEIGHT + np.where(KINDS == "red", 1, -1) * MIXED["a"]
    model = AGOPTreeRegressor(max_leaf_size=160, random_state=0).fit(MIXED, y)
    assert len(model.leaves_) > 1
    assert list(model.encoded_names_) == ["a", "kind=blue", "kind=green", "kind=red"]
    assert model.score(MIXED, y) > 0.99
    categories = MIXED.assign(kind=pd.Categorical(KINDS, ["red", "blue", "green"]))
    np.testing.assert_allclose(model.predict(categories), model.predict(MIXED), atol=1e-9)
    # Another spelling of the same levels, and one that was never seen.
    np.testing.assert_array_equal(
        model.predict(MIXED.assign(kind=[f" {kind} " for kind in KINDS])), model.predict(MIXED)
    )
    assert np.isfinite(model.predict(pd.DataFrame({"a": [0.0], "kind": ["pink"]}))).all()
    # y is a sum of a(kind) and ± a: variances about 16.7 and, ± known or not, 1.
    assert model.feature_importances_.sum() == pytest.approx(1)
    assert 0.85 < model.feature_importances_[1] < 0.99
    by_position = np.column_stack([MIXED["a"], pd.Categorical(KINDS).codes])
    codes = AGOPTreeRegressor(max_leaf_size=160, categorical_features=[1], random_state=0)
    np.testing.assert_allclose(
        codes.fit(by_position, y).predict(by_position), model.predict(MIXED), atol=1e-9
    )


def test_classes_of_categories():
    model = AGOPTreeClassifier(max_leaf_size=160, random_state=0).fit(MIXED, KINDS)
    assert model.score(MIXED, KINDS) == 1
    assert model.feature_importances_[1] > 0.95


@pytest.mark.parametrize("levels", [2, 20])
def test_an_irrelevant_column_counts_little_whatever_it_is(levels):
    draw = np.random.default_rng(1)
    frame = pd.DataFrame({"a": draw.normal(size=400)})
    frame["b"] = draw.choice([f"b{i}" for i in range(levels)], 400)
    frame["jump"] = draw.normal(size=400)
    y = 3.0 * (frame["jump"] > 0) + frame["a"]
    model = AGOPTreeRegressor(
        Plane(), max_leaf_size=250, split="axis", split_estimator=Plane(), random_state=0
    ).fit(frame, y)
    assert len(model.leaves_) == 2
    a, b, jump = model.feature_importances_
    # Variances 9/4 and 1: the jump lies between two leaves, where no gradient sees it.
    assert jump == pytest.approx(2.25 / 3.25, abs=0.12)
    assert a == pytest.approx(1 / 3.25, abs=0.12)
    assert b < 0.05


@pytest.mark.parametrize("kind", [AGOPTreeRegressor, AGOPTreeClassifier])
@pytest.mark.parametrize("temperature", [None, 0.5])
def test_a_weight_is_a_repetition_to_a_tree(kind, temperature, bent):
    x, y = bent[0][:120], bent[1][:120]
    y = y if kind is AGOPTreeRegressor else y > np.median(y)
    weights = np.random.default_rng(2).integers(0, 4, 120)
    twice = np.repeat(np.arange(120), weights)
    settings = {
        "max_leaf_size": 40, "min_leaf_size": 5, "split_temperature": temperature,
        "random_state": 0,
    }  # fmt: skip
    weighted = kind(**settings).fit(x, y, sample_weight=weights)
    repeated = kind(**settings).fit(x[twice], y[twice])
    assert len(weighted.leaves_) > 1
    assert weighted.leaf_sizes_.sum() == (weights > 0).sum()
    outputs = "predict" if kind is AGOPTreeRegressor else "predict_proba"
    wanted = getattr(repeated, outputs)(x)
    np.testing.assert_allclose(
        getattr(weighted, outputs)(x), wanted, rtol=0, atol=1e-7 * np.abs(wanted).max()
    )


def test_leaves_that_know_no_weights_say_so(bent):
    x, y = bent
    tree = AGOPTreeRegressor(KNeighborsRegressor(), split="pca")
    plain = tree.fit(x, y).predict(x)
    equal = tree.fit(x, y, sample_weight=np.full(len(x), 2.0)).predict(x)
    np.testing.assert_array_equal(equal, plain)
    with pytest.raises(ValueError, match=r"fit takes sample_weight, got KNeighborsRegressor"):
        tree.fit(x, y, sample_weight=np.arange(len(x)))
    with pytest.raises(TypeError, match=r"gradient\(X\), got KNeighborsRegressor"):
        tree.gradient(x)


@pytest.mark.parametrize("temperature", [None, 0.4])
@pytest.mark.parametrize("kind", [AGOPTreeRegressor, AGOPTreeClassifier])
def test_gradients_of_a_tree_are_differences(kind, temperature, bent):
    x, y = bent[0][:200], bent[1][:200]
    y = np.stack([y, x[:, 2] * 100], 1) if kind is AGOPTreeRegressor else (y > 0) + 0
    y = np.where(x[:, 0] > 1, 2, y) if kind is AGOPTreeClassifier else y
    leaves = None if kind is AGOPTreeRegressor else Chances()
    model = kind(leaves, max_leaf_size=60, split_temperature=temperature, random_state=0).fit(x, y)
    outputs = model.predict if kind is AGOPTreeRegressor else model.predict_proba
    points = x[:40] + 1e-3 * np.array([1.0, 100.0, 0.01])
    slopes = model.gradient(points)
    scales = np.array([1.0, 100.0, 0.01])
    away = np.ones(len(points), dtype=bool)
    for split in splits(model.tree_):
        away &= np.abs(split.margin(points)) > 1e-3 * split.spread
    assert away.sum() > 20
    for column in range(3):
        step = np.zeros(3)
        step[column] = 1e-5 * scales[column]
        between = (outputs(points + step) - outputs(points - step)) / (2 * step[column])
        size = np.abs(slopes[:, :, column]).max()
        # Central differences of width h are right to h² third derivatives, here of unit scale.
        np.testing.assert_allclose(
            slopes[away, :, column], between[away], rtol=1e-4, atol=1e-4 * size
        )


class Chances(LogisticRegression):
    """Probabilities whose gradient is known: p (w_k − Σ_l p_l w_l)."""

    def gradient(self, X):
        shares = self.predict_proba(X)
        slopes = self.coef_ if len(self.coef_) > 1 else np.concatenate([0 * self.coef_, self.coef_])
        return shares[:, :, None] * (slopes - (shares @ slopes)[:, None, :])


def splits(node):
    """All inner nodes of a tree."""
    if isinstance(node, Split):
        yield node
        yield from splits(node.left)
        yield from splits(node.right)
