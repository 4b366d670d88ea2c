"""What the kernel of a block of examples is contracted from.

Three kinds of factors. A *pair* (left, right) stands for per-example gradients Σ_t left_t ⊗
right_t that are never formed. The gradients of a convolution are *formed*, for all outputs of
the network in one product per example. *Dense* gradients are formed one output at a time, all
such parameters side by side.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overparam._batch import call, chunks, n_examples, take
from overparam._types import Inputs, Params
from overparam.tangents.engine.dense import Dense
from overparam.tangents.engine.formed import Formed, Scratch
from overparam.tangents.engine.gradients import Gradients
from overparam.tangents.engine.graph import Use
from overparam.tangents.engine.jacobian import jacobians
from overparam.tangents.engine.pair import Pair
from overparam.tangents.engine.plan import Plan
from overparam.tangents.engine.recipe import Asked, choose, numbers
from overparam.tangents.engine.room import Room

# Numbers in one backward pass: few enough that page faults do not cost more than the calls that
# a larger pass saves.
_NUMBERS = 10 * 2**20


@dataclass
class Factors:
    """Factors of n examples for K leading outputs; outputs that are summed over lie in O, F."""

    pairs: list[tuple[Tensor, Tensor]]  # left (K, n, T, O); right (n, T, I), or indices (n, T)
    formed: list[Tensor]  # (n, K, F)
    dense: Tensor | None  # (K, n, F)

    def numel(self) -> int:
        """Numbers held."""
        pairs = sum(left.numel() + right.numel() for left, right in self.pairs)
        formed = sum(gradient.numel() for gradient in self.formed)
        return pairs + formed + (0 if self.dense is None else self.dense.numel())


class GraphChanged(Exception):
    """The model's graph depends on its input, so that rules found on one batch do not hold."""


class Differentiator:
    """Turns examples into factors, in passes of bounded size.

    Args:
        model: The network.
        plan: How each parameter is treated.
        uses: The plan's uses in some graph.
        blocks: Keep the C outputs apart, K = C; otherwise they are contracted over, K = 1.
        summed: Replace the C outputs by their sum over √C.
        combinations: (C, m), replaces the C outputs by m combinations of them.
        columns: Examples each example will meet, for the choice of the cheapest contraction.
        pairs_first: Keep factors apart wherever there are any, whatever that costs.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: Plan,
        uses: dict[str, list[Use]],
        *,
        blocks: bool,
        summed: bool = False,
        combinations: Tensor | None = None,
        columns: int = 1,
        pairs_first: bool = False,
    ) -> None:
        self.model, self.plan, self.blocks = model, plan, blocks
        self.outputs = 1 if summed else plan.outputs
        if combinations is not None:
            self.outputs = combinations.shape[1]
        scale = plan.outputs**-0.5
        self.combine: Callable[[Tensor], Tensor] = (
            (lambda y: y.sum(-1, keepdim=True) * scale) if summed else (lambda y: y)
        )
        if combinations is not None:
            self.combine = lambda y: y @ combinations.to(y)
        self.recipe = choose(plan, uses, Asked(self.outputs, blocks, columns, pairs_first))
        self.size = numbers(self.recipe, plan, uses, self.outputs)
        # The plan was made without them.
        swept = plan.swept and not summed and combinations is None
        self._gradients = Gradients(self.outputs, swept=swept, dtype=plan.dtype)

    @torch.no_grad()
    def factors(self, x: Inputs, pass_size: int) -> Factors:
        """The factors of all of x, `pass_size` examples differentiated at a time."""
        n, plan, recipe = n_examples(x), self.plan, self.recipe
        device = next(iter(plan.params.values())).device
        room = Room(self.outputs, self.blocks, plan.dtype, device)
        scratch = Scratch(plan.dtype, device)
        pairs = [Pair(plan, *names, room, n) for names in recipe.pairs]
        formed = [Formed(plan, *names, room, n, scratch) for names in recipe.formed]
        dense = Dense(plan, recipe.dense, room, n, self._direct) if recipe.dense else None
        for part in chunks(n, pass_size):
            # One example alone may take another path than a batch does.
            alone = part.stop - part.start == 1
            batch = take(x, [part.start] * 2) if alone else take(x, part)
            outputs, uses = self._graph(batch)
            for one in (*pairs, *formed):
                one.begin(uses, part)
            if dense is not None:
                dense.begin(uses, part, batch)
            self._differentiate(outputs, uses, [*pairs, *formed, *([dense] if dense else [])])
        return Factors(
            [(room.leading(pair.left), pair.right) for pair in pairs],
            [one.gradients if self.blocks else one.gradients.view(n, 1, -1) for one in formed],
            None if dense is None else room.leading(dense.gradients),
        )

    def _graph(self, batch: Inputs) -> tuple[Tensor, dict[str, list[Use]]]:
        """Outputs and uses of a batch."""
        n = n_examples(batch)
        if not self.plan.routes:
            return torch.empty(0), {}
        with torch.enable_grad():
            outputs = self.combine(call(self.model, batch).reshape(n, -1))
        uses = self.plan.uses(outputs, n)
        if uses is None:
            raise GraphChanged
        return outputs, uses

    def _differentiate(
        self,
        outputs: Tensor,
        uses: dict[str, list[Use]],
        kinds: list[Pair | Formed | Dense],
    ) -> None:
        """Hand every output's gradients to those that make factors of them."""
        nodes = list({use.operation.node: None for found in uses.values() for use in found})
        whole = self._gradients.together(outputs, nodes) if nodes else {}
        if whole is None:
            for c, deltas in enumerate(self._gradients.each(outputs, nodes)):
                for kind in kinds:
                    kind.put(c, deltas)
        else:
            memory_kept = [kind.take(whole) for kind in kinds]
            if any(memory_kept):
                self._gradients.kept()
        for kind in kinds:
            kind.end()

    def _direct(self, batch: Inputs) -> Params:
        """Jacobians of the parameters no rule covers."""
        params = {name: self.plan.params[name] for name in self.plan.direct}
        return jacobians(self.model, batch, params, self.combine)


def pass_size(differentiator: Differentiator, n: int) -> int:
    """Examples in one backward pass; passes are about equally large."""
    most = max(1, min(n, _NUMBERS // max(1, differentiator.plan.floats)))
    return math.ceil(n / math.ceil(n / most))
