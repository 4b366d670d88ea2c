"""Copies of a parameter, one for each example: what is learned once and met by all."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from overparam.tangents.engine.operation import Layout, Operation
from overparam.tangents.engine.scale_shift import ScaleShift


class Expanded(ScaleShift):
    """Y = w, broadcast: a class token before the tokens of each example."""

    parameters = {"ExpandBackward0": (0,)}  # noqa: RUF012


class Repeated(Operation):
    """Y = w, again and again along one axis: gain and bias of instance normalisation."""

    parameters = {"RepeatBackward0": (0,)}  # noqa: RUF012

    def __init__(self, node: Any, position: int, shape: torch.Size) -> None:
        super().__init__(node, position, shape)
        repeats = [int(count) for count in node._saved_repeats]
        aligned = (1,) * (len(repeats) - len(shape)) + tuple(shape)
        axes = [axis for axis, count in enumerate(repeats) if count != 1]
        # Copies lie behind one another if nothing lies in front of their axis.
        one = len(axes) == 1 and prod(aligned[: axes[0]]) == 1
        self.rows = repeats[axes[0]] if one else 0

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ of an example's copies."""
        return layout.split(delta.reshape(self.rows, *self.shape)).sum(1)
