"""Which rule covers which parameter, found and checked on a few examples.

Before a kernel is computed, at most three examples go through the network. Every use of every
parameter must be understood by a rule, its rows must be assigned to examples in exactly one
way, and the per-example gradients the rules give must equal autograd's. A parameter that fails
anywhere is differentiated directly instead.
"""

from dataclasses import dataclass, field, replace
from math import prod

import torch
from torch import Tensor, nn

from overparam._errors import expect
from overparam._model import call, expect_outputs, expect_separate, n_examples, take
from overparam._types import Inputs, Params
from overparam.tangents._graph import Route, Use, find_uses
from overparam.tangents._operations import Convolution, Elementwise, Layout, Operation


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

    Returns:
        The plan, and the uses on the examples examined.
    """
    n = n_examples(x)
    probe = take(x, sorted({0, n // 2, n - 1}) if n > 1 else [0, 0])
    n = n_examples(probe)
    raw = expect_outputs(call(model, probe), n, where)
    real = raw.is_floating_point() and raw.numel() > 0
    expect(real, where, "a model with real outputs", f"{raw.dtype} of shape {tuple(raw.shape)}")
    expect_separate(model, probe, raw, where)
    outputs = raw.reshape(n, -1)
    dtype = torch.promote_types(torch.float32, outputs.dtype)
    if not outputs.requires_grad:
        return Plan(outputs.shape[1], dtype, params, {}, {name: [] for name in params}), {}
    with torch.no_grad():
        uses, layouts, deltas = _assign(outputs, params, n)
        _settle(model, probe, params, uses, layouts)
        routes, direct, floats = _verify(outputs, params, uses, deltas)
    chosen = {route: layouts[route][0] for found in routes.values() for route in found}
    plan = Plan(outputs.shape[1], dtype, params, chosen, routes, direct, floats // n)
    return plan, {name: found for name, found in uses.items() if name in routes and found}


def _functionals(outputs: Tensor) -> list[Tensor]:
    """Random weights of the outputs: of the first example alone, and of all the others."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(outputs.shape, generator=generator, dtype=torch.float64).to(outputs)
    first = torch.arange(len(outputs), device=outputs.device)[:, None] == 0
    return [weights * first, weights * ~first] if len(outputs) > 1 else [weights]


def _size(operation: Operation) -> int:
    """Numbers held for the batch: the output, its gradient and copies, and the input."""
    total = 4 * prod(operation.output)
    if isinstance(operation, Convolution):
        total += 2 * operation.rows * prod(operation.shape[1:]) * operation.places
    return total


def _assign(
    outputs: Tensor, params: Params, n: int
) -> tuple[dict[str, list[Use] | None], dict[Route, list[Layout]], dict[Route, Tensor | None]]:
    """Uses, the layouts of their rows that are possible, and the last functional's gradients."""
    functionals = _functionals(outputs)
    rejected: set[Route] = set()

    def accept(route: Route, operation: Operation) -> bool:
        return route not in rejected and bool(operation.layouts(n))

    while True:
        uses = find_uses(outputs, params, accept)
        every = [use for found in uses.values() for use in found or ()]
        edges = [use.edge for use in every]
        deltas = []
        for functional in functionals if edges else ():
            gradients = torch.autograd.grad(
                outputs, edges, functional, retain_graph=True, allow_unused=True
            )
            deltas.append({u.route: g for u, g in zip(every, gradients, strict=True)})
        layouts = {
            use.route: [
                layout
                for layout in use.operation.layouts(n)
                if all(_owned(use, layout, d[use.route], j == 0) for j, d in enumerate(deltas))
            ]
            for use in every
        }
        mixed = {route for route, possible in layouts.items() if not possible}
        if not mixed:
            return uses, layouts, deltas[-1] if deltas else {}
        rejected |= mixed


def _owned(use: Use, layout: Layout, delta: Tensor | None, first: bool) -> bool:
    """Whether outputs depend only on rows of their own example, the first or another one."""
    if delta is None:
        return True
    rows = use.operation.by_row(delta).ne(0).any(1)
    return bool(((layout.owners(len(rows), rows.device)[rows] == 0) == first).all())


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
    params: Params,
    uses: dict[str, list[Use] | None],
    deltas: dict[Route, Tensor | None],
) -> tuple[dict[str, list[Route]], list[str], int]:
    """Routes of the parameters whose rules agree with autograd, the others, numbers kept."""
    truth = torch.autograd.grad(
        outputs,
        list(params.values()),
        _functionals(outputs)[-1],
        retain_graph=True,
        allow_unused=True,
    )
    routes, direct, floats = {}, [], 0
    for (name, found), expected in zip(uses.items(), truth, strict=True):
        if found is not None and _agrees(found, deltas, expected):
            routes[name] = [use.route for use in found]
            floats += sum(_size(use.operation) for use in found)
        else:
            direct.append(name)
    return routes, direct, floats


def _agrees(uses: list[Use], deltas: dict[Route, Tensor | None], expected: Tensor | None) -> bool:
    """Whether the rules' gradients, added up over the examples, are autograd's.

    Rows were assigned to examples already, so that the sum is all that is left to check. The
    error is compared with what rounding leaves where large terms cancel.
    """
    if expected is None:
        return all(deltas[use.route] is None for use in uses)
    expected = expected.to_dense()
    total, fresh, scale = None, False, float(expected.norm())
    for use in uses:
        delta, rows = deltas[use.route], use.operation.data()
        if delta is not None:
            gradient = use.gradient(delta, Layout(1, use.operation.rows))[0]
            # What an element-wise rule returns may be delta itself: not to be written to.
            fresh = not isinstance(use.operation, Elementwise)
            total = gradient if total is None else total + gradient
            size = 1.0 if rows is None or not rows.is_floating_point() else float(rows.norm())
            scale += float(delta.norm()) * size * abs(use.scale)
    # Not torch.dist, which takes ten times as long on the CPU.
    if total is None:
        error = scale
    else:
        # Pages of fresh memory cost more than the subtraction.
        error = float((total.sub_(expected) if fresh else total - expected).norm())
    return error <= min(0.1, torch.finfo(expected.dtype).eps ** 0.5) * scale
