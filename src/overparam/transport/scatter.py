"""Scatter matrices of classes and of a coupling, and the directions that tell classes apart."""

import numpy as np
from scipy.linalg import eigh


def class_scatter(x: np.ndarray, memberships: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scatter between and within classes, of rows that belong to classes by some weight.

    Args:
        x: Shape ``(n, p)``.
        memberships: Shape ``(n, C)``, ≥ 0; its sum is the weight of all. A class may be empty.

    Returns:
        Between and within, ``(p, p)`` each, divided by that weight; together they are the
        covariance of the rows.
    """
    sizes = memberships.sum(0)
    total = sizes.sum()
    means = memberships.T @ x / np.where(sizes > 0, sizes, 1)[:, None]
    middle = sizes @ means / total
    apart = np.sqrt(sizes)[:, None] * (means - middle)
    # Σ w (x − μ)(x − μ)ᵀ with each row's own class mean, without an array for every class.
    weights = memberships.sum(1)
    centred = x - middle
    whole = (centred * weights[:, None]).T @ centred
    between = apart.T @ apart
    return between / total, (whole - between) / total


def coupling_scatter(x: np.ndarray, y: np.ndarray, coupling: np.ndarray) -> np.ndarray:
    """Σ T_ij (x_i − y_j)(x_i − y_j)ᵀ, shape ``(p, p)``."""
    cross = x.T @ coupling @ y
    return (
        (x * coupling.sum(1)[:, None]).T @ x
        + (y * coupling.sum(0)[:, None]).T @ y
        - cross
        - cross.T
    )


def discriminant_directions(
    between: np.ndarray, within: np.ndarray, n_components: int, shrinkage: float
) -> np.ndarray:
    """Directions w with the largest wᵀ A w / wᵀ B w, where B is `within` shrunk to a sphere.

    B = (1 − γ) within + γ tr(within)/p I, and WᵀBW = I: distances between projections count
    what is within classes as noise of size 1.

    Returns:
        Shape ``(p, n_components)``, the first direction the best.
    """
    p = len(within)
    level = np.trace(within) / p
    if not level > 0:  # rows of a class are all alike: any scale will do
        level = np.trace(between) / p or 1.0
    noise = (1 - shrinkage) * within
    noise[np.diag_indices(p)] += max(shrinkage, 1e-10) * level
    _, vectors = eigh(between, noise, subset_by_index=(p - n_components, p - 1))
    return vectors[:, ::-1]


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """‖x_i − y_j‖², ≥ 0, shape ``(n, m)``."""
    distances = x @ y.T
    distances *= -2
    distances += np.square(x).sum(1)[:, None]
    distances += np.square(y).sum(1)
    return np.maximum(distances, 0, out=distances)
