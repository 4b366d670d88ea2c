"""What each process parameter does to each objective, as the surrogate has it."""

from typing import Any

import numpy as np
from jaxtyping import Float

from overparam.battery.front import lack
from overparam.battery.process import ProcessModel
from overparam.battery.surrogate import Surrogate

_PLACES = 25
# Where fewer than this part of the designs moved to a place are possible, nothing is told.
_FEWEST = 0.5


def effects(
    surrogate: Surrogate, process: ProcessModel, designs: Float[np.ndarray, "n d"]
) -> dict[str, Any]:
    """Importances by average gradient outer product beside partial dependence, as plain data.

    Args:
        surrogate: Fitted.
        process: Whose parameters they are.
        designs: Over which is averaged.

    Returns:
        ``{"importance": {objective: {"names", "values", "share"}}, "dependence": [{"parameter",
        "x", "y": {objective: […]}}]}``. An importance's `values` are the whole matrix, its
        `share` the diagonal over its sum. A dependence is the mean over the same designs
        throughout, those that are possible at every place told, or it would mix the effect of the
        parameter with that of losing designs; NaN where fewer than half are possible.

    Cost:
        A few thousand predictions.
    """
    names = list(process.bounds)
    importance = {}
    for objective, matrix in zip(surrogate.objectives, surrogate.agop(designs), strict=True):
        diagonal = np.diag(matrix)
        share = diagonal / diagonal.sum() if diagonal.sum() > 0 else np.full(len(names), np.nan)
        importance[objective] = {"names": names, "values": matrix, "share": share}
    dependence = [
        _dependence(surrogate, process, designs, index, name) for index, name in enumerate(names)
    ]
    return {"importance": importance, "dependence": dependence}


def _dependence(
    surrogate: Surrogate, process: ProcessModel, designs: np.ndarray, index: int, name: str
) -> dict[str, Any]:
    """The average prediction with one parameter moved across its window."""
    places = np.linspace(*process.bounds[name], _PLACES)
    moved = np.repeat(designs[None], _PLACES, 0)
    moved[:, :, index] = places[:, None]
    possible = np.array([[lack(process, design) <= 0 for design in row] for row in moved])
    told = possible.mean(1) >= _FEWEST
    same = possible[told].all(0) if told.any() else np.zeros(len(designs), bool)
    curves = np.full((_PLACES, len(surrogate.objectives)), np.nan)
    if same.any():
        curves[told] = [surrogate.predict(row[same]).mean(0) for row in moved[told]]
    y = dict(zip(surrogate.objectives, curves.T, strict=True))
    return {"parameter": name, "x": places, "y": y}
