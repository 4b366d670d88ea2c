"""Per-example gradients of a convolution, formed for all outputs of the network together."""

import torch
from torch import Tensor

from overparam.tangents._graph import Use
from overparam.tangents._operations import Convolution
from overparam.tangents._plan import Plan


class Formed:
    """Gradients of one convolution for all outputs: one matrix product for each example.

    With the output gradients of all C outputs as C·O rows it runs at nearly full speed, which
    C products of O rows do not; patches of the input are laid out once for all of them.
    """

    def __init__(
        self,
        plan: Plan,
        uses: dict[str, list[Use]],
        weight: str,
        bias: str | None,
        outputs: int,
        kept: Tensor | None,
    ) -> None:
        self.uses, self.outputs = uses[weight], outputs
        biases = [None] * len(self.uses) if bias is None else uses[bias]
        parts = [_patches(use, other, plan) for use, other in zip(self.uses, biases, strict=True)]
        self.patches = parts[0] if len(parts) == 1 else torch.cat(parts, 2)
        self.inputs, self.width = self.patches.shape[1], self.uses[0].operation.width
        # Pages of fresh memory cost more than what is written to them: it goes to the next pass.
        self.kept = kept
        self.deltas = self.patches.new_empty(0)

    def room(self, n: int) -> Tensor:
        """Where the gradients of n examples go, (n, C, O·I)."""
        return self.patches.new_empty(n, self.outputs, self.width * self.inputs)

    def put(self, output: int, deltas: dict) -> None:
        """Note the output gradients of one output of the network, uses behind one another."""
        if output == 0:
            n, _, places = self.patches.shape
            if self.kept is None or len(self.kept) < n:
                self.kept = self.patches.new_empty(n, self.outputs, self.width, places)
            self.deltas = self.kept[:n]
        start = 0
        for use in self.uses:
            delta, places = deltas.get(use.operation.node), use.operation.places  # type: ignore[attr-defined]
            there = self.deltas[:, output, :, start : start + places]
            there.zero_() if delta is None else there.copy_(delta.flatten(2))
            start += places

    def take(self, deltas: dict) -> None:
        """The same for all outputs, (C, n, O, *places) by node; of one use they are not copied."""
        only = deltas.get(self.uses[0].operation.node) if len(self.uses) == 1 else None
        if only is not None:
            self.deltas = only.flatten(3).transpose(0, 1)
            return
        for output in range(self.outputs):
            self.put(output, {node: gradient[output] for node, gradient in deltas.items()})

    def form(self, out: Tensor) -> None:
        """The gradients, into (examples, C, O·I)."""
        rows = self.deltas.flatten(1, 2)[: len(out)]
        patches = self.patches[: len(out)].transpose(1, 2)
        torch.bmm(rows, patches, out=out.view(len(out), -1, self.inputs))


def _patches(use: Use, bias: Use | None, plan: Plan) -> Tensor:
    """The patches of a convolution, scaled, (examples, I, places); a bias is one more input."""
    operation = use.operation
    assert isinstance(operation, Convolution)
    patches = operation.padded_patches(0 if bias is None else 1, plan.dtype)
    if use.scale != 1:
        patches *= use.scale
    if bias is not None:
        patches[:, -1] = bias.operation.factor * bias.scale  # type: ignore[attr-defined]
    return patches
