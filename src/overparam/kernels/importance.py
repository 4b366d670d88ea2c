"""How sure an average over points is, by drawing the points again."""

import numpy as np
from jaxtyping import Float

from overparam._checked import checked


@checked
def bootstrap_interval(
    values: Float[np.ndarray, "n d"],
    *,
    level: float = 0.9,
    n_resamples: int = 1000,
    seed: int = 0,
    weights: Float[np.ndarray, "n"] | None = None,
) -> Float[np.ndarray, "2 d"]:
    """Percentile interval of the shares of d columns in a weighted mean over n points.

        share_a = Σᵢ wᵢ values[i, a] / Σᵢ Σ_b wᵢ values[i, b]

    Args:
        values: One row a point, ≥ 0.
        level: Probability of the interval.
        n_resamples: Draws of n points with replacement.
        seed: Of the draws.
        weights: w ≥ 0, one a point.

    Returns:
        Lower and upper ends, one row each.

    Cost:
        2 n d flops a resample, in blocks.

    Example:
        >>> bootstrap_interval(np.array([[1.0, 3.0], [1.0, 3.0]])).tolist()
        [[0.25, 0.75], [0.25, 0.75]]
    """
    draw = np.random.default_rng(seed)
    weights = np.ones(len(values)) if weights is None else weights
    weighted = values * weights[:, None]
    n = len(values)
    shares = []
    for start in range(0, n_resamples, 100):
        counts = draw.multinomial(n, np.full(n, 1 / n), size=min(100, n_resamples - start))
        sums = counts @ weighted
        totals = sums.sum(1, keepdims=True)
        shares.append(np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0))
    edges = ((1 - level) / 2, (1 + level) / 2)
    return np.quantile(np.concatenate(shares), edges, axis=0)
