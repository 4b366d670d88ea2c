"""Products and quotients, elementwise."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from overparam.tangents.engine.operation import Operation
from overparam.tangents.engine.scale_shift import ScaleShift
from overparam.tangents.engine.step import Step, elementwise


class Product(ScaleShift):
    """Y = X ∘ Z."""

    parameters = {"MulBackward0": (0, 1)}  # noqa: RUF012
    activations = {"MulBackward0": (0, 1)}  # noqa: RUF012

    @cached_property
    def factor(self) -> Tensor:
        """The other operand."""
        return _other(self.node, self.position).expand(self.output)

    @classmethod
    def passed(cls, step: Step) -> Tensor:
        """δ times the other, added up over whatever an operand is broadcast along."""
        other = _other(step.node, step.position)
        if other.numel() == 1 and step.result == step.shape:
            return _times(step, float(other))
        factor = other.expand(step.result).reshape(step.gradient.shape[1:])
        product = torch.mul(step.gradient, factor, out=step.product())
        product = product.view(-1, *step.result)
        return product if step.result == step.shape else _summed(product, step.shape)


class Quotient(Operation):
    """Y = X / Z."""

    activations = {"DivBackward0": (0, 1)}  # noqa: RUF012

    @classmethod
    def passed(cls, step: Step) -> Tensor | None:
        """δ over a number, or times the derivative."""
        other = step.node._saved_other if step.position == 0 else None
        if other is None or other.numel() != 1 or step.result != step.shape:
            return elementwise(step)
        return _times(step, 1 / float(other))


def _other(node: Any, position: int) -> Tensor:
    return (node._saved_other if position == 0 else node._saved_self).detach()


def _times(step: Step, factor: float) -> Tensor:
    """δ times a number, without a tensor of its copies."""
    if step.gradient.stride(1) == 0:
        return (step.gradient[:, :1] * factor).expand_as(step.gradient)
    return step.gradient * factor


def _summed(product: Tensor, shape: torch.Size) -> Tensor:
    """(K, *result) to (K, *shape), where `shape` is broadcast to the result."""
    lead = product.ndim - 1 - len(shape)
    wide = [
        1 + lead + axis for axis, size in enumerate(shape) if size != product.shape[1 + lead + axis]
    ]
    total = product.sum([*range(1, 1 + lead), *wide], keepdim=True)
    return total.view(len(product), *shape)
