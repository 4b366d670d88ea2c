"""Means and sums over axes."""

from math import prod

from torch import Tensor

from overparam.tangents.engine.operation import Operation
from overparam.tangents.engine.step import Step


class Average(Operation):
    """Y = mean of X over some axes, or the sum."""

    activations = {"MeanBackward1": (0,), "SumBackward1": (0,)}  # noqa: RUF012

    @classmethod
    def passed(cls, step: Step) -> Tensor:
        """The same for all that was added up."""
        axes = sorted(_signed(axis) % len(step.shape) for axis in step.node._saved_dim)
        gradient = step.whole()
        if not step.node._saved_keepdim:
            for axis in axes:
                gradient = gradient.unsqueeze(1 + axis)
        if step.name == "MeanBackward1":
            gradient = gradient / prod(step.shape[axis] for axis in axes)
        return gradient.expand(-1, *step.shape)


def _signed(axis: int) -> int:
    """An axis that autograd keeps as an unsigned number."""
    return axis - 2**64 if axis >= 2**63 else axis
