"""First and second derivatives of a model's outputs along a direction of its parameters."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from overparam._errors import expect
from overparam._exclusive import forward_mode, held
from overparam._model import as_function
from overparam._switches import no_mkldnn, plain_attention
from overparam._types import Inputs, Params


class Directional(NamedTuple):
    """Outputs, and their derivatives along a direction."""

    value: Float[Tensor, "n *c"]
    first: Float[Tensor, "n *c"]
    second: Float[Tensor, "n *c"]


def first_directional(
    model: nn.Module, point: Params, direction: Params, x: Inputs
) -> tuple[Float[Tensor, "n *c"], Float[Tensor, "n *c"]]:
    """Outputs at `point` and ∇f·δ along `direction`, in one forward pass."""
    function = as_function(model)
    with held(model), forward_mode(), _plain_layers(model):  # in this order everywhere
        value, change, *_ = torch.func.jvp(lambda p: function(p, x), (point,), (direction,))
    return value, change


def second_directional(
    where: str, model: nn.Module, point: Params, direction: Params, x: Inputs
) -> Directional:
    """Outputs at `point`, ∇f·δ and δᵀ∇²f δ along `direction`: forward mode over forward mode.

    Args:
        where: The public call this is for, for the error message.
        model: Any module.
        point: w0, by name.
        direction: δ, by name.
        x: A batch of inputs.

    Raises:
        ValueError: If a layer has no second derivative in forward mode.
    """
    function = as_function(model)

    def along(p: Params) -> tuple[Tensor, Tensor]:
        value, change, *_ = torch.func.jvp(lambda q: function(q, x), (p,), (direction,))
        return value, change

    with held(model), forward_mode(), _plain_layers(model):  # in this order everywhere
        try:
            (value, first), (_, second), *_ = torch.func.jvp(along, (point,), (direction,))
        except NotImplementedError as problem:
            expect(
                False,
                where,
                "layers that PyTorch differentiates twice in forward mode",
                f"one that it does not ({str(problem).splitlines()[0]})",
                hint="write that layer with elementary operations.",
            )
            raise
    return Directional(value, first, second)


@contextmanager
def _plain_layers(model: nn.Module) -> Iterator[None]:
    """Inside, layers that forward mode cannot pass are replaced by plain ones."""
    # Not by its switch in a compiled graph, which follows no locks.
    compiling = torch.compiler.is_compiling()
    attention = sdpa_kernel([SDPBackend.MATH]) if compiling else plain_attention()
    # The fused operation of an LSTM has no forward mode, the plain one has.
    fused = not compiling and any(isinstance(module, nn.LSTM) for module in model.modules())
    with attention, no_mkldnn() if fused else nullcontext(), _SpelledOut():
        yield


class _SpelledOut(TorchFunctionMode):
    """Some fused layers spelled out in elementary operations.

    PyTorch's own forward-mode formulas of layer and instance norm treat the mean and deviation
    as constants when they are differentiated once more, and so give a wrong second derivative,
    in silence (torch 2.13); the second one of a gated linear unit and the first one of weight
    norm do not exist.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return _PLAIN.get(func, func)(*args, **(kwargs or {}))


def _layer_norm(
    input: Tensor,
    normalized_shape: Iterable[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: object,
) -> Tensor:
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    scaled = _standardised(input, axes, eps)
    scaled = scaled if weight is None else scaled * weight
    return scaled if bias is None else scaled + bias


def _instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    shape = (1, -1, *[1] * (input.ndim - 2))
    if use_input_stats:
        scaled = _standardised(input, tuple(range(2, input.ndim)), eps)
    else:
        assert running_mean is not None
        assert running_var is not None
        centred = input - running_mean.view(shape)
        scaled = centred * (running_var.view(shape) + eps).rsqrt()
    scaled = scaled if weight is None else scaled * weight.view(shape)
    return scaled if bias is None else scaled + bias.view(shape)


def _standardised(input: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    centred = input - input.mean(axes, keepdim=True)
    return centred * (centred.square().mean(axes, keepdim=True) + eps).rsqrt()


def _glu(input: Tensor, dim: int = -1) -> Tensor:
    value, gate = input.chunk(2, dim)
    return value * torch.sigmoid(gate)


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    axes = tuple(axis for axis in range(v.ndim) if axis != dim)  # −1: over all of it
    return v * (g / v.square().sum(axes, keepdim=True).sqrt())


_PLAIN: dict[Callable, Callable] = {
    functional.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    functional.instance_norm: _instance_norm,
    functional.glu: _glu,
    torch._weight_norm: _weight_norm,  # pyright: ignore[reportPrivateImportUsage]
}
