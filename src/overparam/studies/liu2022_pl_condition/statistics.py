"""What is read off the cells of certificates and descents: extremes, errors and crossings."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd

from overparam.claims.statistics import seed_means, select

Statistic = Callable[[pd.DataFrame], float]


def largest(column: str) -> Statistic:
    """The largest value over cells; NaN if one is."""
    return lambda rows: float(np.max(rows[column].to_numpy(float)))


def smallest(column: str) -> Statistic:
    """The smallest value over cells; NaN if one is."""
    return lambda rows: float(np.min(rows[column].to_numpy(float)))


def at_width(width: int, statistic: Statistic) -> Statistic:
    """A statistic of the cells at one width; NaN if a size leaves it out."""

    def chosen(rows: pd.DataFrame) -> float:
        found = select(rows, {"at": width})
        return statistic(found) if len(found) else math.nan

    return chosen


def constants_error(rows: pd.DataFrame) -> float:
    """Largest relative error of what a certificate rests on; NaN if there is none."""
    found = select(rows, {"certified": 1})
    columns = ["radius_over", "sigma_over", "top_sigma_over", "smoothness_over", "margin_over"]
    return farthest_from_1(*columns)(found) if len(found) else math.nan


def farthest_from_1(*columns: str) -> Statistic:
    """The largest distance from 1 of any value in some columns; NaN if one is."""
    return lambda rows: float(np.max(np.abs(np.asarray(rows[[*columns]], dtype=float) - 1)))


def certified_from(rows: pd.DataFrame, kind: str) -> float:
    """Width at which the mean margin crosses 1, between two widths that were tried."""
    means = seed_means(select(rows, {"kind": kind}), "at", "margin")
    for (low, before), (high, after) in pairwise(means.items()):
        if before < 1 <= after:
            share = math.log(1 / before) / math.log(after / before)
            return low * (high / low) ** share
    return math.nan


def most_steps(rows: pd.DataFrame) -> float:
    """Steps over those allowed, the most of the draws that start from ten times ε or more.

    Infinite if these are fewer than half, or one is not seen to come down.
    """
    there = rows["steps_over_bound"].to_numpy(float)[_start_far(rows)]
    if 2 * len(there) < len(rows):
        return math.inf
    return math.inf if np.isnan(there).any() else float(there.max())


def starts_far(rows: pd.DataFrame) -> int:
    """How many draws start from ten times ε or more, which `most_steps` is of."""
    return int(_start_far(rows).sum())


def _start_far(rows: pd.DataFrame) -> np.ndarray:
    return rows["start_over_epsilon"].to_numpy(float) >= 10
