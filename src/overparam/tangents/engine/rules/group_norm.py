"""Normalisation of groups of each example's channels, with gain and bias."""

from functools import cached_property

from torch import Tensor

from overparam.tangents.engine.scale_shift import ScaleShift


class GroupNorm(ScaleShift):
    """Y = gain ∘ (X − mean) / std + bias, over groups of channels."""

    parameters = {"NativeGroupNormBackward0": (1, 2)}  # noqa: RUF012
    by_channel = True

    @cached_property
    def factor(self) -> Tensor | float:
        """The gain's is the input after normalisation."""
        node = self.node
        if self.position == 2:
            return 1.0
        x = node._saved_input.detach()
        groups = x.reshape(len(x), int(node._saved_group), -1)
        mean, rstd = node._saved_result1[..., None], node._saved_result2[..., None]
        return ((groups - mean) * rstd).reshape(x.shape)
