"""Normalisation of groups of each example's channels, with gain and bias."""

from functools import cached_property
from typing import Any

from torch import Tensor

from overparam.tangents.engine.normalisation import passed_on
from overparam.tangents.engine.scale_shift import ScaleShift
from overparam.tangents.engine.step import Step


class GroupNorm(ScaleShift):
    """Y = gain ∘ (X − mean) / std + bias, over groups of channels."""

    parameters = {"NativeGroupNormBackward0": (1, 2)}  # noqa: RUF012
    activations = {"NativeGroupNormBackward0": (0,)}  # noqa: RUF012
    by_channel = fresh = True

    @cached_property
    def factor(self) -> Tensor | float:
        """The gain's is the input after normalisation."""
        return _normalised(self.node).view(self.output) if self.position == 1 else 1.0

    @classmethod
    def passed(cls, step: Step) -> Tensor:
        """Each group's, centred and made orthogonal to the group."""
        node, whole, x = step.node, step.whole(), _normalised(step.node)
        scale = node._saved_result2[..., None].expand(x.shape).reshape(step.shape)
        if node._saved_weight is not None:
            scale = scale * node._saved_weight.detach().view(-1, *[1] * (len(step.shape) - 2))
        return passed_on(whole, scale, x, step.whole_product(whole))


def _normalised(node: Any) -> Tensor:
    """The input after normalisation, (examples, groups, numbers of a group)."""
    x = node._saved_input.detach()
    groups = x.reshape(len(x), int(node._saved_group), -1)
    return (groups - node._saved_result1[..., None]) * node._saved_result2[..., None]
