"""Spans of time as people write them, in days: 27:10:05, 12:34.5, 5 h 20 min, PT5H20M."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

_CLOCK = re.compile(
    r"(?:(?P<days>-?\d+) days?,? ?\+?)?(?P<hour>\d{1,4}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2}(?:[.,]\d{1,9})?))?"
)
_DAYS = re.compile(r"(?P<days>-?\d+) days?")
# A fraction can only be one of seconds.
_LAP = re.compile(r"(?P<minute>\d{1,3}):(?P<second>\d{2}[.,]\d{1,9})")
_WORDS = re.compile(
    r"(?:(?P<days>\d+) ?(?:d|days?|Tage?|jours?))?,? ?"
    r"(?:(?P<hour>\d+) ?(?:h|hrs?|hours?|Std\.?|Stunden?|heures?))?,? ?"
    r"(?:(?P<minute>\d+) ?(?:m|mins?|minutes?|Min\.?|Minuten?))?,? ?"
    r"(?:(?P<second>\d+(?:[.,]\d{1,9})?) ?(?:s|secs?|seconds?|Sek\.?|Sekunden?))?"
)
_ISO = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hour>\d+)H)?(?:(?P<minute>\d+)M)?"
    r"(?:(?P<second>\d+(?:[.,]\d{1,9})?)S)?)?"
)
_PARTS = {"days": 86400, "hour": 3600, "minute": 60, "second": 1}


@dataclass(frozen=True)
class Span:
    """A length of time.

    Attributes:
        days: It.
        unit: "days", or "one unit" of a text such as "20 min", which is a number with a unit
            where all others are of that unit.
    """

    days: float
    unit: Literal["days", "one unit"] = "days"


def read_spans(texts: Sequence[str]) -> np.ndarray:
    """Days of texts that are to be spans, NaN where one is none."""
    found = [read_span(text, clock=True) for text in texts]
    return np.array([np.nan if span is None else span.days for span in found], dtype=np.float64)


def read_span(text: str, *, clock: bool = False) -> Span | None:
    """One span; None if it is none.

    Args:
        text: Stripped.
        clock: Whether what may be a time of the day, such as 1:23, is a span too.

    Example:
        >>> read_span("36:00").days, read_span("PT12H").days, read_span("1 h 12 min").days
        (1.5, 0.5, 0.05)
    """
    if not any(letter.isdecimal() for letter in text[:8]):
        return None
    if found := _CLOCK.fullmatch(text):
        if int(found["minute"]) > 59 or (
            found["days"] is None and int(found["hour"]) < 24 and not clock
        ):
            return None
        return Span(_days(found))
    for pattern in (_DAYS, _LAP, _ISO, _WORDS):
        if found := pattern.fullmatch(text):
            single = pattern is _WORDS and sum(part is not None for part in found.groups()) == 1
            return Span(_days(found), "one unit" if single else "days")
    return None


def _days(found: "re.Match[str]") -> float:
    """Of the parts that are there."""
    parts = found.groupdict()
    seconds = sum(
        size * float(parts[name].replace(",", "."))
        for name, size in _PARTS.items()
        if parts.get(name) is not None
    )
    return seconds / 86400
