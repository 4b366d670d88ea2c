"""Directed acyclic graphs to build networks on, as tensors of edges."""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam.nets.seeding import generator
from overparam.nets.topology import layers_of

if TYPE_CHECKING:
    import networkx


@checked
def layered_dag(
    sizes: Sequence[int], sees: Mapping[int, Sequence[int]] | None = None
) -> Int[Tensor, "2 edges"]:
    """Layers, each completely connected to the layer before or to the layers named.

    Args:
        sizes: Number of vertices of each layer, inputs (layer 0) first, outputs last.
        sees: For a layer by its number, the earlier layers it sees **instead of** the one
            before: ``{3: [1, 2]}``. Every layer but the last must be seen by another.

    Returns:
        Edges, sources above targets. Vertices are numbered through the layers.

    Raises:
        ValueError: If a size is not positive, a layer sees none or not an earlier one, or one is
            not seen.

    Cost:
        16 bytes per edge.

    Example:
        >>> layered_dag([1, 2, 1], {2: [0, 1]})
        tensor([[0, 0, 0, 1, 2],
                [1, 2, 3, 3, 3]])

    References:
        Zhu, Liu, Belkin (2022), arXiv:2205.11786: networks as graphs.
    """
    where, chosen = "layered_dag(sees=...)", dict(sees or {})
    for number, seen in chosen.items():
        expect(
            0 < number < len(sizes)
            and len(set(seen)) == len(seen) > 0
            and all(0 <= earlier < number for earlier in seen),
            where,
            f"for a layer from 1 to {len(sizes) - 1}, a list of earlier ones",
            {number: list(seen)},
        )
    edges = layers_of(sizes, "layered_dag(sizes=...)", chosen)
    seen_by = {k for number in range(1, len(sizes)) for k in chosen.get(number, (number - 1,))}
    unseen = sorted(set(range(len(sizes) - 1)) - seen_by)
    expect(not unseen, where, "every layer but the last to be seen", f"{unseen}, which are not")
    return edges


@checked
def dense_dag(sizes: Sequence[int]) -> Int[Tensor, "2 edges"]:
    """Layers, each completely connected to **all** layers before, inputs included.

    Args:
        sizes: Number of vertices of each layer, inputs first, outputs last.

    Returns:
        Edges, sources above targets. Vertices are numbered through the layers.

    Raises:
        ValueError: If a size is not a positive whole number or there are fewer than two.

    Cost:
        16 bytes per edge, of which there are about half the square of the number of vertices.

    Example:
        >>> dense_dag([1, 1, 1])
        tensor([[0, 0, 1],
                [1, 2, 2]])

    References:
        Huang, Liu, van der Maaten, Weinberger (2017), arXiv:1608.06993: dense connections.
    """
    everything = {number: range(number) for number in range(1, len(sizes))}
    return layers_of(sizes, "dense_dag(sizes=...)", everything)


@checked
def log_uniform_dag(
    sizes: Sequence[int], low: int, *, high: int, seed: int | torch.Generator
) -> Int[Tensor, "2 edges"]:
    """Layers whose vertices have in-degrees spread evenly over orders of magnitude.

    From layer 2 on a vertex draws its in-degree with the density of 1/k on [low, high + 1),
    rounded down and cut to the number of earlier vertices; then one vertex of the layer before
    and others uniformly from all earlier ones. Layer 1 sees all inputs. Outputs are not drawn:
    they see the whole layer before, **and every vertex that nobody else sees**, which would be
    an output otherwise.

    Args:
        sizes: Number of vertices of each layer, inputs first, outputs last; at least three.
        low: Smallest in-degree, at least 1.
        high: Largest in-degree.
        seed: A number, or a generator that is advanced.

    Returns:
        Edges, sources above targets. Vertices are numbered through the layers.

    Raises:
        ValueError: If a size is not positive, there are fewer than three, or the in-degrees are
            out of order.

    Cost:
        A permutation of the earlier vertices for each vertex: O(V²).

    Example:
        >>> edges = log_uniform_dag([3, 8, 8, 1], 4, high=9, seed=0)
        >>> in_degrees = edges[1].bincount()[11:-1]  # of the second hidden layer
        >>> bool((in_degrees >= 4).all()), bool((in_degrees <= 9).all())
        (True, True)

    References:
        Zhu, Liu, Belkin (2022), arXiv:2205.11786: in-degrees between m and a power of m.
    """
    first = layers_of(sizes, "log_uniform_dag(sizes=...)")
    expect(len(sizes) >= 3, "log_uniform_dag(sizes=...)", "at least three layers", list(sizes))
    expect(low >= 1, "log_uniform_dag(low=...)", "at least 1", low)
    expect(high >= low, "log_uniform_dag(high=...)", f"at least `low`, {low}", high)
    draw = generator(seed)
    starts = torch.tensor([0, *sizes]).cumsum(0).tolist()
    parts = [first[:, first[1] < starts[2]]]
    for number in range(2, len(sizes) - 1):
        start, end = starts[number], starts[number + 1]
        chances = torch.rand(end - start, generator=draw, dtype=torch.float64)
        degrees = (math.log(low) + chances * math.log((high + 1) / low)).exp().floor().long()
        for target, degree in zip(
            range(start, end), degrees.clamp(low, high).tolist(), strict=True
        ):
            near = int(torch.randint(starts[number - 1], start, (1,), generator=draw))
            others = torch.randperm(start - 1, generator=draw)[: degree - 1]
            others += others >= near  # all earlier vertices but `near`
            sources = torch.cat([torch.tensor([near]), others])
            parts.append(torch.stack([sources, torch.full_like(sources, target)]))
    edges = torch.cat(parts, 1)
    seen = torch.zeros(starts[-1], dtype=torch.bool)
    seen[edges[0]] = True
    seen[starts[-3] : starts[-2]] = False
    lookers = torch.arange(starts[-2], starts[-1])
    unseen = (~seen[: starts[-2]]).nonzero()[:, 0]
    return _sorted(torch.cat([edges, _all_pairs(unseen, lookers)], 1))


@checked
def erdos_renyi_dag(
    inputs: int, hidden: int, *, outputs: int = 1, probability: float, seed: int | torch.Generator
) -> Int[Tensor, "2 edges"]:
    """Vertices in a row, each edge from an earlier to a later one present with one probability.

    Nothing leads into an input or out of an output. What would then be an input or an output
    without being meant as one is connected as in `oriented_dag`.

    Args:
        inputs: Number of inputs, the first vertices.
        hidden: Number of vertices between.
        outputs: Number of outputs, the last vertices.
        probability: Of each edge, in [0, 1].
        seed: A number, or a generator that is advanced.

    Returns:
        Edges, sources above targets.

    Raises:
        ValueError: If a number of vertices is not positive or the probability not in [0, 1].

    Cost:
        9 V² bytes while it draws.

    Example:
        With probability 1 every vertex sees all before, which is `dense_dag` of single vertices:

        >>> erdos_renyi_dag(1, 1, probability=1.0, seed=0)
        tensor([[0, 0, 1],
                [1, 2, 2]])

    References:
        Erdős, Rényi (1959), Publicationes Mathematicae 6: the undirected graph.
    """
    _expect_counts("erdos_renyi_dag", inputs=inputs, hidden=hidden, outputs=outputs)
    expect(0 <= probability <= 1, "erdos_renyi_dag(probability=...)", "in [0, 1]", probability)
    n = inputs + hidden + outputs
    present = torch.rand(n, n, generator=generator(seed), dtype=torch.float64) < probability
    present = present.triu(1)
    present[:, :inputs] = present[n - outputs :] = False
    return _connected(present.nonzero().T, inputs, hidden, outputs)


@checked
def watts_strogatz_dag(
    inputs: int,
    hidden: int,
    *,
    outputs: int = 1,
    neighbours: int = 4,
    rewiring: float = 0.1,
    seed: int | torch.Generator,
) -> Int[Tensor, "2 edges"]:
    """A small world: hidden vertices on a ring that see their neighbours, some edges rewired.

    `networkx.watts_strogatz_graph`, given directions and ends by `oriented_dag`.

    Args:
        inputs: Number of inputs, the first vertices.
        hidden: Number of vertices on the ring.
        outputs: Number of outputs, the last vertices.
        neighbours: Nearest vertices on the ring, even, at least 2 and less than `hidden`.
        rewiring: Probability that an edge leads elsewhere, in [0, 1].
        seed: A number, or a generator that is advanced.

    Returns:
        Edges, sources above targets.

    Raises:
        ValueError: If an argument is out of its range.

    Cost:
        O(hidden · neighbours), in Python.

    Example:
        On a ring of four without rewiring, 0 → 1 → 2 → 3 and 0 → 3, input and output at the ends:

        >>> watts_strogatz_dag(1, 4, neighbours=2, rewiring=0.0, seed=0)
        tensor([[0, 1, 2, 1, 3, 4],
                [1, 2, 3, 4, 4, 5]])

    References:
        Watts, Strogatz (1998), Nature 393: the undirected graph. Xie, Kirillov, Girshick, He
        (2019), arXiv:1904.01569: such graphs as networks.
    """
    import networkx

    where = "watts_strogatz_dag"
    _expect_counts(where, inputs=inputs, hidden=hidden, outputs=outputs)
    expect(
        2 <= neighbours < hidden and neighbours % 2 == 0,
        f"{where}(neighbours=...)",
        f"an even number from 2 to less than the {hidden} hidden vertices",
        neighbours,
    )
    expect(0 <= rewiring <= 1, f"{where}(rewiring=...)", "in [0, 1]", rewiring)
    number = int(torch.randint(2**31, (1,), generator=generator(seed)))
    graph = networkx.watts_strogatz_graph(hidden, neighbours, rewiring, seed=number)
    return oriented_dag(graph, inputs, outputs=outputs)


@checked
def oriented_dag(
    graph: "networkx.Graph", inputs: int, *, outputs: int = 1
) -> Int[Tensor, "2 edges"]:
    """An undirected graph as the hidden part of a network: edges lead from earlier to later.

    The graph's vertices, in its own order, come between the inputs and the outputs. Then

    - a hidden vertex without predecessor sees all inputs, and if there is none, the first does;
    - a hidden vertex without successor is seen by all outputs.

    Args:
        graph: An undirected `networkx.Graph` without loops, such as
            ``networkx.barabasi_albert_graph(100, 8, seed=0)``.
        inputs: Number of inputs, the first vertices.
        outputs: Number of outputs, the last vertices.

    Returns:
        Edges, sources above targets: inputs first, then the graph's vertices, then outputs.

    Raises:
        TypeError: If it is no networkx graph.
        ValueError: If it is directed, has a loop or parallel edges or no vertex, or a number is
            not positive.

    Cost:
        O(edges), in Python.

    Example:
        >>> import networkx
        >>> oriented_dag(networkx.path_graph(3), 1)
        tensor([[0, 1, 2, 3],
                [1, 2, 3, 4]])

    References:
        Xie, Kirillov, Girshick, He (2019), arXiv:1904.01569: the orientation by the vertices'
        order, and inputs and outputs at its sources and sinks.
    """
    import networkx

    where = "oriented_dag(graph=...)"
    kind = type(graph).__name__
    expect(isinstance(graph, networkx.Graph), where, "a networkx.Graph", kind, error=TypeError)
    plain = not graph.is_directed() and not graph.is_multigraph()
    expect(plain, where, "an undirected graph with one edge between two vertices", kind)
    loops = networkx.number_of_selfloops(graph)
    expect(loops == 0, where, "a graph without loops", f"{loops} loops")
    hidden = graph.number_of_nodes()
    expect(hidden >= 1, where, "at least one vertex", "none")
    _expect_counts("oriented_dag", inputs=inputs, outputs=outputs)
    index = {vertex: inputs + number for number, vertex in enumerate(graph.nodes)}
    pairs = [sorted((index[u], index[v])) for u, v in graph.edges]
    edges = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    return _connected(edges, inputs, hidden, outputs)


def _connected(edges: Tensor, inputs: int, hidden: int, outputs: int) -> Tensor:
    """The edges and those missing: inputs alone lack a predecessor, outputs a successor."""
    n = inputs + hidden + outputs
    enters, leaves, ends = (
        torch.arange(inputs),
        inputs + torch.arange(hidden),
        torch.arange(n)[n - outputs :],
    )

    def lonely(vertices: Tensor, row: int) -> Tensor:
        return vertices[~torch.isin(vertices, edges[row])]

    edges = torch.cat([edges, _all_pairs(enters, lonely(leaves, 1))], 1)
    edges = torch.cat([edges, _all_pairs(lonely(enters, 0), leaves[:1])], 1)
    edges = torch.cat([edges, _all_pairs(lonely(leaves, 0), ends)], 1)
    # Only where all hidden vertices have successors can an output still have no predecessor.
    edges = torch.cat([edges, _all_pairs(leaves[-1:], lonely(ends, 1))], 1)
    return _sorted(edges)


def _all_pairs(sources: Tensor, targets: Tensor) -> Tensor:
    """Every edge from one of the sources to one of the targets."""
    return torch.stack([sources.repeat(len(targets)), targets.repeat_interleave(len(sources))])


def _sorted(edges: Tensor) -> Tensor:
    """By target, then by source."""
    order = torch.argsort(edges[1] * (int(edges.max()) + 1) + edges[0])
    return edges[:, order]


def _expect_counts(where: str, **counts: int) -> None:
    """Raise unless every number of vertices is positive."""
    for name, value in counts.items():
        expect(
            isinstance(value, Integral) and value >= 1,
            f"{where}({name}=...)",
            "a whole number ≥ 1",
            value,
        )
