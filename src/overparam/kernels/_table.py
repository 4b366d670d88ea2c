"""A table read, as numbers: checked, merged where rows repeat, some of them held out."""

import math
import warnings
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
import torch
from scipy.sparse import issparse
from sklearn.utils.validation import _check_feature_names, _check_sample_weight, validate_data
from torch import Tensor

from overparam._errors import expect
from overparam._memory import expect_room
from overparam.kernels.encoding import (
    as_numbers,
    categorical_positions,
    find_levels,
    is_read,
    learn_columns,
)

# Rows that are enough to hold some out, and the least and the most that are held out.
HOLD_OUT_FROM, HOLD_OUT_AT_LEAST, HOLD_OUT_AT_MOST = 500, 50, 2000

Values = TypeVar("Values", np.ndarray, Tensor)


@dataclass(frozen=True, eq=False)
class Rows(Generic[Values]):
    """Rows as a machine learns them.

    Attributes:
        x: Coordinates.
        targets: Columns of mean 0.
        weights: One a row, > 0.
    """

    x: Values
    targets: Values
    weights: Values

    def at(self, places: Any) -> "Rows[Values]":
        """Some of them."""
        return Rows(self.x[places], self.targets[places], self.weights[places])


def tensors(rows: Rows[np.ndarray], device: torch.device, dtype: torch.dtype) -> Rows[Tensor]:
    """The rows on a device."""
    x, targets, weights = (
        torch.from_numpy(np.require(part, requirements=("C", "W"))).to(device, dtype)
        for part in (rows.x, rows.targets, rows.weights)
    )
    return Rows(x, targets, weights)


def shared(array: np.ndarray, device: torch.device | str) -> Tensor:
    """An array of a fitted estimator on a device; on the CPU it is the same memory.

    That may be read-only, as a file's that joblib mapped or an array's between processes: torch
    warns of it, and nobody writes here.
    """
    if array.flags.writeable:
        return torch.from_numpy(array).to(device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)


def unequal(weights: Tensor) -> Tensor | None:
    """The weights; None if all are 1."""
    return None if bool((weights == 1).all()) else weights


def read_table(estimator: Any, x: Any, y: Any = None, *, reset: bool) -> tuple[np.ndarray, Any]:
    """Columns as float64 numbers, categories as positions of their levels; targets as they are.

    Columns of a data frame that are no numbers by their type are read by their values: numbers and
    dates in text are numbers, yes and no 1 and 0, and a level is the same whatever type it has.

    Args:
        estimator: Knows which columns are categories; what it learns of the table (`columns_`,
            `levels_`, names and number of columns) becomes attributes of it.
        x: Data frame or array.
        y: Targets, if there are any.
        reset: Whether the table is to be learned; else it must be like the one that was.
    """
    name = type(estimator).__name__
    x = dense(x, f"{name}.{'fit' if reset else 'predict'}(X=...)")
    if reset:
        positions = categorical_positions(x, estimator.categorical_features, name)
        estimator.columns_ = learn_columns(x, positions, estimator.categorical_features, name)
        estimator.levels_ = find_levels(x, positions, estimator.columns_)
    if is_read(x, estimator.columns_, estimator.levels_):
        _check_feature_names(estimator, x, reset=reset)
        if not reset:
            expect(
                np.ndim(x) == 2 and np.shape(x)[1] == estimator.n_features_in_,
                f"{name}.predict(X=...)",
                f"a table of {estimator.n_features_in_} columns",
                f"shape {np.shape(x)}",
            )
        where = f"{name}.{'fit' if reset else 'predict'}(X=...)"
        x = as_numbers(x, estimator.levels_, estimator.columns_, where)
    x = filled(estimator, x, reset=reset)
    checked: Any = validate_data  # its annotations do not know what it returns
    if y is None and not reset:
        return checked(estimator, x, reset=False, dtype=np.float64), None
    return checked(estimator, x, y, reset=reset, dtype=np.float64, multi_output=True)


def read_numbers(estimator: Any, x: Any, *, reset: bool) -> Any:
    """The table for an estimator that knows no categories.

    Numbers, dates and yes and no of a data frame are read by their values; an array is as it is.
    """
    name = type(estimator).__name__
    where = f"{name}.{'fit' if reset else 'predict'}(X=...)"
    x = dense(x, where)
    if reset:
        estimator.columns_ = learn_columns(x, [], "from_dtype", name, levels=False)
        for column in estimator.columns_.values():
            expect(
                column.is_number,
                where,
                f"numbers, dates or yes and no in column {column.name!r}",
                f"a {column.words()}, such as {next(iter(column.levels), '')!r}",
                hint="sklearn.preprocessing.OneHotEncoder makes a column for each level.",
            )
    return filled(estimator, as_numbers(x, {}, estimator.columns_, where), reset=reset)


def dense(x: Any, where: str) -> Any:
    """A sparse table with its zeros, if they fit into memory; another as it is."""
    if not issparse(x):
        return x
    needed = 8 * x.shape[0] * x.shape[1]
    expect_room(needed, None, where, "take fewer columns, or reduce them first.", "a dense table")
    return x.toarray()


def filled(estimator: Any, x: Any, *, reset: bool) -> Any:
    """A table of numbers with the medians of the rows fitted in place of missing ones.

    What holds anything else is handed on as it is, for scikit-learn to judge.
    """
    if reset:
        estimator.medians_ = None
    numbers = _floats(x)
    if numbers is None:
        return x
    gaps = np.isnan(numbers)
    if reset:
        estimator.medians_ = np.zeros(numbers.shape[1])
        some = ~gaps.all(axis=0)
        estimator.medians_[some] = np.nanmedian(numbers[:, some], axis=0)
    medians = getattr(estimator, "medians_", None)
    if medians is None or len(medians) != numbers.shape[1] or not gaps.any():
        return x
    found = np.where(gaps, medians, numbers)
    if not isinstance(x, pd.DataFrame):
        return found
    return pd.DataFrame(found, index=x.index, columns=x.columns)


def _floats(x: Any) -> np.ndarray | None:
    """The numbers of a table where some may be missing; None if that is not what it is."""
    if isinstance(x, pd.DataFrame):
        numeric = all(map(pd.api.types.is_numeric_dtype, x.dtypes))
        return x.to_numpy(np.float64, na_value=np.nan) if numeric else None
    try:
        numbers = np.asarray(x)
    except ValueError:
        return None
    return numbers if numbers.ndim == 2 and numbers.dtype.kind == "f" and len(numbers) else None


def read_weights(weights: Any, x: np.ndarray, where: str) -> np.ndarray:
    """A weight for every row, 1 if none were given."""
    read = np.asarray(_check_sample_weight(weights, x, dtype=np.float64))
    expect(
        (read >= 0).all() and read.sum() > 0,
        where,
        "weights ≥ 0, one of them positive",
        f"a smallest of {read.min():g} and a sum of {read.sum():g}",
    )
    return read


def expect_squares(numbers: np.ndarray, where: str) -> None:
    """Raise for numbers whose squares do not add up in double precision."""
    largest = float(np.abs(numbers).max(initial=0))
    # Sums of squares over n·d entries stay below the largest float, 1.8e308.
    limit = math.sqrt(np.finfo(np.float64).max / max(numbers.size, 1)) / 4
    expect(
        largest < limit, where, f"numbers up to {limit:.0e} in absolute value",
        f"{largest:.3g}", hint="divide by a constant, or take logarithms.",
    )  # fmt: skip


def merged(rows: Rows[np.ndarray]) -> Rows[np.ndarray]:
    """Rows that occur more than once as one, of their summed weight and mean target.

    Kernel ridge regression is the same with them merged, and its matrix better conditioned.
    """
    x, targets, weights = rows.x, rows.targets, rows.weights
    # Every row by its bits, 0 and -0 alike.
    bits = np.ascontiguousarray(x + 0.0)
    # Rows that are equal have equal sums of random multiples of them.
    factors = np.random.default_rng(0).integers(2**63, size=x.shape[1], dtype=np.uint64)
    if len(np.unique(bits.view(np.uint64) @ factors)) == len(x):
        return rows
    bits = bits.view(np.dtype((np.void, x.itemsize * x.shape[1])))
    _, first, inverse = np.unique(bits.ravel(), return_index=True, return_inverse=True)
    if len(first) == len(x):
        return rows
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    groups = place[inverse]
    sums = np.bincount(groups, weights)
    means = np.zeros((len(sums), targets.shape[1]))
    np.add.at(means, groups, targets * weights[:, None])
    return Rows(x[np.sort(first)], means / sums[:, None], sums)


def held_out(
    n: int, fraction: float | None, draw: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray] | None:
    """Places of the rows to fit and of those to judge rounds by; None where they are too few."""
    if not fraction or n < HOLD_OUT_FROM:
        return None
    count = min(HOLD_OUT_AT_MOST, max(HOLD_OUT_AT_LEAST, int(n * fraction)))
    order = draw.permutation(n)
    return np.sort(order[count:]), order[:count]
