"""How numbers are told: statements and figures tell the same one in the same words."""

import math
from collections.abc import Sequence

from overparam._curves import course, middle_and_high

# Fewer measurements have no tenth.
_TENTH = 10


def real(value: float, digits: int = 3) -> str:
    """A real number; powers of ten only where zeros would have to be counted.

    Example:
        >>> [real(value) for value in (0.123456, 1.2e-05, 1530.0, 2.0, 2.5e9)]
        ['0.123', '1.2e-5', '1,530', '2', '2.5e9']
    """
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{_trimmed(mantissa)}e{int(exponent)}"
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e" in text else _trimmed(f"{float(text):,}")


def _trimmed(text: str) -> str:
    """A decimal without the zeros at its end."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def part(share: float) -> str:
    """A part of something, in percent; from two on, in times it.

    Example:
        >>> part(0.0326), part(3.09)
        ('3.26 % of', '3.09 times')
    """
    return f"{real(100 * share)} % of" if share < 2 else f"{real(share)} times"


def part_of_limit(ratios: Sequence[float], limit: str) -> str:
    """How much of its stable limit a rate was, measured in this order along a run.

    A median hides a rise or a fall: then the first and the last third are told instead.

    Example:
        >>> part_of_limit([0.1, 0.3, 0.2], "it")
        '0.2 of it in the median, 0.3 at most'
        >>> part_of_limit([0.01, 0.01, 0.05, 0.1, 0.4, 0.5], "its limit")
        '0.01 of its limit in the first third of the run, 0.45 in the last third'
        >>> part_of_limit([0.2, 0.2, 0.2], "it")
        '0.2 of it throughout'
    """
    trend = course(ratios)
    if trend is not None:
        first, last = map(real, trend)
        return f"{first} of {limit} in the first third of the run, {last} in the last third"
    middle, high = map(real, middle_and_high(ratios))
    if len(ratios) == 1:
        return f"{middle} of {limit}"
    if middle == high:
        return f"{middle} of {limit} throughout"
    most = "in the highest tenth" if len(ratios) >= _TENTH else "at most"
    return f"{middle} of {limit} in the median, {high} {most}"


def limits(values: Sequence[float]) -> str:
    """Where a stable limit was along a run, likewise.

    Example:
        >>> limits([2.0, 1.0, 4.0]), limits([2.0]), limits([8.0, 8.0, 4.0, 4.0, 1.0, 1.0])
        ('2 in the median of 3 measurements', '2, measured once', '8 in the first third of 6 \
measurements and 1 in the last third')
    """
    if len(values) == 1:
        return f"{real(values[0])}, measured once"
    trend, count = course(values), f"{len(values):,} measurements"
    if trend is None:
        return f"{real(middle_and_high(values)[0])} in the median of {count}"
    first, last = map(real, trend)
    return f"{first} in the first third of {count} and {last} in the last third"


def digits_of_score(score: float) -> int:
    """How many digits say of a score below 1 that it is below: three, or more where it is near.

    Example:
        >>> [digits_of_score(score) for score in (0.93, 0.9997, 1.0)]
        [3, 4, 3]
    """
    return min(6, max(3, math.ceil(-math.log10(1 - score)))) if 0.9 < score < 1 else 3
