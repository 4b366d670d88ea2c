"""How much surer, or less sure, probabilities should be than they are."""

import math

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import softmax

from overparam._checked import checked

# In rows: how firmly T is held at 1, and how far probabilities are drawn to 1/K.
HELD, DRAWN = 8.0, 2.0
# T lies within e^±3.
WIDEST = 3.0


@checked
def best_exponent(
    probabilities: Float[np.ndarray, "n K"],
    shares: Float[np.ndarray, "n K"],
    weights: Float[np.ndarray, "n"],
) -> float:
    """The T with the smallest log-loss of p^T, normalised, on rows that p was not fitted to.

        min_T  −(1/n) Σᵢ wᵢ Σ_k s_ik log q_ik(T) + (8/n) (log T)²,     q(T) ∝ p^T,  n = Σᵢ wᵢ

    Args:
        probabilities: p > 0.
        shares: s: what came instead, 1 for the class of the row and 0 for the others.
        weights: w ≥ 0.

    Returns:
        T, between 0.05 and 20; above 1 makes surer.

    Cost:
        n K exponentials a step, about ten steps.

    Example:
        Who says 60 % and is always right should be surer, as far as ten rows can tell:

        >>> said = np.tile([[0.6, 0.4]], (10, 1))
        >>> round(best_exponent(said, np.tile([[1.0, 0.0]], (10, 1)), np.ones(10)), 1)
        1.1
    """
    logarithms = np.log(probabilities)
    total = weights.sum()
    reached = weights @ (shares * logarithms).sum(1)

    def slope(u: float) -> float:
        """Derivative by u = log T, times n."""
        power = math.exp(u)
        expected = weights @ (softmax(power * logarithms, axis=1) * logarithms).sum(1)
        return float(power * (expected - reached) + 2 * HELD * u)

    if not total > 0 or slope(-WIDEST) >= 0:
        return math.exp(-WIDEST) if total > 0 else 1.0
    if slope(WIDEST) <= 0:
        return math.exp(WIDEST)
    return math.exp(float(brentq(slope, -WIDEST, WIDEST, xtol=1e-14)))  # pyright: ignore


def drawn_share(total: float) -> float:
    """The share of 1/K in probabilities that rows of such a total weight calibrated: 2/(n + 2)."""
    return DRAWN / (total + DRAWN)
