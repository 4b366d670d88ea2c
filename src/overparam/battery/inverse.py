"""From wanted energy and power back to process parameters."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from overparam._errors import expect, unknown
from overparam.battery.front import lack, named
from overparam.battery.process import ProcessModel, Structure
from overparam.battery.sampling import sampled_designs
from overparam.battery.surrogate import Surrogate

_STARTS = 1024
# Nearer to what was wanted than this part of it, a design counts as reaching it.
REACHED = 0.01


@dataclass(frozen=True)
class InverseDesign:
    """Process parameters for wanted objectives.

    Attributes:
        parameters: By name.
        structure: What the process model makes of them.
        predicted: Objectives, by name.
        uncertainty: Standard deviations of these, by name; NaN where the surrogate knows none.
        distance: The largest |predicted − wanted| / wanted.
        reached: Whether that is at most 1 %.
    """

    parameters: Mapping[str, float]
    structure: Structure
    predicted: Mapping[str, float]
    uncertainty: Mapping[str, float]
    distance: float

    @property
    def reached(self) -> bool:
        """Whether the wanted is within 1 %; otherwise it is the nearest that can be had."""
        return self.distance <= REACHED


def inverse_design(
    surrogate: Surrogate, process: ProcessModel, wanted: Mapping[str, float], *, seed: int = 0
) -> InverseDesign:
    """The allowed design whose predicted objectives are nearest to the wanted ones.

    Nearest by the sum of squares of (predicted − wanted)/wanted. With fewer objectives than
    parameters many designs are as near; the one found depends on the seed.

    Args:
        surrogate: Fitted.
        process: Whose window is searched.
        wanted: By objective, one or more; positive.
        seed: Of the designs the search begins from.

    Raises:
        ValueError: If an objective is not the surrogate's, or a wanted number not positive.

    Cost:
        About two thousand predictions.
    """
    from scipy.optimize import minimize

    where = "inverse_design(wanted=...)"
    for name, value in wanted.items():
        if name not in surrogate.objectives:
            unknown(where, "an objective", name, surrogate.objectives)
        expect(np.isfinite(value) and value > 0, where, f"a positive {name}", value)
    expect(wanted, where, "an objective at least", "none")
    columns = [list(surrogate.objectives).index(name) for name in wanted]
    aim = np.array(list(wanted.values()), float)

    def distances(x: np.ndarray) -> np.ndarray:
        return ((surrogate.predict(x)[:, columns] / aim - 1) ** 2).sum(1)

    def distance(design: np.ndarray) -> float:
        short = lack(process, design)
        return float(distances(design[None])[0]) if short <= 0 else 1e3 * (1 + short)

    starts = sampled_designs(process, _STARTS, seed)
    start = starts[distances(starts).argmin()]
    found = minimize(
        distance, start, method="Nelder-Mead", bounds=list(process.bounds.values()),
        options={"maxfev": 1000, "xatol": 1e-9, "fatol": 1e-12},
    )  # fmt: skip
    best = found.x if lack(process, found.x) <= 0 else start
    predicted, spread = surrogate.predict(best[None])[0], surrogate.uncertainty(best[None])[0]
    return InverseDesign(
        named(process, best),
        process.structure(named(process, best)),
        dict(zip(surrogate.objectives, map(float, predicted), strict=True)),
        dict(zip(surrogate.objectives, map(float, spread), strict=True)),
        float(np.abs(predicted[columns] / aim - 1).max()),
    )
