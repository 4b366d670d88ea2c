"""Dates and times as people write them, as days since 1970 or hours of the day."""

import datetime
import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overparam.tables.numbers import GAPS
from overparam.tables.spans import read_span

ORDERS = {"dmy": "day first", "mdy": "month first"}
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            # English, German, French, Spanish, Italian, Dutch, Portuguese; Danish, Norwegian,
            # Swedish, Finnish, Polish, Czech, Russian, Turkish
            "january jan januar janvier janv enero ene gennaio gen januari janeiro "
            "tammikuuta stycznia styczeń sty ledna leden января январь янв ocak oca",
            "february feb februar febr février févr fév febrero febbraio februari fevereiro fev "
            "helmikuuta lutego luty lut února únor февраля февраль февр фев şubat şub",
            "march mar märz mär mrz mars marzo maart mrt março "
            "marts maaliskuuta marca marzec března březen марта март мар mart",
            "april apr avril avr abril abr aprile "
            "huhtikuuta kwietnia kwiecień kwi dubna duben апреля апрель апр nisan nis",
            "may mai mayo maggio mag mei maio "
            "maj toukokuuta maja května květen мая май mayıs",
            "june jun juni juin junio giugno giu junho "
            "kesäkuuta czerwca czerwiec cze června červen июня июнь июн haziran haz",
            "july jul juli juillet juil julio luglio lug julho "
            "heinäkuuta lipca lipiec lip července červenec июля июль июл temmuz tem",
            "august aug août aou aout agosto ago augustus "
            "augusti elokuuta sierpnia sierpień sie srpna srpen августа август авг ağustos ağu",
            "september sep sept septembre septiembre settembre set setembro "
            "syyskuuta września wrzesień wrz září сентября сентябрь сент сен eylül eyl",
            "october oct oktober okt octobre octubre ottobre ott outubro out "
            "lokakuuta października październik paź října říjen октября октябрь окт ekim eki",
            "november nov novembre noviembre novembro "
            "marraskuuta listopada listopad lis listopadu ноября ноябрь нояб ноя kasım kas",
            "december dec dezember dez décembre déc diciembre dic dicembre dezembro "
            "joulukuuta grudnia grudzień gru prosince prosinec декабря декабрь дек aralık ara des",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_TIME = (
    r"(?:(?:[T ]|, |:|,? (?:um|at|à|kl\.?|o) )\s*(?P<hour>\d{1,2})[:hH](?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?(?: Uhr)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?(?:\[[A-Za-z_/+-]+\])?"
    r"|[A-Z]{3,4}|[A-Z][A-Za-z]+/[A-Za-z_/+-]+)?)?"
)
# Letters that stand for one zone alone, in minutes east of Greenwich.
_ZONES = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 60, "CET": 60, "CEST": 120, "EET": 120,
    "EEST": 180, "EST": -300, "EDT": -240, "CDT": -300, "MDT": -360, "PST": -480, "PDT": -420,
}  # fmt: skip
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?"
_YEAR_FIRST = re.compile(
    r"(?P<y>\d{4})(?P<mark>[-/.]) ?(?P<m>\d{1,2})(?P=mark) ?(?P<d>\d{1,2})(?:(?<=\. ..)\.)?" + _TIME
)
_YEAR_LAST = re.compile(
    r"(?P<a>\d{1,2})(?P<mark>[-/.]) ?(?P<b>\d{1,2})(?P=mark) ?(?P<y>\d{4}|\d{2})" + _TIME
)
_MONTH = re.compile(r"(?P<y>\d{4})-(?P<m>\d{2})")
_YEAR_OF_MONTH = re.compile(r"(?P<m>\d{1,2})[-/.](?P<y>(?:19|20)\d{2})")
_QUARTER = re.compile(r"(?P<y>\d{4})[- /]?Q(?P<q>[1-4])")
_QUARTER_FIRST = re.compile(r"Q(?P<q>[1-4])[- /]?(?P<y>\d{4})")
# As C writes it.
_YEAR_BEHIND = re.compile(
    r"[A-Za-z]{3} (?P<n>[A-Za-z]{3}) +(?P<d>\d{1,2}) (?P<hour>\d{2}):(?P<minute>\d{2})"
    r":(?P<second>\d{2})(?P<part>)(?: (?P<zone>[A-Z]{3,4}))? (?P<y>\d{4})"
)
_WEEK = re.compile(r"(?P<y>\d{4})-?W(?P<w>\d{2})(?:-?(?P<k>[1-7]))?")
_STAMP = re.compile(
    r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})T(?P<hour>\d{2})(?P<minute>\d{2})(?:(?P<second>\d{2})"
    r"(?:[.,](?P<part>\d{1,9}))?)?(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?"
)
_SIGNS = re.compile(r"(?P<y>\d{4})[年년] ?(?P<m>\d{1,2})[月월] ?(?P<d>\d{1,2})[日일]" + _TIME)
_COMPACT = re.compile(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})" + _TIME)
_DAY_NAMED = re.compile(
    _WEEKDAY + r"(?P<d>\d{1,2})(?:st|nd|rd|th|er|\.|º)?[ /-]*(?:de )?(?P<n>[^\W\d_]{3,12})\.?"
    r"(?: de )?[ ,/-]*(?P<y>\d{4}|\d{2})(?: ?(?:г|r|р)\.| (?:года|roku|року))?" + _TIME,
    re.IGNORECASE,
)
_NAMED_DAY = re.compile(
    _WEEKDAY + r"(?:(?P<n>[^\W\d_]{3,9})\.?[ -]+(?P<d>\d{1,2})(?:st|nd|rd|th)?,?[ -]+(?P<y>\d{4}))"
    + _TIME,
    re.IGNORECASE,
)  # fmt: skip
_NAMED_MONTH = re.compile(r"(?P<n>[^\W\d_]{3,12})\.?[ -](?:de )?(?P<y>\d{4})")
_CLOCK = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<part>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_Found = tuple[str, float, float]  # the unit, and the value by both orders
_FIRST_DAY = datetime.date(1970, 1, 1).toordinal()
_DAY = 86_400_000_000


@dataclass(frozen=True, eq=False)
class Dates:
    """Texts read as dates or times.

    Attributes:
        values: Days since 1970 in UTC, hours of the day, or days of a span; NaN where none.
        unit: "days since 1970", "hours of the day" or "days"; empty if no text is any of them.
        order: "dmy" or "mdy" if that was told; empty if it made no difference.
        doubt: Why they cannot be read all alike; empty if they can.
    """

    values: np.ndarray
    unit: str = ""
    order: str = ""
    doubt: str = ""


def read_dates(texts: Sequence[str], order: str = "", *, compact: bool = False) -> Dates:
    """Dates in a column's distinct texts, all of one order of day and month.

    Args:
        texts: Stripped, none of them empty.
        order: "dmy" or "mdy"; empty to see which the texts agree with.
        compact: Whether eight digits are a date too.

    Example:
        >>> read_dates(["13/02/1970", "01/02/1970"]).values
        array([43., 31.])
        >>> read_dates(["01/02/2020"]).doubt
        "days and months that could be either, such as '01/02/2020'"
    """
    read = [None if text.casefold() in GAPS else _read(text, compact) for text in texts]
    units = {found[0] for found in read if found is not None}
    if units & {"days", "one unit"}:
        # 1:23 is a span among 27:10, and 20 min among 1 h 20 min; alone they are none.
        read = [_among_spans(t, one, "days" in units) for t, one in zip(texts, read, strict=True)]
        units = {found[0] for found in read if found is not None}
    nothing = np.full(len(texts), np.nan)
    if not units:
        return Dates(nothing)
    if len(units) > 1:
        return Dates(nothing, doubt=f"{' and '.join(sorted(units))} in one column")
    unit = units.pop()
    both = np.array(
        [(np.nan, np.nan) if found is None else found[1:] for found in read], dtype=np.float64
    )
    known = np.array([found is not None for found in read])
    chosen = {"dmy": 0, "mdy": 1}
    fits = {name: not np.isnan(both[known, place]).any() for name, place in chosen.items()}
    same = np.array_equal(both[:, 0], both[:, 1], equal_nan=True)
    if not order and not same:
        if fits["dmy"] and fits["mdy"]:
            first = next(
                t for t, b in zip(texts, both, strict=True) if b[0] != b[1] and b[0] == b[0]
            )
            return Dates(
                nothing, doubt=f"days and months that could be either, such as {first!r}", unit=unit
            )
        if not fits["dmy"] and not fits["mdy"]:
            doubt = "dates with the day first and with the month first"
            return Dates(nothing, unit, doubt=doubt)
        order = "dmy" if fits["dmy"] else "mdy"
    values = both[:, chosen.get(order, 0)]
    unread = [t for t, v, k in zip(texts, values, known, strict=True) if k and np.isnan(v)]
    doubt = f"{unread[0]!r}, which has no day with the {ORDERS[order]}" if unread and order else ""
    return Dates(values, unit, "" if same else order, doubt)


def _read(text: str, compact: bool) -> "_Found | None":
    """The unit, and the value with the day first and with the month first."""
    if (found := _CLOCK.fullmatch(text)) and (time := _clock(found)) is not None:
        return "hours of the day", time / 3.6e9, time / 3.6e9
    span = read_span(text)
    if span is not None:
        return span.unit, span.days, span.days
    if found := _YEAR_LAST.fullmatch(text):
        a, b, year = int(found["a"]), int(found["b"]), _year(found["y"])
        first = _day(year, b, a, found)
        # With points between, the day comes first everywhere.
        second = first if found["mark"] == "." else _day(year, a, b, found)
        return None if first != first and second != second else ("days since 1970", first, second)
    value = np.nan
    if found := (
        _YEAR_FIRST.fullmatch(text) or _SIGNS.fullmatch(text) or _STAMP.fullmatch(text)
        or (compact and _COMPACT.fullmatch(text))
    ):  # fmt: skip
        value = _day(int(found["y"]), int(found["m"]), int(found["d"]), found)
    elif found := _MONTH.fullmatch(text) or _YEAR_OF_MONTH.fullmatch(text):
        value = _day(int(found["y"]), int(found["m"]), 1)
    elif found := _WEEK.fullmatch(text):
        value = _monday(int(found["y"]), int(found["w"]), int(found["k"] or 1))
    elif found := _QUARTER.fullmatch(text) or _QUARTER_FIRST.fullmatch(text):
        value = _day(int(found["y"]), 3 * int(found["q"]) - 2, 1)
    elif found := (
        _DAY_NAMED.fullmatch(text) or _NAMED_DAY.fullmatch(text) or _YEAR_BEHIND.fullmatch(text)
    ):
        month = _MONTHS.get(found["n"].casefold(), 0)
        value = _day(_year(found["y"]), month, int(found["d"]), found)
    elif found := _NAMED_MONTH.fullmatch(text):
        value = _day(int(found["y"]), _MONTHS.get(found["n"].casefold(), 0), 1)
    return None if value != value else ("days since 1970", value, value)


def _among_spans(text: str, read: "_Found | None", spans: bool) -> "_Found | None":
    """What is read of a text of a column, if others of it are spans, or if none is."""
    if not spans:
        return read if read is None or read[0] != "one unit" else None
    span = read_span(text, clock=True)
    return read if span is None else ("days", span.days, span.days)


def _year(digits: str) -> int:
    """Two digits as POSIX reads them: 69 to 99 are of the last century."""
    year = int(digits)
    return year if len(digits) == 4 else year + (1900 if year >= 69 else 2000)


def _monday(year: int, week: int, day: int) -> float:
    """A day of a week of ISO 8601, its Monday if none is given."""
    try:
        return float(datetime.date.fromisocalendar(year, week, day).toordinal() - _FIRST_DAY)
    except ValueError:
        return np.nan


def _day(year: int, month: int, day: int, time: "re.Match[str] | None" = None) -> float:
    try:
        days = datetime.date(year, month, day).toordinal() - _FIRST_DAY
    except ValueError:
        return np.nan
    if time is None or time["hour"] is None:
        return float(days)
    within = _clock(time)
    if within is None:
        return np.nan
    east = _minutes_east(time["zone"] or "Z", days, within)
    return np.nan if east is None else (days * _DAY + within - east * 60_000_000) / _DAY


def _minutes_east(zone: str, days: int, within: int) -> float | None:
    """Of Greenwich, at a time of a day; None for a zone that is not known."""
    if zone[0] in "+-":
        digits = zone.partition("[")[0]
        minutes = 60 * int(digits[1:3]) + int(digits[3:].lstrip(":") or 0)
        return -minutes if zone[0] == "-" else minutes
    if "/" not in zone:
        return _ZONES.get(zone)
    try:
        place = zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
    midnight = datetime.datetime.fromordinal(days + _FIRST_DAY)
    offset = (midnight + datetime.timedelta(microseconds=within)).replace(tzinfo=place).utcoffset()
    return None if offset is None else offset / datetime.timedelta(minutes=1)


def _clock(found: "re.Match[str]") -> int | None:
    """Microseconds of the day."""
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    half = found["half"] if "half" in found.re.groupindex else None
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    if hour > 23 or minute > 59 or second > 60:
        return None
    part = int((found["part"] or "0")[:6].ljust(6, "0"))
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + part


def of_object(value: object) -> tuple[str, float] | None:
    """Unit and number of a date, time or span of Python's."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        since = value - datetime.datetime(1970, 1, 1)
        return "days since 1970", _micro(since) / _DAY
    if isinstance(value, datetime.date):
        return "days since 1970", float(value.toordinal() - _FIRST_DAY)
    if isinstance(value, datetime.time):
        span = datetime.timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second,
            microseconds=value.microsecond,
        )  # fmt: skip
        return "hours of the day", _micro(span) / 3.6e9
    if isinstance(value, datetime.timedelta):
        return "days", _micro(value) / _DAY
    return None


def _micro(span: datetime.timedelta) -> int:
    return span // datetime.timedelta(microseconds=1)
