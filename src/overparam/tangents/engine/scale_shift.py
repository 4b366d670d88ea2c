"""What biases, gains, sums and products have in common."""

from functools import cached_property
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from overparam.tangents.engine.operation import Layout, Operation

# Numbers of all outputs' gradients up to which they are multiplied at once.
_TOGETHER = 2**20


class ScaleShift(Operation):
    """Y = … + factor ∘ w with w broadcast; rules say where, and what the factor is."""

    by_channel: ClassVar[bool] = False  # whether w runs over the second axis, not the last ones

    def __init__(self, node: Any, position: int, shape: torch.Size) -> None:
        super().__init__(node, position, shape)
        axes = len(self.output)
        if self.by_channel:
            shape = torch.Size((1, *shape, *[1] * (axes - 2)))
        self.aligned = (1,) * (axes - len(shape)) + tuple(shape)
        self.lead = next((k for k, size in enumerate(self.aligned) if size != 1), axes)
        self.rows = prod(self.output[: self.lead])

    @cached_property
    def factor(self) -> Tensor | float:
        """What the parameter is multiplied with, of the output's shape, or a number."""
        return 1.0

    @property
    def constant(self) -> float | None:
        """The factor, if it is a number."""
        return None if isinstance(self.factor, Tensor) else self.factor

    def data(self) -> Tensor | None:
        """The factor by row, if it is a tensor."""
        return self.factor.reshape(self.rows, -1) if isinstance(self.factor, Tensor) else None

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ ∘ factor added up over whatever the parameter is broadcast along."""
        if isinstance(self.factor, Tensor) or self.factor != 1:
            delta = delta * self.factor
        parts = layout.split(delta.reshape(self.rows, *self.output[self.lead :]))
        axes = [1, *(2 + axis for axis in self._broadcast)]
        if parts.shape[1] == 1 and len(axes) == 1:
            return parts.reshape(len(parts), *self.shape)
        return parts.sum(axes).reshape(len(parts), *self.shape)

    def gradients(self, deltas: Tensor, layout: Layout) -> Tensor | None:
        """The same of all outputs, (C, examples, …), where the product stays in cache."""
        if layout.before != 1 or deltas.numel() > _TOGETHER:
            return None
        if isinstance(self.factor, Tensor) or self.factor != 1:
            deltas = deltas * self.factor
        c, n = len(deltas), self.rows // layout.after
        parts = deltas.reshape(c, n, layout.after, *self.output[self.lead :])
        return parts.sum([2, *(3 + axis for axis in self._broadcast)]).reshape(c, n, *self.shape)

    @property
    def _broadcast(self) -> list[int]:
        """Axes behind the rows along which the parameter is broadcast."""
        return [axis for axis, size in enumerate(self.aligned[self.lead :]) if size == 1]
