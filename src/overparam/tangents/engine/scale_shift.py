"""What biases, gains, sums and products have in common."""

from functools import cached_property
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from overparam.tangents.engine.operation import Layout, Operation


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
        sizes = self.aligned[self.lead :]
        axes = [1, *(2 + k for k, size in enumerate(sizes) if size == 1)]
        if parts.shape[1] == 1 and len(axes) == 1:
            return parts.reshape(len(parts), *self.shape)
        return parts.sum(axes).reshape(len(parts), *self.shape)
