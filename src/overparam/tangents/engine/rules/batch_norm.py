"""Normalisation of channels by statistics that were kept, or of each channel of each example."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from overparam.tangents.engine.normalisation import passed_on
from overparam.tangents.engine.scale_shift import ScaleShift
from overparam.tangents.engine.step import Step, elementwise


class BatchNorm(ScaleShift):
    """Y = gain ∘ (X − mean) / std + bias, by channel, with the running mean and std.

    Instance normalisation is the same node in training mode, for one example whose channels are
    those of all; gain and bias come to it as copies, one for each example.
    """

    parameters = {"NativeBatchNormBackward0": (1, 2)}  # noqa: RUF012
    activations = {"NativeBatchNormBackward0": (0, 1, 2)}  # noqa: RUF012
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
        """δ ∘ gain / std; of a batch in training mode, which mixes examples, not known."""
        if not step.node._saved_training:
            return elementwise(step) if step.position == 0 else None
        return _of_instances(step) if step.result[0] == 1 else None


def _of_instances(step: Step) -> Tensor:
    """Of channels (1, nC, …) that are normalised each on its own."""
    gradient = step.whole()[:, 0]
    if step.position == 2:
        return gradient.flatten(2).sum(-1)
    x = _normalised(step.node)
    if step.position == 1:
        return torch.einsum("kcp,cp->kc", gradient.flatten(2), x)
    scale = step.node._saved_result2
    if step.node._saved_weight is not None:
        scale = scale * step.node._saved_weight.detach()
    scale = scale.view(-1, *[1] * (len(step.shape) - 2)).expand(step.shape[1:])
    out = step.room(*gradient.shape)
    return passed_on(gradient, scale, x, out)[:, None]


def _normalised(node: Any) -> Tensor:
    """The input after normalisation, (channels, numbers of a channel)."""
    x = node._saved_input.detach()[0].flatten(1)
    return (x - node._saved_result1[:, None]) * node._saved_result2[:, None]
