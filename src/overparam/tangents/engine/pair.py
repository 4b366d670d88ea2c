"""Factors of one weight, kept apart: its inputs, and the gradients of what it gives."""

from typing import Any

from torch import Tensor

from overparam.tangents.engine.graph import Use
from overparam.tangents.engine.plan import Plan
from overparam.tangents.engine.room import Room


class Pair:
    """Σ_t left_t ⊗ right_t of n examples, uses behind one another; no gradient is formed.

    Args:
        plan: How each parameter is treated.
        weight: Name of the weight.
        bias: Name of the bias that goes with it: one more input, the same in every row.
        room: Where gradients go.
        n: Examples in all.
    """

    left: Tensor
    right: Tensor

    def __init__(self, plan: Plan, weight: str, bias: str | None, room: Room, n: int) -> None:
        self.plan, self.weight, self.bias, self.room, self.n = plan, weight, bias, room, n

    def begin(self, uses: dict[str, list[Use]], part: slice) -> None:
        """Turn to the graph of some examples, whose inputs are written down."""
        self.uses, self.part = uses[self.weight], part
        biases = uses[self.bias] if self.bias else []
        rights = [use.operation.right(self.plan.layouts[use.route]) for use in self.uses]
        if part.start == 0:
            self.right = self._room_of_right(rights, bool(biases))
            length, width = self.right.shape[1], self.uses[0].operation.width
            self.left = self.room.empty(self.n, length, width)
        self._write_right(rights, biases)

    def _room_of_right(self, rights: list[Tensor], bias: bool) -> Tensor:
        one, length = rights[0], sum(right.shape[1] for right in rights)
        if not one.is_floating_point():
            return one.new_empty(self.n, length)
        return one.new_empty(self.n, length, one.shape[2] + bias, dtype=self.room.dtype)

    def _write_right(self, rights: list[Tensor], biases: list[Use]) -> None:
        """The inputs, scaled."""
        slot, start = self.right[self.part], 0
        for number, (use, right) in enumerate(zip(self.uses, rights, strict=True)):
            there = slot[:, start : start + right.shape[1]]
            start += right.shape[1]
            if biases:
                constant = biases[number].operation.constant
                assert constant is not None
                there[..., -1] = constant * biases[number].scale
                there = there[..., :-1]
            there.copy_(right[: len(slot)])
            if use.scale != 1:
                there *= use.scale

    def put(self, output: int, deltas: dict[Any, Tensor | None]) -> None:
        """Write down the gradients of one output of the network, by node."""
        slot, start = self.room.slot(self.left, output, self.part), 0
        for use in self.uses:
            layout, delta = self.plan.layouts[use.route], deltas.get(use.operation.node)
            length = use.operation.length(layout)
            there = slot[:, start : start + length]
            start += length
            if delta is None:
                there.zero_()
            else:
                there.copy_(use.operation.left(delta, layout)[: len(slot)])

    def take(self, deltas: dict[Any, Tensor]) -> bool:
        """The same for all outputs; whether their memory was kept, being in order."""
        (use, *others), gradient = self.uses, deltas.get(self.uses[0].operation.node)
        room, left = self.room, self.left
        if (
            gradient is not None
            and not others
            and use.operation.left_is_delta
            and self.plan.layouts[use.route].before == 1
            and (room.blocks or room.outputs == 1)
            and self.part == slice(0, self.n)
            and gradient.numel() == left.numel()
            and gradient.is_contiguous()
        ):
            self.left = gradient.view(left.shape)
            return True
        for output in range(room.outputs):
            self.put(output, {node: gradient[output] for node, gradient in deltas.items()})
        return False

    def end(self) -> None:
        """Nothing is left to do."""
