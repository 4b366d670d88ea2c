"""Best centres on a line, by moments in closed form: no sampling, no grid."""

from typing import Any

import numpy as np

from overparam.clustering.divergence import BregmanDivergence
from overparam.clustering.named import named_divergence
from overparam.clustering.quantization import asymptotic_center_density, quantization_constant

LOW, HIGH = 0.05, 1.0
RELAXED, PLAIN_EVERY = 1.9, 7  # over-relaxation of most steps; a plain one every so often
STEPS, SETTLED = 200_000, 1e-8
NODES = np.polynomial.legendre.leggauss(20)


def divergence_of(phi: str) -> BregmanDivergence:
    """By the names of the cells."""
    return named_divergence(("power", 3.0) if phi == "power 3" else phi)


def slopes_of(density: str) -> tuple[float, float]:
    """f(x) = a + b x of the density on [0.05, 1]."""
    width = HIGH - LOW
    return (1 / width, 0.0) if density == "uniform" else (-2 * LOW / width**2, 2 / width**2)


def best_on_a_line(density: str, phi: str, k: int) -> dict[str, Any]:
    """Error of the best k centres over its limit, and how far they are from the two laws."""
    a, b = slopes_of(density)
    divergence = divergence_of(phi)

    def f(x: np.ndarray) -> np.ndarray:
        return np.maximum(a + b * x[:, 0], 0.0)

    centres, steps, moved = settled(divergence, phi, a, b, quantiles(density, k))
    bounds = [(LOW, HIGH)]
    constant = quantization_constant(f, divergence, bounds=bounds)
    law = asymptotic_center_density(f, divergence, bounds=bounds)
    without = asymptotic_center_density(f, "euclidean", bounds=bounds)
    error = inertia(divergence, phi, a, b, centres)
    return {
        "ratio": k**2 * error / constant,
        "error": error,
        "distance": mid_rank_distance(centres, law),
        "distance_without": mid_rank_distance(centres, without),
        "centres": centres.tolist(),
        "steps": steps,
        "moved": moved,
    }


def quantiles(density: str, k: int) -> np.ndarray:
    """Mid-rank quantiles of the density itself: where the iteration starts."""
    ranks = (np.arange(k) + 0.5) / k
    return LOW + (HIGH - LOW) * (ranks if density == "uniform" else np.sqrt(ranks))


def settled(
    divergence: BregmanDivergence, phi: str, a: float, b: float, centres: np.ndarray
) -> tuple[np.ndarray, int, float]:
    """Centres that are the means of their cells, the steps it took, and the last step's length."""
    moved, step = np.inf, 0
    for step in range(1, STEPS + 1):
        edges = borders(divergence, centres)
        squares = edges * edges
        mass = rises(a * edges + b / 2 * squares)
        means = rises(a / 2 * squares + b / 3 * squares * edges) / mass
        if step % PLAIN_EVERY:
            centres = centres + RELAXED * (means - centres)
            continue
        moved = float(np.abs(means - centres).max())
        centres = means
        if moved < SETTLED:
            break
    return centres, step, moved


def borders(divergence: BregmanDivergence, centres: np.ndarray) -> np.ndarray:
    """Ends of the cells: where the tangents at two neighbours meet."""
    slopes = divergence.grad(centres[:, None])[:, 0]
    dual = centres * slopes - divergence.phi(centres[:, None])[:, 0]
    return np.concatenate([[LOW], rises(dual) / rises(slopes), [HIGH]])


def rises(values: np.ndarray) -> np.ndarray:
    """`np.diff` without what it asks first, which of so few numbers takes most of its time."""
    return values[1:] - values[:-1]


def inertia(
    divergence: BregmanDivergence, phi: str, a: float, b: float, centres: np.ndarray
) -> float:
    """∫ min_j D(x, c_j) f(x) dx = ∫ φ f − Σ_j ∫ of the tangent at c_j over its cell."""
    edges = borders(divergence, centres)
    mass = np.diff(a * edges + b * edges**2 / 2)
    first = np.diff(a * edges**2 / 2 + b * edges**3 / 3)
    slopes = divergence.grad(centres[:, None])[:, 0]
    values = divergence.phi(centres[:, None])[:, 0]
    above = np.diff([a * flat + b * rising for flat, rising in map(moments[phi], edges)])
    return float((above - values * mass - slopes * (first - centres * mass)).sum())


# Antiderivatives of φ(x) and of x φ(x).
moments = {
    "euclidean": lambda x: (x**3 / 3, x**4 / 4),
    "power 3": lambda x: (x**4 / 4, x**5 / 5),
    "itakura_saito": lambda x: (x - x * np.log(x), x**2 / 4 - x**2 / 2 * np.log(x)),
    "kl": lambda x: (
        x**2 / 2 * np.log(x) - 3 * x**2 / 4,
        x**3 / 3 * np.log(x) - 4 * x**3 / 9,
    ),
}


def mid_rank_distance(centres: np.ndarray, law: Any) -> float:
    """Largest difference of the law's distribution function at the centres to (j − 1/2)/k."""
    ends = np.concatenate([[LOW], centres])
    half = np.diff(ends)[:, None] / 2
    nodes = ends[:-1, None] + half * (1 + NODES[0])
    masses = (law(nodes.reshape(-1, 1)).reshape(nodes.shape) * NODES[1] * half).sum(1)
    ranks = (np.arange(len(centres)) + 0.5) / len(centres)
    return float(np.abs(np.cumsum(masses) - ranks).max())


def placed_by_law(r: int, hessian: bool, k: int = 200, low: float = 0.1) -> dict[str, Any]:
    """Error of order r of centres at the quantiles of the law, over its limit.

    Itakura–Saito, uniform on [0.1, 1]; without the Hessian the law is the uniform one itself.
    """
    divergence = named_divergence("itakura_saito")

    def f(x: np.ndarray) -> np.ndarray:
        return np.full(len(x), 1 / (HIGH - low))

    bounds = [(low, HIGH)]
    law = asymptotic_center_density(f, divergence if hessian else "euclidean", bounds=bounds, r=r)
    grid = np.linspace(low, HIGH, 20_001)
    middles = (grid[1:] + grid[:-1]) / 2
    below = np.concatenate([[0.0], np.cumsum(law(middles[:, None]) * np.diff(grid))])
    centres = np.interp((np.arange(k) + 0.5) / k, below / below[-1], grid)
    edges = borders(divergence, centres)
    edges[0] = low
    error = 0.0
    for start, end in ((edges[:-1], centres), (centres, edges[1:])):
        half = (end - start)[:, None] / 2
        nodes = start[:, None] + half * (1 + NODES[0])
        there = np.repeat(centres, nodes.shape[1])[:, None]
        apart = divergence(nodes.reshape(-1, 1), there).reshape(nodes.shape)
        error += float((apart ** (r / 2) * NODES[1] * half).sum()) / (HIGH - low)
    constant = quantization_constant(f, divergence, bounds=bounds, r=r)
    return {"ratio": k**r * error / constant, "error": error}
