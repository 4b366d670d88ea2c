"""Rows of a table picked by index."""

from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor

from overparam.tangents.engine.operation import Layout, Operation


class Lookup(Operation):
    """Y = W[index]: the right factor is the index itself."""

    parameters = {"EmbeddingBackward0": (0,)}  # noqa: RUF012

    def __init__(self, node: Any, position: int, shape: torch.Size) -> None:
        super().__init__(node, position, shape)
        self.rows = prod(self.output[:-1])
        padding = int(node._saved_padding_idx)
        self.padding = padding - 2**64 if padding >= 2**63 else padding

    @cached_property
    def index(self) -> Tensor:
        """The row of the table each row of the output is."""
        return self.node._saved_indices.detach().reshape(-1)

    def data(self) -> Tensor:
        """The index, as a matrix of one column."""
        return self.index[:, None]

    def paired(self, layout: Layout, scale: float, *, transposed: bool) -> bool:
        """Of the table itself: an index cannot be scaled."""
        return scale == 1 and not transposed

    def left(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ by example, zero where the padding stands."""
        rows = self.by_row(delta)
        if self.padding >= 0:
            rows = rows * (self.index != self.padding).to(rows.dtype)[:, None]
        return layout.split(rows)

    def right(self, layout: Layout) -> Tensor:
        """The index by example, (examples, rows of one)."""
        return layout.split(self.index)

    @property
    def inputs(self) -> int:
        """An index."""
        return 1

    @property
    def forming(self) -> int:
        """Nothing is multiplied."""
        return 0

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ added up over equal indices, (examples, entries, width)."""
        left, index = self.left(delta, layout), self.right(layout)
        n, entries = len(left), self.shape[0]
        place = index + torch.arange(n, device=index.device)[:, None] * entries
        result = left.new_zeros(n * entries, left.shape[-1])
        return result.index_add_(0, place.flatten(), left.flatten(0, 1)).view(n, *self.shape)
