"""The values of a column by what it was taken for, and what was odd about them."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from overparam._errors import expect
from overparam.tables.cells import Cells, cells
from overparam.tables.column import Column
from overparam.tables.dates import ORDERS, of_object, read_dates
from overparam.tables.levels import match_levels, name_of
from overparam.tables.numbers import GAPS, read_numbers
from overparam.tables.spans import read_spans
from overparam.tables.yes_no import truth

MISSING, UNSEEN = -1, -2


@dataclass(frozen=True, eq=False)
class Read:
    """A column read.

    Attributes:
        values: Numbers, NaN where one is missing; of a category positions among its levels,
            `MISSING` where there is none and `UNSEEN` for a level that was not there.
        odd: What was passed over, in words.
        gaps: Which words were read as missing numbers, in words.
    """

    values: np.ndarray
    odd: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


def read_column(column: Column, series: pd.Series, where: str) -> Read:
    """The values of a column, whatever type or form they have.

    Raises:
        ValueError: If a number or a date is none, unless the column's kind was set.
    """
    found = cells(series, where)
    if column.kind == "category":
        return _levels(column, found)
    if found.type == "values":
        values = list(found.values)
        read = _yes_no if column.kind == "yes/no" else _dates if column.kind == "date" else _numbers
        each = read(column, values, where)
        unread = [i for i, value in enumerate(values) if np.isnan(each[i]) and not _is_gap(value)]
        numbers = found.spread(each)
    else:
        numbers, unread, values = _typed(column, found, where), [], []
    odd = ()
    if unread:
        count = int(found.counts[unread].sum())
        first = values[unread[0]]
        if column.kind == "yes/no" or column.chosen:
            words = {"yes/no": "yes nor no", "date": "date", "number": "number"}[column.kind]
            neither = "neither" if column.kind == "yes/no" else "no"
            odd = (f"{count} of {len(numbers)} {neither} {words}, such as {first!r}, and read as "
                   "missing",)  # fmt: skip
        else:
            dates = column.kind == "date"
            expect(
                False,
                where,
                f"{'dates' if dates else 'finite numbers'} or empty fields in {column.name!r}",
                f"{first!r}",
                hint=f"it was taken for a {column.words()}.",
            )
    expect(
        not np.isinf(numbers).any(),
        where,
        f"finite numbers or empty fields in column {column.name!r}",
        f"{int(np.isinf(numbers).sum())} infinite ones",
    )
    gaps = [repr(value) for value in values if _is_gap(value)][:3]
    return Read(numbers, odd, (f"{', '.join(gaps)} read as missing",) if gaps else ())


def _is_gap(value: Any) -> bool:
    return isinstance(value, str) and value.casefold() in GAPS


def distinct(found: Cells) -> tuple[Sequence[Any], np.ndarray]:
    """Values and the position of each row's, whatever the type was."""
    if found.type == "values":
        return found.values, found.codes
    known = ~np.isnan(found.numbers)
    numbers, places = np.unique(found.numbers[known], return_inverse=True)
    codes = np.full(len(known), -1)
    codes[known] = places
    if found.type == "booleans":
        return [bool(value) for value in numbers], codes
    if found.type == "dates":
        start = datetime.datetime(1970, 1, 1)
        return [start + datetime.timedelta(days=value) for value in numbers.tolist()], codes
    return numbers.tolist(), codes


def _levels(column: Column, found: Cells) -> Read:
    values, codes = distinct(found)
    places = match_levels(column.levels, values)
    places[places < 0] = UNSEEN
    positions = np.append(places, MISSING)[codes]
    unseen = [i for i, place in enumerate(places) if place == UNSEEN]
    if not unseen:
        return Read(positions)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    names = sorted(unseen, key=lambda i: -counts[i])
    shown = ", ".join(repr(name_of(values[i])) for i in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    number = int(counts[unseen].sum())
    return Read(
        positions,
        (f"{number} of {len(codes)} of a level that was not there when it was fitted ({shown}"
         f"{more})",),
    )  # fmt: skip


def _typed(column: Column, found: Cells, where: str) -> np.ndarray:
    """Numbers of a column whose type says what they are."""
    if column.kind != "date" or np.isnan(found.numbers).all():
        return found.numbers
    if found.type == "dates" and column.unit == "days since 1970":
        return found.numbers
    values, codes = distinct(found)
    whole = [v for v in values if isinstance(v, float) and v.is_integer() and 1e7 <= v < 1e8]
    compact = found.type == "numbers" and len(whole) == len(values)
    dates = read_dates([str(int(v)) for v in whole], compact=True) if compact else None
    expect(
        dates is not None and not np.isnan(dates.values).any() and column.unit == dates.unit,
        where,
        f"dates or empty fields in {column.name!r}",
        f"{'dates' if found.type == 'dates' else 'numbers such as'} "
        f"{values[0] if len(values) else ''!s}",
        hint=f"it was taken for a {column.words()}; write dates as 2020-12-31.",
    )
    assert dates is not None
    return np.append(dates.values, np.nan)[codes]


def _texts(values: Sequence[Any]) -> list[int]:
    return [i for i, value in enumerate(values) if isinstance(value, str)]


def _numbers(column: Column, values: Sequence[Any], where: str) -> np.ndarray:
    each = np.array([_as_number(value) for value in values], dtype=np.float64)
    places = _texts(values)
    texts = [values[i] for i in places]
    if not texts:
        return each
    if column.unit == "days" or (not column.unit and "day" in texts[0]):
        spans = read_spans(texts)
        if not np.isnan(spans).all():
            each[places] = spans
            return each
    other = "," if column.decimal == "." else "."
    tried = []
    for mark in (column.decimal, other):
        # Numbers without a unit may come with one, if it is the same for all.
        unit = column.unit or None
        read = read_numbers(texts, mark, unit, codes=True)
        if unit is None and read.doubt and not column.chosen:
            read = read_numbers(texts, mark, "", codes=True)
        tried.append(read.values)
    best = min(tried, key=lambda found: (_unread(texts, found), _far(column, found)))
    if {column.profile.low, column.profile.high} <= {0, 1} and column.profile.rows:
        best = np.where(np.isnan(best), [truth(text) for text in texts], best)
    each[places] = best
    return each


def _unread(texts: Sequence[str], found: np.ndarray) -> int:
    return sum(
        bool(np.isnan(v)) and not _is_gap(t) for t, v in zip(texts, found.tolist(), strict=True)
    )


def _far(column: Column, found: np.ndarray) -> bool:
    """Whether most numbers are beyond the range that was learned."""
    before, known = column.profile, found[~np.isnan(found)]
    if not before.rows or not len(known):
        return False
    return not before.low <= float(np.median(known)) <= before.high


def _as_number(value: Any) -> float:
    if isinstance(value, float | bool):
        return float(value)
    found = of_object(value)
    return np.nan if found is None else found[1]


def _dates(column: Column, values: Sequence[Any], where: str) -> np.ndarray:
    each = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        found = of_object(value)
        if found is not None and found[0] == column.unit:
            each[i] = found[1]
    places = _texts(values)
    if not places:
        return each
    texts = [values[i] for i in places]
    read = read_dates(texts, compact=True)
    if read.doubt and column.order:
        read = read_dates(texts, column.order, compact=True)
    expect(
        not read.doubt or column.chosen,
        where,
        f"dates of one form in {column.name!r}",
        read.doubt,
        hint="write dates as 2020-12-31"
        + (f", or with the {ORDERS[column.order]}." if column.order else "."),
    )
    if read.unit == column.unit:
        each[places] = read.values
    return each


def _yes_no(column: Column, values: Sequence[Any], where: str) -> np.ndarray:
    each = np.array([truth(value) for value in values])
    rest = np.flatnonzero(np.isnan(each)).tolist()
    each[rest] = _numbers(column, [values[i] for i in rest], where)
    return each
