"""Gradients of all clients by `torch.func.vmap`."""

from collections.abc import Callable

import torch
from torch import Tensor

from overparam.federated.engine.flat_parameters import FlatParameters


class Mapped:
    """Every operation once, for all clients: for models whose operations vmap knows."""

    name = "vmap"

    def __init__(self, flat: FlatParameters, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        def of_one(row: Tensor, x: Tensor, y: Tensor) -> Tensor:
            return loss(flat.function(flat.views(row), x), y)

        self._flat = flat
        self._all = torch.func.vmap(torch.func.grad_and_value(of_one))

    def __call__(self, w: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (s,) and gradients (s, P) at the rows of w on the batches x (s, B, …) and y."""
        gradients, losses = self._all(w.to(self._flat.dtype), x, y)
        return losses.to(w.dtype), gradients.to(w.dtype)
