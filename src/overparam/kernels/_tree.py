"""The trees without what they predict: settings looked at, a tree grown, its leaves fitted."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.utils.validation import check_is_fitted

from overparam._errors import expect
from overparam.kernels._effects import effects_by_row
from overparam.kernels._settings import (
    choice,
    drawing_from,
    number,
    source_of_randomness,
    value_that,
    whole,
)
from overparam.kernels._table import Rows, merged, read_table, read_weights
from overparam.kernels._tree_leaves import fit_leaves, seeded, takes_weights
from overparam.kernels._tree_routing import (
    averaged,
    averaged_slopes,
    best_temperature,
    leaf_shares,
)
from overparam.kernels.encoding import Encoding, learn_encoding
from overparam.kernels.rfm import RFMRegressor
from overparam.kernels.tree_splits import Split, grow, sensitive_direction

# Rows that importances are measured at.
ROWS_FOR_EFFECTS = 500
# What every parameter may be, but for n_jobs, which joblib looks at, and
# categorical_features, which the table has a say in.
SETTINGS = {
    "max_leaf_size": whole("a whole number ≥ 1", 1),
    "min_leaf_size": whole("a whole number ≥ 1", 1),
    "split_samples": whole("a whole number ≥ 2", 2),
    "split": choice("agop", "axis", "pca"),
    "split_temperature": number(
        "None, 'tune' or a number ≥ 0", lambda v: v >= 0, "tune", none=True
    ),
    "validation_fraction": number("a number in (0, 1)", lambda v: 0 < v < 1),
    "estimator": value_that(
        "an estimator or None", lambda v: v is None or hasattr(v, "fit"), error=TypeError
    ),
    "split_estimator": value_that(
        "a regressor with a method gradient(X), or None",
        lambda v: v is None or hasattr(v, "gradient"),
        hint="RFMRegressor has one; split='pca' needs none.",
        error=TypeError,
    ),
    "random_state": source_of_randomness,
}


class AGOPTree(BaseEstimator):
    """What regressor and classifier share; `AGOPTreeRegressor` describes it."""

    n_features_in_: int
    tree_: Split | int
    levels_: dict[int, np.ndarray]
    encoding_: Encoding
    leaves_: list[Any]

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
        categorical_features: Any = "from_dtype",
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
        self.categorical_features = categorical_features
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

    def _slopes(self, leaf: Any, x: np.ndarray) -> np.ndarray:
        """Derivatives of a leaf's outputs, a row for every target or class."""
        raise NotImplementedError

    def _unit(self, outputs: np.ndarray) -> np.ndarray:
        """What outputs are divided by before their squares are added up."""
        raise NotImplementedError

    def _learn_table(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[np.ndarray, Any, np.ndarray]:
        """Coordinates, targets and weights of the rows, but for those of weight 0."""
        where = f"{type(self).__name__}.fit(sample_weight=...)"
        numbers, y = read_table(self, X, y, reset=True)
        weights = read_weights(sample_weight, numbers, where)
        taken = self.estimator is None or takes_weights(self.estimator)
        expect(
            taken or len(np.unique(weights)) == 1,
            where,
            "an estimator in the leaves whose fit takes sample_weight",
            type(self.estimator).__name__,
        )
        used = weights > 0
        numbers, y, weights = numbers[used], np.asarray(y)[used], weights[used]
        names = getattr(self, "feature_names_in_", None)
        names = [f"x{i}" for i in range(self.n_features_in_)] if names is None else list(names)
        self.encoding_ = learn_encoding(numbers, self.levels_, names, weights, standardize=False)
        self.encoded_names_ = np.array(self.encoding_.names, dtype=object)
        return self.encoding_.encode(numbers), y, weights if taken else np.ones(len(weights))

    def _grow(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> None:
        """Grow the tree, fit the leaves, choose the temperature."""
        if self.estimator is None or takes_weights(self.estimator):
            # Rows with targets that stand there twice are one of twice the weight.
            both = np.concatenate([x, y[:, None] if y.ndim == 1 else y], axis=1)
            rows = merged(Rows(both, np.zeros((len(x), 0)), weights))
            x, weights = np.ascontiguousarray(rows.x[:, : x.shape[1]]), rows.weights
            y = rows.x[:, x.shape[1] :].reshape(len(x), *y.shape[1:]).astype(y.dtype)
        draw = drawing_from(self.random_state)
        rows = draw.permutation(len(x))
        held = rows[:0]
        if self.split_temperature == "tune":
            held = rows[: int(self.validation_fraction * len(x))]
            rows = rows[len(held) :]
        numbers = self._numbers(y)
        self.tree_, parts = grow(
            x,
            np.sort(rows),
            lambda part: self._direction(x, numbers, part, weights, draw),
            largest=self.max_leaf_size,
            smallest=self.min_leaf_size,
            weights=weights,
        )
        seeds = draw.randint(2**31 - 1, size=len(parts))
        self.leaves_ = self._fitted(x, y, parts, seeds, weights)
        if self.split_temperature == "tune":
            self.temperature_ = 0.0
            if len(held) > 0 and len(parts) > 1:
                self.temperature_ = best_temperature(
                    self.tree_, self.leaves_, x[held], numbers[held], self._outputs, weights[held]
                )
            # The rows held out have served; now they count for the leaf they fall into.
            leaf = leaf_shares(self.tree_, x, 0.0).argmax(axis=1)
            parts = [np.flatnonzero(leaf == number) for number in range(len(parts))]
            self.leaves_ = self._fitted(x, y, parts, seeds, weights)
        else:
            self.temperature_ = float(self.split_temperature or 0.0)
        self.leaf_sizes_ = np.array([len(part) for part in parts])
        kept = draw.permutation(len(x))[:ROWS_FOR_EFFECTS]
        self._rows, self._weights = x[kept], weights[kept]
        self._importances: np.ndarray | None = None

    def _direction(
        self,
        x: np.ndarray,
        numbers: np.ndarray,
        rows: np.ndarray,
        weights: np.ndarray,
        draw: np.random.RandomState,
    ) -> np.ndarray:
        """The direction to split a part along, told by `split_samples` of its rows."""
        if len(rows) > self.split_samples:
            rows = rows[draw.choice(len(rows), self.split_samples, replace=False)]
        return sensitive_direction(
            x[rows],
            numbers[rows],
            self.split,
            lambda: self._split_model(int(draw.randint(2**31 - 1))),
            weights[rows],
        )

    def _split_model(self, seed: int) -> Any:
        """A regressor with gradients for the direction of a split."""
        if self.split_estimator is None:
            return seeded(RFMRegressor(n_iter=0), seed)
        return seeded(clone(self.split_estimator), seed)

    def _fitted(
        self,
        x: np.ndarray,
        y: np.ndarray,
        parts: list[np.ndarray],
        seeds: np.ndarray,
        weights: np.ndarray,
    ) -> list[Any]:
        """An estimator for every part of the rows."""
        where = f"{type(self).__name__}(n_jobs=...)"
        return fit_leaves(self._leaf, x, y, parts, seeds, self.n_jobs, where, weights)

    def _leaf(self, y: np.ndarray, seed: int) -> Any:
        """An estimator for a leaf with these targets."""
        if (y == y[:1]).all():
            return self._constant()
        return seeded(self._default() if self.estimator is None else clone(self.estimator), seed)

    def _averaged(self, X: Any) -> np.ndarray:
        """Outputs of the leaves, weighted."""
        return self._averaged_at(self._read(X))

    def _averaged_at(self, x: np.ndarray) -> np.ndarray:
        """Likewise, of coordinates."""
        shares = leaf_shares(self.tree_, x, self.temperature_)
        return averaged(self.leaves_, shares, x, self._outputs)

    def gradient(self, X: Any) -> np.ndarray:
        """Derivatives of every output by every coordinate, in the units of the table.

        Outputs are the targets of a regressor, and the probabilities of a classifier.
        Coordinates are the columns, a categorical one replaced by its levels (see
        `encoded_names_`). With soft borders their movement counts too; hard ones jump, and have
        no derivative.

        Args:
            X: Rows like those fitted.

        Returns:
            Shape ``(n, outputs, coordinates)``.

        Raises:
            TypeError: If the leaves' estimators have no gradient.
        """
        x = self._read(X)
        return averaged_slopes(
            self.tree_, self.leaves_, x, self.temperature_, self._outputs, self._any_slopes
        )

    def _any_slopes(self, leaf: Any, x: np.ndarray) -> np.ndarray:
        """Derivatives of a leaf's outputs, 0 where it is constant."""
        if isinstance(leaf, DummyRegressor | DummyClassifier):
            return np.zeros((*self._outputs(leaf, x).shape, x.shape[1]))
        expect(
            hasattr(leaf, "gradient"),
            f"{type(self).__name__}.gradient()",
            "leaves whose estimator has a method gradient(X)",
            type(leaf).__name__,
            error=TypeError,
        )
        return self._slopes(leaf, x)

    @property
    def feature_importances_(self) -> np.ndarray:
        """Share of every column in the changes of the predictions, computed when first asked for.

        A column's own is half the mean squared change of the prediction when the column alone is
        taken from another row: for a sum of functions of one column each, that function's
        variance. Jumps between leaves count, levels of a category move together, and numbers and
        categories are on one scale. Over 500 of the rows fitted; all 0 for a constant prediction.
        """
        check_is_fitted(self)
        shares = self._importances
        if shares is None:
            unit = self._unit(self._averaged_at(self._rows))
            rows = effects_by_row(
                lambda x: self._averaged_at(x) / unit,
                self._rows,
                self.encoding_.groups,
                self.n_features_in_,
            )
            found = self._weights @ rows / self._weights.sum()
            shares = found / found.sum() if found.sum() > 0 else found
            self._importances = shares
        return shares

    def apply(self, X: Any) -> np.ndarray:
        """Number of the leaf that each row falls into, whatever the temperature.

        Args:
            X: Rows like those fitted.

        Returns:
            Positions in `leaves_`.
        """
        return leaf_shares(self.tree_, self._read(X), 0.0).argmax(axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        return tags

    def _read(self, X: Any) -> np.ndarray:
        """Rows like those fitted."""
        check_is_fitted(self)
        return self.encoding_.encode(read_table(self, X, reset=False)[0])
