import math

import networkx
import pytest
import torch

from overparam.nets import (
    DAGNetwork,
    dense_dag,
    erdos_renyi_dag,
    layered_dag,
    log_uniform_dag,
    oriented_dag,
    watts_strogatz_dag,
)

RANDOM = {
    "log-uniform": lambda seed: log_uniform_dag([4, 20, 20, 20, 2], 5, high=30, seed=seed),
    "Erdős–Rényi": lambda seed: erdos_renyi_dag(4, 60, outputs=2, probability=0.05, seed=seed),
    "small world": lambda seed: watts_strogatz_dag(4, 60, outputs=2, rewiring=0.5, seed=seed),
}


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize("seed", range(5))
def test_ends_are_the_ends_that_were_asked_for(kind, seed):
    edges = RANDOM[kind](seed)
    net = DAGNetwork(edges)
    n = int(edges.max()) + 1
    assert net.input_vertices == tuple(range(4))
    assert net.output_vertices == (n - 2, n - 1)
    assert (edges[0] < edges[1]).all()


@pytest.mark.parametrize("kind", RANDOM)
def test_seed_decides_and_global_state_stays(kind):
    before = torch.get_rng_state()
    one, same, other = (RANDOM[kind](seed) for seed in (7, 7, 8))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
    draw = torch.Generator().manual_seed(7)
    shared = [RANDOM[kind](draw) for _ in range(2)]
    assert torch.equal(shared[0], one)
    assert not torch.equal(shared[0], shared[1])


def test_layers_that_see_others():
    edges = layered_dag([2, 2, 1, 1], {3: [0, 2]})
    # Layer 1 would be an output if nobody saw it; here layer 2 does.
    assert edges.T.tolist() == [
        [0, 2], [1, 2], [0, 3], [1, 3], [2, 4], [3, 4], [0, 5], [1, 5], [4, 5]
    ]  # fmt: skip


def test_dense_layers_have_every_edge_but_those_within():
    sizes = [3, 4, 2, 1]
    edges = dense_dag(sizes)
    n, within = sum(sizes), sum(size * (size - 1) // 2 for size in sizes)
    assert edges.shape[1] == n * (n - 1) // 2 - within


def test_in_degrees_are_uniform_in_their_logarithm():
    """A third of [8, 512) is each of [8, 32), [32, 128), [128, 512)."""
    sizes = [5, 600, 3000, 1]
    in_degree = torch.bincount(log_uniform_dag(sizes, 8, high=511, seed=0)[1])[605:3605]
    assert in_degree.min() == 8
    assert 500 < in_degree.max() <= 511
    shares = [((in_degree >= a) & (in_degree < 4 * a)).double().mean() for a in (8, 32, 128)]
    for share in shares:
        # Four standard deviations of 3000 draws.
        assert share == pytest.approx(1 / 3, abs=4 * math.sqrt(2 / 9 / 3000))


def test_the_largest_in_degree_has_its_share():
    in_degree = torch.bincount(log_uniform_dag([5, 10, 2000, 1], 1, high=2, seed=0)[1])[15:2015]
    expected = math.log(2) / math.log(3)  # of [1, 3), the part of [1, 2)
    assert (in_degree == 1).double().mean() == pytest.approx(expected, abs=0.05)


def test_in_degrees_are_cut_to_what_there_is():
    edges = log_uniform_dag([2, 3, 3, 1], 50, high=60, seed=0)
    assert edges[1].bincount()[5:8].tolist() == [5, 5, 5]


def test_probabilities_of_none_and_all():
    everything = erdos_renyi_dag(3, 4, outputs=2, probability=1.0, seed=0)
    assert torch.equal(everything, layered_dag([3, 1, 1, 1, 1, 2], {
        2: [0, 1], 3: [0, 1, 2], 4: [0, 1, 2, 3], 5: [0, 1, 2, 3, 4]
    }))  # fmt: skip
    # Without edges, all hidden vertices stand side by side.
    nothing = erdos_renyi_dag(3, 4, outputs=2, probability=0.0, seed=0)
    assert torch.equal(nothing, layered_dag([3, 4, 2]))


def test_the_share_of_edges_is_the_probability():
    edges = erdos_renyi_dag(10, 200, outputs=10, probability=0.3, seed=0)
    hidden = ((edges[0] >= 10) & (edges[1] < 210)).sum().item()
    pairs = 200 * 199 / 2
    assert hidden / pairs == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / pairs))


def test_an_undirected_graph_keeps_its_edges_and_gets_ends():
    graph = networkx.barabasi_albert_graph(30, 3, seed=0)
    edges = oriented_dag(graph, 2, outputs=3)
    inner = edges[:, (edges[0] >= 2) & (edges[1] < 32)] - 2
    assert {tuple(sorted(pair)) for pair in inner.T.tolist()} == {
        tuple(sorted(edge)) for edge in graph.edges
    }
    first = [v for v in range(30) if all(u > v for u in graph[v])]
    assert {v - 2 for u, v in edges.T.tolist() if u < 2} == set(first)


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: layered_dag([3]), r"layered_dag\(sizes"),
        (lambda: layered_dag([3, 1.5]), r"layered_dag\(sizes"),
        (lambda: layered_dag([3, math.nan]), r"layered_dag\(sizes"),
        (lambda: layered_dag([3, 1, 1], {2: [2]}), r"layered_dag\(sees"),
        (lambda: layered_dag([3, 1, 1], {0: [0]}), r"layered_dag\(sees"),
        (lambda: layered_dag([3, 1, 1], {2: []}), r"layered_dag\(sees"),
        (lambda: layered_dag([3, 1, 1], {2: [1, 1]}), r"layered_dag\(sees"),
        (lambda: layered_dag([3, 1, 1], {2: [0]}), r"layered_dag\(sees.*\[1\], which are not"),
        (lambda: dense_dag([]), r"dense_dag\(sizes"),
        (lambda: log_uniform_dag([3, 1], 1, high=2, seed=0), r"log_uniform_dag\(sizes"),
        (lambda: log_uniform_dag([3, 1, 1], 0, high=2, seed=0), r"log_uniform_dag\(low"),
        (lambda: log_uniform_dag([3, 1, 1], 3, high=2, seed=0), r"log_uniform_dag\(high"),
        (lambda: erdos_renyi_dag(0, 1, probability=0.5, seed=0), r"erdos_renyi_dag\(inputs"),
        (lambda: erdos_renyi_dag(1, 0, probability=0.5, seed=0), r"erdos_renyi_dag\(hidden"),
        (
            lambda: erdos_renyi_dag(1, 1, outputs=0, probability=0.5, seed=0),
            r"erdos_renyi_dag\(outputs",
        ),
        (
            lambda: erdos_renyi_dag(1, 1, probability=math.nan, seed=0),
            r"erdos_renyi_dag\(probability",
        ),
        (lambda: watts_strogatz_dag(1, 4, neighbours=3, seed=0), r"watts_strogatz_dag\(neighbours"),
        (lambda: watts_strogatz_dag(1, 4, neighbours=4, seed=0), r"watts_strogatz_dag\(neighbours"),
        (lambda: watts_strogatz_dag(1, 9, rewiring=2.0, seed=0), r"watts_strogatz_dag\(rewiring"),
        (lambda: watts_strogatz_dag(0, 9, seed=0), r"watts_strogatz_dag\(inputs"),
        (lambda: oriented_dag(networkx.DiGraph([(0, 1)]), 1), r"oriented_dag\(graph.*undirected"),
        (lambda: oriented_dag(networkx.MultiGraph([(0, 1)]), 1), r"oriented_dag\(graph"),
        (lambda: oriented_dag(networkx.Graph([(0, 0)]), 1), r"oriented_dag\(graph.*1 loops"),
        (lambda: oriented_dag(networkx.Graph(), 1), r"oriented_dag\(graph.*at least one vertex"),
        (lambda: oriented_dag(networkx.path_graph(2), 0), r"oriented_dag\(inputs"),
    ],
)
def test_wrong_arguments_are_named(call, where):
    with pytest.raises(ValueError, match=f"`{where}"):
        call()


def test_something_that_is_no_graph():
    with pytest.raises(TypeError, match=r"`oriented_dag\(graph=\.\.\.\)`.*list"):
        oriented_dag([[0, 1]], 1)
