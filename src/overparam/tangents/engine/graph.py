"""Where each parameter enters the computation, read off the autograd graph.

The graph of one forward pass lists every use of every parameter, whoever made it: a module's
own forward, a functional call elsewhere, a tied or a re-used weight. Nothing is hooked, and a
use that no rule understands is seen as such: coverage is a property of the graph.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from overparam._types import Params
from overparam.tangents.engine.operation import Layout, Operation
from overparam.tangents.engine.registry import operation
from overparam.tangents.engine.step import name_of

Route: TypeAlias = tuple[tuple[int, int, str, int], ...]
"""The way from a parameter, named first, to a use: at each step which result, which of its
consumers, its name, and at which input. It recognises the use in the graph of another batch."""

# A parameter goes through at most this many operations before it meets an example: more than
# any parametrisation has, and it stops the search inside a network of unknown operations.
_DEPTH = 8
_TRANSPOSES = ("TBackward0", "TransposeBackward0")


@dataclass
class Use:
    """One place where a parameter, or a function of it, acts on the examples."""

    operation: Operation
    route: Route
    parameter: Tensor
    scale: float = 1.0  # the operation sees scale · parameter …
    transposed: bool = False  # … or its transpose
    prefix: GradientEdge | None = None  # or, if set, a function of the parameter

    def gradients(self, deltas: Tensor, layout: Layout) -> Tensor | None:
        """The same of all outputs, (C, examples, *parameter), where that is faster than each."""
        if self.prefix is not None or self.transposed:
            return None
        result = self.operation.gradients(deltas, layout)
        return result if result is None or self.scale == 1 else result * self.scale

    def paired(self, layout: Layout) -> bool:
        """Whether the gradient has factors."""
        return self.prefix is None and self.operation.paired(
            layout, self.scale, transposed=self.transposed
        )

    @property
    def edge(self) -> GradientEdge:
        """Where the gradient of the operation's output passes."""
        return GradientEdge(self.operation.node, 0)

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """Per-example gradients with respect to the parameter, (examples, *parameter)."""
        result = self.operation.gradient(delta, layout)
        if self.prefix is not None:
            return _pull_back(self.prefix, self.parameter, result)
        result = result.transpose(1, 2) if self.transposed else result
        return result if self.scale == 1 else result * self.scale


@dataclass(frozen=True)
class _Way:
    """How far the search from a parameter has come."""

    source: Any
    result: int
    shape: torch.Size
    route: Route
    scale: float = 1.0
    transposed: bool = False
    plain: bool = True


def find_uses(
    outputs: Tensor, params: Params, accept: Callable[[Route, Operation], bool]
) -> dict[str, list[Use] | None]:
    """Every use of every parameter in the graph of `outputs`.

    Args:
        outputs: The result of a forward pass.
        params: The leaves to look for.
        accept: Whether the operation at the end of a route acts on examples one by one; if
            not, the search goes on behind it.

    Returns:
        A list per parameter; an empty one if the outputs do not depend on it; `None` if one
        of its uses follows no rule.
    """
    takers, leaves = _consumers(outputs)
    found: dict[str, list[Use] | None] = {}
    for name, parameter in params.items():
        leaf = leaves.get(id(parameter))
        uses: dict[Any, Use] = {}
        start = _Way(leaf, 0, parameter.shape, ((0, 0, name, 0),))
        covered = leaf is None or _search(takers, start, parameter, accept, uses)
        found[name] = list(uses.values()) if covered else None
    return found


def _consumers(outputs: Tensor) -> tuple[dict[Any, list[tuple[Any, int, int]]], dict[int, Any]]:
    """Who takes each node's results, as (node, its input, which result), and the leaves by id."""
    takers: dict[Any, list[tuple[Any, int, int]]] = defaultdict(list)
    leaves: dict[int, Any] = {}
    queue = [outputs.grad_fn] if outputs.grad_fn is not None else []
    seen: set[Any] = set(queue)
    while queue:
        node = queue.pop()
        for position, (source, result) in enumerate(node.next_functions):
            if source is None:
                continue
            takers[source].append((node, position, result))
            if source not in seen:
                seen.add(source)
                queue.append(source)
                leaf = getattr(source, "variable", None)
                if leaf is not None:
                    leaves[id(leaf)] = source
    return takers, leaves


def _search(
    takers: dict[Any, list[tuple[Any, int, int]]],
    way: _Way,
    parameter: Tensor,
    accept: Callable[[Route, Operation], bool],
    uses: dict[Any, Use],
) -> bool:
    """Add the uses behind `way`; False if one has no rule within reach."""
    consumers = [taker for taker in takers[way.source] if taker[2] == way.result]
    if len(way.route) > _DEPTH or not consumers:
        return False
    for number, (node, position, _) in enumerate(consumers):
        name = name_of(node)
        route = (*way.route, (way.result, number, name, position))
        seen = operation(node, position, way.shape)
        if seen is not None and accept(route, seen):
            prefix = None if way.plain else GradientEdge(way.source, way.result)
            uses[node, position] = Use(seen, route, parameter, way.scale, way.transposed, prefix)
            continue
        for result, metadata in enumerate(node._input_metadata):
            if result and not any(taker[2] == result for taker in takers[node]):
                continue
            ahead = _beyond(way, node, position, result, torch.Size(metadata.shape), route)
            if not _search(takers, ahead, parameter, accept, uses):
                return False
    return True


def _beyond(
    way: _Way, node: Any, position: int, result: int, shape: torch.Size, route: Route
) -> _Way:
    """The way after an operation on the parameter alone: exact if it scales or transposes."""
    name = name_of(node)
    if name in _TRANSPOSES and len(shape) == 2:
        return _Way(node, result, shape, route, way.scale, not way.transposed, way.plain)
    if name in ("MulBackward0", "DivBackward0") and position == 0:
        other = node._saved_other
        if other is not None and other.numel() == 1 and shape == way.shape:
            factor = float(other) if name == "MulBackward0" else 1 / float(other)
            return _Way(node, result, shape, route, way.scale * factor, way.transposed, way.plain)
    return _Way(node, result, shape, route, 1.0, False, False)


def _pull_back(prefix: GradientEdge, parameter: Tensor, gradients: Tensor) -> Tensor:
    """Gradients with respect to a function of a parameter, carried back to the parameter."""
    gradients = gradients.to(parameter.dtype)

    def one(gradient: Tensor, batched: bool) -> Tensor:
        return torch.autograd.grad(
            [prefix], [parameter], [gradient], retain_graph=True, is_grads_batched=batched
        )[0]

    try:
        return one(gradients, True)
    except RuntimeError:  # an operation without a batched derivative
        return torch.stack([one(gradient, False) for gradient in gradients])
