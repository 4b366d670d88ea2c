"""What a column is taken for."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from overparam._errors import expect
from overparam.tables.cells import Cells, cells
from overparam.tables.column import LEFT_OUT, Column
from overparam.tables.dates import of_object, read_dates
from overparam.tables.levels import learn_levels
from overparam.tables.numbers import GAPS, read_numbers, taken_apart
from overparam.tables.reading import distinct
from overparam.tables.yes_no import truth

# A column of which at least this share reads as numbers or dates is one with typos.
_MOSTLY = 0.9
# Often enough to be no measurement.
_OFTEN = 3
# Above this share the words of a column are worth a line.
_HALF = 0.5
_COUNTS_ROWS = re.compile(
    r"unnamed.*|index|idx|id|.*[_ .-]id|id[_ .-].*|.*[a-z]I[dD]|#|uuid|guid|s\.?no\.?|nr\.?|no\.?|"
    r".*nummer|num[eé]ro|"
    r"row([ _.-]?(id|nr|no|num|number|name|index))?|"
)
_CODE = re.compile(r"[+-]?0\d+|\d{16,}", re.ASCII)
_DIGIT = re.compile(r"[<>≤≥~≈ ]*\d", re.ASCII)
_TOKEN = re.compile(r"(?=.*\d)\S{1,64}")


def learn_column(
    series: pd.Series,
    where: str,
    setting: Mapping[str, str] | None = None,
    *,
    keep: bool = False,
) -> Column:
    """What a column is taken for, without its profile.

    Args:
        series: The column.
        where: The public call this is for.
        setting: Attributes of `Column` that were set.
        keep: Whether no column may be left out, as an estimator has to; then text is a category,
            and typos among numbers make one of them too.

    Raises:
        ValueError: If nearly all is numbers or dates, and the rest is not.
    """
    found, name = cells(series, where), str(series.name)
    values, codes = distinct(found)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    if setting:
        return _set(name, values, counts, dict(setting), where)
    if not len(values):
        return Column(name, "category") if keep else Column(name, "constant", reason="empty")
    gaps = bool((codes < 0).any())
    infinite = found.type == "numbers" and bool(np.isinf(found.numbers).any())
    if len(values) == 1 and not (gaps or infinite or keep):
        return Column(name, "constant", reason="one value")
    if found.type == "booleans" and len(values) == 1:
        return _category(name, values, counts)
    if found.type != "values":
        return _typed(name, found, values, keep)
    if found.categories:
        return _category(name, values, counts, merge=False)
    return _of_values(name, values, counts, where, keep)


def _typed(name: str, found: Cells, values: Sequence[Any], keep: bool) -> Column:
    """A column whose type says what it holds."""
    if found.type == "dates":
        return Column(name, "date", unit="days since 1970", note=_no_date(found.numbers))
    if len(values) == 2 and set(values) == {0, 1}:
        return Column(name, "yes/no")
    if not keep and _numbers_rows(name, found.numbers):
        return Column(name, "identifier", reason="a number of the row")
    note = ""
    if len(values) > 2 and all(1.9e7 <= v < 2.1e7 and float(v).is_integer() for v in values[:50]):
        compact = read_dates([str(int(v)) for v in values], compact=True)
        if compact.unit and not np.isnan(compact.values).any():
            note = f"{int(values[0])} could be a date; if it is, set it to date"
    return Column(name, "number", note=note or _stands_for_none(found.numbers))


def _stands_for_none(numbers: np.ndarray) -> str:
    """What to say of a number such as −999 that comes again and again, far from all others."""
    known = numbers[np.isfinite(numbers)]
    for value in (known.min(), known.max()) if len(known) else ():
        digits = str(abs(int(value))) if abs(value) < 1e15 else ""
        others, count = known[known != value], int((known == value).sum())
        if value != int(value) or set(digits) != {"9"} or count < _OFTEN or not len(others):
            continue
        far = min(abs(value - others.min()), abs(value - others.max()))
        if far > 2 * np.ptp(others) and (value < 0 or len(digits) > 1):
            return (
                f"{int(value)} stands {count} times, far from the others; if it stands for a "
                "missing value, leave the field empty"
            )
    return ""


def _no_date(days: np.ndarray) -> str:
    """What to say of a date such as 31 December 9999 that comes again, far from all others."""
    known = days[np.isfinite(days)]
    for value in (known.min(), known.max()) if len(known) else ():
        others, count = known[known != value], int((known == value).sum())
        if count < _OFTEN or len(np.unique(others)) < 2:
            continue
        far = min(abs(value - others.min()), abs(value - others.max()))
        if far > 2 * np.ptp(others):
            shown = np.datetime64("1970-01-01") + np.timedelta64(int(value // 1), "D")
            return (
                f"{shown} stands {count} times, far from the others; if it stands for a missing "
                "value, leave the field empty"
            )
    return ""


def _numbers_rows(name: str, numbers: np.ndarray) -> bool:
    """Whether each row has a whole number of its own, under a name that says so."""
    if np.isnan(numbers).any() or not _COUNTS_ROWS.fullmatch(_folded(name)):
        return False
    whole = bool(np.isfinite(numbers).all() and (numbers == np.round(numbers)).all())
    return whole and len(np.unique(numbers)) == len(numbers) > 2


def _folded(name: str) -> str:
    """A name in small letters, but for the hump before its last letters."""
    name = name.strip()
    return name if re.fullmatch(r".*[a-z]I[dD]", name) else name.casefold()


def _of_values(
    name: str, values: Sequence[Any], counts: np.ndarray, where: str, keep: bool
) -> Column:
    """A column of text, or of several types."""
    truths = {truth(value) for value in values}
    if truths == {0.0, 1.0}:
        return Column(name, "yes/no")
    dates, order = _dates(values), ""
    known = np.array([not (isinstance(v, str) and v.casefold() in GAPS) for v in values])
    total = int(counts[known].sum())
    if not total:
        return _words(name, values, counts, "", keep)
    date_share = int(counts[known & ~np.isnan(dates.values)].sum()) / total
    if dates.doubt and dates.unit and date_share == 0:
        each = np.array([_looks_like_a_date(v) for v in values])
        if each[known].all():
            return _undecided(name, values, counts, dates.doubt, keep)
    order = dates.order
    if date_share == 1:
        if dates.unit == "days":
            return Column(name, "number", unit="days")
        note = ""
        if dates.unit == "days since 1970":
            note = _no_date(np.repeat(dates.values, counts))
        return Column(name, "date", unit=dates.unit, order=order, note=note)
    texts = [i for i, value in enumerate(values) if isinstance(value, str)]
    read = read_numbers([values[i] for i in texts])
    each = np.array([v if isinstance(v, float | bool) else np.nan for v in values], dtype=float)
    each[texts] = read.values
    share = int(counts[known & ~np.isnan(each)].sum()) / total
    if share == 1 and not read.doubt:
        if set(each[known]) == {0, 1} and not read.unit:
            return Column(name, "yes/no")
        spread = np.repeat(each[known], counts[known])
        if not keep and known.all() and _numbers_rows(name, spread):
            return Column(name, "identifier", reason="a number of the row")
        return Column(name, "number", unit=read.unit, decimal=read.decimal, note=read.note)
    codes = [v for v in values if isinstance(v, str) and _CODE.fullmatch(v)]
    if codes and len(codes) + int((~np.isnan(each)).sum()) >= int(known.sum()):
        doubt = f"leading zeros or many digits such as {codes[0]!r}"
        return _words(name, values, counts, doubt if share >= _HALF else "", keep)
    if not keep:
        for kind, part, numbers in (("number", share, each), ("date", date_share, dates.values)):
            odd = known & np.isnan(numbers)
            first = next((v for v, o in zip(values, odd, strict=True) if o), "")
            expect(
                not _MOSTLY <= part < 1,
                where,
                f"{'numbers' if kind == 'number' else 'dates'} or names in column {name!r}",
                f"{int(counts[known & ~odd].sum())} {kind}s and {int(counts[odd].sum())} other "
                f"entries such as {first!r}",
                hint=f"--column {name}={kind} reads the others as missing, "
                f"--column {name}=category takes all for names.",
            )
    parts = np.array([isinstance(v, str) and taken_apart(v) is not None for v in values])
    digits = np.array([isinstance(v, str) and bool(_DIGIT.match(v)) for v in values])
    if not read.doubt.startswith("words"):  # such as bounds or ranges, which begin like numbers
        parts |= digits
    partly = int(counts[known & parts].sum()) / total
    doubt = read.doubt if max(share, partly) >= _HALF else ""
    return _words(name, values, counts, doubt, keep)


def _dates(values: Sequence[Any]) -> Any:
    """Dates among values; those that are dates by their type are written as ISO first."""
    texts = []
    for value in values:
        found = of_object(value)
        if found is not None and found[0] == "days":
            texts.append(f"{found[1]:.0f} days")
        elif found is not None:
            texts.append(value.isoformat())  # pyright: ignore[reportAttributeAccessIssue]
        else:
            texts.append(value if isinstance(value, str) else "")
    return read_dates(texts)


def _looks_like_a_date(value: Any) -> bool:
    if not isinstance(value, str):
        return of_object(value) is not None
    return any(not np.isnan(read_dates([value], order).values[0]) for order in ("dmy", "mdy"))


def _undecided(
    name: str, values: Sequence[Any], counts: np.ndarray, doubt: str, keep: bool
) -> Column:
    """Dates whose order cannot be told: no date, and no category a day either."""
    if keep:
        return _category(name, values, counts)
    remedy = f"--column {name}='day first' or 'month first' says which"
    return Column(name, "text", reason=f"{doubt}; {remedy}")


def _words(name: str, values: Sequence[Any], counts: np.ndarray, doubt: str, keep: bool) -> Column:
    """A category, or text that differs in most rows; `doubt` is why it is no number."""
    if doubt.startswith(("two units", "numbers with")):
        doubt += "; write all in one unit"
    elif doubt:
        doubt = f"{doubt}; --column {name}=number reads what is none as missing"
    column = _category(name, values, counts, doubt)
    if keep or len(column.levels) < 2 or 2 * len(column.levels) <= counts.sum():
        return column
    named = all(isinstance(v, str) and _TOKEN.fullmatch(v) for v in values)
    reason = "a name of the row" if named else "text that differs in most rows"
    if doubt:
        reason = f"no number because of {doubt}"
    return Column(name, "identifier" if named and not doubt else "text", reason=reason)


def _category(
    name: str, values: Sequence[Any], counts: np.ndarray, doubt: str = "", *, merge: bool = True
) -> Column:
    levels, merged = learn_levels(values, counts, merge=merge)
    note = f"no number because of {doubt}" if doubt else ""
    if merged:
        shown = ", ".join(map(repr, merged[:3]))
        note = "; ".join(filter(None, [note, f"letters' case does not matter in {shown}"]))
    return Column(name, "category", levels=levels, note=note)


def _set(
    name: str, values: Sequence[Any], counts: np.ndarray, setting: dict[str, str], where: str
) -> Column:
    """A column whose kind was set."""
    kind: Any = setting["kind"]
    if kind in LEFT_OUT:
        return Column(name, kind, chosen=True, reason=f"set to be {_article(kind)}")
    if kind == "category":
        levels, _ = learn_levels(values, counts, merge=False)
        return Column(name, kind, levels=levels, chosen=True)
    if kind == "yes/no":
        return Column(name, kind, chosen=True)
    texts = [value for value in values if isinstance(value, str)]
    if kind == "number":
        read = read_numbers(texts, setting.get("decimal", ""))
        spans = read_dates(texts) if texts else None
        if spans is not None and spans.unit == "days":
            return Column(name, kind, unit="days", chosen=True)
        units = [part.unit for text in texts if (part := taken_apart(text)) and part.unit]
        unit = max(sorted(set(units)), key=units.count, default="")
        return Column(name, kind, unit=unit, decimal=read.decimal, chosen=True, note=read.note)
    order = setting.get("order", "")
    compact = [str(int(v)) for v in values if isinstance(v, float) and v.is_integer()]
    objects = [found for value in values if (found := of_object(value)) is not None]
    read = read_dates(texts + compact, order, compact=True)
    unit = objects[0][0] if objects else read.unit
    expect(
        not read.doubt or order,
        where,
        f"dates of one form in {name!r}",
        read.doubt,
        hint=f"--column {name}='day first' or 'month first' says which.",
    )
    expect(
        unit in ("days since 1970", "hours of the day"),
        where,
        f"dates or times in {name!r}, which was set to be a date",
        f"{values[0] if len(values) else 'nothing'!r}",
    )
    return Column(name, kind, unit=unit, order=order or read.order, chosen=True)


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}" if kind != "text" else kind
