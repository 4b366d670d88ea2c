"""Normalisation of channels by statistics that were kept, with gain and bias."""

from functools import cached_property

from torch import Tensor

from overparam.tangents.engine.scale_shift import ScaleShift
from overparam.tangents.engine.step import Step, elementwise


class BatchNorm(ScaleShift):
    """Y = gain ∘ (X − running mean) / running std + bias, by channel."""

    parameters = {"NativeBatchNormBackward0": (1, 2)}  # noqa: RUF012
    activations = {"NativeBatchNormBackward0": (0,)}  # noqa: RUF012
    by_channel = True

    @cached_property
    def factor(self) -> Tensor | float:
        """The gain's is the input after normalisation."""
        node = self.node
        if self.position == 2:
            return 1.0
        x = node._saved_input.detach()
        shape = (1, -1, *[1] * (x.ndim - 2))
        rstd = (node._saved_running_var + node._saved_eps).rsqrt()
        return (x - node._saved_running_mean.view(shape)) * rstd.view(shape)

    @classmethod
    def passed(cls, step: Step) -> Tensor | None:
        """δ ∘ gain / std; not in training mode, which mixes examples."""
        return None if step.node._saved_training else elementwise(step)
