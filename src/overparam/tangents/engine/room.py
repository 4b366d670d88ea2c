"""Memory for something of every output of the network."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Room:
    """Where C outputs lie: in front if they are kept apart, last but one if summed over."""

    outputs: int
    blocks: bool
    dtype: torch.dtype
    device: torch.device

    def empty(self, n: int, *shape: int) -> Tensor:
        """Memory for n examples, whose last axis is that of the numbers of an output."""
        *middle, last = shape
        c = self.outputs
        sizes = (c, n, *middle, last) if self.blocks else (n, *middle, c, last)
        return torch.empty(sizes, dtype=self.dtype, device=self.device)

    def slot(self, memory: Tensor, output: int, part: slice) -> Tensor:
        """The place of one output of some examples."""
        return memory[output, part] if self.blocks else memory[part, ..., output, :]

    def slots(self, memory: Tensor, part: slice) -> Tensor:
        """The places of all outputs of some examples, (C, examples, …)."""
        return memory[:, part] if self.blocks else memory[part].movedim(-2, 0)

    def leading(self, memory: Tensor) -> Tensor:
        """(K, n, …): outputs that are summed over become part of the last axis."""
        return memory if self.blocks else memory.flatten(-2)[None]
