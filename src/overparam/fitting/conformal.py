"""Intervals for new values, from how far predictions of rows not seen were off."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from overparam.kernels.left_out import left_out_error

MOST_KEPT = 4000


def kept_residuals(residuals: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """Residuals in order; of more than 4000, so many quantiles, from the least to the largest."""
    ordered = np.sort(np.asarray(residuals, dtype=np.float64))
    if len(ordered) <= MOST_KEPT:
        return ordered
    return np.quantile(ordered, np.linspace(0, 1, MOST_KEPT))


def gained(whole: Any, of_folds: Sequence[Any]) -> float:
    """What is left of the residuals of a cross-validation, for a machine fitted to all rows.

        e(all rows) / mean over folds of e(rows of the fold),     at most 1

    with e the leave-one-out error of the coefficients. Where a fifth more rows teach much,
    residuals of the folds make intervals that hold more than they say, 92 to 93 of 100 for 90.

    Args:
        whole: Fitted to all rows, for one target.
        of_folds: The same machine, fitted to each fold.

    Returns:
        1 where there are too many rows for a closed form; they then teach little.
    """
    after, before = left_out_error(whole), [left_out_error(machine) for machine in of_folds]
    known = [error for error in before if error]
    if not after or len(known) < len(before):
        return 1.0
    return min(1.0, after / float(np.mean(known)))


def offsets(residuals: Float[np.ndarray, "n"], level: float) -> tuple[float, float]:
    """What is added to a prediction, below and above, to cover a new value.

        [r₍ₙ₊₁₋ₖ₎, r₍ₖ₎],     k = ⌈(n + 1)(1 + level)/2⌉

    If residuals of rows that were fitted and of new ones could change places, a new value is
    outside with probability 1 − level at most, half of that on either side. Residuals of a
    cross-validation nearly can, but that their models had some rows fewer: see `gained`.
    Leave-one-out residuals in closed form cannot, as the feature matrix has seen every target.

    Args:
        residuals: In order.
        level: Probability.

    Returns:
        Both ends; infinite where there are too few residuals for the level.

    Example:
        >>> offsets(np.arange(-9.0, 10.0), 0.8)
        (-8.0, 8.0)

    References:
        Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World;
        Barber, Candès, Ramdas, Tibshirani (2021), Annals of Statistics 49:486.
    """
    n = len(residuals)
    # A rank such as 18.000000000000004 is 18.
    k = math.ceil((n + 1) * (1 + level) / 2 - 1e-9)
    if k > n:
        return -math.inf, math.inf
    return float(residuals[n - k]), float(residuals[k - 1])
