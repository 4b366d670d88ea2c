"""First couplings of sets in different spaces: Gromov–Wasserstein, by distances within each."""

import warnings
from collections.abc import Iterator

import numpy as np

from overparam._memory import expect_room
from overparam.transport.couplings import TOLERANCE, import_pot, marginal_error
from overparam.transport.scatter import squared_distances

# Above so many rows in a set, as many of each as SOME are matched first: distances within a set are
# n² numbers, and each step of a coupling of them n³.
MANY, SOME, RANK = 3000, 300, 20


def gromov_couplings(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, n_init: int, where: str
) -> Iterator[np.ndarray]:
    """Couplings that keep squared distances, each over its mean, from different starts.

    The problem is not convex and one start may stick. The first is the product of the weights;
    the others match the sets along one principal direction of each, either way round.

    Raises:
        MemoryError: If the distances do not fit.

    Cost: O(n²m + nm²) time for each step of each, n² + m² + nm numbers.
    """
    ot = import_pot(where)
    n, m = len(x), len(y)
    room = 8.0 * (2 * n * n + 2 * m * m + 4 * n * m)
    expect_room(room, None, where, "pass init='lowrank' or fewer rows.", "distances within sets")
    inner = []
    for points, weights in ((x, a), (y, b)):
        distances = squared_distances(points, points)
        np.fill_diagonal(distances, 0)
        inner.append(distances / (weights @ distances @ weights))
    for start in _starts(x, y, a, b, n_init):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plan = ot.gromov.gromov_wasserstein(
                *inner, a, b, "square_loss", symmetric=True, G0=start, max_iter=1000
            )
        plan = np.asarray(plan, dtype=np.float64)
        # POT has returned plans without mass for tiny sets: the start is a coupling at least.
        yield plan if marginal_error(plan, a, b) < TOLERANCE else start


def _starts(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, n_init: int
) -> Iterator[np.ndarray]:
    yield np.outer(a, b)
    along = [points @ _directions(points, weights) for points, weights in ((x, a), (y, b))]
    pairs = min(part.shape[1] for part in along)
    for i in range(n_init - 1):
        axis, sign = (i // 2) % pairs, 1 - 2 * (i % 2)
        yield matched_along(along[0][:, axis], sign * along[1][:, axis], a, b)


def _directions(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Principal directions, the widest first."""
    return np.linalg.svd(points * np.sqrt(weights)[:, None], full_matrices=False)[2].T


def matched_along(u: np.ndarray, v: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Optimal coupling of numbers: both sorted, mass poured from one to the other in order."""
    rows, columns = np.argsort(u, kind="stable"), np.argsort(v, kind="stable")
    left, right = np.cumsum(a[rows]), np.cumsum(b[columns])
    ends = np.unique(np.concatenate([left, right, [0.0]]).clip(0, 1))
    middles, masses = (ends[1:] + ends[:-1]) / 2, np.diff(ends)
    i = rows[np.searchsorted(left, middles).clip(0, len(a) - 1)]
    j = columns[np.searchsorted(right, middles).clip(0, len(b) - 1)]
    plan = np.zeros((len(a), len(b)))
    np.add.at(plan, (i, j), masses)
    return plan


def low_rank_covariance(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, seed: int, where: str
) -> np.ndarray:
    """XᵀTY, shape ``(p, q)``, for a coupling T of low rank that is never formed.

    Cost: O((n + m) r (p + q)) for each step, r = 20.
    """
    ot = import_pot(where)
    scales = [np.sqrt(weights @ np.square(part).sum(1)) for part, weights in ((x, a), (y, b))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        left, right, middle = ot.gromov.lowrank_gromov_wasserstein_samples(
            x / scales[0], y / scales[1], a, b, rank=min(RANK, len(x), len(y)), seed_init=seed,
            warn=False,
        )  # fmt: skip
    return (x.T @ left / middle) @ (right.T @ y)
