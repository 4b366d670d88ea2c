"""Where to look for a rate: by the size of the first updates."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from overparam.diagnosis.race.entrant import Entrant
from overparam.diagnosis.race.recipe import Recipe

# Movement per step, over the norm of the parameters, at either end of the bracket: there the
# best rate lay on 19 of 20 tasks of all kinds; a race goes on beyond an end where that wins.
_SMALLEST, _LARGEST = 1e-4, 1e-1
# A movement below this drowns in the rounding of single precision.
_SEEN = 3e-5
_TIMED = 5


@dataclass(frozen=True)
class Bracket:
    """The rates that a race begins with.

    Attributes:
        rates: Ascending, powers of two, a factor 4 apart; empty if no rate moved the parameters.
        update_size: ‖Δθ‖ / ‖θ‖ of a step at the start, per unit of rate.
        step_seconds: The median of a few steps.
        loss: Of the first batch, before training; `nan` where that was not finite.
    """

    rates: tuple[float, ...]
    update_size: float
    step_seconds: float
    loss: float = math.nan


def bracket(
    recipe: Recipe, *, order: int = 0, clock: Callable[[], float] = time.perf_counter
) -> Bracket:
    """Rates whose first updates move the parameters by 1e-4 to 1e-1 of their norm.

    Powers of two, so that rounding, which differs between machines, does not show in them.

    Cost:
        Two steps for each power of 8 from 1e-5 on until a movement can be measured, mostly
        once or twice, and five steps for the time.
    """
    constant = replace(recipe, schedule=None)
    start = _values(constant)
    norm = float(start.norm()) or 1.0
    rate, size, seconds, loss = 1e-5, 0.0, math.nan, math.nan
    for _ in range(16):
        entrant = Entrant(constant, rate, order=order, horizon=2)
        entrant.advance(2)
        loss = entrant.losses[0]
        moved = float((_values(entrant) - start).norm()) / norm / 2
        if entrant.lost or not math.isfinite(moved):
            rate /= 1e4
            continue
        size = moved / rate
        if moved >= _SEEN:
            seconds = _step_seconds(entrant, clock)
            break
        rate *= 8
    if size == 0 or not math.isfinite(size):
        return Bracket((), 0.0, seconds, loss)
    low = math.ceil(math.log2(_SMALLEST / size))
    high = math.floor(math.log2(_LARGEST / size))
    return Bracket(tuple(2.0**k for k in range(low, high + 2, 2)), size, seconds, loss)


def _values(of: Recipe | Entrant) -> Tensor:
    """All that is trained, as one vector in double precision."""
    groups = of.optimizer.param_groups
    parts = [p.detach().double().flatten() for group in groups for p in group["params"]]
    return torch.cat([part.cpu() for part in parts])


def _step_seconds(entrant: Entrant, clock: Callable[[], float]) -> float:
    times = []
    for _ in range(_TIMED):
        began = clock()
        entrant.advance(entrant.steps + 1)
        times.append(clock() - began)
    return median(times)
