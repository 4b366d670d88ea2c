"""How outputs change with the parameters, by the difference of two passes forward."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from overparam._random_numbers import start_from
from overparam._types import Params

# The change of the outputs that is looked at, as a part of them, in roots of ε: rounding makes a
# part of about √ε of it, and so does its curvature.
_CHANGE = 4.0
# What a difference may be off by.
_OFF = 0.02


def difference(
    function: Callable[[Params, Any], Tensor],
    held: Params,
    params: Params,
    step: Params,
    x: Any,
    outputs: Tensor,
    length: float,
    seed: int,
) -> Tensor | None:
    """( f(θ + h w) − f(θ) ) / h for J w, with h so small that the outputs change by about 4 √ε.

    Args:
        function: f, of parameters and inputs; random layers draw the same numbers from `seed`.
        held: Parameters that do not move.
        params: θ.
        step: w, by name; what is left out of it is 0.
        x: Inputs.
        outputs: f(θ), drawn from the same seed.
        length: About ‖J w‖.
        seed: Of random layers.

    Returns:
        The change for h = 1; `None` where numbers are too coarse for a difference, or not finite.
    """
    kinds = {outputs.dtype, *(p.dtype for p in params.values())}
    if not kinds <= {torch.float32, torch.float64} or not 0 < length < math.inf:
        return None
    names = [name for name, move in step.items() if move.layout == torch.strided]
    size = float(torch.linalg.vector_norm(outputs, dtype=torch.float64))
    if len(names) < len(step) or not 0 < size < math.inf:
        return None
    h = _CHANGE * math.sqrt(max(torch.finfo(kind).eps for kind in kinds)) * size / length
    places = [params[name].detach() for name in names]
    added = torch._foreach_add  # pyright: ignore[reportPrivateImportUsage]
    moved = added(places, [step[name] for name in names], alpha=h)
    start_from(seed, outputs.device)
    with torch.no_grad():
        there = function({**held, **params, **dict(zip(names, moved, strict=True))}, x)
        change = (there - outputs) / h
    return change if bool(torch.isfinite(change).all()) else None


def agree(one: float, other: float) -> bool:
    """Whether two ways to the same number come so near as differences must."""
    return abs(one - other) <= _OFF * abs(other)
