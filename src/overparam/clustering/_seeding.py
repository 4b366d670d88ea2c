"""Where centres begin: k-means++ with any divergence, or rows at random."""

import numpy as np

from overparam.clustering._gemm import Products
from overparam.clustering._geometry import Geometry
from overparam.clustering._rows import Rows, parts


def plus_plus(
    rows: Rows, base: np.ndarray, geometry: Geometry, k: int, draw: np.random.RandomState
) -> np.ndarray:
    """Rows drawn with probability ∝ their divergence from the nearest before, (k, d).

    Of 2 + log k candidates for each, the one that lowers the sum most is taken. Neither the order
    of the rows matters, nor whether a row is there twice or has a weight of 2.

    Cost:
        2 n k d (2 + log k) flops.

    References:
        Arthur, Vassilvitskii (2007), SODA: squared distances. Nock, Luosto, Kivinen (2008),
        ECML: Bregman divergences, for which the guarantee needs bounded second derivatives.
    """
    trials = 2 + int(np.log(k))
    products, weights, order = Products(rows, geometry.reference), rows.weights, in_order(rows)

    def from_rows(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seeds = geometry.seeds(rows.dense(places))
        return seeds, products.divergences(geometry.planes(seeds), base).T

    def drawn(masses: np.ndarray, count: int) -> np.ndarray:
        cumulated = np.cumsum(masses[order])
        places = np.searchsorted(cumulated, draw.uniform(size=count) * cumulated[-1], "right")
        return order[np.minimum(places, len(rows) - 1)]

    seed, found = from_rows(drawn(weights, 1))
    centres, nearest = [seed[0]], found[0]
    for _ in range(1, k):
        seeds, found = from_rows(drawn(weights * nearest, trials))
        np.minimum(found, nearest, out=found)
        potentials = found @ weights
        best = int(potentials.argmin())
        centres.append(seeds[best])
        nearest = found[best]
    return np.stack(centres)


def in_order(rows: Rows) -> np.ndarray:
    """Places of the rows in an order of what they hold, equal ones side by side."""
    direction = np.random.default_rng(0).standard_normal(rows.n_columns)
    along = np.empty(len(rows))
    for part in parts(len(rows), rows.n_columns):
        along[part] = rows.x[part] @ direction
    return np.argsort(along)


def at_random(rows: Rows, geometry: Geometry, k: int, draw: np.random.RandomState) -> np.ndarray:
    """Different rows, drawn with probability ∝ their weight, (k, d)."""
    shares = rows.weights / rows.weights.sum()
    if np.count_nonzero(shares) < k:  # then some are there twice
        return geometry.seeds(rows.dense(draw.choice(len(rows), k, p=shares)))
    return geometry.seeds(rows.dense(draw.choice(len(rows), k, replace=False, p=shares)))
