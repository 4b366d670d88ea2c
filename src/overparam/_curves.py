"""Long curves made shorter."""

import math
from collections.abc import Sequence
from itertools import pairwise


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
