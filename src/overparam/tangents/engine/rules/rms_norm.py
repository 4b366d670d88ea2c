"""Division of each example's last axes by their root mean square, with a gain, in one operation.

On the CPU it is composed of operations that have rules of their own.
"""

from functools import cached_property
from typing import Any

from torch import Tensor

from overparam.tangents.engine.normalisation import passed_on
from overparam.tangents.engine.scale_shift import ScaleShift
from overparam.tangents.engine.step import Step


class RMSNorm(ScaleShift):
    """Y = gain ∘ X / √(mean X² + ε), over the last axes."""

    parameters = {"FusedRmsNormBackward0": (1,)}  # noqa: RUF012
    activations = {"FusedRmsNormBackward0": (0,)}  # noqa: RUF012
    fresh = True

    @cached_property
    def factor(self) -> Tensor:
        """The input after normalisation."""
        return _normalised(self.node)

    @classmethod
    def passed(cls, step: Step) -> Tensor | None:
        """Each row's, made orthogonal to the row."""
        node, axes = step.node, len(step.node._saved_normalized_shape)
        if axes == len(step.shape):  # one group of all examples
            return None
        scale = node._saved_result1
        if node._saved_weight is not None:
            scale = scale * node._saved_weight.detach()
        whole, x = step.whole(), _normalised(node).flatten(-axes)
        out = step.whole_product(whole)
        return passed_on(whole, scale.expand(step.shape), x, out, centred=False)


def _normalised(node: Any) -> Tensor:
    """The input after normalisation."""
    return node._saved_input.detach() * node._saved_result1
