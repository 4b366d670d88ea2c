"""The prediction along the directions to which it responds most."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from overparam.fitting.saved_model import SavedModel

POINTS, ROWS, NAMED = 25, 400, 3
# A weight below this share of the largest is left out of a direction's name.
FAINT = 0.2


@dataclass(frozen=True)
class Dependence:
    """The average prediction as all rows are moved along one direction.

    Attributes:
        name: The direction's largest weights, on standardised columns.
        share: The direction's part of the trace of the AGOP.
        x: Positions, in standard deviations of the columns.
        y: Average prediction at each: the target, or the probability of a class.
    """

    name: str
    share: float
    x: list[float]
    y: list[float]


def dependence(
    model: SavedModel,
    coordinates: Float[np.ndarray, "n d"],
    agop: Float[np.ndarray, "d d"] | Float[np.ndarray, "d"],
    *,
    directions: int = 3,
    followed: int | None = None,
    seed: int = 0,
) -> tuple[list[Dependence], int]:
    """Partial dependence along the leading eigenvectors of an AGOP.

        y(s) = mean_i f(zᵢ + (s − vᵀzᵢ) v),     s from the 5th to the 95th percentile of vᵀz

    For a classification f is the probability of one class: `followed`, or the one that varies most
    along the first direction.

    Args:
        model: The predictor.
        coordinates: Rows, encoded as `model.coordinates` does.
        agop: Average gradient outer product of the predictor, or its diagonal.
        directions: How many.
        followed: The output to follow; `None` is as above.
        seed: Of the 400 rows that are drawn where there are more.

    Returns:
        The dependences, and the output that is followed.

    Cost:
        25 × 400 predictions per direction.
    """
    matrix = np.diag(agop) if agop.ndim == 1 else agop
    values, vectors = np.linalg.eigh(matrix)
    total = values.clip(min=0).sum()
    if not total > 0:
        return [], followed or 0
    order = np.argsort(-values)[:directions]
    rows = np.random.default_rng(seed).permutation(len(coordinates))[:ROWS]
    z = coordinates[rows]
    curves = []
    for index in order:
        v = vectors[:, index]
        v = v * np.sign(v[np.abs(v).argmax()])
        places = coordinates @ v
        low, high = np.quantile(places, [0.05, 0.95])
        grid = np.linspace(low, high, POINTS)
        if grid[-1] > grid[0]:
            curves.append((index, v, grid, _along(model, z, v, grid)))
    if not curves:
        return [], followed or 0
    if followed is None:
        followed = int(np.ptp(curves[0][3], axis=0).argmax())
    found = [
        Dependence(
            _name(v, model.encoding.names),
            float(values[index] / total),
            grid.tolist(),
            means[:, followed].tolist(),
        )
        for index, v, grid, means in curves
    ]
    return found, followed


def _along(model: SavedModel, z: np.ndarray, v: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Average outputs at each place of the grid."""
    places = z @ v
    return np.stack([model.outputs(z + (s - places)[:, None] * v).mean(0) for s in grid])


def _name(v: np.ndarray, names: tuple[str, ...]) -> str:
    """The largest weights in words, such as ``"0.82 alcohol − 0.41 pH"``."""
    order = np.argsort(-np.abs(v))[:NAMED]
    kept = [i for i in order if abs(v[i]) >= FAINT * abs(v[order[0]])]
    words = [f"{'−' if v[i] < 0 else '+'} {abs(v[i]):.2f} {names[i]}" for i in kept]
    return " ".join(words).removeprefix("+ ")
