"""Normalisation of each example's last axes, with gain and bias."""

from functools import cached_property

from torch import Tensor

from overparam.tangents.engine.scale_shift import ScaleShift


class LayerNorm(ScaleShift):
    """Y = gain ∘ (X − mean) / std + bias, over the last axes."""

    parameters = {"NativeLayerNormBackward0": (1, 2)}  # noqa: RUF012

    @cached_property
    def factor(self) -> Tensor | float:
        """The gain's is the input after normalisation."""
        node = self.node
        if self.position == 2:
            return 1.0
        return (node._saved_input.detach() - node._saved_result1) * node._saved_result2
