"""Whole runs without a server."""

import math

import pytest
import torch
from torch import nn

from overparam.federated import ClientData, dirichlet_partition, simulate_decentralised
from overparam.federated.topologies import EpidemicLocal, HubSpoke, Star

N = 12


def data() -> ClientData:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(240, 4, generator=draw)
    y = x[:, :3].argmax(1)
    return ClientData(x, y, dirichlet_partition(y, N, 0.3, least=4))


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def run(topology=None, **given):
    clients = data()
    return simulate_decentralised(
        network(), clients, topology or HubSpoke(N, 3, 6, 2, 1),
        **{"rounds": 6, "lr": 0.2, "test": (clients.x, clients.y), "progress": False, **given},
    )  # fmt: skip


def test_it_trains_and_mixing_contracts_by_its_factor():
    topology = HubSpoke(N, 3, 6, 1, 1)
    done = run(topology, rounds=40)
    table = done.history.iloc[1:]
    accuracy = done.history["test_accuracy"]
    assert accuracy.iloc[-1] > accuracy.iloc[0] + 0.2
    assert (table["spread"] < table["spread_before"]).all()
    # Of norms, where the factor is of their squares: a tenth of an order of magnitude.
    found = -(table["spread"] / table["spread_before"]).map(math.log10).mean()
    assert abs(found + 0.5 * math.log10(topology.consensus_factor())) < 0.15
    size = sum(p.numel() for p in network().parameters())
    assert table["floats_sent"].iloc[-1] == 40 * topology.edges() * size
    assert table["gradients"].iloc[-1] == 40 * N * 3 * 16
    assert done.engine == "stacked"


def test_a_star_is_averaging():
    done = run(Star(N), rounds=2)
    assert (done.history["spread"].iloc[1:] < 1e-6).all()
    torch.testing.assert_close(done.models[0], done.models[-1])


def test_everyone_goes_on_from_its_own_model():
    """One round without mixing to speak of: two nodes that were down differ from those that were
    not, and keep their models."""
    done = run(EpidemicLocal(N, 1), rounds=1, crashes=0.4, seed=1)
    start = torch.cat([p.detach().reshape(-1) for p in network().parameters()])
    still = (done.models == start).all(1)
    assert still.sum() == done.history["down"].iloc[1] > 0


@pytest.mark.parametrize("topology", [HubSpoke(N, 3, 6, 2, 1), EpidemicLocal(N, 3), Star(N)])
def test_a_node_whose_steps_are_not_finite_keeps_its_model_and_spoils_nobodys(topology):
    """Node 0's inputs are so large that its first layer overflows, in every round."""
    fine = data()
    x, rows = fine.x.clone(), fine.parts()
    x[torch.from_numpy(rows[0])] = 3e38
    done = simulate_decentralised(
        network(), ClientData(x, fine.y, rows), topology, rounds=3, lr=0.2, progress=False
    )
    assert done.history["not_finite"].tolist() == [0, 1, 1, 1]
    assert done.history["down"].sum() == 0
    assert torch.isfinite(done.models).all()
    assert done.history["loss"].iloc[1:].notna().all()
    start = torch.cat([p.detach().flatten() for p in network().parameters()])
    assert torch.equal(done.models[0], start)
    assert not torch.equal(done.models[1], start)


def test_engines_and_chunks_agree_and_parts_are_one_run(tmp_path):
    whole = run(crashes=0.2)
    for changed in ({"engine": "loop"}, {"chunk_size": 5}):
        other = run(crashes=0.2, **changed)
        torch.testing.assert_close(other.models, whole.models, rtol=1e-5, atol=1e-5)
    file = tmp_path / "run"
    run(crashes=0.2, rounds=3, checkpoint=file, checkpoint_every=2)
    resumed = run(crashes=0.2, checkpoint=file)
    assert torch.equal(resumed.models, whole.models)
    assert resumed.history.iloc[4:].equals(whole.history.iloc[4:])
    with pytest.raises(ValueError, match="another run's"):
        run(crashes=0.1, checkpoint=file)


REFUSED = {
    "other clients than nodes": lambda: run(Star(N + 1)),
    "a rate of 0": lambda: run(lr=0.0),
    "no rounds": lambda: run(rounds=0),
    "crashes above 1": lambda: run(crashes=1.5),
    "a test of numbers": lambda: run(test=(data().x, torch.ones(240))),
    "no topology": lambda: run("ring"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name):
    with pytest.raises((ValueError, TypeError), match="expected"):
        REFUSED[name]()
