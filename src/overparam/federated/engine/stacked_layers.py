"""Layers of many clients at once: each forward and back, with a matrix for each client.

Activations have the shape (s, B, …): s clients with batches of B. A layer writes its parameters'
gradients straight into the columns of the result that they belong to.
"""

from collections.abc import Callable
from copy import copy
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from overparam.federated.engine.flat_parameters import FlatParameters

# Functions of one number, applied to each: stacking changes nothing.
_ELEMENTWISE = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU,
    nn.LogSigmoid, nn.Mish, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softsign,
    nn.Tanhshrink,
)  # fmt: skip


class Layer(Protocol):
    """One layer of all clients."""

    def forward(self, w: Tensor, x: Tensor) -> tuple[Tensor, Any]:
        """The output, and what `backward` needs."""
        ...

    def backward(
        self, w: Tensor, memory: Any, slope: Tensor, gradients: Tensor, first: bool
    ) -> Tensor | None:
        """The slope by the input, which the first layer need not know; writes gradients."""
        ...


class StackedLinear:
    """x W_iᵀ + b_i for each client i, in one batched product."""

    def __init__(self, layer: nn.Linear, flat: FlatParameters) -> None:
        self._layer, self._flat = layer, flat

    def _weights(self, w: Tensor) -> tuple[Tensor, Tensor | None]:
        weight = self._flat.part(w, self._layer.weight)
        weight = self._layer.weight.detach().expand(len(w), -1, -1) if weight is None else weight
        bias = self._layer.bias
        if bias is not None:
            part = self._flat.part(w, bias)
            bias = bias.detach().expand(len(w), -1) if part is None else part
        return weight, bias

    def forward(self, w: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `Layer.forward`."""
        weight, bias = self._weights(w)
        rows = x.flatten(1, -2)
        if bias is None:
            out = torch.bmm(rows, weight.mT)
        else:
            out = torch.baddbmm(bias[:, None], rows, weight.mT)
        return out.view(*x.shape[:-1], out.shape[-1]), x

    def backward(
        self, w: Tensor, memory: Tensor, slope: Tensor, gradients: Tensor, first: bool
    ) -> Tensor | None:
        """As `Layer.backward`."""
        above, rows = slope.flatten(1, -2), memory.flatten(1, -2)
        into = self._flat.part(gradients, self._layer.weight)
        if into is not None:
            into += torch.bmm(above.mT, rows)
        if self._layer.bias is not None:
            into = self._flat.part(gradients, self._layer.bias)
            if into is not None:
                into += above.sum(1)
        if first:
            return None
        return torch.bmm(above, self._weights(w)[0]).view(memory.shape)


class StackedReLU:
    """max(x, 0)."""

    def forward(self, w: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `Layer.forward`."""
        out = x.relu()
        return out, out

    def backward(
        self, w: Tensor, memory: Tensor, slope: Tensor, gradients: Tensor, first: bool
    ) -> Tensor:
        """As `Layer.backward`."""
        return torch.ops.aten.threshold_backward(slope, memory, 0)


class StackedTanh:
    """Hyperbolic tangent."""

    def forward(self, w: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `Layer.forward`."""
        out = x.tanh()
        return out, out

    def backward(
        self, w: Tensor, memory: Tensor, slope: Tensor, gradients: Tensor, first: bool
    ) -> Tensor:
        """As `Layer.backward`."""
        return torch.ops.aten.tanh_backward(slope, memory)


class StackedFunction:
    """A function without parameters that treats examples apart, differentiated by autograd."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function

    def forward(self, w: Tensor, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """As `Layer.forward`."""
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            out = self._function(x)
        return out.detach(), (x, out)

    def backward(
        self, w: Tensor, memory: tuple[Tensor, Tensor], slope: Tensor, gradients: Tensor,
        first: bool,
    ) -> Tensor:  # fmt: skip
        """As `Layer.backward`."""
        x, out = memory
        return torch.autograd.grad(out, x, slope)[0]


class StackedLayerNorm:
    """Normalised over the last axes, then scaled and shifted by each client's own numbers."""

    def __init__(self, layer: nn.LayerNorm, flat: FlatParameters) -> None:
        self._layer, self._flat = layer, flat

    def _scaled(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        layer = self._layer
        out = nn.functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)
        middle = (1,) * (x.ndim - 1 - len(layer.normalized_shape))
        if weight is not None:
            out = out * weight.view(-1, *middle, *layer.normalized_shape)
        return out if bias is None else out + bias.view(-1, *middle, *layer.normalized_shape)

    def forward(self, w: Tensor, x: Tensor) -> tuple[Tensor, Any]:
        """As `Layer.forward`."""
        x, leaves = x.detach().requires_grad_(), []
        for parameter in (self._layer.weight, self._layer.bias):
            part = None if parameter is None else self._flat.part(w, parameter)
            if part is None:
                leaves.append(None if parameter is None else parameter.detach()[None])
            else:
                leaves.append(part.detach().requires_grad_())
        with torch.enable_grad():
            out = self._scaled(x, *leaves)
        return out.detach(), (x, leaves, out)

    def backward(
        self, w: Tensor, memory: Any, slope: Tensor, gradients: Tensor, first: bool
    ) -> Tensor:
        """As `Layer.backward`."""
        x, leaves, out = memory
        wanted = [leaf for leaf in leaves if leaf is not None and leaf.requires_grad]
        back, *found = torch.autograd.grad(out, [x, *wanted], slope)
        for parameter, leaf in zip((self._layer.weight, self._layer.bias), leaves, strict=True):
            if leaf is not None and leaf.requires_grad:
                into = self._flat.part(gradients, parameter)
                assert into is not None
                into += found.pop(0)
        return back


def stacked_layers(model: nn.Module, flat: FlatParameters) -> list[Layer] | None:
    """The layers of a chain, or `None` for a model that is none or holds an unknown layer."""
    if _changed(model):
        return None
    if type(model) is nn.Sequential:
        layers: list[Layer] = []
        for child in model:
            inner = stacked_layers(child, flat)
            if inner is None:
                return None
            layers += inner
        return layers
    return _of_one(model, flat)


def _of_one(layer: nn.Module, flat: FlatParameters) -> list[Layer] | None:
    kind = type(layer)
    if kind is nn.Linear:
        return [StackedLinear(layer, flat)]  # type: ignore[arg-type]
    if kind is nn.LayerNorm:
        return [StackedLayerNorm(layer, flat)]  # type: ignore[arg-type]
    if kind is nn.ReLU:
        return [StackedReLU()]
    if kind is nn.Tanh:
        return [StackedTanh()]
    if kind is nn.Identity or (kind is nn.Dropout and not layer.training):
        return []
    if kind is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
        return [StackedFunction(lambda x: x.flatten(2) if x.ndim > 2 else x[..., None])]
    if kind in _ELEMENTWISE:
        function = type(layer).forward
        return [StackedFunction(lambda x: function(_out_of_place(layer), x))]
    return None


def _out_of_place(layer: Any) -> Any:
    """A copy that leaves its input alone."""
    if not getattr(layer, "inplace", False):
        return layer
    aside = copy(layer)
    aside.inplace = False
    return aside


def _changed(module: nn.Module) -> bool:
    """Whether something has been hung into it that its class does not tell."""
    hooks = (
        module._forward_hooks, module._forward_pre_hooks, module._backward_hooks,
        module._backward_pre_hooks,
    )  # fmt: skip
    return any(hooks) or "forward" in vars(module) or hasattr(module, "parametrizations")
