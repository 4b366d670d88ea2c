"""Networks over arbitrary directed acyclic graphs: one weight per edge, width as in-degree."""

import math
from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam.nets.activations import activation_class
from overparam.nets.seeding import generator
from overparam.nets.topology import Graph, Topology, topology

EVALUATIONS = ("auto", "dense", "edges")
# Share of possible edges below which values are gathered edge by edge: where both ways took the
# same time, forward and backward, in layers of 256 to 4096 vertices on one core.
_SPARSE = 0.02


class DAGNetwork(nn.Module):
    """A network on a directed acyclic graph, one N(0, 1) weight per edge.

    Vertices without predecessor are the inputs, those without successor the outputs. Every other
    vertex v has the value

        f_v = σ(f̃_v),    f̃_v = s · in(v)^(-1/2) Σ_{u → v} w_(u,v) f_u,

    with in(v) its in-degree; an output has φ instead of σ, and nothing has a bias. The layer of
    a vertex is the length of the longest path to it. **Width is the smallest in-degree**, not a
    number of units: a layer of 1000 units that see 4 others has width 4. Under φ = identity the
    norm of the Hessian is Õ(1/√width) near initialisation.

    Args:
        graph: A `networkx.DiGraph` with any vertices (attributes of its edges are ignored); a
            tensor (2, edges) of sources above targets between vertices 0, 1, …; or a sequence of
            layer sizes, inputs first, each layer seeing all of the one before. `nets.graphs`
            makes others.
        activation: σ, one of "tanh", "relu", "swish", "gelu", "identity".
        output_activation: φ, one of the same.
        inputs: The vertices without predecessor in the order of the columns of x; `None` means
            the graph's own order.
        outputs: The vertices without successor in the order of the results, likewise.
        evaluation: How an incompletely connected layer is computed: "dense", by a matrix with
            zeros for absent edges; "edges", edge by edge; "auto", by which is faster at its
            density. It changes time and memory, never the parameters, and results only by
            rounding.
        weight_scale: s; √2 keeps the variance through a ReLU.
        seed: A number, or a generator that is advanced.
        dtype: Floating-point type of the parameters; `None` means torch's default.

    Attributes:
        width: Smallest in-degree from layer 2 on, **outputs included**. Those of layer 1 do not
            count: they see inputs. `math.inf` where there is no layer 2, since such a network
            is linear in its weights up to φ.
        hidden_width: The same without outputs, as in the formula of the paper's submission;
            with one hidden layer there is nothing left of it, and it is `math.inf`.
        max_in_degree: Largest in-degree.
        depth: Length of the longest path, the number of hidden layers plus one.
        input_vertices: What the graph calls them, in the order of the columns of x.
        output_vertices: Likewise, in the order of the results.
        edges: The graph's edges, pairs (source, target), in the order in which the parameters,
            flattened and concatenated, hold their weights.

    Raises:
        TypeError: If the graph is of another type, or its edges are not whole numbers.
        ValueError: If it has a cycle, an edge twice, no edge, or a vertex without edge; if
            `inputs` or `outputs` are not the vertices without predecessor or successor; or if x
            has not one column per input.

    Cost:
        Of a pass over n examples: 2 n k O flops for a layer of O vertices that see k others
        ("dense"), or for each edge about what 50 of the matrix's entries take ("edges"). Memory
        beside the activations is k O numbers, or n for each edge. A tangent kernel needs the
        examples' gradients only of layers that are not completely connected: n k O numbers.
        Every layer copies the values before it, n V numbers for V vertices: deep and narrow
        graphs cost V times their depth.

    Example:
        One hidden vertex that sees two inputs, and an output that sees it:

        >>> net = DAGNetwork(torch.tensor([[0, 1, 2], [2, 2, 3]]), "identity")
        >>> for weight in net.parameters():
        ...     _ = torch.nn.init.ones_(weight)
        >>> round(net(torch.tensor([[1.0, 1.0]])).item(), 4)  # (1 + 1) / √2
        1.4142
        >>> net.width, net.depth
        (1, 2)

    References:
        Zhu, Liu, Belkin (2022), arXiv:2205.11786: the network, its width, and the theorem. The
        paper's text counts outputs; the formula in its submission does not.
    """

    _results: Tensor

    @checked
    def __init__(
        self,
        graph: Graph,
        activation: str = "tanh",
        *,
        output_activation: str = "identity",
        inputs: Sequence[Hashable] | None = None,
        outputs: Sequence[Hashable] | None = None,
        evaluation: str = "auto",
        weight_scale: float = 1.0,
        seed: int | torch.Generator = 0,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if evaluation not in EVALUATIONS:
            unknown("DAGNetwork(evaluation=...)", "an evaluation", evaluation, EVALUATIONS)
        expect(
            math.isfinite(weight_scale) and weight_scale >= 0,
            "DAGNetwork(weight_scale=...)",
            "a finite number ≥ 0",
            weight_scale,
        )
        hidden = activation_class("DAGNetwork(activation=...)", activation)
        last = activation_class("DAGNetwork(output_activation=...)", output_activation)
        sorted_graph = topology(graph, inputs, outputs)
        self.activation, self.output_activation = hidden(), last()
        self._read_off(sorted_graph)
        draw = generator(seed)
        self.layers = nn.ModuleList(
            DAGLayer(
                sources,
                targets,
                self._sinks_of(sorted_graph, number),
                evaluation,
                weight_scale,
                draw,
                dtype,
            )
            for number, (sources, targets) in enumerate(_by_layer(sorted_graph), 1)
        )
        self.register_buffer("_results", sorted_graph.outputs, persistent=False)

    def _read_off(self, graph: Topology) -> None:
        """Set the attributes that describe the graph."""
        self.input_vertices = tuple(graph.labels[k] for k in graph.inputs.tolist())
        self.output_vertices = tuple(graph.labels[k] for k in graph.outputs.tolist())
        self._labels, self._positions = graph.labels, graph.edges
        deep, inner = graph.layer >= 2, torch.ones_like(graph.layer, dtype=torch.bool)
        inner[graph.outputs] = False
        self.width = _least(graph.in_degree[deep])
        self.hidden_width = _least(graph.in_degree[deep & inner])
        self.max_in_degree = int(graph.in_degree.max())
        self.depth = int(graph.layer.max())

    @property
    def edges(self) -> list[tuple[Hashable, Hashable]]:
        """Pairs (source, target), in the order of the weights."""
        names = self._labels
        return [(names[source], names[target]) for source, target in self._positions.T.tolist()]

    def _sinks_of(self, graph: Topology, layer: int) -> int:
        """How many vertices of a layer are outputs."""
        return int((graph.layer[graph.outputs] == layer).sum())

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Values of the outputs."""
        n = len(self.input_vertices)
        expect(
            x.ndim >= 1 and x.shape[-1] == n,
            "DAGNetwork(...)(x)",
            f"{n} columns, one for each vertex without predecessor",
            f"shape {tuple(x.shape)}",
        )
        values = x
        for layer in self.layers:
            sums = layer(values)
            inner = sums.shape[-1] - layer.sinks
            parts = [values, self.activation(sums[..., :inner])]
            parts += [self.output_activation(sums[..., inner:])] if layer.sinks else []
            values = torch.cat(parts, -1)
        return values.index_select(-1, self._results)

    def extra_repr(self) -> str:
        """What the graph is like, for `print(model)`."""
        return (
            f"{len(self.input_vertices)} inputs, {len(self.output_vertices)} outputs, "
            f"{self._positions.shape[1]} edges, width={self.width}, depth={self.depth}"
        )


class DAGLayer(nn.Module):
    """The sums of the vertices of one layer, as a function of the values of all before.

    A completely connected layer keeps its weights as a matrix and is a linear map: its tangent
    kernel then needs no per-example gradient. Any other keeps a vector of one weight per edge.
    """

    seen: Tensor
    place: Tensor
    columns: Tensor
    rows: Tensor
    in_degree: Tensor

    def __init__(
        self,
        sources: Tensor,
        targets: Tensor,
        sinks: int,
        evaluation: str,
        weight_scale: float,
        draw: torch.Generator,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.sinks, self.weight_scale = sinks, weight_scale
        self.first = int(targets.min())
        self.out_features = int(targets.max()) - self.first + 1
        seen, columns = sources.unique(return_inverse=True)
        rows, possible = targets - self.first, self.out_features * len(seen)
        self.complete = len(sources) == possible
        self.by_edge = not self.complete and (
            evaluation == "edges" or (evaluation == "auto" and len(sources) < _SPARSE * possible)
        )
        weight = torch.randn(len(sources), generator=draw, dtype=dtype)
        shape = (self.out_features, len(seen)) if self.complete else (len(sources),)
        self.weight = nn.Parameter(weight.view(shape))
        self.in_features = len(seen)
        # A range of values is a view of them; anything else is a copy.
        self.start = int(seen[0]) if int(seen[-1]) - int(seen[0]) + 1 == len(seen) else None
        for name, index in (
            ("seen", None if self.start is not None else seen),
            ("place", None if self.complete or self.by_edge else rows * len(seen) + columns),
            ("columns", columns if self.by_edge else None),
            ("rows", rows if self.by_edge else None),
            ("in_degree", None if self.complete else torch.bincount(rows)),
        ):
            self.register_buffer(name, index, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Scaled sums over predecessors, (*batch, vertices of this layer)."""
        if self.start is not None:
            x = values.narrow(-1, self.start, self.in_features)
        else:
            x = values.index_select(-1, self.seen)
        if self.complete:
            return nn.functional.linear(x, self.weight) * (
                self.weight_scale / math.sqrt(self.in_features)
            )
        if self.by_edge:
            terms = x.index_select(-1, self.columns) * self.weight
            sums = terms.new_zeros(*terms.shape[:-1], self.out_features)
            sums = sums.index_add(-1, self.rows, terms)
        else:
            matrix = self.weight.new_zeros(self.out_features * self.in_features)
            matrix = matrix.scatter(0, self.place, self.weight)
            sums = nn.functional.linear(x, matrix.view(self.out_features, self.in_features))
        return sums * (self.weight_scale * self.in_degree.to(sums.dtype).rsqrt())

    def extra_repr(self) -> str:
        """Sizes and how the layer is computed, for `print(model)`."""
        kind = "complete" if self.complete else "by edge" if self.by_edge else "dense with zeros"
        return f"{self.in_features}, {self.out_features}, {self.weight.numel()} edges, {kind}"


def _by_layer(graph: Topology) -> list[tuple[Tensor, Tensor]]:
    """Sources and targets of the edges into each layer from 1 on; edges are sorted by target."""
    into = graph.layer[graph.edges[1]]
    counts = torch.bincount(into)[1:].tolist()
    return [(part[0], part[1]) for part in graph.edges.split(counts, dim=1)]


def _least(degrees: Tensor) -> int | float:
    """The smallest, or infinity of none."""
    return int(degrees.min()) if len(degrees) else math.inf
