"""Convolutions and transposed convolutions in any number of dimensions, with groups."""

from functools import cached_property
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from overparam.tangents.engine.operation import Layout, Operation
from overparam.tangents.engine.scale_shift import ScaleShift
from overparam.tangents.engine.step import Step, folded, unfolded


class Convolution(Operation):
    """Y = W ∗ X, with W of shape (O, I / groups, *kernel), or (I, O / groups, *kernel) turned."""

    parameters = {"ConvolutionBackward0": (1,)}  # noqa: RUF012
    activations = {"ConvolutionBackward0": (0,)}  # noqa: RUF012
    takes_bias = windowed = fresh = True

    def __init__(self, node: Any, position: int, shape: torch.Size) -> None:
        super().__init__(node, position, shape)
        self.rows = self.output[0]
        self.groups, self.turned = int(node._saved_groups), bool(node._saved_transposed)

    def data(self) -> Tensor:
        """The input, (rows, values)."""
        return self.node._saved_input.detach().reshape(self.rows, -1)

    def _windows(self, x: Tensor, counts: tuple[int, ...] | None = None) -> Tensor:
        """Patches of x the kernel meets, a view: (rows, channels, *kernel, *places)."""
        node, kernel = self.node, self.shape[2:]
        margins = [m for pad in reversed(node._saved_padding) for m in (int(pad), int(pad))]
        x = F.pad(x, margins) if any(margins) else x
        for axis, (size, stride, dilation) in enumerate(
            zip(kernel, node._saved_stride, node._saved_dilation, strict=True)
        ):
            x = x.unfold(2 + axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
            if counts is not None:
                x = x.narrow(2 + axis, 0, counts[axis])
        d = len(kernel)
        return x.permute((0, 1, *range(2 + d, 2 + 2 * d), *range(2, 2 + d)))

    @property
    def windows(self) -> Tensor:
        """The unfolded input of a plain convolution, a view: (rows, channels, *kernel, *places)."""
        return self._windows(self.node._saved_input.detach())

    @cached_property
    def patches(self) -> Tensor:
        """The same, laid out: (rows, I, places)."""
        return self.windows.flatten(1, len(self.shape) - 1).flatten(2)

    @property
    def width(self) -> int:
        """O: the output's channels, or a transposed convolution's input's."""
        return self.shape[0]

    @property
    def places(self) -> int:
        """Positions at which the kernel is applied to one row."""
        if self.turned:
            return prod(self.node._saved_input.shape[2:])
        return prod(self.output[2:])

    @property
    def held(self) -> int:
        """Patches, unless they are laid out for a few examples at a time."""
        plain = self.groups == 1 and not self.turned
        return 0 if plain else 2 * self.rows * prod(self.shape[1:]) * self.places

    def paired(self, layout: Layout, scale: float, *, transposed: bool) -> bool:
        """Where an example is one row, of a plain convolution."""
        return self.groups == 1 and not self.turned and layout == (1, 1)

    def left(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ by example, (examples, places, O); one row an example."""
        return delta.flatten(2).transpose(1, 2)

    def right(self, layout: Layout) -> Tensor:
        """Patches by example, (examples, places, I); one row an example."""
        return self.patches.transpose(1, 2)

    def length(self, layout: Layout) -> int:
        """Places."""
        return self.places

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """Σ_places δ ⊗ patch, (examples, *kernel shape)."""
        if self.turned:
            x = self.node._saved_input.detach().to(delta.dtype)
            spread = self._windows(delta, tuple(x.shape[2:]))
            spread = spread.flatten(1, len(self.shape) - 1).flatten(2)
            left, right = x.flatten(2), spread
        else:
            left, right = delta.flatten(2), self.patches.to(delta.dtype)
        grouped = [t.unflatten(1, (self.groups, -1)).flatten(0, 1) for t in (left, right)]
        rows = (grouped[0] @ grouped[1].transpose(1, 2)).reshape(self.rows, *self.shape)
        if layout == (1, 1):
            return rows
        return layout.split(rows).sum(1)

    @classmethod
    def passed(cls, step: Step) -> Tensor:
        """The adjoint convolution, with functionals and examples together as its batch."""
        node, gradient = step.node, step.whole()
        weight, turned = node._saved_weight.detach(), node._saved_transposed
        stride, padding, dilation = node._saved_stride, node._saved_padding, node._saved_dilation
        groups, kernel, axes = node._saved_groups, weight.shape[2:], range(2, weight.ndim)
        mirrored = [d * (k - 1) - p for p, d, k in zip(padding, dilation, kernel, strict=True)]
        if set(stride) == {1} and groups == 1 and not turned and min(mirrored) >= 0:
            # The convolution with the kernel mirrored, which is faster than a transposed one.
            weight, turned = weight.flip(tuple(axes)).transpose(0, 1).contiguous(), True
            padding = mirrored
        # What a stride leaves out at the far end of the input.
        rest = [
            0 if turned else step.shape[a] - ((step.result[a] - 1) * s - 2 * p + d * (k - 1) + 1)
            for a, s, p, d, k in zip(axes, stride, padding, dilation, kernel, strict=True)
        ]
        rows = torch.convolution(
            folded(gradient), weight, None, stride, padding, dilation, not turned, rest, groups
        )
        return unfolded(rows, gradient)


class ConvolutionBias(ScaleShift):
    """Y = … + b, by channel."""

    parameters = {"ConvolutionBackward0": (2,)}  # noqa: RUF012
    by_channel = True
