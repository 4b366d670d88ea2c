"""Tables as numbers: standardised columns, and a coordinate for each level of a category."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from overparam._errors import complaint, expect
from overparam._numbers import described


@dataclass(frozen=True)
class Encoding:
    """How a table becomes coordinates, learned from the rows that were fitted.

    Attributes:
        columns: Names of the table's columns.
        levels: The levels of each categorical column by its position. A level that was not
            there becomes all zeros; a missing value is a level of its own.
        mean: Subtracted from each numerical column.
        scale: Divides it; 1 for a constant column.
        names: Names of the coordinates: a column's own, or ``"column=level"``.
        groups: The position of the column that each coordinate is from.
    """

    columns: tuple[str, ...]
    levels: dict[int, np.ndarray]
    mean: np.ndarray
    scale: np.ndarray
    names: tuple[str, ...]
    groups: np.ndarray

    def encode(self, numbers: np.ndarray) -> np.ndarray:
        """Coordinates, float64, of a table that `as_numbers` made."""
        parts = []
        for position in range(numbers.shape[1]):
            column = numbers[:, position, None]
            if position in self.levels:
                parts.append((column == np.arange(len(self.levels[position]))).astype(float))
            else:
                parts.append((column - self.mean[position]) / self.scale[position])
        return np.concatenate(parts, 1)

    @property
    def units(self) -> np.ndarray:
        """The size of a coordinate's unit in the table's own; 1 for a level."""
        numeric = [group not in self.levels for group in self.groups]
        return np.where(numeric, self.scale[self.groups], 1.0)


def categorical_positions(x: Any, chosen: "str | Sequence | None", where: str) -> list[int]:
    """Positions of the categorical columns.

    Args:
        x: A data frame or an array.
        chosen: ``"from_dtype"``: columns of a data frame whose type is category, string, object
            or boolean. None: none. Otherwise positions, names or a mask.
        where: For the message.
    """
    frame = x if isinstance(x, pd.DataFrame) else None
    if chosen is None:
        return []
    if isinstance(chosen, str):
        expect(
            chosen == "from_dtype",
            f"{where}(categorical_features=...)",
            "'from_dtype', None, positions, names or a mask",
            repr(chosen),
        )
        if frame is None:
            return []
        return [
            i
            for i, dtype in enumerate(frame.dtypes)
            if isinstance(dtype, pd.CategoricalDtype)
            or pd.api.types.is_object_dtype(dtype)
            or pd.api.types.is_string_dtype(dtype)
            or pd.api.types.is_bool_dtype(dtype)
        ]
    try:
        values = list(chosen)
    except TypeError as problem:
        words = "'from_dtype', None, positions, names or a mask"
        where = f"{where}(categorical_features=...)"
        raise complaint(where, words, described(chosen), error=TypeError) from problem
    shape = np.shape(x)
    if len(shape) != 2:
        return []  # no table: scikit-learn words that complaint
    width = shape[1]
    if values and all(isinstance(value, bool | np.bool_) for value in values):
        expect(
            len(values) == width,
            f"{where}(categorical_features=...)",
            f"a mask of {width} truth values, one a column",
            len(values),
        )
        return [i for i, value in enumerate(values) if value]
    if values and all(isinstance(value, str) for value in values):
        known = list(map(str, frame.columns)) if frame is not None else []
        missing = [value for value in values if value not in known]
        expect(
            not missing,
            f"{where}(categorical_features=...)",
            f"names of columns out of {known or 'a data frame'}",
            missing,
        )
        return sorted(known.index(value) for value in values)
    expect(
        all(isinstance(value, int | np.integer) and 0 <= value < width for value in values),
        f"{where}(categorical_features=...)",
        f"positions from 0 to {width - 1}, names or a mask",
        values,
    )
    return sorted(map(int, values))


def find_levels(x: Any, positions: Sequence[int]) -> dict[int, np.ndarray]:
    """The levels of each categorical column, in order; missing last."""
    levels = {}
    for position in positions:
        values = pd.Series(_column(x, position))
        present = values.dropna().astype(object).unique()
        try:
            present = sorted(present)
        except TypeError:
            present = sorted(present, key=str)
        found = np.empty(len(present) + bool(values.isna().any()), dtype=object)
        found[: len(present)] = present
        if len(found) > len(present):
            found[-1] = np.nan
        levels[position] = found
    return levels


def as_numbers(x: Any, levels: dict[int, np.ndarray]) -> Any:
    """The table with categorical columns as positions among their levels, -1 if not there.

    A table without any is handed on as it is, for scikit-learn to judge.
    """
    if not levels:
        return x
    frame = x.copy() if isinstance(x, pd.DataFrame) else pd.DataFrame(np.asarray(x))
    coded = {}
    for position, known in levels.items():
        values = pd.Series(_column(x, position)).astype(object)
        has_missing = len(known) > 0 and pd.isna(known[-1])
        codes = pd.Index(known[:-1] if has_missing else known).get_indexer(values)
        if has_missing:
            codes[values.isna().to_numpy()] = len(known) - 1
        coded[position] = codes.astype(float)
    names = list(frame.columns)
    columns = [coded.get(i, frame.iloc[:, i].to_numpy()) for i in range(len(names))]
    result = pd.DataFrame(dict(enumerate(columns)), index=frame.index)
    result.columns = frame.columns
    return result if isinstance(x, pd.DataFrame) else check_array(result, dtype="float64")


def learn_encoding(
    numbers: np.ndarray,
    levels: dict[int, np.ndarray],
    columns: Sequence[str],
    weights: np.ndarray | None,
    *,
    standardize: bool,
) -> Encoding:
    """Means and scales of the numerical columns, weighted, and names of all coordinates."""
    width = numbers.shape[1]
    mean, scale = np.zeros(width), np.ones(width)
    numeric = [i for i in range(width) if i not in levels]
    if standardize and numeric:
        mean[numeric] = np.average(numbers[:, numeric], axis=0, weights=weights)
        spread = np.average((numbers[:, numeric] - mean[numeric]) ** 2, axis=0, weights=weights)
        deviation = np.sqrt(spread)
        # A constant column is constant to rounding of its mean, not exactly.
        constant = deviation <= 10 * np.finfo(float).eps * np.abs(mean[numeric])
        scale[numeric] = np.where(constant | (deviation == 0), 1.0, deviation)
    names: list[str] = []
    groups: list[int] = []
    for i in range(width):
        own = [f"{columns[i]}={level}" for level in levels[i]] if i in levels else [columns[i]]
        names += own
        groups += [i] * len(own)
    return Encoding(tuple(columns), levels, mean, scale, tuple(names), np.array(groups))


def _column(x: Any, position: int) -> Any:
    if isinstance(x, pd.DataFrame):
        return x.iloc[:, position].to_numpy()
    return np.asarray(x)[:, position]
