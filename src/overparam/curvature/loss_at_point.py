"""A loss of a model on a batch at one point, checked once: what its curvature is made of."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._batch import chunks, n_examples, take
from overparam._errors import expect
from overparam._model import (
    as_function,
    expect_inputs,
    expect_outputs,
    expect_own_outputs,
    trainable,
    tried,
    undisturbed,
)
from overparam._training_mode import repeatably
from overparam._types import Inputs, Loss, Params
from overparam.errors import InvalidValue, NumericalError


class LossAtPoint:
    """A loss of a model on a batch, at the model's present parameters, checked once.

    The batch passes through the model as a whole, in the modes the model is in: layers in training
    mode use the statistics of this batch, and random ones draw the same numbers in every pass.
    Only a batch that is cut must not mix.
    """

    def __init__(
        self,
        where: str,
        model: nn.Module,
        x: Inputs,
        y: Any,
        loss: Loss,
        names: Sequence[str] | None,
        chunk_size: int | None,
    ) -> None:
        expect_inputs(x, f"{where}(x=...)")
        expect_inputs(y, f"{where}(y=...)", n_examples(x))
        expect(
            chunk_size is None or chunk_size >= 1,
            f"{where}(chunk_size=...)",
            "a positive number of examples or None",
            chunk_size,
        )
        self.slices = chunks(n_examples(x), chunk_size)
        if len(self.slices) > 1:
            expect_own_outputs(model, x, f"{where}(model=...)")
        self.model, self.x, self.y, self.loss = model, x, y, loss
        self.params: Params = trainable(model, names, f"{where}(model=...)")
        self._function = as_function(model)
        self.size = sum(p.numel() for p in self.params.values())
        first = next(iter(self.params.values()))
        self.dtype, self.device = first.dtype, first.device
        with undisturbed(model), torch.no_grad(), repeatably(model):
            outputs = [
                expect_outputs(
                    tried(model, take(x, part), f"{where}(model=...)"),
                    part.stop - part.start,
                    f"{where}(model=...)",
                )
                for part in self.slices
            ]
            self.outputs = torch.cat(outputs)
        try:
            value = loss(self.outputs, y)
        except (IndexError, RuntimeError) as problem:
            raise InvalidValue(
                f"`{where}(y=...)` expected targets that the loss accepts for outputs of shape "
                f"{tuple(self.outputs.shape)}, got {tuple(y.shape)} {y.dtype}: {problem}"
            ) from problem
        expect(
            isinstance(value, Tensor) and value.numel() == 1,
            f"{where}(loss=...)",
            "a loss that returns one number for a batch",
            f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__,
            hint="use reduction='mean' or 'sum'.",
        )
        self.value = float(value)
        if not torch.isfinite(value):
            raise NumericalError(
                f"`{where}(...)` expected a finite loss at the present parameters, got {value}."
            )

    def function(self, params: Params, x: Inputs) -> Tensor:
        """Outputs at other parameters; the random layers as every time."""
        with repeatably(self.model):
            return self._function(params, x)

    def split(self, vector: Tensor) -> Params:
        """A flat vector as a direction for each parameter."""
        parts = vector.to(self.dtype).split([p.numel() for p in self.params.values()])
        return {
            name: part.view_as(p)
            for (name, p), part in zip(self.params.items(), parts, strict=True)
        }

    def leaves(self) -> Params:
        """The parameters as fresh leaves that share the model's memory."""
        return {name: p.detach().requires_grad_() for name, p in self.params.items()}

    def pull_back(self, cotangent: Tensor) -> Float[Tensor, "p"]:
        """Jᵀu, for u in the shape of the outputs."""
        total = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for part in self.slices:
            leaves = self.leaves()
            outputs = self.function(leaves, take(self.x, part))
            total += flat(
                torch.autograd.grad(
                    outputs, list(leaves.values()), cotangent[part], materialize_grads=True
                )
            )
        return total

    def gradient(self) -> Float[Tensor, "p"]:
        """Gradient of the loss, flat."""
        with undisturbed(self.model):
            outputs = self.outputs.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.loss(outputs, self.y), outputs)
            return self.pull_back(slope)


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors end to end."""
    return torch.cat([t.reshape(-1) for t in tensors])
