"""Products and quotients, elementwise."""

from functools import cached_property

from torch import Tensor

from overparam.tangents.engine.scale_shift import ScaleShift
from overparam.tangents.engine.step import Step, elementwise


class Product(ScaleShift):
    """Y = X ∘ Z."""

    parameters = {"MulBackward0": (0, 1)}  # noqa: RUF012
    activations = {"MulBackward0": (0, 1), "DivBackward0": (0, 1)}  # noqa: RUF012

    @cached_property
    def factor(self) -> Tensor:
        """The other operand."""
        node = self.node
        factor = node._saved_other if self.position == 0 else node._saved_self
        return factor.detach().expand(self.output)

    @classmethod
    def passed(cls, step: Step) -> Tensor | None:
        """δ times the other; by a number, without a tensor of its copies."""
        other = step.node._saved_other if step.position == 0 else None
        if other is None or other.numel() != 1 or step.result != step.shape:
            return elementwise(step)
        factor = float(other) if step.name == "MulBackward0" else 1 / float(other)
        if step.gradient.stride(1) == 0:
            return (step.gradient[:, :1] * factor).expand_as(step.gradient)
        return step.gradient * factor
