"""Means and maxima of windows of images."""

import torch
from torch import Tensor

from overparam.tangents.engine.operation import Operation
from overparam.tangents.engine.step import Step


class AveragePool(Operation):
    """Means of windows that tile the image."""

    activations = {"AvgPool2DBackward0": (0,)}  # noqa: RUF012
    faster = True

    @classmethod
    def passed(cls, step: Step) -> Tensor | None:
        """Each window's number over its size."""
        node, (tall, wide) = step.node, step.node._saved_kernel_size
        tiled = (
            tuple(node._saved_stride) in ((), (tall, wide))
            and not any(node._saved_padding)
            and step.shape[-2] % tall == step.shape[-1] % wide == 0
            and node._saved_divisor_override is None
        )
        if not tiled:
            return None
        gradient = step.whole()
        # Along a row as a product of matrices, which is faster than a copy with gaps; down a
        # column as a view, for the next operation to read as it is.
        identity = torch.eye(gradient.shape[-1], dtype=gradient.dtype, device=gradient.device)
        rows = gradient @ (identity / (tall * wide)).repeat_interleave(wide, 1)
        return rows.unsqueeze(-2).expand(*rows.shape[:-1], tall, rows.shape[-1])


class MaxPool(Operation):
    """Maxima of windows."""

    activations = {"MaxPool2DWithIndicesBackward0": (0,)}  # noqa: RUF012

    @classmethod
    def passed(cls, step: Step) -> Tensor:
        """Each number goes where its maximum was found."""
        places = step.node._saved_result1.flatten(2)
        gradient = step.whole().flatten(3)
        k, (n, o, *sizes) = len(gradient), step.shape
        passed = step.room(n, k, o, sizes[0] * sizes[1]).zero_().transpose(0, 1)
        return passed.scatter_add_(-1, places.expand_as(gradient), gradient).view(k, *step.shape)
