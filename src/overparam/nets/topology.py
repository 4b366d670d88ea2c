"""A directed acyclic graph read from any of its notations, checked, and sorted into layers."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from overparam._errors import expect

if TYPE_CHECKING:
    import networkx

Graph: TypeAlias = "networkx.DiGraph | Int[Tensor, '2 edges'] | Sequence[int]"
"""A `networkx.DiGraph`; a tensor of edges (sources above targets, vertices 0, 1, …); or the sizes
of layers, inputs first, each of which sees all of the layer before."""

_WHERE = "DAGNetwork(graph=...)"
_SHOWN = 4  # vertices that an error names


@dataclass(frozen=True)
class Topology:
    """A graph whose vertices are sorted by layer, in each layer outputs last.

    Attributes:
        labels: What the caller calls each vertex, in the sorted order; all else is in positions
            in this order.
        edges: Sources above targets, (2, E), sorted by target and then by source.
        layer: Of each vertex: the number of edges on the longest path to it from an input.
        in_degree: Of each vertex.
        inputs: Positions of the vertices without predecessor, in the order of the columns of x.
        outputs: Positions of the vertices without successor, in the order of the results.
    """

    labels: tuple[Hashable, ...]
    edges: Int[Tensor, "2 e"]
    layer: Int[Tensor, "v"]
    in_degree: Int[Tensor, "v"]
    inputs: Int[Tensor, "i"]
    outputs: Int[Tensor, "o"]


def topology(
    graph: Graph,
    inputs: Sequence[Hashable] | None = None,
    outputs: Sequence[Hashable] | None = None,
) -> Topology:
    """The graph, checked and sorted.

    Args:
        graph: In any of the three notations.
        inputs: The vertices without predecessor, in the order of the columns of x; `None` means
            that they stand in the order of the graph.
        outputs: The vertices without successor, in the order of the results.

    Raises:
        TypeError: If the graph is of another type, or its edges are not whole numbers.
        ValueError: If it has no edge, a cycle, an edge twice, or a vertex without any edge; or
            if `inputs` are not the vertices without predecessor, `outputs` not those without
            successor.

    Cost:
        O(V + E log E).
    """
    labels, edges = _read(graph)
    expect(edges.shape[1] > 0, _WHERE, "at least one edge", "none")
    n = len(labels)
    _expect_simple(labels, edges, n)
    in_degree = torch.bincount(edges[1], minlength=n)
    out_degree = torch.bincount(edges[0], minlength=n)
    lonely = ((in_degree == 0) & (out_degree == 0)).nonzero()[:, 0]
    expect(
        len(lonely) == 0,
        _WHERE,
        "an edge at every vertex",
        f"vertices without one: {_names(labels, lonely)}",
        hint="number the vertices 0, 1, … without gaps, or remove them from the graph.",
    )
    layer = _layers(labels, edges, in_degree)
    sources = _ordered("inputs", inputs, labels, in_degree == 0, "predecessor")
    sinks = _ordered("outputs", outputs, labels, out_degree == 0, "successor")

    last = (out_degree == 0).long()
    order = torch.argsort(layer * 2 + last, stable=True)
    # Inputs come in the order of the columns of x, which then are the first values as they are.
    order[: len(sources)] = sources
    place = torch.empty_like(order)
    place[order] = torch.arange(n)
    moved = place[edges]
    moved = moved[:, torch.argsort(moved[1] * n + moved[0])]
    return Topology(
        tuple(labels[vertex] for vertex in order.tolist()),
        moved,
        layer[order],
        in_degree[order],
        place[sources],
        place[sinks],
    )


def _read(graph: Graph) -> tuple[Sequence[Hashable], Int[Tensor, "2 e"]]:
    """What each vertex is called, and the edges between their indices."""
    if isinstance(graph, Tensor):
        whole = not (graph.is_floating_point() or graph.is_complex() or graph.dtype == torch.bool)
        expect(
            whole,
            _WHERE,
            "edges between whole numbers",
            f"a tensor of {graph.dtype}",
            hint="NaN and infinity cannot number a vertex; pass .long().",
            error=TypeError,
        )
        expect(
            graph.ndim == 2 and graph.shape[0] == 2,
            _WHERE,
            "a tensor of shape (2, edges), sources above targets",
            f"shape {tuple(graph.shape)}",
            hint="transpose a list of pairs.",
        )
        edges = graph.detach().cpu().long()
        lowest = int(edges.min()) if edges.numel() else 0
        expect(lowest >= 0, _WHERE, "vertices numbered from 0", lowest)
        n = int(edges.max()) + 1 if edges.numel() else 0
        return range(n), edges
    if isinstance(graph, Sequence):
        return _read(layers_of(graph, _WHERE))
    import networkx

    expect(
        isinstance(graph, networkx.Graph),
        _WHERE,
        "a networkx.DiGraph, a tensor of edges or sizes of layers",
        type(graph).__name__,
        hint="torch.as_tensor makes a tensor of an array.",
        error=TypeError,
    )
    expect(
        graph.is_directed() and not graph.is_multigraph(),
        _WHERE,
        "a directed graph with one edge between two vertices",
        type(graph).__name__,
        hint="nets.oriented_dag gives edges of an undirected graph a direction.",
    )
    labels = list(graph.nodes)
    index = {label: number for number, label in enumerate(labels)}
    pairs = [(index[source], index[target]) for source, target in graph.edges]
    return labels, torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T


def layers_of(
    sizes: Sequence[int], where: str, sees: Mapping[int, Sequence[int]] | None = None
) -> Int[Tensor, "2 e"]:
    """Edges of layers of the given sizes; each sees the layer before, or those in `sees`."""
    expect(
        len(sizes) >= 2 and all(isinstance(size, Integral) and size >= 1 for size in sizes),
        where,
        "at least two positive whole numbers, the sizes of layers",
        list(sizes),
        hint="edges are a tensor of shape (2, edges).",
    )
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    parts = []
    for number in range(1, len(sizes)):
        seen = sorted((sees or {}).get(number, (number - 1,)))
        sources = torch.cat([torch.arange(starts[k], starts[k + 1]) for k in seen])
        targets = torch.arange(starts[number], starts[number + 1])
        parts.append(
            torch.stack([sources.repeat(len(targets)), targets.repeat_interleave(len(sources))])
        )
    return torch.cat(parts, 1)


def _expect_simple(labels: Sequence[Hashable], edges: Tensor, n: int) -> None:
    """Raise for an edge from a vertex to itself, or one that stands twice."""
    loops = edges[0, edges[0] == edges[1]]
    expect(
        len(loops) == 0,
        _WHERE,
        "no edge from a vertex to itself",
        f"one at {_names(labels, loops)}",
    )
    codes, counts = torch.unique(edges[0] * n + edges[1], return_counts=True)
    twice = codes[counts > 1]
    pairs = [(labels[code // n], labels[code % n]) for code in twice[:_SHOWN].tolist()]
    expect(
        len(twice) == 0,
        _WHERE,
        "every edge once",
        f"{len(twice)} that stand twice, such as {pairs}",
        hint="torch.unique(edges, dim=1) keeps one of each.",
    )


def _layers(labels: Sequence[Hashable], edges: Tensor, in_degree: Tensor) -> Int[Tensor, "v"]:
    """Longest path to each vertex: those whose predecessors are all placed, round by round."""
    missing, layer = in_degree.clone(), torch.full_like(in_degree, -1)
    by_source = edges[:, torch.argsort(edges[0], stable=True)]
    ends = torch.bincount(edges[0], minlength=len(labels)).cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    ready, number = (missing == 0).nonzero()[:, 0], 0
    while len(ready):
        layer[ready] = number
        counts = ends[ready] - starts[ready]
        before = counts.cumsum(0) - counts
        leaving = torch.arange(int(counts.sum())) + (starts[ready] - before).repeat_interleave(
            counts
        )
        targets = by_source[1, leaving]
        missing.index_add_(0, targets, torch.full_like(targets, -1))
        reached = targets.unique()
        ready, number = reached[missing[reached] == 0], number + 1
    cyclic = bool((layer < 0).any())
    found = _cycle(labels, edges, layer) if cyclic else ""
    expect(not cyclic, _WHERE, "a graph without cycle", f"the cycle {found}")
    return layer


def _cycle(labels: Sequence[Hashable], edges: Tensor, layer: Tensor) -> str:
    """One cycle among the vertices that were never ready, each of which has such a predecessor."""
    stuck = edges[:, (layer[edges[0]] < 0) & (layer[edges[1]] < 0)]
    predecessor = dict(zip(stuck[1].tolist(), stuck[0].tolist(), strict=True))
    walk = [next(iter(predecessor))]
    while walk[-1] not in walk[:-1]:
        walk.append(predecessor[walk[-1]])
    once = walk[walk.index(walk[-1]) : -1][::-1]
    first = once.index(min(once))
    names = [str(labels[vertex]) for vertex in (*once[first:], *once[: first + 1])]
    middle = names if len(names) <= 2 * _SHOWN else [*names[:_SHOWN], "…", *names[-2:]]
    return " → ".join(middle)


def _ordered(
    argument: str,
    given: Sequence[Hashable] | None,
    labels: Sequence[Hashable],
    wanted: Tensor,
    lacks: str,
) -> Int[Tensor, "k"]:
    """Indices of the wanted vertices, in the given order if there is one.

    Every vertex of a graph without cycle can be reached from one without predecessor and leads
    to one without successor, so that nothing else has to be checked.
    """
    found = wanted.nonzero()[:, 0]
    if given is None:
        return found
    where = f"DAGNetwork({argument}=...)"
    index = {label: number for number, label in enumerate(labels)}
    strangers = [label for label in given if label not in index]
    expect(not strangers, where, "vertices of the graph", strangers[:_SHOWN])
    expect(len(set(given)) == len(given), where, "every vertex once", list(given)[:_SHOWN])
    chosen = torch.tensor([index[label] for label in given], dtype=torch.long)
    connected = chosen[~wanted[chosen]]
    expect(
        len(connected) == 0,
        where,
        f"vertices without {lacks}",
        f"some that have one: {_names(labels, connected)}",
    )
    forgotten = found[~torch.isin(found, chosen)]
    expect(
        len(forgotten) == 0,
        where,
        f"all vertices without {lacks}",
        f"others without one: {_names(labels, forgotten)}",
        hint=f"connect them, or list them among the {argument}.",
    )
    return chosen


def _names(labels: Sequence[Hashable], vertices: Tensor) -> str:
    """The first few vertices by name."""
    shown = ", ".join(repr(labels[vertex]) for vertex in vertices[:_SHOWN].tolist())
    return shown + (", …" if len(vertices) > _SHOWN else "")
