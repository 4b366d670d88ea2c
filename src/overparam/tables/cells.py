"""A column as its distinct values and where each stands, whatever type the column has."""

import datetime
import numbers
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from overparam._errors import expect

# Words that stand for a value that is not there, in any column and from any file. They are those
# of pandas, so that a file means what its data frame does.
MISSING = frozenset(
    ("", "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND",
     "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "NaT", "None", "n/a", "nan", "null")
)  # fmt: skip
_compute: Any = pyarrow.compute  # it makes its functions as it is loaded
_MICROSECONDS_A_DAY = 86_400_000_000
_PLAIN = (str, bool, float, datetime.date, datetime.time, datetime.timedelta)

Type = Literal["numbers", "booleans", "dates", "values"]


@dataclass(frozen=True, eq=False)
class Cells:
    """A column.

    Attributes:
        type: "numbers" and "booleans" (as 1 and 0) and "dates" (as days since 1970, in UTC) are
            told by the column's type alone and stand in `numbers`; "values" are anything else.
        numbers: One a row, NaN where there is none; empty for "values".
        values: Distinct values, none of them missing: text, True and False, floats,
            `datetime.date`, `datetime.datetime`, `datetime.time`, `datetime.timedelta`.
        codes: The position in `values` of each row's, -1 where there is none.
        categories: Whether the column says itself that it is a category.
    """

    type: Type
    numbers: np.ndarray
    values: tuple[Any, ...] = ()
    codes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    categories: bool = False

    @property
    def counts(self) -> np.ndarray:
        """How often each of the values stands."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))

    def spread(self, of_values: np.ndarray) -> np.ndarray:
        """What is so of each value, row by row; NaN where a row has none."""
        return np.append(of_values.astype(np.float64), np.nan)[self.codes]


def cells(column: pd.Series, where: str) -> Cells:
    """A column of any type.

    Args:
        column: From any file or frame.
        where: The public call this is for.

    Raises:
        ValueError: If it holds something that is no number, word, date or time.
    """
    dtype: Any = column.dtype
    types: Any = pd.api.types
    if isinstance(dtype, pd.SparseDtype):
        column = pd.Series(column.to_numpy(), name=column.name)
        dtype = column.dtype
    if isinstance(dtype, pd.ArrowDtype) and pa.types.is_duration(dtype.pyarrow_dtype):
        # In Arrow a span is a whole number of whatever unit its type names.
        column = column.astype("timedelta64[us]")
        dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _of_categories(column, where)
    if types.is_bool_dtype(dtype):
        values = column.astype(object).to_numpy()
        known = ~pd.isna(values)
        found = np.full(len(values), np.nan)
        found[known] = values[known].astype(np.float64)
        return Cells("booleans", found)
    if types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype):
        return Cells("numbers", _numbers(column))
    if isinstance(dtype, np.dtype | pd.DatetimeTZDtype) and types.is_datetime64_any_dtype(dtype):
        return Cells("dates", _days(column))
    if isinstance(dtype, np.dtype) and types.is_timedelta64_dtype(dtype):
        return Cells("numbers", _micro(column.to_numpy("timedelta64[us]")))
    if isinstance(dtype, pd.PeriodDtype):
        return Cells("dates", _days(column.dt.to_timestamp()))
    quick = _plain_text_numbers(column)
    return Cells("numbers", quick) if quick is not None else _of_values(column, where)


def _numbers(column: pd.Series) -> np.ndarray:
    plain = isinstance(column.dtype, np.dtype)  # pandas 2.2 puts no NaN into whole numbers
    values = np.asarray(column.to_numpy() if plain else column.to_numpy(na_value=np.nan))
    kind = getattr(column.dtype, "numpy_dtype", values.dtype)
    if values.dtype == object and np.dtype(kind).kind == "f":  # nullable, before pandas 2.2
        values = values.astype(kind)
    if values.dtype in (np.float32, np.float16):
        # A decimal that was rounded to single precision is that decimal, as a file writes it.
        return values.astype(str).astype(np.float64)
    return values.astype(np.float64)


def _days(column: pd.Series) -> np.ndarray:
    if getattr(column.dt, "tz", None) is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return _micro(column.to_numpy("datetime64[us]"))


def _micro(values: np.ndarray) -> np.ndarray:
    """Times as days, to the microsecond."""
    days = values.astype(np.int64) / _MICROSECONDS_A_DAY
    return np.where(np.isnat(values), np.nan, days)


def _plain_text_numbers(column: pd.Series) -> np.ndarray | None:
    """Text of which every entry is a number as programs write it; None for any other."""
    try:
        text = pa.array(column, type=pa.string(), from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, UnicodeError):
        return None
    if isinstance(text, pa.ChunkedArray):
        text = text.combine_chunks()
    if not pa.types.is_string(text.type):
        return None  # an older Arrow leaves its own types as they are
    text = _compute.utf8_trim_whitespace(text)
    text = _compute.if_else(_compute.is_in(text, value_set=pa.array(sorted(MISSING))), None, text)
    if text.null_count == len(text):
        return None
    # Leading zeros are of codes, very long digits of names; a number in groups of three digits
    # behind a point may be in thousands.
    for odd in (r"^[+-]?0\d+$", r"^\d{16,}$"):
        if _compute.any(_compute.match_substring_regex(text, odd)).as_py():
            return None
    grouped = _compute.match_substring_regex(text, r"^[+-]?[1-9]\d{0,2}\.\d{3}$|^[+-]?\d{1,3}$")
    if _compute.all(grouped).as_py() and _compute.any(_compute.match_substring(text, ".")).as_py():
        return None
    try:
        numbers = _compute.cast(text, pa.float64())
    except pa.ArrowInvalid:
        return None
    return numbers.to_numpy(zero_copy_only=False).astype(np.float64)


def _of_categories(column: pd.Series, where: str) -> Cells:
    """A categorical column: its levels in use, whatever their order."""
    data: Any = column.array
    codes = np.asarray(data.codes)
    levels = pd.Series(np.asarray(data.categories, dtype=object), name=column.name)
    if pd.api.types.is_float_dtype(data.categories.dtype):
        levels = pd.Series(_numbers(pd.Series(data.categories)), name=column.name, dtype=object)
    used = np.unique(codes[codes >= 0])
    inner = _of_values(levels.iloc[used].reset_index(drop=True), where)
    places = np.full(len(levels) + 1, -1)
    places[used] = inner.codes
    return Cells("values", np.zeros(0), inner.values, places[codes], categories=True)


def _of_values(column: pd.Series, where: str) -> Cells:
    try:
        codes, found = pd.factorize(column, use_na_sentinel=True)
    except (TypeError, pa.ArrowException):  # of lists and arrays, which have no hash
        nested = next(v for v in column if not isinstance(v, (*_PLAIN, numbers.Real, type(None))))
        _refuse(nested, column, where)
    found = np.asarray(pd.Index(found).astype(object), dtype=object)
    places: dict[tuple[type, Any], int] = {}
    position = np.full(len(found) + 1, -1)
    for i, value in enumerate(found):
        plain = _plain(value, column, where)
        if plain is not None:
            kind = datetime.date if isinstance(plain, datetime.date) else type(plain)
            position[i] = places.setdefault((kind, plain), len(places))
    return Cells("values", np.zeros(0), tuple(value for _, value in places), position[codes])


def _plain(value: Any, column: pd.Series, where: str) -> Any:
    """A value as one of few types; None if it is missing."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            _refuse(value, column, where)
    if isinstance(value, str):
        if value.isascii() and "  " not in value and value.isprintable():
            text = value.strip()
        else:
            text = " ".join(_visible(unicodedata.normalize("NFC", value)).split())
        if text[:1] in "\"'=" and (found := _QUOTED.fullmatch(text)):
            text = next(part for part in found.groups() if part is not None).strip()
        return None if text in MISSING else text
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        value = pd.Timestamp(value) if isinstance(value, np.datetime64) else pd.Timedelta(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.floating) and value.dtype in (np.float32, np.float16):
        value = float(str(value))
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime(warn=False)
    if isinstance(value, datetime.date | datetime.time):
        return value
    if isinstance(value, datetime.timedelta):
        return value
    if isinstance(value, numbers.Real) or hasattr(value, "as_integer_ratio"):  # Decimal is no Real
        number = float(value)
        return None if number != number else number
    if isinstance(value, pd.Interval | pd.Period):
        return str(value)
    return _refuse(value, column, where)


def _visible(text: str) -> str:
    """Without marks that do not show, and with the digits of any script as those of ASCII."""
    return "".join(
        str(unicodedata.decimal(c)) if c.isdecimal() and c > "9" else _ALIKE.get(c, c) for c in text
    )


# Text that a spreadsheet was to take as text, and text within quotes of its own.
_QUOTED = re.compile(r"""="([^"]*)"|"([^"]*)"|'([+-]?[\d.,]+)""")
_ALIKE = dict.fromkeys("\u00ad\u200b\u200e\u200f\u202a\u202c\u2060\ufeff", "") | {
    "\u066b": ".", "\u066c": ",", "\uff0e": ".", "\uff0c": ",",
}  # fmt: skip


def _refuse(value: Any, column: pd.Series, where: str) -> Any:
    expect(
        False,
        where,
        f"numbers, names or dates in column {column.name!r}",
        f"a {type(value).__name__}",
        hint="one value a cell; spread lists over columns of their own.",
    )
