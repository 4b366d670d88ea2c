"""Gradients of all clients by one batched product for each layer."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from overparam.federated.engine.flat_parameters import FlatParameters
from overparam.federated.engine.stacked_layers import Layer

Loss = Callable[[Tensor, Tensor], Tensor]


class Stacked:
    """Forward and back through a chain of known layers, without a graph of autograd."""

    name = "stacked"

    def __init__(
        self, flat: FlatParameters, loss: Loss, layers: list[Layer], plain_targets: bool
    ) -> None:
        self._flat, self._layers = flat, layers
        known = plain_targets and _is_cross_entropy(loss)
        self._slopes = cross_entropy_slopes if known else _by_vmap(loss)

    @torch.no_grad()
    def __call__(self, w: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (s,) and gradients (s, P) at the rows of w on the batches x (s, B, …) and y."""
        at, memories = w.to(self._flat.dtype), []
        for layer in self._layers:
            x, memory = layer.forward(at, x)
            memories.append(memory)
        losses, slope = self._slopes(x, y)
        gradients = torch.zeros_like(at)
        last = len(memories) - 1
        for i, memory in enumerate(reversed(memories)):
            layer = self._layers[last - i]
            slope = layer.backward(at, memory, slope, gradients, first=i == last)  # type: ignore[arg-type]
        return losses.to(w.dtype), gradients.to(w.dtype)


def cross_entropy_slopes(outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of each client (s,), and its slope by the outputs (s, B, C)."""
    if y.is_floating_point() or outputs.ndim != 3 or y.ndim != 2:
        return _by_vmap(nn.functional.cross_entropy)(outputs, y)
    logs = outputs.log_softmax(-1)
    losses = -logs.gather(2, y[..., None]).squeeze(-1).mean(1)
    slope = logs.exp_()
    slope.scatter_add_(2, y[..., None], slope.new_full((), -1.0).expand(*y.shape, 1))
    return losses, slope.div_(y.shape[1])


def _is_cross_entropy(loss: Loss) -> bool:
    if loss is nn.functional.cross_entropy:
        return True
    plain = {**vars(nn.CrossEntropyLoss())}
    return type(loss) is nn.CrossEntropyLoss and not loss._forward_hooks and all(
        getattr(loss, name) == plain[name]
        for name in ("reduction", "label_smoothing", "ignore_index")
    ) and loss.weight is None  # fmt: skip


def _by_vmap(loss: Loss) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    all_clients = torch.func.vmap(torch.func.grad_and_value(loss))

    def slopes(outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        slope, losses = all_clients(outputs, y)
        return losses, slope

    return slopes
