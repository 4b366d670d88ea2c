"""Per-example gradients of a convolution, formed for all outputs of the network together."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from overparam._batch import chunks
from overparam.tangents.engine.graph import Use
from overparam.tangents.engine.plan import Plan
from overparam.tangents.engine.room import Room

# Numbers in the patches that are laid out at a time, so that they are read again from cache.
_LAID = 2**19


class Scratch:
    """Memory that several convolutions use one after another."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._kept, self._most = torch.empty(0, dtype=dtype, device=device), 0

    def reserve(self, count: int) -> None:
        """Be ready for this many numbers."""
        self._most = max(self._most, count)

    def numbers(self, count: int) -> Tensor:
        """As many numbers, of any value."""
        if len(self._kept) < count:
            self._kept = self._kept.new_empty(self._most)
        return self._kept[:count]


class Formed:
    """Gradients of one convolution for all outputs: one matrix product for each example.

    With the output gradients of all C outputs as C·O rows it runs at nearly full speed, which
    C products of O rows do not; patches of the input are laid out once for all of them. A
    single output's product is taken transposed where that makes it taller, which is faster too.

    Args:
        plan: How each parameter is treated.
        weight: Name of the weight.
        bias: Name of the bias that goes with it: one more input, the same in every patch.
        room: The outputs.
        n: Examples in all.
        scratch: Where patches are laid out.
    """

    gradients: Tensor  # (n, C, O·I), or (n, 1, I·O)

    def __init__(
        self, plan: Plan, weight: str, bias: str | None, room: Room, n: int, scratch: Scratch
    ) -> None:
        self.plan, self.weight, self.bias, self.outputs = plan, weight, bias, room.outputs
        self.n, self.scratch = n, scratch
        # Pages of fresh memory cost more than what is written to them: it serves every pass.
        self._deltas = torch.empty(0)

    def begin(self, uses: dict[str, list[Use]], part: slice) -> None:
        """Turn to the graph of some examples."""
        self.uses, self.part = uses[self.weight], part
        biases = uses[self.bias] if self.bias else []
        self.constants = [(use.operation.constant or 0.0) * use.scale for use in biases]
        self.operations = [use.operation for use in self.uses]
        self.width = self.operations[0].width
        self.inputs = self.operations[0].inputs + (self.bias is not None)
        edges = [0]
        for use in self.uses:
            edges.append(edges[-1] + use.operation.length(self.plan.layouts[use.route]))
        self.columns = [slice(start, stop) for start, stop in pairwise(edges)]
        self.places = edges[-1]
        self.size = min(self.operations[0].rows, max(1, _LAID // (self.inputs * self.places)))
        self.scratch.reserve(self._laid)
        if part.start == 0:
            self.gradients = self._empty(self.n, self.outputs, self.width * self.inputs)

    def _empty(self, *shape: int) -> Tensor:
        return self.uses[0].parameter.new_empty(shape, dtype=self.plan.dtype)

    @property
    def _laid(self) -> int:
        """Numbers in the patches that are laid out at a time."""
        return self.size * self.inputs * self.places

    def put(self, output: int, deltas: dict[Any, Tensor | None]) -> None:
        """Note the output gradients of one output of the network, uses behind one another."""
        n = self.operations[0].rows
        if output == 0:
            if len(self._deltas) < n or self._deltas.shape[3:] != (self.places,):
                self._deltas = self._empty(n, self.outputs, self.width, self.places)
            self.deltas = self._deltas[:n]
        for operation, columns in zip(self.operations, self.columns, strict=True):
            delta, there = deltas.get(operation.node), self.deltas[:, output, :, columns]
            there.zero_() if delta is None else there.copy_(delta.flatten(2))

    def take(self, deltas: dict[Any, Tensor]) -> bool:
        """The same for all outputs, (C, n, O, *places) by node; of one use they are not copied."""
        only = deltas.get(self.operations[0].node) if len(self.operations) == 1 else None
        if only is not None:
            self.deltas = only.flatten(3).transpose(0, 1)
            return False  # they are read before the next pass
        for output in range(self.outputs):
            self.put(output, {node: gradient[output] for node, gradient in deltas.items()})
        return False

    def end(self) -> None:
        """Form the gradients of the examples."""
        out = self.gradients[self.part]
        windows = [operation.windows for operation in self.operations]
        patches = self.scratch.numbers(self._laid).view(self.size, self.inputs, self.places)
        for columns, constant in zip(self.columns, self.constants, strict=False):
            patches[:, -1, columns] = constant
        taller = self.outputs == 1 and self.inputs > self.width
        for part in chunks(len(out), self.size):
            self._lay(patches, [window[part] for window in windows])
            rows, columns = self.deltas[part].flatten(1, 2), patches[: part.stop - part.start]
            left, right = (columns, rows) if taller else (rows, columns)
            shape = (len(rows), left.shape[1], right.shape[1])
            torch.bmm(left, right.mT, out=out[part].view(shape))

    def _lay(self, patches: Tensor, windows: list[Tensor]) -> None:
        """Write the patches of some examples, scaled, into (examples, I, places)."""
        weights = patches[: len(windows[0]), : self.inputs - len(self.constants[:1])]
        for use, window, columns in zip(self.uses, windows, self.columns, strict=True):
            split = len(use.parameter.shape)  # of the axes, those before the places
            there = weights[:, :, columns].unflatten(2, window.shape[split:])
            there = there.unflatten(1, window.shape[1:split]).copy_(window)
            if use.scale != 1:
                there *= use.scale
