"""Intervals for new values, from how far predictions of rows not seen were off."""

import math

import numpy as np
from jaxtyping import Float

MOST_KEPT = 4000


def kept_residuals(residuals: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """Residuals in order; of more than 4000, so many quantiles, from the least to the largest."""
    ordered = np.sort(np.asarray(residuals, dtype=np.float64))
    if len(ordered) <= MOST_KEPT:
        return ordered
    return np.quantile(ordered, np.linspace(0, 1, MOST_KEPT))


def offsets(residuals: Float[np.ndarray, "n"], level: float) -> tuple[float, float]:
    """What is added to a prediction, below and above, to cover a new value.

        [r₍ₙ₊₁₋ₖ₎, r₍ₖ₎],     k = ⌈(n + 1)(1 + level)/2⌉

    If residuals of rows that were fitted and of new ones could change places, a new value is
    outside with probability 1 − level at most, half of that on either side. Residuals of a
    cross-validation nearly can: their models had some rows fewer, so intervals are a little wide.
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
