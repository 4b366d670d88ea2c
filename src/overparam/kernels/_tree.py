"""The trees without what they predict: settings looked at, a tree grown, its leaves fitted."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from overparam.kernels._settings import (
    choice,
    drawing_from,
    number,
    source_of_randomness,
    value_that,
    whole,
)
from overparam.kernels._table import read_numbers
from overparam.kernels._tree_leaves import fit_leaves, seeded
from overparam.kernels._tree_routing import averaged, best_temperature, leaf_shares
from overparam.kernels.rfm import RFMRegressor
from overparam.kernels.tree_splits import Split, grow, sensitive_direction

# What every parameter may be, but for n_jobs, which joblib looks at.
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
            lambda part: self._direction(x, numbers, part, draw),
            largest=self.max_leaf_size,
            smallest=self.min_leaf_size,
        )
        seeds = draw.randint(2**31 - 1, size=len(parts))
        self.leaves_ = self._fitted(x, y, parts, seeds)
        if self.split_temperature == "tune":
            self.temperature_ = 0.0
            if len(held) > 0 and len(parts) > 1:
                self.temperature_ = best_temperature(
                    self.tree_, self.leaves_, x[held], numbers[held], self._outputs
                )
            # The rows held out have served; now they count for the leaf they fall into.
            leaf = leaf_shares(self.tree_, x, 0.0).argmax(axis=1)
            parts = [np.flatnonzero(leaf == number) for number in range(len(parts))]
            self.leaves_ = self._fitted(x, y, parts, seeds)
        else:
            self.temperature_ = float(self.split_temperature or 0.0)
        self.leaf_sizes_ = np.array([len(part) for part in parts])

    def _direction(
        self, x: np.ndarray, numbers: np.ndarray, rows: np.ndarray, draw: np.random.RandomState
    ) -> np.ndarray:
        """The direction to split a part along, told by `split_samples` of its rows."""
        if len(rows) > self.split_samples:
            rows = rows[draw.choice(len(rows), self.split_samples, replace=False)]
        return sensitive_direction(
            x[rows],
            numbers[rows],
            self.split,
            lambda: self._split_model(int(draw.randint(2**31 - 1))),
        )

    def _split_model(self, seed: int) -> Any:
        """A regressor with gradients for the direction of a split."""
        if self.split_estimator is None:
            return seeded(RFMRegressor(n_iter=0), seed)
        return seeded(clone(self.split_estimator), seed)

    def _fitted(
        self, x: np.ndarray, y: np.ndarray, parts: list[np.ndarray], seeds: np.ndarray
    ) -> list[Any]:
        """An estimator for every part of the rows."""
        where = f"{type(self).__name__}(n_jobs=...)"
        return fit_leaves(self._leaf, x, y, parts, seeds, self.n_jobs, where)

    def _leaf(self, y: np.ndarray, seed: int) -> Any:
        """An estimator for a leaf with these targets."""
        if (y == y[:1]).all():
            return self._constant()
        return seeded(self._default() if self.estimator is None else clone(self.estimator), seed)

    def _averaged(self, X: Any) -> np.ndarray:
        """Outputs of the leaves, weighted."""
        x = self._read(X)
        shares = leaf_shares(self.tree_, x, self.temperature_)
        return averaged(self.leaves_, shares, x, self._outputs)

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
        X = read_numbers(self, X, reset=False)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))
