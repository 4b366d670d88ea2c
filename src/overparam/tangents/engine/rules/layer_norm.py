"""Normalisation of each example's last axes, with gain and bias."""

from functools import cached_property
from typing import Any

from torch import Tensor

from overparam.tangents.engine.normalisation import passed_on
from overparam.tangents.engine.scale_shift import ScaleShift
from overparam.tangents.engine.step import Step


class LayerNorm(ScaleShift):
    """Y = gain ∘ (X − mean) / std + bias, over the last axes."""

    parameters = {"NativeLayerNormBackward0": (1, 2)}  # noqa: RUF012
    activations = {"NativeLayerNormBackward0": (0,)}  # noqa: RUF012
    fresh = True

    @cached_property
    def factor(self) -> Tensor | float:
        """The gain's is the input after normalisation."""
        return _normalised(self.node) if self.position == 1 else 1.0

    @classmethod
    def passed(cls, step: Step) -> Tensor | None:
        """Each row's, centred and made orthogonal to the row."""
        node, axes = step.node, len(step.node._saved_normalized_shape)
        if axes == len(step.shape):  # one group of all examples
            return None
        scale = node._saved_result2
        if node._saved_weight is not None:
            scale = scale * node._saved_weight.detach()
        whole, x = step.whole(), _normalised(node).flatten(-axes)
        return passed_on(whole, scale.expand(step.shape), x, step.whole_product(whole))


def _normalised(node: Any) -> Tensor:
    """The input after normalisation."""
    return (node._saved_input.detach() - node._saved_result1) * node._saved_result2
