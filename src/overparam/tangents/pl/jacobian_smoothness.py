"""How fast a network's Jacobian can change: a bound in closed form for two layers."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._model import expect_inputs, trainable
from overparam.nets.linear import NTKLinear

# The largest |σ''|: tanh at ±0.6585, sigmoid at ±1.317, the others at 0.
_CURVATURE: dict[type[nn.Module], float] = {
    nn.Tanh: 4 / (3 * math.sqrt(3)),
    nn.Sigmoid: 1 / (6 * math.sqrt(3)),
    nn.SiLU: 0.5,
    nn.GELU: math.sqrt(2 / math.pi),
    nn.Identity: 0.0,
}


@renamed(params="names")
@checked
def two_layer_smoothness(
    model: nn.Module, x: Float[Tensor, "n d"], *, names: Sequence[str] | None = None
) -> float:
    """β_F of a network with one hidden layer whose output weights are fixed.

        f(x) = V σ(W x̃),   ‖J(w) − J(w')‖₂ ≤ β_F ‖w − w'‖ for all w, w',
        β_F = sup|σ''| · max_j ‖V_{·j}‖ · ‖X̃‖₂ · max_i ‖x̃_i‖,

    with the layers' scales inside V and x̃, and a trained bias as one more entry of x̃. For
    f = m^(−1/2) Σ_j ±σ(w_jᵀx) on unit inputs this is sup|σ''| ‖X‖₂/√m. A bias of the output
    may train: the Jacobian does not depend on it.

    Args:
        model: `Sequential(linear, activation, linear)` of `nn.Linear` or `NTKLinear`, with
            tanh, sigmoid, SiLU, exact GELU, softplus or identity between.
        x: The inputs.
        names: Names of the parameters that make up w; all that require a gradient by default.

    Raises:
        ValueError: If the network is another one, its output weights train, or its activation
            has no bounded second derivative, as ReLU.

    Cost:
        The largest singular value of X.

    Example:
        Four units and a single unit input: sup|tanh''| / √4.

        >>> from overparam.nets import NTKLinear
        >>> hidden = NTKLinear(1, 4, seed=0)
        >>> output = NTKLinear(4, 1, seed=0).requires_grad_(False)
        >>> _ = torch.nn.init.ones_(output.weight)
        >>> model = torch.nn.Sequential(hidden, torch.nn.Tanh(), output)
        >>> round(two_layer_smoothness(model, torch.ones(1, 1)), 4)
        0.3849

    References:
        Liu, Zhu, Belkin (2022), arXiv:2003.00307: the constant's use. The bound is derived
        here.
    """
    where = "two_layer_smoothness(model=...)"
    chosen = {id(p) for p in trainable(model, names, where).values()}
    parts: list[Any] = list(model) if isinstance(model, nn.Sequential) else []
    fits = (
        len(parts) == 3
        and isinstance(parts[0], (nn.Linear, NTKLinear))
        and isinstance(parts[2], (nn.Linear, NTKLinear))
    )
    expect(
        fits,
        where,
        "a Sequential of linear layer, activation, linear layer",
        f"{type(model).__name__} of {', '.join(type(p).__name__ for p in parts) or 'other parts'}",
        hint="for other networks pass a bound of your own as `smoothness`, or use pl_estimate, "
        "which proves nothing.",
    )
    first, activation, last = parts
    expect(
        id(last.weight) not in chosen,
        where,
        "output weights that do not train",
        "trainable ones: the Jacobian's change then grows with the distance",
        hint="model[2].weight.requires_grad_(False).",
    )
    curvature = _largest_curvature(activation, where)
    expect_inputs(x, "two_layer_smoothness(x=...)")
    matrix = isinstance(x, Tensor) and x.ndim == 2
    expect(matrix, "two_layer_smoothness(x=...)", "a matrix", getattr(x, "shape", type(x)))
    rows = []
    if id(first.weight) in chosen:
        rows.append(x.detach().double() * _scale(first))
    if first.bias is not None and id(first.bias) in chosen:
        bias = first.bias_scale if isinstance(first, NTKLinear) else 1.0
        rows.append(torch.full((len(x), 1), bias, dtype=torch.float64, device=x.device))
    if not rows:
        return 0.0
    seen = torch.cat(rows, 1)
    output = last.weight.detach().double() * _scale(last)
    columns = float(output.norm(dim=0).max())
    spread = float(torch.linalg.matrix_norm(seen, 2))
    return curvature * columns * spread * float(seen.norm(dim=1).max())


def _largest_curvature(activation: nn.Module, where: str) -> float:
    """sup|σ''|, or an error."""
    if isinstance(activation, nn.Softplus):
        return float(activation.beta) / 4
    exact = not (isinstance(activation, nn.GELU) and activation.approximate != "none")
    known = type(activation) in _CURVATURE and exact
    expect(
        known,
        where,
        "an activation with a known bound on its second derivative (Tanh, Sigmoid, SiLU, exact "
        "GELU, Softplus, Identity)",
        f"{activation}",
        hint="ReLU has a kink, where the Jacobian jumps: no bound exists.",
    )
    return _CURVATURE[type(activation)]


def _scale(layer: nn.Module) -> float:
    """What the weight is multiplied by."""
    return layer.scale if isinstance(layer, NTKLinear) else 1.0
