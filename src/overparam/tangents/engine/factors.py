"""What the kernel of a block of examples is contracted from.

Three kinds of factors. A *pair* (left, right) stands for per-example gradients Σ_t left_t ⊗
right_t that are never formed. The gradients of a convolution are *formed*, for all outputs of
the network in one product per example. *Dense* gradients are formed one output at a time, all
such parameters side by side.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from overparam._model import call, chunks, n_examples, take
from overparam._types import Inputs
from overparam.tangents.engine.formed import Formed
from overparam.tangents.engine.graph import Use
from overparam.tangents.engine.jacobian import jacobians
from overparam.tangents.engine.operations import Convolution, Elementwise, Linear, Lookup
from overparam.tangents.engine.plan import Plan
from overparam.tangents.engine.sweep import Sweep, every_output

# An elementwise pass over memory costs about as much as this many multiply-adds a number.
_PASS = 8
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


@dataclass(frozen=True)
class Recipe:
    """Which parameters become pairs or are formed (a weight, perhaps with its bias), or dense."""

    pairs: list[tuple[str, str | None]]
    formed: list[tuple[str, str | None]]
    dense: dict[str, slice]

    @property
    def width(self) -> int:
        """F of one output."""
        return max((part.stop for part in self.dense.values()), default=0)


class Differentiator:
    """Turns examples into factors, in passes of bounded size.

    Args:
        model: The network.
        plan: How each parameter is treated.
        blocks: Keep the C outputs apart, K = C; otherwise they are contracted over, K = 1.
        summed: Replace the C outputs by their sum over √C.
        columns: Examples each example will meet, for the choice of the cheapest contraction.
        uses: The plan's uses in some graph.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: Plan,
        uses: dict[str, list[Use]],
        *,
        blocks: bool,
        summed: bool = False,
        columns: int = 1,
    ) -> None:
        self.model, self.plan, self.blocks, self.columns = model, plan, blocks, columns
        self.outputs = 1 if summed else plan.outputs
        scale = plan.outputs**-0.5
        self.combine: Callable[[Tensor], Tensor] = (
            (lambda y: y.sum(-1, keepdim=True) * scale) if summed else (lambda y: y)
        )
        self.recipe = self._recipe(uses)
        self.size = self._numbers(uses)
        self.swept = plan.swept and not summed  # the plan was made without the sum
        self._sweep = Sweep()

    @torch.no_grad()
    def factors(self, x: Inputs, pass_size: int) -> Factors:
        """The factors of all of x, `pass_size` examples differentiated at a time."""
        n, c = n_examples(x), self.outputs
        recipe = self.recipe
        lefts: list[Tensor] = []
        rights: list[Tensor] = []
        formed: list[Tensor] = []
        dense: Tensor | None = None
        scratch = torch.empty(0)
        together = [Formed(self.plan, *names, c) for names in recipe.formed]
        for part in chunks(n, pass_size):
            # One example alone may take another path than a batch does.
            alone = part.stop - part.start == 1
            batch = take(x, [part.start] * 2) if alone else take(x, part)
            outputs, uses = self._graph(batch)
            if part.start == 0:
                dense = self._empty(n, (), recipe.width) if recipe.dense else None
            for number, (weight, bias) in enumerate(recipe.pairs):
                biases = uses[bias] if bias else []
                if part.start == 0:
                    rights.append(self._room_of_right(n, uses[weight], biases))
                    width = uses[weight][0].operation.width
                    lefts.append(self._empty(n, rights[-1].shape[1:2], width))
                self._write_right(rights[number][part], uses[weight], biases)
            for convolution in together:
                convolution.begin(uses)
            if part.start == 0:
                formed = [convolution.room(n) for convolution in together]
                laid = max((convolution.laid for convolution in together), default=0)
                scratch = torch.empty(laid, dtype=self.plan.dtype, device=_device(self.plan))
            self._differentiate(outputs, uses, lefts, together, dense, part)
            for gradients, convolution in zip(formed, together, strict=True):
                convolution.form(gradients[part], scratch)
            if self.plan.direct and dense is not None:
                self._direct(batch, dense, part)
        flat = [left if self.blocks else left.flatten(-2)[None] for left in lefts]
        if dense is not None and not self.blocks:
            dense = dense.view(1, n, c * dense.shape[-1])
        if not self.blocks:
            formed = [gradients.view(n, 1, -1) for gradients in formed]
        return Factors(list(zip(flat, rights, strict=True)), formed, dense)

    def _empty(self, n: int, middle: tuple[int, ...], last: int) -> Tensor:
        """Room for all outputs: the outputs' axis first, or last but one if summed over."""
        c = self.outputs
        shape = (c, n, *middle, last) if self.blocks else (n, *middle, c, last)
        return torch.empty(shape, dtype=self.plan.dtype, device=_device(self.plan))

    def _slot(self, room: Tensor, output: int, part: slice) -> Tensor:
        """The place of one output of some examples."""
        return room[output, part] if self.blocks else room[part, ..., output, :]

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

    def _recipe(self, uses: dict[str, list[Use]]) -> Recipe:
        """Chosen once, so that all blocks fit together."""
        pairs = [
            (name, _partner(name, uses))
            for name, found in uses.items()
            if found and self._pairs_cheaper(found)
        ]
        taken = {name for pair in pairs for name in pair}
        formed = [
            (name, _partner(name, uses))
            for name, found in uses.items()
            if found and name not in taken and _formable(found, self.plan)
        ]
        taken |= {name for pair in formed for name in pair}
        dense, start = {}, 0
        for name in [*(name for name in uses if name not in taken), *self.plan.direct]:
            stop = start + self.plan.params[name].numel()
            dense[name], start = slice(start, stop), stop
        return Recipe(pairs, formed, dense)

    def _numbers(self, uses: dict[str, list[Use]]) -> int:
        """Numbers that the factors of one example hold."""
        total = self.outputs * self.recipe.width
        for weight, _ in self.recipe.pairs:
            o, length = (
                uses[weight][0].operation.width,
                sum(_length(u, self.plan) for u in uses[weight]),
            )
            wide = isinstance(uses[weight][0].operation, Lookup)
            i = 2 if wide else uses[weight][0].parameter.numel() // o + 1
            total += length * (self.outputs * o + i)
        for weight, bias in self.recipe.formed:
            extra = 0 if bias is None else uses[weight][0].operation.width
            total += self.outputs * (uses[weight][0].parameter.numel() + extra)
        return total

    def _pairs_cheaper(self, uses: list[Use]) -> bool:
        """Whether contracting pairs costs less than forming the gradients."""
        if not _pairable(uses, self.plan):
            return False
        t = sum(_length(use, self.plan) for use in uses)
        operation = uses[0].operation
        o, size = uses[0].operation.width, uses[0].parameter.numel()
        i = 1 if isinstance(operation, Lookup) else size // o
        c, n = self.outputs, self.columns
        kept, products = (c, 1) if self.blocks else (1, c)
        pair = n * t * t * (kept**2 * products * o + i + _PASS * kept**2)
        forming = 0 if isinstance(operation, Lookup) else t * c * size
        return pair <= forming + n * kept**2 * products * size + _PASS * c * size

    def _differentiate(
        self,
        outputs: Tensor,
        uses: dict[str, list[Use]],
        lefts: list[Tensor],
        together: list[Formed],
        dense: Tensor | None,
        part: slice,
    ) -> None:
        """Fill in every output's share."""
        every = {use.operation.node: use for found in uses.values() for use in found}
        if not every:
            return
        whole = self._all_outputs(outputs, every)
        ready = set() if whole is None else self._take(whole, uses, lefts, together, part)
        for c, deltas in enumerate(self._each_output(outputs, every, whole)):
            for number, (weight, _) in enumerate(self.recipe.pairs):
                if number not in ready:
                    self._write_left(self._slot(lefts[number], c, part), uses[weight], deltas)
            for convolution in together if whole is None else ():
                convolution.put(c, deltas)
            for name, columns in self.recipe.dense.items():
                if name in uses and dense is not None:
                    self._write_dense(self._slot(dense, c, part)[:, columns], uses[name], deltas)

    def _all_outputs(self, outputs: Tensor, uses: dict[Any, Use]) -> dict[Any, Tensor] | None:
        """Gradients of the operations' results, (C, *result) by node, where one call gives them."""
        found = self._sweep(outputs, every_output(outputs), uses) if self.swept else None
        if found is not None:
            return {node: gradient.to(self.plan.dtype) for node, gradient in found.items()}
        if self.outputs > 1:
            return None
        gradients = self._autograd(outputs, uses, torch.ones_like(outputs))
        return {node: g[None] for node, g in gradients.items() if g is not None}

    def _each_output(
        self, outputs: Tensor, uses: dict[Any, Use], whole: dict[Any, Tensor] | None
    ) -> Iterator[dict[Any, Tensor | None]]:
        """The same for one output after another; `None` where it does not depend on the result."""
        one = torch.zeros_like(outputs)
        for c in range(self.outputs):
            if whole is not None:
                yield {node: whole[node][c] if node in whole else None for node in uses}
            else:
                one.zero_()[:, c] = 1
                yield self._autograd(outputs, uses, one)

    def _autograd(
        self, outputs: Tensor, uses: dict[Any, Use], weights: Tensor
    ) -> dict[Any, Tensor | None]:
        """The gradients of one functional."""
        edges = [use.edge for use in uses.values()]
        gradients = torch.autograd.grad(
            outputs, edges, weights, retain_graph=True, allow_unused=True
        )
        return {
            node: None if g is None else g.to(self.plan.dtype)
            for node, g in zip(uses, gradients, strict=True)
        }

    def _take(
        self,
        whole: dict[Any, Tensor],
        uses: dict[str, list[Use]],
        lefts: list[Tensor],
        together: list[Formed],
        part: slice,
    ) -> set[int]:
        """Take all outputs' gradients without a copy where they are in order; which lefts were."""
        for convolution in together:
            convolution.take(whole)
        ready = set()
        for number, (weight, _) in enumerate(self.recipe.pairs):
            (use, *others), left = uses[weight], lefts[number]
            gradient = whole.get(use.operation.node)
            if (
                gradient is not None
                and not others
                and isinstance(use.operation, Linear)
                and self.plan.layouts[use.route].before == 1
                and (self.blocks or self.outputs == 1)
                and part == slice(0, left.shape[1 if self.blocks else 0])
                and gradient.numel() == left.numel()
                and gradient.is_contiguous()
            ):
                lefts[number] = gradient.view(left.shape)
                ready.add(number)
        if ready:
            self._sweep = Sweep()  # what it would write over is the factors' now
        return ready

    def _room_of_right(self, n: int, uses: list[Use], biases: list[Use]) -> Tensor:
        """Room for the inputs of n examples; a bias is one more input."""
        one = _input(uses[0], self.plan)
        length = sum(_length(use, self.plan) for use in uses)
        if not one.is_floating_point():
            return one.new_empty(n, length)
        width = one.shape[2] + (1 if biases else 0)
        return one.new_empty(n, length, width, dtype=self.plan.dtype)

    def _write_right(self, slot: Tensor, uses: list[Use], biases: list[Use]) -> None:
        """The inputs of a weight, scaled, uses behind one another."""
        start = 0
        for number, use in enumerate(uses):
            right = _input(use, self.plan)
            there = slot[:, start : start + right.shape[1]]
            start += right.shape[1]
            if biases:
                operation = biases[number].operation
                there[..., -1] = operation.factor * biases[number].scale  # type: ignore[attr-defined]
                there = there[..., :-1]
            there.copy_(right[: len(slot)])
            if use.scale != 1:
                there *= use.scale

    def _write_left(self, slot: Tensor, uses: list[Use], deltas: dict) -> None:
        """The output gradients of a pair, uses behind one another."""
        start = 0
        for use in uses:
            length, delta = _length(use, self.plan), deltas[use.operation.node]
            there = slot[:, start : start + length]
            if delta is None:
                there.zero_()
            else:
                there.copy_(use.operation.left(delta, self.plan.layouts[use.route])[: len(slot)])  # type: ignore[attr-defined]
            start += length

    def _write_dense(self, slot: Tensor, uses: list[Use], deltas: dict) -> None:
        """The sum over uses of the gradients of one parameter."""
        known = [use for use in uses if deltas[use.operation.node] is not None]
        if not known:
            slot.zero_()
        for number, use in enumerate(known):
            delta = deltas[use.operation.node]
            gradient = use.gradient(delta, self.plan.layouts[use.route])[: len(slot)].reshape(
                len(slot), -1
            )
            slot.add_(gradient) if number else slot.copy_(gradient)

    def _direct(self, batch: Inputs, dense: Tensor, part: slice) -> None:
        """Gradients of the parameters no rule covers."""
        params = {name: self.plan.params[name] for name in self.plan.direct}
        for name, jacobian in jacobians(self.model, batch, params, self.combine).items():
            for c in range(self.outputs):
                slot = self._slot(dense, c, part)
                slot[:, self.recipe.dense[name]] = jacobian[: len(slot), c].reshape(len(slot), -1)


class GraphChanged(Exception):
    """The model's graph depends on its input, so that rules found on one batch do not hold."""


def _device(plan: Plan) -> torch.device:
    """Where the parameters are."""
    return next(iter(plan.params.values())).device


def _length(use: Use, plan: Plan) -> int:
    """Rows of one example that meet the parameter."""
    if isinstance(use.operation, Convolution):
        return use.operation.places
    layout = plan.layouts[use.route]
    return layout.before * layout.after


def _pairable(uses: list[Use], plan: Plan) -> bool:
    """Whether all uses have factors that fit behind one another."""
    kinds = {(type(use.operation), use.transposed, use.prefix is None) for use in uses}
    if len(kinds) > 1 or not isinstance(uses[0].operation, (Linear, Convolution, Lookup)):
        return False
    return all(
        use.prefix is None
        and not (isinstance(use.operation, Lookup) and (use.scale != 1 or use.transposed))
        and not (
            isinstance(use.operation, Convolution)
            and (
                use.operation.groups > 1
                or use.operation.turned
                or plan.layouts[use.route] != (1, 1)
            )
        )
        for use in uses
    )


def _formable(uses: list[Use], plan: Plan) -> bool:
    """Whether all outputs' gradients come from one product."""
    return isinstance(uses[0].operation, Convolution) and _pairable(uses, plan)


def _partner(weight: str, uses: dict[str, list[Use]]) -> str | None:
    """The bias used by exactly the operations that use the weight, if there is one."""
    if isinstance(uses[weight][0].operation, Lookup):
        return None
    nodes = [use.operation.node for use in uses[weight]]
    for name, found in uses.items():
        if [use.operation.node for use in found] == nodes and all(
            isinstance(use.operation, Elementwise)
            and use.prefix is None
            and not isinstance(use.operation.factor, Tensor)
            for use in found
        ):
            return name
    return None


def _input(use: Use, plan: Plan) -> Tensor:
    """What a weight meets, (examples, rows of one, I), or the indices of a table's rows."""
    return use.operation.right(plan.layouts[use.route])  # type: ignore[attr-defined]


def pass_size(differentiator: Differentiator, n: int) -> int:
    """Examples in one backward pass; passes are about equally large."""
    most = max(1, min(n, _NUMBERS // max(1, differentiator.plan.floats)))
    return math.ceil(n / math.ceil(n / most))
