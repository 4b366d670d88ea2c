"""Whether a column's values are like those it was learned from."""

import numpy as np
from scipy.special import chdtrc

from overparam.tables.column import Column, Profile

_PARTS = 10
# Outside by more than a quarter of the range: what lies nearer is common among new rows.
_MARGIN = 0.25
# Shares that differ by this much in all, and by more than chance once in a million columns.
_MATERIAL, _CHANCE = 0.25, 1e-6
_FEWEST = 20


def profile(values: np.ndarray, levels: int = 0) -> Profile:
    """Of numbers, or of positions among so many levels; NaN and negative positions are missing."""
    known = values[~np.isnan(values)] if not levels else values[values >= 0]
    missing = 1 - len(known) / max(len(values), 1)
    if levels:
        shares = np.bincount(known.astype(int), minlength=levels) / max(len(known), 1)
        return Profile(len(values), missing, shares=tuple(shares.tolist()))
    if not len(known):
        return Profile(len(values), missing)
    quantiles = np.quantile(known, np.arange(1, _PARTS) / _PARTS, method="inverted_cdf")
    edges = np.unique(quantiles)
    return Profile(
        len(values), missing, float(known.min()), float(known.max()), tuple(edges.tolist()),
        tuple((_counts(known, edges) / len(known)).tolist()),
    )  # fmt: skip


def told(column: Column, values: np.ndarray) -> list[str]:
    """What sets values apart from those that the column was learned from, in words.

    Args:
        column: With its profile; one of 0 rows knows nothing to compare with.
        values: Numbers with NaN, or positions of levels with -1 for any other.
    """
    before = column.profile
    if not before.rows or not len(values):
        return []
    known = values[~np.isnan(values)] if column.is_number else values[values >= 0]
    found = []
    gone = len(values) - len(known)
    if column.is_number:
        if gone and not before.missing:
            found.append(f"{gone} of {len(values)} missing, and none when it was fitted")
        found += _outside(column, known, len(values))
    return found or _shifted(column, known)


def _outside(column: Column, known: np.ndarray, rows: int) -> list[str]:
    before = column.profile
    margin = _MARGIN * (before.high - before.low)
    out = known[(known < before.low - margin) | (known > before.high + margin)]
    if not len(out):
        return []
    far = out[np.argmax(np.abs(out - (before.low + before.high) / 2))]
    return [
        f"{len(out)} of {rows} outside the range it was fitted to, {shown(column, before.low)} to "
        f"{shown(column, before.high)}, such as {shown(column, float(far))}"
    ]


def _shifted(column: Column, known: np.ndarray) -> list[str]:
    """Shares of parts or levels that are others by more than chance."""
    before, m = column.profile, len(known)
    n = before.rows * (1 - before.missing)
    if m < _FEWEST or n < _FEWEST or not before.shares:
        return []
    if column.is_number:
        counts = _counts(known, np.array(before.edges))
    else:
        counts = np.bincount(known.astype(int), minlength=len(before.shares))
    # Half a row more in each part, so that one nobody was in is no proof.
    was = (np.array(before.shares) * n + 0.5) / (n + 0.5 * len(counts))
    distance = 0.5 * float(np.abs(counts / m - np.array(before.shares)).sum())
    statistic = float((m * (counts / m - was) ** 2 / (was * (1 + m / n))).sum())
    if distance < _MATERIAL or chdtrc(max(len(counts) - 1, 1), statistic) > _CHANCE:
        return []
    if column.is_number:
        middle = float(np.median(known))
        low, high = _quartiles(before)
        return [
            f"distributed otherwise than when it was fitted: median {shown(column, middle)}, then "
            f"the middle half lay within {shown(column, low)} to {shown(column, high)}"
        ]
    place = int(np.argmax(counts / m - np.array(before.shares)))
    return [
        f"distributed otherwise than when it was fitted: {column.levels[place]!r} in "
        f"{counts[place] / m:.0%} of the rows, then in {before.shares[place]:.0%}"
    ]


def _counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Of values up to each edge and above the one before; the last part has no end."""
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)


def _quartiles(before: Profile) -> tuple[float, float]:
    share = np.cumsum(before.shares[:-1])
    edges = [before.low, *before.edges]
    low = edges[int(np.searchsorted(share, 0.25))]
    place = int(np.searchsorted(share, 0.75))
    return low, before.edges[place] if place < len(before.edges) else before.high


def shown(column: Column, value: float) -> str:
    """A number of a column as one would write it."""
    if column.kind == "date":
        try:
            if column.unit == "hours of the day":
                minutes = round(60 * value)
                return f"{minutes // 60:02}:{minutes % 60:02}"
            return str(np.datetime64(round(value), "D"))
        except (ValueError, OverflowError):
            return f"{value:.6g}"
    unit = column.unit if column.kind == "number" else ""
    return f"{value:.6g}" + (f" {unit}" if unit else "")
