"""Which rule covers which parameter, found and checked on a few examples.

Before a kernel is computed, at most three examples go through the network. Every use of every
parameter must be understood by a rule, its rows must be assigned to examples in exactly one
way, and the per-example gradients the rules give must equal autograd's. A parameter that fails
anywhere is differentiated directly instead.
"""

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from overparam._batch import call, n_examples, take
from overparam._errors import expect
from overparam._findings import found_before, to_keep
from overparam._model import expect_outputs, expect_separate, tried
from overparam._types import Inputs, Params
from overparam.tangents.engine.graph import Route, Use, find_uses
from overparam.tangents.engine.operation import Layout, Operation
from overparam.tangents.engine.sweep import Sweep, pays

# Random directions along which the gradient of a matrix is compared.
_DIRECTIONS = 8


@dataclass(frozen=True)
class Plan:
    """How the gradient of each parameter is obtained."""

    outputs: int
    dtype: torch.dtype  # in which kernels are accumulated
    params: Params
    layouts: dict[Route, Layout]
    routes: dict[str, list[Route]]  # of the parameters that rules cover
    direct: list[str] = field(default_factory=list)  # of those differentiated directly
    floats: int = 0  # numbers alive per example in one pass, roughly
    swept: bool = False  # whether one sweep gives the gradients of all outputs

    def uses(self, outputs: Tensor, n: int) -> dict[str, list[Use]] | None:
        """The uses in a new graph, or `None` if this graph is another one than the plan's."""

        def accept(route: Route, operation: Operation) -> bool:
            layout = self.layouts.get(route)
            return layout is not None and operation.rows == layout.before * n * layout.after

        found = find_uses(outputs, {name: self.params[name] for name in self.routes}, accept)
        uses = {name: value for name, value in found.items() if value is not None}
        same = {name: [use.route for use in value] for name, value in uses.items()} == self.routes
        return uses if same else None

    def without_rules(self) -> "Plan":
        """The plan that differentiates every parameter directly."""
        return replace(self, layouts={}, routes={}, direct=list(self.params))


def make_plan(
    model: nn.Module, x: Inputs, params: Params, where: str
) -> tuple[Plan, dict[str, list[Use]]]:
    """Examine the model on the first, the middle and the last example.

    Of a model that is measured over and over the plan is made once, as long as its graph is the
    same.

    Returns:
        The plan, and the uses on the examples examined.
    """
    n = n_examples(x)
    probe = take(x, sorted({0, n // 2, n - 1}) if n > 1 else [0, 0])
    n = n_examples(probe)
    raw = expect_outputs(tried(model, probe, where), n, where)
    real = raw.is_floating_point() and raw.numel() > 0
    expect(real, where, "a model with real outputs", f"{raw.dtype} of shape {tuple(raw.shape)}")
    before, outputs = found_before(model), raw.reshape(n, -1)
    if before is not None and (again := _again(before.get(Plan), outputs, params)) is not None:
        return again
    expect_separate(model, probe, raw, where)
    dtype = torch.promote_types(torch.float32, outputs.dtype)
    if not outputs.requires_grad:
        return Plan(outputs.shape[1], dtype, params, {}, {name: [] for name in params}), {}
    with torch.no_grad():
        functionals = _functionals(outputs)
        uses, layouts, deltas = _assign(outputs, functionals, params, n)
        _settle(model, probe, params, uses, layouts)
        routes, direct = _verify(outputs, functionals[-1], params, uses, deltas)
        covered = [use for name in routes for use in uses[name] or ()]
        swept = _sweeps(outputs, functionals, covered, deltas)
    chosen = {route: layouts[route][0] for found in routes.values() for route in found}
    c = outputs.shape[1]
    sizes: dict[Any, int] = {}  # a weight and its bias meet in one node
    for use in covered:
        node, size = use.operation.node, _size(use.operation, c if swept else 1)
        sizes[node] = max(size, sizes.get(node, 0))
    floats = sum(sizes.values())
    plan = Plan(c, dtype, params, chosen, routes, direct, floats // n, swept)
    to_keep(model)[Plan] = plan
    return plan, {name: found for name, found in uses.items() if name in routes and found}


def _again(
    plan: Plan | None, outputs: Tensor, params: Params
) -> tuple[Plan, dict[str, list[Use]]] | None:
    """A plan made before and its uses in this graph, if it is one of the same kind."""
    if plan is None or plan.params.keys() != params.keys():
        return None
    same = all(plan.params[name] is p for name, p in params.items())
    dtype = torch.promote_types(torch.float32, outputs.dtype)
    if not same or (plan.outputs, plan.dtype) != (outputs.shape[1], dtype):
        return None
    uses = plan.uses(outputs, len(outputs))
    return None if uses is None else (plan, uses)


def _functionals(outputs: Tensor) -> Tensor:
    """Random weights of the outputs: of the first example alone, and of all the others."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(outputs.shape, generator=generator, dtype=torch.float64).to(outputs)
    first = torch.arange(len(outputs), device=outputs.device)[:, None] == 0
    return torch.stack([weights * first, weights * ~first])


def _size(operation: Operation, together: int) -> int:
    """Numbers held for the batch: the output, its gradients and copies, and what a rule needs."""
    return (2 + 2 * together) * prod(operation.output) + operation.held


def _assign(
    outputs: Tensor, functionals: Tensor, params: Params, n: int
) -> tuple[dict[str, list[Use] | None], dict[Route, list[Layout]], dict[Any, Tensor | None]]:
    """Uses, the layouts of their rows that are possible, and the last functional's gradients.

    Gradients are those of the operations' results, by node.
    """
    rejected: set[Route] = set()

    def accept(route: Route, operation: Operation) -> bool:
        return route not in rejected and bool(operation.layouts(n))

    while True:
        uses = find_uses(outputs, params, accept)
        every = [use for found in uses.values() for use in found or ()]
        edges = {use.operation.node: use.edge for use in every}
        deltas = []
        for functional in functionals if edges else ():
            gradients = torch.autograd.grad(
                outputs, list(edges.values()), functional, retain_graph=True, allow_unused=True
            )
            deltas.append(dict(zip(edges, gradients, strict=True)))
        layouts = {
            use.route: [
                layout
                for layout in use.operation.layouts(n)
                if all(
                    _owned(use.operation, layout, d[use.operation.node], first=j == 0)
                    for j, d in enumerate(deltas)
                )
            ]
            for use in every
        }
        mixed = {route for route, possible in layouts.items() if not possible}
        if not mixed:
            return uses, layouts, deltas[-1] if deltas else {}
        rejected |= mixed


def _owned(operation: Operation, layout: Layout, delta: Tensor | None, *, first: bool) -> bool:
    """Whether outputs depend only on rows of their own example, the first or another one."""
    if delta is None:
        return True
    rows = layout.split(operation.by_row(delta))
    return not bool(torch.count_nonzero(rows[1:] if first else rows[:1]))


def _settle(
    model: nn.Module,
    probe: Inputs,
    params: Params,
    uses: dict[str, list[Use] | None],
    layouts: dict[Route, list[Layout]],
) -> None:
    """Where gradients leave two layouts possible, see which rows move with the examples."""
    open_uses = [
        use for found in uses.values() for use in found or () if len(layouts[use.route]) > 1
    ]
    if not open_uses:
        return
    n = n_examples(probe)
    with torch.enable_grad():
        moved = call(model, take(probe, [*range(1, n), 0])).reshape(n, -1)
    again = find_uses(moved, params, lambda route, _: route in layouts)
    rows = {use.route: use.operation.data() for found in again.values() for use in found or ()}
    for use in open_uses:
        here, there = use.operation.data(), rows.get(use.route)
        if here is None or there is None:
            continue
        layouts[use.route] = [
            layout
            for layout in layouts[use.route]
            if torch.allclose(
                layout.split(here).roll(-1, 0).double(), layout.split(there).double(), rtol=1e-3
            )
        ] or layouts[use.route]


def _verify(
    outputs: Tensor,
    functional: Tensor,
    params: Params,
    uses: dict[str, list[Use] | None],
    deltas: dict[Any, Tensor | None],
) -> tuple[dict[str, list[Route]], list[str]]:
    """Routes of the parameters whose rules agree with autograd, and the other parameters."""
    leaves = list(params.values())
    truth = torch.autograd.grad(outputs, leaves, functional, retain_graph=True, allow_unused=True)
    routes, direct = {}, []
    for (name, found), expected in zip(uses.items(), truth, strict=True):
        if found is not None and _agrees(found, deltas, expected):
            routes[name] = [use.route for use in found]
        else:
            direct.append(name)
    return routes, direct


def _sweeps(
    outputs: Tensor, functionals: Tensor, uses: list[Use], deltas: dict[Any, Tensor | None]
) -> bool:
    """Whether a sweep of the graph gives what autograd gave for the last functional."""
    wanted = {use.operation.node for use in uses}
    # A single functional may take another path than several do.
    trials = functionals if outputs.shape[1] > 1 else functionals[-1:]
    found = Sweep()(outputs, trials, wanted) if pays(outputs, wanted) else None
    if found is None:
        return False
    for node in wanted:
        expected, here = deltas[node], found.get(node)
        if expected is None or here is None:
            if expected is not here:
                return False
            continue
        error, scale = float((here[-1] - expected).norm()), float(expected.norm())
        if not error <= torch.finfo(expected.dtype).eps ** 0.5 * scale:
            return False
    return True


def _agrees(uses: list[Use], deltas: dict[Any, Tensor | None], expected: Tensor | None) -> bool:
    """Whether the rules' gradients, added up over the examples, are autograd's.

    Rows were assigned to examples already, so that the sum is all that is left to check. The
    error is compared with what rounding leaves where large terms cancel.
    """
    if expected is None:
        return all(deltas[use.operation.node] is None for use in uses)
    expected = expected.to_dense()
    known = [(use, delta) for use in uses if (delta := deltas[use.operation.node]) is not None]
    if all(use.operation.projects and use.prefix is None for use in uses):
        error, scale = _projected_error(known, expected)
    else:
        error, scale = _error(known, expected)
    for use, delta in known:
        rows = use.operation.data()
        size = 1.0 if rows is None or not rows.is_floating_point() else float(rows.norm())
        scale += float(delta.norm()) * size * abs(use.scale)
    return error <= min(0.1, torch.finfo(expected.dtype).eps ** 0.5) * scale


def _error(known: list[tuple[Use, Tensor]], expected: Tensor) -> tuple[float, float]:
    """‖Σ gradients − expected‖ and ‖expected‖."""
    total = -expected
    for use, delta in known:
        total += use.gradient(delta, Layout(1, use.operation.rows))[0]
    # Not torch.dist, which takes ten times as long on the CPU.
    return float(total.norm()), float(expected.norm())


def _projected_error(known: list[tuple[Use, Tensor]], expected: Tensor) -> tuple[float, float]:
    """Estimates of the same for matrices, by random directions: no gradient is formed.

    E ‖D v‖² = ‖D‖² for standard normal v. A weight's gradient is its largest tensor, and
    touching the memory for another costs more than all else that is checked.
    """
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(expected.shape[1], _DIRECTIONS, generator=generator).to(expected)
    right = expected @ directions
    total = -right
    for use, delta in known:
        part = use.operation.projected(delta, directions, transposed=use.transposed)
        total += use.scale * part
    return float(total.norm()) / _DIRECTIONS**0.5, float(right.norm()) / _DIRECTIONS**0.5
