import math

import networkx
import pytest
import torch
from torch import nn
from torch.func import functional_call

from overparam.curvature import hessian_norm
from overparam.expansions import linearization_error, linearize
from overparam.nets import (
    DAGNetwork,
    NTKLinear,
    dense_dag,
    erdos_renyi_dag,
    layered_dag,
    log_uniform_dag,
    ntk_mlp,
    watts_strogatz_dag,
)
from overparam.tangents import empirical_ntk

GRAPHS = {
    "layered": layered_dag([3, 4, 2, 4, 2], {3: [1, 2]}),
    "dense": dense_dag([3, 4, 4, 1]),
    "log-uniform": log_uniform_dag([3, 6, 6, 1], 2, high=7, seed=0),
    "Erdős–Rényi": erdos_renyi_dag(3, 8, outputs=2, probability=0.4, seed=1),
    "small world": watts_strogatz_dag(3, 8, outputs=2, seed=0),
    "an output between": torch.tensor([[0, 0, 1, 1, 3, 4], [2, 3, 3, 4, 4, 5]]),
}


def vertex_by_vertex(net, x, activation, output_activation, weight_scale=1.0):
    """The definition, one vertex at a time, in the order networkx finds."""
    graph = networkx.DiGraph(net.edges)
    weights = torch.cat([p.flatten() for p in net.parameters()])
    weight = dict(zip(net.edges, weights, strict=True))
    values = {vertex: x[:, k] for k, vertex in enumerate(net.input_vertices)}
    for v in networkx.topological_sort(graph):
        if v in values:
            continue
        total = sum(weight[u, v] * values[u] for u in graph.predecessors(v))
        sums = weight_scale * total / math.sqrt(graph.in_degree(v))
        values[v] = (output_activation if v in net.output_vertices else activation)(sums)
    return torch.stack([values[v] for v in net.output_vertices], 1)


@pytest.fixture(params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]


@pytest.mark.parametrize("evaluation", ["auto", "dense", "edges"])
def test_computes_its_definition(graph, evaluation, normal):
    net = DAGNetwork(
        graph,
        "swish",
        output_activation="tanh",
        evaluation=evaluation,
        weight_scale=1.3,
        dtype=torch.float64,
    )
    x = normal(4, len(net.input_vertices))
    expected = vertex_by_vertex(net, x, nn.functional.silu, torch.tanh, 1.3)
    torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)
    assert len(net.edges) == graph.shape[1] == sum(p.numel() for p in net.parameters())
    torch.testing.assert_close(net(x[0]), net(x)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("evaluation", ["dense", "edges"])
def test_kernel_hessian_and_linearisation_are_those_of_autograd(
    graph, evaluation, normal, dense_kernel, dense_hessian
):
    net = DAGNetwork(graph, evaluation=evaluation, dtype=torch.float64)
    x = normal(3, len(net.input_vertices))
    torch.testing.assert_close(empirical_ntk(net, x), dense_kernel(net, x), rtol=0, atol=1e-12)
    norm = torch.linalg.eigvalsh(dense_hessian(net, x[:1])).abs().max().item()
    assert hessian_norm(net, x[:1], tolerance=1e-6) == pytest.approx(norm, rel=1e-6)
    torch.testing.assert_close(linearize(net)(x), net(x), rtol=1e-12, atol=1e-12)
    start = {name: p.detach() + 0.01 for name, p in net.named_parameters()}
    assert 0 < linearization_error(net, start, x) < 0.01


def test_evaluations_share_parameters_and_numbers(graph, normal):
    nets = [DAGNetwork(graph, evaluation=way, dtype=torch.float64) for way in ("dense", "edges")]
    x = normal(4, len(nets[0].input_vertices))
    for one, other in zip(*(net.state_dict().items() for net in nets), strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])
    torch.testing.assert_close(nets[0](x), nets[1](x), rtol=1e-13, atol=1e-13)
    gradients = [torch.autograd.grad(net(x).sum(), list(net.parameters())) for net in nets]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_works_under_transforms_and_in_single_precision(graph, normal):
    net = DAGNetwork(graph, dtype=torch.float64)
    x = normal(3, len(net.input_vertices))
    params = dict(net.named_parameters())

    def one(example):
        return functional_call(net, params, (example,))

    torch.testing.assert_close(torch.vmap(one)(x), net(x), rtol=1e-12, atol=1e-12)
    forward, reverse = torch.func.jacfwd(one)(x[0]), torch.func.jacrev(one)(x[0])
    torch.testing.assert_close(forward, reverse, rtol=1e-10, atol=1e-12)
    expected = net(x)
    torch.testing.assert_close(net.float()(x.float()).double(), expected, rtol=1e-5, atol=1e-5)


def test_layers_are_a_fully_connected_network(normal):
    net = DAGNetwork([3, 5, 4, 2], dtype=torch.float64)
    same = ntk_mlp([3, 5, 4, 2], dtype=torch.float64)
    maps = [module for module in same if isinstance(module, NTKLinear)]
    with torch.no_grad():
        for layer, weight in zip(maps, net.parameters(), strict=True):
            layer.weight.copy_(weight)
    x = normal(6, 3)
    torch.testing.assert_close(net(x), same(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(empirical_ntk(net, x), empirical_ntk(same, x), rtol=1e-12, atol=0)


def test_automatic_evaluation_follows_the_density():
    sparse = erdos_renyi_dag(1, 400, probability=0.005, seed=0)
    assert all(layer.complete or layer.by_edge for layer in DAGNetwork(sparse).layers) is False
    assert any(layer.by_edge for layer in DAGNetwork(sparse).layers)
    assert not any(layer.by_edge for layer in DAGNetwork(GRAPHS["log-uniform"]).layers)
    assert all(layer.complete for layer in DAGNetwork(GRAPHS["dense"]).layers)


@pytest.mark.parametrize(
    ("sizes", "sees", "described"),
    [
        # The two graphs have the same vertices in each layer, and not the same width.
        ([5, 9, 4, 9, 1], {3: [1, 2]}, (9, 9, 13, 4)),
        ([5, 9, 4, 9, 1], {}, (4, 4, 9, 4)),
        ([5, 9, 2], {}, (9, math.inf, 9, 2)),
        ([5, 2], {}, (math.inf, math.inf, 5, 1)),
        # Layer 1 does not count, and an output may be the narrowest.
        ([1, 9, 9, 3, 1], {4: [3]}, (3, 9, 9, 4)),
    ],
)
def test_width_is_the_smallest_in_degree_from_layer_2_on(sizes, sees, described):
    net = DAGNetwork(layered_dag(sizes, sees))
    assert (net.width, net.hidden_width, net.max_in_degree, net.depth) == described


def test_layers_are_longest_paths():
    # 0 → 1 → 2 → 3 and a short cut 0 → 3, in a numbering that is not sorted.
    net = DAGNetwork(networkx.DiGraph([("c", "d"), ("a", "d"), ("a", "b"), ("b", "c")]))
    assert net.depth == 3
    assert net.input_vertices == ("a",)
    assert net.output_vertices == ("d",)
    assert net.edges == [("a", "b"), ("b", "c"), ("a", "d"), ("c", "d")]
    assert "4 edges, width=1, depth=3" in repr(net)


def test_inputs_and_outputs_stand_in_the_order_asked_for(normal):
    edges = [("x", "h"), ("y", "h"), ("h", "p"), ("h", "q"), ("x", "q")]
    plain = DAGNetwork(networkx.DiGraph(edges), dtype=torch.float64)
    turned = DAGNetwork(
        networkx.DiGraph(edges), inputs=["y", "x"], outputs=["q", "p"], dtype=torch.float64
    )
    assert turned.input_vertices == ("y", "x")
    flat = torch.cat([p.detach().flatten() for p in plain.parameters()])
    weights = dict(zip(plain.edges, flat, strict=True))
    with torch.no_grad():
        rest = [weights[edge] for edge in turned.edges]
        for p in turned.parameters():
            p.copy_(torch.stack([rest.pop(0) for _ in range(p.numel())]).view_as(p))
    x = normal(3, 2)
    torch.testing.assert_close(turned(x.flip(1)), plain(x).flip(1), rtol=1e-12, atol=1e-12)


def test_seed_decides_the_weights_and_global_state_stays():
    before = torch.get_rng_state()
    one, same, other = (DAGNetwork([3, 4, 1], seed=seed) for seed in (7, 7, 8))
    assert torch.equal(one.layers[0].weight, same.layers[0].weight)
    assert not torch.equal(one.layers[0].weight, other.layers[0].weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_in_degree_decides_and_not_the_number_of_units(normal):
    """The pair of equal layers: ‖∇²f‖ falls with m only where in-degrees grow with it."""
    norms = {}
    for m in (16, 256):
        for kind, sees in (("wide", {3: [1, 2]}), ("narrow", {})):
            nets = [
                DAGNetwork(layered_dag([5, m, 4, m, 1], sees), seed=seed, dtype=torch.float64)
                for seed in range(3)
            ]
            x = torch.ones(1, 5, dtype=torch.float64)
            norms[kind, m] = sum(hessian_norm(net, x, tolerance=1e-2) for net in nets)
    assert norms["wide", 256] < 0.4 * norms["wide", 16]
    assert norms["narrow", 256] > 0.6 * norms["narrow", 16]


BAD_GRAPHS = {
    "a cycle": ([[0, 1, 2, 3], [1, 2, 3, 1]], "without cycle.*1 → 2 → 3 → 1"),
    "a loop": ([[0, 1], [1, 1]], "from a vertex to itself.*1"),
    "an edge twice": ([[0, 1, 0], [1, 2, 1]], r"every edge once.*\(0, 1\)"),
    "a gap": ([[0, 1], [1, 4]], "an edge at every vertex.*2, 3"),
    "a negative number": ([[0, -1], [1, 2]], "numbered from 0, got -1"),
    "no edge": ([[], []], "at least one edge"),
    "pairs as rows": ([[0, 1], [1, 2], [2, 3]], r"shape \(2, edges\)"),
}


@pytest.mark.parametrize("kind", BAD_GRAPHS)
def test_wrong_edges_are_described(kind):
    edges, message = BAD_GRAPHS[kind]
    with pytest.raises(ValueError, match=rf"`DAGNetwork\(graph=\.\.\.\)`.*{message}"):
        DAGNetwork(torch.tensor(edges, dtype=torch.long))


def test_a_long_cycle_is_shortened():
    n = 50
    edges = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    with pytest.raises(ValueError, match=r"without cycle.*…"):
        DAGNetwork(torch.cat([edges, torch.tensor([[n], [0]])], 1))


@pytest.mark.parametrize(
    ("graph", "error", "message"),
    [
        (torch.tensor([[0.0, math.nan], [1.0, 2.0]]), TypeError, "float32"),
        (torch.tensor([[True], [False]]), TypeError, "bool"),
        (networkx.path_graph(3), ValueError, "directed.*\n.*oriented_dag"),
        (networkx.MultiDiGraph([(0, 1), (0, 1)]), ValueError, "one edge between two"),
        (networkx.DiGraph(), ValueError, "at least one edge"),
        ([3, 0, 1], ValueError, "positive whole numbers"),
        ([3], ValueError, "at least two"),
        ([3.0, math.nan], ValueError, "positive whole numbers"),
        ([(0, 1), (1, 2)], ValueError, "positive whole numbers(.|\n)*tensor of shape"),
        (torch.ones(2, 2).numpy(), TypeError, "ndarray(.|\n)*as_tensor"),
        ("3, 4", ValueError, "positive whole numbers"),
        (17, TypeError, "int"),
    ],
    ids=str,
)
def test_wrong_graphs_are_described(graph, error, message):
    with pytest.raises(error, match=rf"`DAGNetwork\(graph=\.\.\.\)`(.|\n)*{message}"):
        DAGNetwork(graph)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": ["x"]}, r"inputs=\.\.\.\)` expected all vertices without predec.*'y'"),
        ({"inputs": ["x", "y", "h"]}, r"inputs=\.\.\.\)` expected vertices without predec.*'h'"),
        ({"inputs": ["x", "y", "x"]}, r"inputs=\.\.\.\)` expected every vertex once"),
        ({"inputs": ["x", "z"]}, r"inputs=\.\.\.\)` expected vertices of the graph.*'z'"),
        ({"outputs": ["h"]}, r"outputs=\.\.\.\)` expected vertices without successor.*'h'"),
        ({"outputs": []}, r"outputs=\.\.\.\)` expected all vertices without successor.*'p'"),
        ({"activation": "sine"}, r"activation=\.\.\.\)` expected an activation"),
        ({"output_activation": "sine"}, r"output_activation=\.\.\.\)` expected an activation"),
        ({"evaluation": "sparse"}, r"evaluation=\.\.\.\)` expected an evaluation"),
        ({"weight_scale": math.nan}, r"weight_scale=\.\.\.\)` expected a finite number"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    graph = networkx.DiGraph([("x", "h"), ("y", "h"), ("h", "p")])
    with pytest.raises(ValueError, match=rf"`DAGNetwork\({message}"):
        DAGNetwork(graph, **arguments)


@pytest.mark.parametrize("shape", [(4, 2), (), (4, 4)])
def test_inputs_of_another_length(shape):
    with pytest.raises(ValueError, match=r"`DAGNetwork\(\.\.\.\)\(x\)` expected 3 columns"):
        DAGNetwork([3, 4, 1])(torch.zeros(shape))
