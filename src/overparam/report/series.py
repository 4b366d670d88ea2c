"""A quantity measured along a run, and the few things a drawing needs of it."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from overparam._curves import extremes


@dataclass(frozen=True)
class Series:
    """Values by optimizer step, in ascending order of the step; `None` where not measured."""

    steps: Sequence[float]
    values: Sequence[float | None]

    @cached_property
    def measured(self) -> list[tuple[float, float]]:
        """The pairs (step, value) that hold a number; never empty, see `read_series`."""
        return [(s, v) for s, v in zip(self.steps, self.values, strict=True) if v is not None]

    @property
    def first(self) -> float:
        """The earliest value."""
        return self.measured[0][1]

    @property
    def last(self) -> float:
        """The latest value."""
        return self.measured[-1][1]

    @property
    def lowest(self) -> float:
        """The smallest value."""
        return min(value for _, value in self.measured)

    @property
    def highest(self) -> float:
        """The largest value."""
        return max(value for _, value in self.measured)

    def at(self, step: float) -> float | None:
        """The latest value at or before a step, which is how a setting holds until changed."""
        index = bisect_right(self.measured, step, key=lambda pair: pair[0])
        return self.measured[index - 1][1] if index else None


def read_series(document: Mapping, name: str) -> Series | None:
    """A document's series of that name, or `None` if nothing was measured under it."""
    entry = document["series"].get(name)
    return _series(entry) if isinstance(entry, Mapping) else None


def read_traces(document: Mapping, name: str, value: str) -> list[Series]:
    """The column `value` of each of several runs that a document keeps under one name."""
    entries = document["series"].get(name)
    entries = entries if isinstance(entries, list) else []
    found = [_series({"step": e.get("step"), "value": e.get(value)}) for e in entries]
    return [series for series in found if series is not None]


def _series(entry: Mapping) -> Series | None:
    """The pairs of an entry in order of their step, unless none of them holds a number."""
    pairs = zip(entry.get("step") or [], entry.get("value") or [], strict=False)
    pairs = sorted((pair for pair in pairs if pair[0] is not None), key=lambda pair: pair[0])
    if all(value is None for _, value in pairs):
        return None
    return Series([step for step, _ in pairs], [value for _, value in pairs])


def ratio(numerator: Series, denominator: Series) -> Series | None:
    """One series over another, at the steps where both were measured."""
    below = {step: value for step, value in denominator.measured if value > 0}
    pairs = [(s, v / below[s]) for s, v in numerator.measured if s in below]
    pairs = [pair for pair in pairs if math.isfinite(pair[1])]
    return Series([s for s, _ in pairs], [v for _, v in pairs]) if pairs else None


def smoothed(series: Series, window: int) -> Series:
    """The median of the `window` measured values around each, fewer at the ends.

    Unlike an average it neither lags behind a trend nor is drawn up by a spike.

    Example:
        >>> smoothed(Series([0, 1, 2, 3], [1.0, 9.0, None, 2.0]), window=3)
        Series(steps=[0, 1, 3], values=[5.0, 2.0, 5.5])
    """
    steps = [step for step, _ in series.measured]
    values = [value for _, value in series.measured]
    half = window // 2
    middle = [median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]
    return Series(steps, middle)


def thinned(series: Series, limit: int = 1000) -> Series:
    """At most `limit` points that keep the lowest and the highest of every stretch.

    By default as many as there are columns of pixels: a page is at most 1184 wide.

    Example:
        >>> spike = Series(list(range(9)), [1.0, 1.1, 1.0, 1.2, 9.0, 1.0, 1.1, 1.2, 1.0])
        >>> thinned(spike, limit=6).values
        [1.0, 1.1, 9.0, 1.0, 1.2, 1.0]
    """
    if len(series.steps) <= limit:
        return series
    kept = extremes(series.values, limit)
    return Series([series.steps[i] for i in kept], [series.values[i] for i in kept])


def histogram(values: list[float], bins: int) -> tuple[list[float], list[int]]:
    """Bins + 1 equally spaced edges over the range of the values, and the count in each bin.

    Example:
        >>> histogram([0.0, 0.1, 1.0], bins=2)
        ([0.0, 0.5, 1.0], [2, 1])
    """
    low, high = min(values), max(values)
    # Below that, edges would coincide by rounding.
    if high - low <= max(1e-12 * max(abs(low), abs(high)), 1e-300):
        half = abs(low) / 2 or 0.5
        low, high = low - half, high + half
    width = (high - low) / bins
    counts = [0] * bins
    for value in values:
        counts[min(int((value - low) / width), bins - 1)] += 1
    return [low + i * width for i in range(bins + 1)], counts
