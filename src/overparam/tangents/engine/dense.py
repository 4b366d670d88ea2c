"""Gradients that are formed one output at a time, all such parameters side by side."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from overparam._types import Inputs, Params
from overparam.tangents.engine.graph import Use
from overparam.tangents.engine.plan import Plan
from overparam.tangents.engine.room import Room


class Dense:
    """Gradients of n examples, of parameters with rules and of those without.

    Args:
        plan: How each parameter is treated.
        columns: Where the numbers of each parameter go.
        room: Where gradients go.
        n: Examples in all.
        direct: Jacobians of the parameters without rules, (examples, C, *parameter).
    """

    def __init__(
        self,
        plan: Plan,
        columns: dict[str, slice],
        room: Room,
        n: int,
        direct: Callable[[Inputs], Params],
    ) -> None:
        self.plan, self.columns, self.room, self.direct = plan, columns, room, direct
        self.gradients = room.empty(n, max(part.stop for part in columns.values()))

    def begin(self, uses: dict[str, list[Use]], part: slice, batch: Inputs) -> None:
        """Turn to the graph of some examples."""
        self.uses, self.part, self.batch = uses, part, batch

    def put(self, output: int, deltas: dict[Any, Tensor | None]) -> None:
        """Add up the gradients of one output over the uses of each parameter."""
        for name, columns in self.columns.items():
            if name in self.uses:
                slot = self.room.slot(self.gradients, output, self.part)[:, columns]
                self._write(slot, self.uses[name], deltas)

    def _write(self, slot: Tensor, uses: list[Use], deltas: dict[Any, Tensor | None]) -> None:
        known = [(u, delta) for u in uses if (delta := deltas.get(u.operation.node)) is not None]
        if not known:
            slot.zero_()
        for number, (use, delta) in enumerate(known):
            gradient = use.gradient(delta, self.plan.layouts[use.route])[: len(slot)]
            gradient = gradient.reshape(len(slot), -1)
            slot.add_(gradient) if number else slot.copy_(gradient)

    def take(self, deltas: dict[Any, Tensor]) -> bool:
        """The same for all outputs; their memory is not kept."""
        slots = self.room.slots(self.gradients, self.part)
        for name, columns in self.columns.items():
            if name in self.uses and not self._write_all(
                slots[..., columns], self.uses[name], deltas
            ):
                for slot, output in zip(slots[..., columns], range(self.room.outputs), strict=True):
                    one: dict[Any, Tensor | None] = {node: g[output] for node, g in deltas.items()}
                    self._write(slot, self.uses[name], one)
        return False

    def _write_all(self, slots: Tensor, uses: list[Use], deltas: dict[Any, Tensor]) -> bool:
        """Write all outputs at once; whether that was possible."""
        found = [
            use.gradients(deltas[use.operation.node], self.plan.layouts[use.route])
            for use in uses
            if use.operation.node in deltas
        ]
        known = [gradients for gradients in found if gradients is not None]
        if not known or len(known) < len(found):
            return False
        for number, gradients in enumerate(known):
            rows = gradients.reshape(*gradients.shape[:2], -1)[:, : slots.shape[1]]
            slots.add_(rows) if number else slots.copy_(rows)
        return True

    def end(self) -> None:
        """Gradients of the parameters without rules."""
        for name, jacobian in self.direct(self.batch).items() if self.plan.direct else ():
            for output in range(self.room.outputs):
                slot = self.room.slot(self.gradients, output, self.part)[:, self.columns[name]]
                slot.copy_(jacobian[: len(slot), output].reshape(len(slot), -1))
