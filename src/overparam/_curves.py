"""Long curves made shorter, and the numbers that statements and figures both tell of them."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

# A measurement of the largest eigenvalue has settled if its residual is below this part of it.
SETTLED = 0.5
# Part of the sensitivity that a count of inputs is of.
MOST = 0.9


def extremes(values: Sequence[float | None], limit: int) -> list[int]:
    """Places of at most `limit` values, among them the lowest and the highest of every stretch.

    A spike that is not drawn is a spike that is not believed, and neither may it bias the rest.
    What was not measured (`None`, NaN) is kept where a stretch holds nothing else.

    Example:
        >>> extremes([1.0, 1.1, 1.0, 1.2, 9.0, 1.0, 1.1, 1.2, 1.0], limit=6)
        [0, 1, 4, 5, 7, 8]
    """
    size = len(values)
    if size <= limit:
        return list(range(size))
    stretch = math.ceil(2 * size / limit)
    kept: set[int] = set()
    for start in range(0, size, stretch):
        numbers = {
            i: value
            for i in range(start, min(start + stretch, size))
            if (value := values[i]) is not None and not math.isnan(value)
        }
        value_of = numbers.__getitem__
        kept |= {min(numbers, key=value_of), max(numbers, key=value_of)} if numbers else {start}
    return sorted(kept)


def stretch_means(values: Sequence[float], parts: int) -> list[float]:
    """Means of `parts` equal stretches of a curve.

    Example:
        >>> stretch_means([1.0, 3.0, 5.0, 7.0], 2)
        [2.0, 6.0]
    """
    parts = min(parts, len(values))
    edges = [round(i * len(values) / parts) for i in range(parts + 1)] if parts else [0]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges) if b > a]


def level_at_end(values: Sequence[float]) -> tuple[float, int]:
    """Where a curve that is to fall and was measured now and then ended.

    That is its last value; if it is above the median of the last few, which one alone may be by
    chance, that median.

    Returns:
        The value, and the median of how many it is: of a quarter of all, five at most.

    Example:
        >>> level_at_end([9.0, 5.0, 1.0]), level_at_end([9.0] * 9 + [1.0, 2.0, 4.0])
        ((1.0, 1), (2.0, 3))
    """
    count = min(max(len(values) // 4, 1), 5)
    middle = median(values[-count:])
    return (values[-1], 1) if values[-1] <= middle else (middle, count)


def middle_and_high(values: Sequence[float]) -> tuple[float, float]:
    """The median, and where the highest tenth begins.

    Example:
        >>> middle_and_high([1.0, 4.0, 2.0])
        (2.0, 4.0)
    """
    order = sorted(values)
    return median(order), order[min(int(0.9 * len(order)), len(order) - 1)]


def course(values: Sequence[float]) -> tuple[float, float] | None:
    """Medians of the first and the last third, where a median of all would hide that it moved.

    That is where they differ by a factor of two, and the third between them lies between.

    Example:
        >>> course([0.01, 0.01, 0.05, 0.1, 0.4, 0.5]), course([1.0, 4.0, 2.0, 1.0, 5.0, 1.5])
        ((0.01, 0.45), None)
    """
    third = len(values) // 3
    if third < 2:
        return None
    first, between, last = (
        median(values[:third]), median(values[third : len(values) - third]), median(values[-third:])
    )  # fmt: skip
    low, high = sorted((first, last))
    return (first, last) if low <= between <= high and high > 2 * low else None


def fewest(shares: Sequence[float], part: float = MOST) -> int:
    """How many of the largest shares hold a part of their sum.

    Example:
        >>> fewest([0.1, 0.5, 0.4])
        2
    """
    whole, held, count = math.fsum(shares), 0.0, 0
    for share in sorted(shares, reverse=True):
        if held >= part * whole * (1 - 1e-12):
            break
        held, count = held + share, count + 1
    return count
