"""Tables as numbers: standardised columns, and a coordinate for each level of a category."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from overparam._errors import complaint, expect
from overparam._numbers import described
from overparam.kernels.bends import Bends
from overparam.tables.column import Column
from overparam.tables.kinds import learn_column
from overparam.tables.reading import MISSING, read_column

# How columns are scaled by default: bent where they need it, and standardised.
LOGCLIP = "logclip"


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
        bends: Applied to numerical columns before; None: nothing is.
    """

    columns: tuple[str, ...]
    levels: dict[int, np.ndarray]
    mean: np.ndarray
    scale: np.ndarray
    names: tuple[str, ...]
    groups: np.ndarray
    bends: Bends | None = None

    def encode(self, numbers: np.ndarray) -> np.ndarray:
        """Coordinates, float64, of a table that `as_numbers` made."""
        parts = []
        if self.bends is not None:
            numbers = self.bends.bent(numbers)
        for position in range(numbers.shape[1]):
            column = numbers[:, position, None]
            if position in self.levels:
                parts.append((column == np.arange(len(self.levels[position]))).astype(float))
            else:
                parts.append((column - self.mean[position]) / self.scale[position])
        return np.concatenate(parts, 1)

    @property
    def units(self) -> np.ndarray:
        """The size of a coordinate's unit in the table's own, once bent; 1 for a level."""
        numeric = [group not in self.levels for group in self.groups]
        return np.where(numeric, self.scale[self.groups], 1.0)

    def slopes(self, numbers: np.ndarray) -> np.ndarray:
        """Derivative of every coordinate by its column, by row; 1 for a level."""
        if self.bends is None:
            return np.broadcast_to(1 / self.units, (len(numbers), len(self.groups)))
        return self.bends.slopes(numbers)[:, self.groups] / self.units


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


def learn_columns(
    x: Any,
    positions: Sequence[int],
    chosen: "str | Sequence | None",
    where: str,
    *,
    levels: bool = True,
) -> dict[int, Column]:
    """What the columns of a data frame are that are no numbers by their type, by position.

    Args:
        x: A table; an array has none.
        positions: Of the categorical columns.
        chosen: As `categorical_positions` takes it. With "from_dtype" values tell numbers and
            dates in text from categories.
        where: For the message.
        levels: Whether yes and no are a category too, and not 1 and 0.
    """
    if not isinstance(x, pd.DataFrame):
        return {}
    where = f"{where}.fit(X=...)"
    if not isinstance(chosen, str):
        return {i: learn_column(_series(x, i), where, {"kind": "category"}) for i in positions}
    columns = {}
    for i, dtype in enumerate(x.dtypes):
        if not _is_plain(dtype):
            columns[i] = learn_column(_series(x, i), where, keep=True)
            if columns[i].kind == "yes/no" and levels:
                columns[i] = learn_column(_series(x, i), where, {"kind": "category"})
    return columns


def is_read(x: Any, columns: dict[int, Column], levels: dict[int, np.ndarray]) -> bool:
    """Whether a table has to be read, or is numbers for scikit-learn to judge."""
    words = isinstance(x, pd.DataFrame) and not all(map(_is_plain, x.dtypes))
    return bool(columns) or bool(levels) or words


def find_levels(
    x: Any, positions: Sequence[int], columns: dict[int, Column] | None = None
) -> dict[int, np.ndarray]:
    """The levels of each categorical column, in order; missing last.

    Args:
        x: A table.
        positions: Of the columns.
        columns: What those of a data frame were taken for; it then says which are categories.
    """
    levels = {}
    for position, column in (columns or {}).items():
        if column.kind == "category":
            read = read_column(column, _series(x, position), "find_levels(x=...)").values
            found = np.empty(len(column.levels) + bool((read == MISSING).any()), dtype=object)
            found[: len(column.levels)] = column.levels
            found[len(column.levels) :] = np.nan
            levels[position] = found
    for position in () if columns else positions:
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


def as_numbers(
    x: Any,
    levels: dict[int, np.ndarray],
    columns: dict[int, Column] | None = None,
    where: str = "as_numbers(x=...)",
) -> Any:
    """The table with categorical columns as positions among their levels, -1 if not there.

    Args:
        x: A table; one of numbers alone is handed on as it is, for scikit-learn to judge.
        levels: Of each categorical column, missing last.
        columns: What columns were taken for that were no numbers by their type, by position.
        where: The public call this is for.
    """
    columns = columns or {}
    if not is_read(x, columns, levels):
        return x
    frame = x if isinstance(x, pd.DataFrame) else pd.DataFrame(np.asarray(x))
    coded = {}
    for position, dtype in enumerate(frame.dtypes):
        known, column = levels.get(position), columns.get(position)
        if column is None and known is not None:
            coded[position] = _positions(pd.Series(_column(x, position)).astype(object), known)
        elif column is not None or (frame is x and not _is_plain(dtype)):
            column = column or Column(str(frame.columns[position]))
            read = read_column(column, _series(frame, position), where).values
            if known is not None:
                missing = len(known) - 1 if _ends_in_missing(known) else -1
                read = np.where(read == MISSING, missing, np.where(read < 0, -1, read))
            coded[position] = read.astype(float)
    values = [coded.get(i, frame.iloc[:, i].to_numpy()) for i in range(frame.shape[1])]
    result = pd.DataFrame(dict(enumerate(values)), index=frame.index)
    result.columns = frame.columns
    if isinstance(x, pd.DataFrame):
        return result
    checked: Any = check_array  # its annotations do not know "allow-nan"
    return checked(result, dtype="float64", ensure_all_finite="allow-nan")


def _positions(values: pd.Series, known: np.ndarray) -> np.ndarray:
    has_missing = _ends_in_missing(known)
    codes = pd.Index(known[:-1] if has_missing else known).get_indexer(values)
    if has_missing:
        codes[values.isna().to_numpy()] = len(known) - 1
    return codes.astype(float)


def _ends_in_missing(known: np.ndarray) -> bool:
    return len(known) > 0 and pd.isna(known[-1])


def _is_plain(dtype: Any) -> bool:
    """Whether a type is of numbers, which scikit-learn reads."""
    types = pd.api.types
    number = types.is_numeric_dtype(dtype) and not types.is_bool_dtype(dtype)
    return number and not isinstance(dtype, pd.CategoricalDtype)


def _series(x: pd.DataFrame, position: int) -> pd.Series:
    return x.iloc[:, position].rename(str(x.columns[position]))


def learn_encoding(
    numbers: np.ndarray,
    levels: dict[int, np.ndarray],
    columns: Sequence[str],
    weights: np.ndarray | None,
    *,
    standardize: bool | str,
) -> Encoding:
    """Bends, means and scales of the numerical columns, weighted, and names of all coordinates."""
    width = numbers.shape[1]
    mean, scale = np.zeros(width), np.ones(width)
    numeric = [i for i in range(width) if i not in levels]
    bends = None
    if standardize == LOGCLIP and numeric:
        found = np.full((4, width), np.nan)
        found[:, numeric] = Bends.learn(numbers[:, numeric], weights).numbers
        if np.isfinite(found).any():
            bends = Bends(*found)
            numbers = bends.bent(numbers)
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
    return Encoding(tuple(columns), levels, mean, scale, tuple(names), np.array(groups), bends)


def _column(x: Any, position: int) -> Any:
    if isinstance(x, pd.DataFrame):
        return x.iloc[:, position].to_numpy()
    return np.asarray(x)[:, position]
