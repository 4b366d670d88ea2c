"""Trees that split where a model is sensitive and fit a feature learner in every leaf."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import delayed
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from overparam._as_before import or_as_before
from overparam._errors import expect
from overparam._workers import results
from overparam.kernels._machine import random_numbers
from overparam.kernels._settings import choice, expect_settings, number, whole
from overparam.kernels.rfm import RFMClassifier, RFMRegressor

SPLITS = ("agop", "axis", "pca")
# Tried for the width of soft borders, beside 0.
TEMPERATURES = tuple(float(t) for t in np.geomspace(0.025, 4.5, 20))
# Leaves that a row is averaged over: so many of the heaviest, until their share is this.
MOST_LEAVES, SHARE = 12, 0.99
GRADIENT_ROWS = 500  # gradients formed at a time
# Projections closer than this share of their range are one value: rounding must not route.
TIE = 1e-9


SETTINGS = {
    "max_leaf_size": whole("a whole number ≥ 1", 1),
    "min_leaf_size": whole("a whole number ≥ 1", 1),
    "split_samples": whole("a whole number ≥ 2", 2),
    "split": choice(*SPLITS),
    "split_temperature": number(
        "None, 'tune' or a number ≥ 0", lambda v: v >= 0, "tune", none=True
    ),
    "validation_fraction": number("a number in (0, 1)", lambda v: 0 < v < 1),
}


@dataclass(frozen=True)
class Split:
    """An inner node: the one rule by which rows go left or right, in training and prediction.

    Attributes:
        direction: v, in the units of the table.
        threshold: b. Rows with ⟨v, x⟩ ≤ b go left; no training row is near b.
        spread: Interquartile range of ⟨v, x⟩ over the node's rows (their range, should that
            be 0): the unit of temperature.
        left: The next split, or the number of a leaf.
        right: Likewise.
    """

    direction: np.ndarray
    threshold: float
    spread: float
    left: "Split | int"
    right: "Split | int"

    def margin(self, x: np.ndarray) -> np.ndarray:
        """⟨v, x⟩ − b: positive to the right."""
        return x @ self.direction - self.threshold


class _AGOPTree(BaseEstimator):
    """What regressor and classifier share: growing, routing, averaging."""

    def __init__(
        self,
        estimator: Any = None,
        *,
        max_leaf_size: int = 10_000,
        min_leaf_size: int = 10,
        split: str = "agop",
        split_estimator: Any = None,
        split_samples: int = 2000,
        split_temperature: float | str | None = None,
        validation_fraction: float = 0.1,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.max_leaf_size = max_leaf_size
        self.min_leaf_size = min_leaf_size
        self.split = split
        self.split_estimator = split_estimator
        self.split_samples = split_samples
        self.split_temperature = split_temperature
        self.validation_fraction = validation_fraction
        self.n_jobs = n_jobs
        self.random_state = random_state

    # What regressor and classifier fill in.

    def _default(self) -> Any:
        """The leaves' estimator if none is given."""
        raise NotImplementedError

    def _constant(self) -> Any:
        """The estimator of a leaf whose targets do not vary."""
        raise NotImplementedError

    def _outputs(self, leaf: Any, x: np.ndarray) -> np.ndarray:
        """A column for every target or class."""
        raise NotImplementedError

    def _numbers(self, y: np.ndarray) -> np.ndarray:
        """Targets as columns of numbers, for the split's model and the choice of temperature."""
        raise NotImplementedError

    def _grow(self, x: np.ndarray, y: np.ndarray) -> None:
        """Grow the tree, fit the leaves, choose the temperature."""
        draw = random_numbers(self)
        rows = draw.permutation(len(x))
        held = rows[:0]
        if self.split_temperature == "tune":
            held = rows[: int(self.validation_fraction * len(x))]
            rows = rows[len(held) :]
        numbers = self._numbers(y)
        parts: list[np.ndarray] = []
        self.tree_ = self._node(x, numbers, np.sort(rows), parts, draw)
        seeds = draw.randint(2**31 - 1, size=len(parts))
        self.leaves_ = self._fitted(x, y, parts, seeds)
        if self.split_temperature == "tune":
            worth = len(held) > 0 and len(parts) > 1
            self.temperature_ = self._tuned(x[held], numbers[held]) if worth else 0.0
            # The rows held out have served; now they count for the leaf they fall into.
            leaf = self._weights(x, 0.0).argmax(axis=1)
            parts = [np.flatnonzero(leaf == number) for number in range(len(parts))]
            self.leaves_ = self._fitted(x, y, parts, seeds)
        else:
            self.temperature_ = float(self.split_temperature or 0.0)
        self.leaf_sizes_ = np.array([len(part) for part in parts])

    def _fitted(
        self, x: np.ndarray, y: np.ndarray, parts: list[np.ndarray], seeds: np.ndarray
    ) -> list[Any]:
        """An estimator for every part of the rows."""
        return results(
            lambda: (
                delayed(_fit_leaf)(self._leaf(y[part], int(seed)), x[part], y[part])
                for part, seed in zip(parts, seeds, strict=True)
            ),
            self.n_jobs,
            f"{type(self).__name__}(n_jobs=...)",
        )

    def _node(
        self,
        x: np.ndarray,
        numbers: np.ndarray,
        rows: np.ndarray,
        parts: list[np.ndarray],
        draw: np.random.RandomState,
    ) -> Split | int:
        """The tree below a set of rows; leaves are appended to `parts`."""
        if len(rows) > self.max_leaf_size:
            direction = self._direction(x, numbers, rows, draw)
            found = _cut(x[rows] @ direction, self.min_leaf_size)
            if found is not None:
                threshold, spread = found
                right = Split(direction, threshold, spread, 0, 0).margin(x[rows]) > 0
                children = [
                    self._node(x, numbers, rows[side], parts, draw) for side in (~right, right)
                ]
                return Split(direction, threshold, spread, *children)
        parts.append(rows)
        return len(parts) - 1

    def _direction(
        self, x: np.ndarray, numbers: np.ndarray, rows: np.ndarray, draw: np.random.RandomState
    ) -> np.ndarray:
        """The direction to split along, per unit of the table; columns are standardised first."""
        chosen = rows
        if len(rows) > self.split_samples:
            chosen = rows[draw.choice(len(rows), self.split_samples, replace=False)]
        points = x[chosen]
        scale = points.std(axis=0)
        scale[scale <= 1e-12 * np.abs(points).max(axis=0, initial=0.0)] = 0.0
        units = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        if self.split == "pca":
            standard = (points - points.mean(axis=0)) * units
            matrix = standard.T @ standard
        else:
            model = self._split_model(int(draw.randint(2**31 - 1)))
            targets = numbers[chosen]
            model.fit(points, targets[:, 0] if targets.shape[1] == 1 else targets)
            matrix = _outer_product(model, points) * scale[:, None] * scale
        if self.split == "axis":
            direction = np.eye(len(scale))[np.diagonal(matrix).argmax()]
        else:
            direction = np.linalg.eigh(matrix)[1][:, -1]
        direction = direction * np.sign(direction[np.abs(direction).argmax()])
        return direction * units

    def _tuned(self, x: np.ndarray, numbers: np.ndarray) -> float:
        """The temperature of least squared error on rows held out, 0 among those tried."""
        tried = (0.0, *TEMPERATURES)
        outputs = np.stack([self._outputs(leaf, x) for leaf in self.leaves_], axis=1)
        errors = [
            float(np.square(np.einsum("nl,nlc->nc", self._weights(x, t), outputs) - numbers).sum())
            for t in tried
        ]
        return tried[int(np.argmin(errors))]

    def _weights(self, x: np.ndarray, temperature: float) -> np.ndarray:
        """Share of every leaf in every row's prediction; the rows sum to 1."""
        weights = np.zeros((len(x), len(self.leaves_)))
        for leaf, path in _paths(self.tree_):
            share = np.ones(len(x))
            for split, right in path:
                margin = split.margin(x) if right else -split.margin(x)
                if temperature > 0:
                    share *= _sigmoid(margin / (temperature * split.spread))
                else:
                    share *= margin > 0 if right else margin >= 0
            weights[:, leaf] = share
        if temperature > 0:
            order = np.argsort(-weights, axis=1, kind="stable")
            ranked = np.take_along_axis(weights, order, axis=1)
            before = np.cumsum(ranked, axis=1) - ranked
            ranked[(before >= SHARE) | (np.arange(weights.shape[1]) >= MOST_LEAVES)] = 0.0
            np.put_along_axis(weights, order, ranked, axis=1)
            weights /= weights.sum(axis=1, keepdims=True)
        return weights

    def _averaged(self, X: Any) -> np.ndarray:
        """Outputs of the leaves, weighted."""
        check_is_fitted(self)
        x = np.asarray(validate_data(self, X, dtype=np.float64, reset=False))
        weights = self._weights(x, self.temperature_)
        total: np.ndarray | None = None
        for place, leaf in enumerate(self.leaves_):
            used = weights[:, place] > 0
            if used.any():
                part = self._outputs(leaf, x[used])
                if total is None:
                    total = np.zeros((len(x), part.shape[1]))
                total[used] += weights[used, place, None] * part
        assert total is not None
        return total

    def apply(self, X: Any) -> np.ndarray:
        """Number of the leaf that each row falls into, whatever the temperature.

        Args:
            X: Rows like those fitted.

        Returns:
            Positions in `leaves_`.
        """
        check_is_fitted(self)
        x = np.asarray(validate_data(self, X, dtype=np.float64, reset=False))
        return self._weights(x, 0.0).argmax(axis=1)

    # Settings.

    def _leaf(self, y: np.ndarray, seed: int) -> Any:
        """An estimator for a leaf with these targets."""
        if (y == y[:1]).all():
            return self._constant()
        return _seeded(self._default() if self.estimator is None else clone(self.estimator), seed)

    def _split_model(self, seed: int) -> Any:
        """A regressor with gradients for the direction of a split."""
        if self.split_estimator is None:
            return _seeded(RFMRegressor(n_iter=0), seed)
        return _seeded(clone(self.split_estimator), seed)

    def _expect_parameters(self) -> None:
        name = type(self).__name__
        expect_settings(self, SETTINGS)
        expect(
            self.estimator is None or hasattr(self.estimator, "fit"),
            f"{name}(estimator=...)",
            "an estimator or None",
            type(self.estimator).__name__,
            error=TypeError,
        )
        given = self.split_estimator
        expect(
            given is None or hasattr(given, "gradient"),
            f"{name}(split_estimator=...)",
            "a regressor with a method gradient(X), or None",
            type(given).__name__,
            hint="RFMRegressor has one; split='pca' needs none.",
            error=TypeError,
        )


class AGOPTreeRegressor(RegressorMixin, _AGOPTree):
    """Tree that splits along the most sensitive direction, with an estimator in every leaf.

        split a node at the median of ⟨v, x⟩,   v = top eigenvector of the AGOP of a model there

    The direction is that of a plain kernel ridge regression on the node's rows, whose columns
    are divided by their standard deviation. For tables too large for one kernel matrix, and for
    features that differ from place to place: every leaf learns its own. Where one leaf would
    fit into memory, splitting may *cost* accuracy, since each leaf sees fewer rows and a slanted
    border blurs a straight one; `split="axis"` keeps it sharp where a single column decides.

    Args:
        estimator: Cloned for every leaf; None is `RFMRegressor()`.
        max_leaf_size: Nodes with more rows are split. A kernel matrix of 10 000 rows is 800 MB
            in double precision.
        min_leaf_size: Rows that each side of a split must have. A node that no threshold
            splits so, as with equal rows, stays a leaf, whatever its size.
        split: ``"agop"``; ``"axis"``, the column with the largest diagonal entry of the AGOP;
            or ``"pca"``, the first principal component, which ignores the target.
        split_estimator: A regressor with a method ``gradient(X)`` of shape (n, outputs, d), for
            the direction; None is `RFMRegressor(n_iter=0)`.
        split_samples: Most rows, drawn at random, that it is fitted to.
        split_temperature: None or 0: a row is predicted by its leaf. T > 0: by the average of
            leaves with weights Π sigmoid(± (⟨v, x⟩ − b)/(T · spread)), the heaviest 12 at most
            that make up 99 %. ``"tune"``: by the squared error of rows held out from the fit,
            0 or one of 20 values from 0.025 to 4.5; then leaves are fitted again, to all rows.
        validation_fraction: Of the rows, held out for "tune".
        n_jobs: Leaves fitted at a time, as for joblib.
        random_state: Of the rows drawn and of the leaves; None is 0, and leaves NumPy's own
            generator as it was.

    Attributes:
        leaves_: The fitted estimators.
        leaf_sizes_: Their numbers of rows.
        tree_: A `Split`, or 0 for a single leaf.
        temperature_: The temperature used; 0 is hard routing.

    Raises:
        ValueError: NaN or infinite inputs, a parameter out of range.
        TypeError: An estimator without `fit`, a split estimator without `gradient`.

    Cost:
        A level of the tree takes O(n d) and a fit to `split_samples` rows a node; a leaf what
        its estimator does on `max_leaf_size` rows. Prediction is a path and a leaf.

    Example:
        The sign of the first column decides which of the others matter:

        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(600, 6))
        >>> y = np.where(x[:, 0] > 0, 3 + x[:, 1], -3 + x[:, 4])
        >>> model = AGOPTreeRegressor(max_leaf_size=400, random_state=0).fit(x, y)
        >>> left, right = (leaf.feature_importances_[1:].argmax() + 1 for leaf in model.leaves_)
        >>> int(left), int(right)
        (4, 1)

    References:
        Beaglehole, Holzmüller, Radhakrishnan, Belkin (2025), arXiv:2508.10053. Ties differ: one
        rule, with a threshold between two values, routes rows in training and prediction.
    """

    @or_as_before
    def fit(self, X: Any, y: Any) -> "AGOPTreeRegressor":
        """Fit.

        Args:
            X: Rows of finite numbers.
            y: Targets, one or several columns.

        Returns:
            The estimator.
        """
        self._expect_parameters()
        read = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        x, y = (np.asarray(part, dtype=np.float64) for part in read)
        self._flat = y.ndim == 1
        self._grow(x, y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicted targets, in the shape of those fitted."""
        outputs = self._averaged(X)
        return outputs[:, 0] if self._flat else outputs

    def _default(self) -> Any:
        return RFMRegressor()

    def _constant(self) -> Any:
        return DummyRegressor()

    def _outputs(self, leaf: Any, x: np.ndarray) -> np.ndarray:
        outputs = np.asarray(leaf.predict(x), dtype=np.float64)
        return outputs[:, None] if outputs.ndim == 1 else outputs

    def _numbers(self, y: np.ndarray) -> np.ndarray:
        return y[:, None] if y.ndim == 1 else y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class AGOPTreeClassifier(ClassifierMixin, _AGOPTree):
    """Tree that splits along the most sensitive direction, with a classifier in every leaf.

    Everything is as for `AGOPTreeRegressor`. The direction is that of a regression on the
    indicators of the classes; probabilities are averaged over leaves.

    Args: As for `AGOPTreeRegressor`; `estimator` None is `RFMClassifier()`.

    Attributes:
        classes_: The labels, sorted. Leaves know them as their positions.

    Further attributes are those of `AGOPTreeRegressor`.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(300, 4))
        >>> y = np.where(x[:, 0] * x[:, 1] > 0, "same", "other")
        >>> model = AGOPTreeClassifier(max_leaf_size=200, random_state=0).fit(x, y)
        >>> len(model.leaves_), model.predict([[1, 1, 0, 0], [1, -1, 0, 0]]).tolist()
        (2, ['same', 'other'])

    References:
        Beaglehole, Holzmüller, Radhakrishnan, Belkin (2025), arXiv:2508.10053.
    """

    @or_as_before
    def fit(self, X: Any, y: Any) -> "AGOPTreeClassifier":
        """Fit.

        Args:
            X: Rows of finite numbers.
            y: Labels.

        Returns:
            The estimator.
        """
        self._expect_parameters()
        x, y = (np.asarray(part) for part in validate_data(self, X, y, dtype=np.float64))
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        expect(
            len(self.classes_) > 1,
            f"{type(self).__name__}.fit(y=...)",
            "labels of more than one class",
            f"one class, {self.classes_[0]!r}",
        )
        self._grow(x, labels)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes."""
        return self._averaged(X)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class."""
        chosen = self.predict_proba(X).argmax(axis=1)
        return self.classes_[chosen]

    def _default(self) -> Any:
        return RFMClassifier()

    def _constant(self) -> Any:
        return DummyClassifier(strategy="prior")

    def _outputs(self, leaf: Any, x: np.ndarray) -> np.ndarray:
        outputs = np.zeros((len(x), len(self.classes_)))
        if hasattr(leaf, "predict_proba"):
            outputs[:, leaf.classes_] = leaf.predict_proba(x)
        else:
            outputs[np.arange(len(x)), leaf.predict(x)] = 1.0
        return outputs

    def _numbers(self, y: np.ndarray) -> np.ndarray:
        return np.eye(len(self.classes_))[y]


def _cut(projections: np.ndarray, smallest: int) -> tuple[float, float] | None:
    """Threshold nearest to the median that no value is near, and the spread; None if none.

    Each side has at least `smallest` rows. Half way between two values, so that rounding,
    which differs with the number of rows multiplied at once, cannot move a row across.
    """
    values = np.sort(projections)
    n = len(values)
    width = float(values[-1] - values[0])
    gaps = np.flatnonzero(np.diff(values) > TIE * max(width, np.abs(values).max())) + 1
    gaps = gaps[(gaps >= smallest) & (gaps <= n - smallest)]
    if not len(gaps):
        return None
    place = int(gaps[np.abs(gaps - n / 2).argmin()])
    threshold = float((values[place - 1] + values[place]) / 2)
    low, high = np.quantile(values, [0.25, 0.75])
    return threshold, float(high - low) or width


def _outer_product(model: Any, x: np.ndarray) -> np.ndarray:
    """Mean over rows and sum over outputs of outer products of gradients."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), GRADIENT_ROWS):
        gradients = np.asarray(model.gradient(x[start : start + GRADIENT_ROWS]), dtype=float)
        rows = gradients.reshape(-1, x.shape[1])
        total += rows.T @ rows
    return total / len(x)


def _paths(node: Split | int, path: tuple = ()) -> Iterator[tuple[int, tuple]]:
    """Every leaf with the splits that lead to it, and whether each is passed to the right."""
    if isinstance(node, Split):
        yield from _paths(node.left, (*path, (node, False)))
        yield from _paths(node.right, (*path, (node, True)))
    else:
        yield node, path


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(x / 2)) / 2


def _seeded(estimator: Any, seed: int) -> Any:
    """The estimator, its random_state set if it has one."""
    if "random_state" in estimator.get_params(deep=False):
        estimator.set_params(random_state=seed)
    return estimator


def _fit_leaf(leaf: Any, x: np.ndarray, y: np.ndarray) -> Any:
    return leaf.fit(x, y)
