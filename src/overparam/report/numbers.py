"""Numbers and other values as a person reads them."""

from collections.abc import Mapping
from typing import Any

from overparam._told import real

MISSING = "not measured"


def number(value: Any, digits: int = 4) -> str:
    """A value with at most `digits` significant digits; integers whole, with separators.

    Example:
        >>> [number(value) for value in (1437, 0.123456, 1.2e-05, 50000.0, None, True)]
        ['1,437', '0.1235', '1.2e-5', '50,000', 'not measured', 'yes']
        >>> number([3.14159, 40.2], digits=3), number({"alpha": 0.05})
        ('3.14, 40.2', 'alpha 0.05')
    """
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return real(value, digits)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {number(item, digits)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(number(item, digits) for item in value) or "none"
    return str(value)


def percent(share: float | None) -> str:
    r"""A share of one as a percentage, its sign on the same line.

    Example:
        >>> percent(0.0284), percent(0.5), percent(None)
        ('2.84\xa0%', '50\xa0%', 'not measured')
    """
    return MISSING if share is None else f"{number(100 * share, 3)}\N{NO-BREAK SPACE}%"


def count(amount: int, singular: str, plural: str = "") -> str:
    """An amount with its noun.

    Example:
        >>> count(1, "spike"), count(3, "bad batch", "bad batches")
        ('1 spike', '3 bad batches')
    """
    return f"{amount:,} {singular if amount == 1 else plural or singular + 's'}"


def duration(seconds: float | None) -> str:
    """A length of time in the units a person would use.

    Example:
        >>> duration(4.25), duration(61.2), duration(7380)
        ('4.2 s', '61 s', '2 h 3 min')
    """
    if seconds is None:
        return MISSING
    if seconds < 10:
        return f"{number(float(seconds), 2)} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
