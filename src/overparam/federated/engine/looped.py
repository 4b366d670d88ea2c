"""Gradients client by client."""

from collections.abc import Callable

import torch
from torch import Tensor

from overparam.federated.engine.flat_parameters import FlatParameters


class Looped:
    """One pass forward and one back for each client: works for every model."""

    name = "loop"

    def __init__(self, flat: FlatParameters, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._flat, self._loss = flat, loss

    def __call__(self, w: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (s,) and gradients (s, P) at the rows of w on the batches x (s, B, …) and y."""
        losses, gradients = w.new_empty(len(w)), torch.empty_like(w)
        for i, row in enumerate(w.to(self._flat.dtype)):
            params = {k: v.requires_grad_() for k, v in self._flat.views(row.detach()).items()}
            loss = self._loss(self._flat.function(params, x[i]), y[i])
            parts = torch.autograd.grad(
                loss, list(params.values()), allow_unused=True, materialize_grads=True
            )
            torch.cat([part.reshape(-1).to(w.dtype) for part in parts], out=gradients[i])
            losses[i] = loss.detach()
        return losses, gradients
