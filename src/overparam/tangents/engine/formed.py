"""Per-example gradients of a convolution, formed for all outputs of the network together."""

from itertools import pairwise

import torch
from torch import Tensor

from overparam._model import chunks
from overparam.tangents.engine.graph import Use
from overparam.tangents.engine.operations import Convolution
from overparam.tangents.engine.plan import Plan

# Numbers in the patches that are laid out at a time, so that they are read again from cache.
_LAID = 2**19


class Formed:
    """Gradients of one convolution for all outputs: one matrix product for each example.

    With the output gradients of all C outputs as C·O rows it runs at nearly full speed, which
    C products of O rows do not; patches of the input are laid out once for all of them. A
    single output's product is taken transposed where that makes it taller, which is faster too.

    Args:
        plan: How each parameter is treated.
        weight: Name of the weight.
        bias: Name of the bias that goes with it: one more input, the same in every patch.
        outputs: C.
    """

    def __init__(self, plan: Plan, weight: str, bias: str | None, outputs: int) -> None:
        self.weight, self.bias, self.outputs = weight, bias, outputs
        self.dtype = plan.dtype
        # Pages of fresh memory cost more than what is written to them: it serves every pass.
        self._deltas = torch.empty(0)

    def begin(self, uses: dict[str, list[Use]]) -> None:
        """Turn to the graph of another batch."""
        self.uses, biases = uses[self.weight], uses[self.bias] if self.bias else []
        self.constants = [use.operation.factor * use.scale for use in biases]  # type: ignore[attr-defined]
        self.operations = [_convolution(use) for use in self.uses]
        self.width = self.operations[0].width
        self.inputs = self.uses[0].parameter.numel() // self.width + (self.bias is not None)
        edges = [0]
        for operation in self.operations:
            edges.append(edges[-1] + operation.places)
        self.columns = [slice(start, stop) for start, stop in pairwise(edges)]
        self.places = edges[-1]
        self.size = min(self.operations[0].rows, max(1, _LAID // (self.inputs * self.places)))

    def _empty(self, *shape: int) -> Tensor:
        return self.uses[0].parameter.new_empty(shape, dtype=self.dtype)

    def room(self, n: int) -> Tensor:
        """Where the gradients of n examples go, (n, C, O·I)."""
        return self._empty(n, self.outputs, self.width * self.inputs)

    @property
    def laid(self) -> int:
        """Numbers in the patches that are laid out at a time."""
        return self.size * self.inputs * self.places

    def put(self, output: int, deltas: dict) -> None:
        """Note the output gradients of one output of the network, uses behind one another."""
        n = self.operations[0].rows
        if output == 0:
            if len(self._deltas) < n or self._deltas.shape[3:] != (self.places,):
                self._deltas = self._empty(n, self.outputs, self.width, self.places)
            self.deltas = self._deltas[:n]
        for operation, columns in zip(self.operations, self.columns, strict=True):
            delta, there = deltas.get(operation.node), self.deltas[:, output, :, columns]
            there.zero_() if delta is None else there.copy_(delta.flatten(2))

    def take(self, deltas: dict) -> None:
        """The same for all outputs, (C, n, O, *places) by node; of one use they are not copied."""
        only = deltas.get(self.operations[0].node) if len(self.operations) == 1 else None
        if only is not None:
            self.deltas = only.flatten(3).transpose(0, 1)
            return
        for output in range(self.outputs):
            self.put(output, {node: gradient[output] for node, gradient in deltas.items()})

    def form(self, out: Tensor, scratch: Tensor) -> None:
        """The gradients, into (examples, C, O·I), or (examples, 1, I·O).

        `scratch` has at least `laid` numbers, whichever.
        """
        windows = [operation.windows for operation in self.operations]
        patches = scratch[: self.laid].view(self.size, self.inputs, self.places)
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


def _convolution(use: Use) -> Convolution:
    """The operation of a use that is known to be a convolution."""
    assert isinstance(use.operation, Convolution)
    return use.operation
