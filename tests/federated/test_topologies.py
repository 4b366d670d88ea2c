"""Mixing without a server: closed forms against draws, failures, plans."""

import math

import numpy as np
import pytest
import torch

from overparam.federated.topologies import (
    EpidemicLocal,
    EpidemicOracle,
    HubSpoke,
    MixingPlan,
    Star,
    measured_consensus,
    plan_topology,
)
from overparam.federated.topologies.mixing import stage_of

CLOSED = [
    HubSpoke(100, 10, 1, 1, 1),
    HubSpoke(100, 20, 10, 5, 1),
    HubSpoke(100, 10, 20, 2, 2),
    HubSpoke(30, 10, 1, 9, 1),
    HubSpoke(30, 1, 5, 0, 1),
    EpidemicLocal(100, 10),
    EpidemicLocal(5, 1),
    EpidemicOracle(100, 5),
    EpidemicOracle(20, 4),
]


@pytest.mark.parametrize("topology", CLOSED, ids=repr)
def test_closed_forms_are_what_draws_do(topology):
    """Within five standard errors, which are about a hundredth."""
    found = measured_consensus(topology, draws=300, size=16)
    assert abs(found.factor - topology.consensus_factor()) <= 5 * found.factor_error + 1e-12
    assert abs(found.drift - topology.mean_drift()) <= 5 * found.drift_error + 1e-12
    assert abs(found.error - topology.consensus_error()) <= 5 * found.error_error + 1e-12
    assert found.error_error < 0.05


@pytest.mark.parametrize(("n", "k"), [(100, 1), (20, 4)])
def test_the_total_of_push_has_a_closed_form_and_its_parts_have_none(n, k):
    topology = EpidemicLocal(n, k, gossip="push")
    found = measured_consensus(topology, draws=300, size=16)
    assert abs(found.error - topology.consensus_error()) <= 5 * found.error_error
    for part in (topology.consensus_factor, topology.mean_drift):
        with pytest.raises(ValueError, match="measured_consensus"):
            part()
    assert EpidemicLocal(10_000, 1, gossip="push").consensus_error() == pytest.approx(
        1 - 1 / math.e, abs=1e-3
    )


def test_hubs_that_push_have_no_closed_form_unless_everyone_hears_everyone():
    with pytest.raises(ValueError, match="measured_consensus"):
        HubSpoke(20, 5, 4, 2, 1, gossip="push").consensus_factor()
    full = HubSpoke(20, 5, 4, 4, 1, gossip="push")
    assert full.consensus_error() == HubSpoke(20, 5, 4, 4, 1).consensus_error()
    found = measured_consensus(HubSpoke(20, 5, 4, 2, 1, gossip="push"), draws=100, size=16)
    assert 0 < found.error < 1


def test_published_values_and_both_ways_of_counting():
    net = HubSpoke(100, 20, 10, 5, 1)
    assert net.consensus_factor() == pytest.approx(0.01004, abs=5e-6)
    assert net.consensus_error() == pytest.approx(0.0152, abs=5e-5)
    assert (net.edges(), net.edges("mixed"), net.hub_load()) == (400, 350, 10)
    assert (EpidemicLocal(100, 10).edges(), EpidemicLocal(100, 10).edges("mixed")) == (1000, 500)
    agreeing = HubSpoke(100, 10, 1, 9, 1)
    assert agreeing.consensus_factor() == 0
    assert agreeing.consensus_error() == pytest.approx(0.1, abs=2e-3)
    server = HubSpoke(100, 1, 100, 0, 1)
    assert server.consensus_error() == Star(100).consensus_error() == 0
    assert server.edges() == Star(100).edges() == 200


@pytest.mark.parametrize("topology", [*CLOSED, EpidemicLocal(9, 3, "push")], ids=repr)
def test_a_plan_averages_and_its_draws_differ(topology):
    """Rows of each round are averages: a constant stays, and messages are as many as edges."""
    n = topology.n_nodes
    plan = topology.sample(3)
    ones, _ = plan.apply(torch.ones(n, 2, dtype=torch.float64))
    torch.testing.assert_close(ones, torch.ones(n, 2, dtype=torch.float64))
    messages = sum(
        len(stage.senders) - own for stage, own in zip(plan.stages, owns(topology), strict=True)
    )
    assert messages == topology.edges()
    for stage in plan.stages:
        pairs = set(zip(stage.receivers.tolist(), stage.senders.tolist(), strict=True))
        assert len(pairs) == len(stage.senders)
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    first, again, other = (topology.sample(seed).apply(x)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    alone = isinstance(topology, HubSpoke) and topology.n_hubs == 1
    assert alone or not torch.equal(first, other)


def owns(topology) -> list[int]:
    """Pairs of a node with itself in each stage: no messages."""
    hubs = isinstance(topology, HubSpoke)
    return [0, topology.n_hubs, 0] if hubs else [topology.n_nodes]


def test_the_oracle_draws_symmetric_rounds():
    stage = EpidemicOracle(11, 4).sample(0).stages[0]
    pairs = set(zip(stage.receivers.tolist(), stage.senders.tolist(), strict=True))
    assert pairs == {(b, a) for a, b in pairs}
    assert np.bincount(stage.receivers).tolist() == [5] * 11


def test_who_is_down_keeps_what_it_has_and_is_missed_by_nobody():
    """Two hubs of two spokes each; hub 1 hears of nobody and has its model of before."""
    up = stage_of(np.array([[0, 1], [2, 3]]))
    gossip = stage_of(np.zeros((2, 0), dtype=int), own=True)
    down = stage_of(np.array([[0], [0], [1], [1]]))
    plan = MixingPlan([up, gossip, down])
    x = torch.tensor([[1.0], [3.0], [5.0], [torch.nan]])
    alive = torch.tensor([True, True, False, True])
    models, hubs = plan.apply(x, None, alive)
    assert hubs is not None
    assert models[:2].flatten().tolist() == [2.0, 2.0]
    assert models[2].item() == 5.0  # down
    assert models[3].isnan()  # not finite is as good as down
    assert hubs[0].item() == 2.0
    assert hubs[1].isnan()  # never heard of anybody
    x = torch.tensor([[1.0], [3.0], [5.0], [7.0]])
    had = torch.tensor([[0.0], [9.0]])
    models, hubs = plan.apply(x, had, torch.tensor([True, True, False, False]))
    assert models.flatten().tolist() == [2.0, 2.0, 5.0, 7.0]
    assert hubs is not None
    assert hubs[1].item() == 9.0
    models, hubs = plan.apply(x, had, hubs_alive=torch.tensor([False, True]))
    assert models.flatten().tolist() == [1.0, 3.0, 6.0, 6.0]
    assert hubs is not None
    assert hubs[0].item() == 0.0


def test_half_precision_is_averaged_in_single():
    x = torch.full((4, 1), 60000.0, dtype=torch.float16)
    mixed, _ = EpidemicLocal(4, 3).sample(0).apply(x)
    assert mixed.dtype == torch.float16
    assert torch.equal(mixed, x)


def test_plans_keep_their_bounds_and_nothing_is_better():
    plan = plan_topology(100, edges=400, n_hubs=10)
    assert repr(plan.topology) == "HubSpoke(100, 10, 21, 9, 1, gossip='pull')"
    assert plan.error == pytest.approx(0.0038, abs=5e-5)
    free = plan_topology(100, edges=400)
    assert free.error <= plan.error
    assert free.hub_load <= 20
    assert free.edges <= 400
    star = plan_topology(100, edges=200, max_hub_load=math.inf)
    assert (star.topology.n_hubs, star.error) == (1, 0.0)
    cheapest = plan_topology(30, consensus=0.05, max_hub_load=8)
    assert cheapest.error <= 0.05
    for n_hubs in range(1, 31):  # one edge less is not enough
        try:
            found = plan_topology(30, edges=cheapest.edges - 1, n_hubs=n_hubs, max_hub_load=8)
        except ValueError:
            continue
        assert found.error > 0.05
    by_factor = plan_topology(30, edges=100, n_hubs=5, objective="factor")
    assert by_factor.factor <= plan_topology(30, edges=100, n_hubs=5).factor


REFUSED = {
    "more spokes than there are": lambda: HubSpoke(10, 2, 11, 1, 1),
    "a hub that hears no spoke": lambda: HubSpoke(10, 2, 0, 1, 1),
    "a hub that hears itself": lambda: HubSpoke(10, 2, 3, 2, 1),
    "a hub less than none": lambda: HubSpoke(10, 2, 3, -1, 1),
    "a spoke that hears nobody": lambda: HubSpoke(10, 2, 3, 1, 0),
    "more hubs than there are": lambda: HubSpoke(10, 2, 3, 1, 3),
    "no hubs": lambda: HubSpoke(10, 0, 3, 0, 1),
    "an unknown gossip": lambda: HubSpoke(10, 2, 3, 1, 1, gossip="shout"),
    "everyone and oneself": lambda: EpidemicLocal(10, 10),
    "nobody": lambda: EpidemicLocal(10, 0),
    "alone": lambda: EpidemicLocal(1, 1),
    "an odd number of ends": lambda: EpidemicOracle(5, 3),
    "models of other nodes": lambda: Star(3).sample(0).apply(torch.ones(2, 2)),
    "models of whole numbers": lambda: Star(3).sample(0).apply(torch.ones(3, 2).long()),
    "alive of another length": lambda: (
        Star(3).sample(0).apply(torch.ones(3, 2), alive=torch.tensor([True]))
    ),
    "a plan for nothing": lambda: plan_topology(10),
    "a plan for two things": lambda: plan_topology(10, edges=5, consensus=0.1),
    "fewer edges than spokes": lambda: plan_topology(10, edges=9),
    "a load of 0": lambda: plan_topology(10, edges=50, max_hub_load=0.0),
    "one spoke": lambda: plan_topology(1, edges=50),
}


@pytest.mark.untyped("wrong arguments are judged by what comes back")
@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name):
    with pytest.raises((ValueError, TypeError), match="expected"):
        REFUSED[name]()
