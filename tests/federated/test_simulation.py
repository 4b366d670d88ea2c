"""Whole runs: what they count, what they survive, and what they leave alone."""

import os
import signal
import time
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from overparam.federated import ClientData, Participation, dirichlet_partition, simulate
from overparam.federated.algorithms import FAdamGC, FedAdam, FedAvg, FedCM, Scaffold

N, FEATURES, CLASSES = 8, 4, 3
CHURN = Participation(share=0.5, dropouts=0.2, stragglers=0.3)


def data(seed: int = 0) -> ClientData:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(160, FEATURES, generator=draw)
    y = x[:, :CLASSES].argmax(1)
    return ClientData(x, y, dirichlet_partition(y, N, 0.3, least=3, seed=seed))


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(FEATURES, 6), nn.ReLU(), nn.Linear(6, CLASSES))
    return model.to(dtype)


def run(model=None, clients=None, algorithm=None, **given):
    return simulate(
        network() if model is None else model, clients or data(), algorithm or FAdamGC(lr=0.01),
        **{"rounds": 5, "local_steps": 3, "batch_size": 4, "progress": False, **given},
    )  # fmt: skip


def test_training_helps_and_leaves_the_model_as_it_was():
    model, clients = network(), data()
    before = [p.detach().clone() for p in model.parameters()]
    state = torch.get_rng_state()
    done = run(model, clients, rounds=15, test=(clients.x, clients.y))
    accuracy = done.history["test_accuracy"]
    assert accuracy.iloc[-1] > accuracy.iloc[0] + 0.2
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())
    model.load_state_dict(done.parameters, strict=False)
    found = (model(clients.x).argmax(1) == clients.y).double().mean()
    assert float(found) == accuracy.iloc[-1]


@pytest.mark.parametrize(
    "algorithm", [FedAvg(), FedCM(), Scaffold(), FAdamGC(moments="average")], ids=repr
)
def test_what_is_sent_and_computed_is_counted(algorithm):
    model, rounds, share = network(), 4, 0.5
    size = sum(p.numel() for p in model.parameters())
    done = run(model, algorithm=algorithm, rounds=rounds, participation=Participation(share=share))
    last, asked = done.history.iloc[-1], int(N * share) * rounds
    vectors = {"FedAvg": (1, 1), "FedCM": (2, 1), "Scaffold": (2, 2), "FAdamGC": (5, 5)}
    down, up = vectors[type(algorithm).__name__]
    assert last["floats_down"] == asked * down * size
    assert last["floats_up"] == asked * up * size
    assert last["gradients"] == asked * 3 * 4
    # Forward and back by the weights for both layers, back by the inputs for the second; two
    # flops a product.
    products = 2 * FEATURES * 6 + 3 * 6 * CLASSES
    assert last["flops"] == last["gradients"] * 2 * products


def test_engines_chunks_and_unequal_steps_agree():
    steps = [1, 2, 3, 4, 5, 6, 7, 8]
    plain = run(local_steps=steps, participation=CHURN)
    for changed in ({"engine": "loop"}, {"engine": "vmap"}, {"chunk_size": 3}):
        other = run(local_steps=steps, participation=CHURN, **changed)
        torch.testing.assert_close(other.server["x"], plain.server["x"], rtol=1e-5, atol=1e-5)
        assert (other.history["reported"] == plain.history["reported"]).all()


def test_c_is_the_mean_of_c_i_in_a_run_with_churn_and_a_client_of_no_use():
    """Client 0's inputs overflow, so that what it sends is not finite."""
    clients = data()
    x = clients.x.double()
    x[clients.parts()[0]] *= 1e300
    clients = ClientData(x, clients.y, clients.parts())
    done = run(
        network(torch.float64), clients, FAdamGC(lr=0.01), rounds=12,
        participation=CHURN,
    )  # fmt: skip
    assert done.history["not_finite"].sum() > 0
    assert (done.server["c"] - done.clients["c"].mean(0)).abs().max() <= 1e-12
    assert torch.isfinite(done.server["x"]).all()
    assert torch.isfinite(done.clients["c"]).all()


def test_a_warm_up_sets_every_c_i():
    done = run(
        network(torch.float64), ClientData(data().x.double(), data().y, data().parts()),
        Scaffold(lr=1e-9, warmup=True), rounds=1, participation=Participation(share=0.25),
    )  # fmt: skip
    assert (done.clients["c"].abs().amax(1) > 0).all()
    assert (done.server["c"] - done.clients["c"].mean(0)).abs().max() <= 1e-12
    assert done.history["gradients"].iloc[0] == N * 4


def test_weights_by_examples_are_those_of_the_pool():
    """One full step of FedAvg with them is a step on all examples."""
    clients, model = data(), network(torch.float64)
    clients = ClientData(clients.x.double(), clients.y, clients.parts())
    done = run(
        model, clients, FedAvg(lr=1.0), rounds=1, local_steps=1, batch_size=1,
        weighting="examples",
    )  # fmt: skip
    uniform = run(model, clients, FedAvg(lr=1.0), rounds=1, local_steps=1, batch_size=1)
    assert not torch.equal(done.server["x"], uniform.server["x"])
    start = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    expected = torch.zeros_like(start)
    for client, size in enumerate(clients.sizes):
        rows = clients.batch_rows(0, 0, np.array([client]), 0, 1)[0]
        loss = nn.functional.cross_entropy(model(clients.x[rows]), clients.y[rows])
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        expected += size / clients.sizes.sum() * torch.cat([g.reshape(-1) for g in slopes])
    torch.testing.assert_close(start - done.server["x"], expected)


def same(one, other) -> bool:
    tensors = all(
        torch.equal(state[name], theirs[name])
        for state, theirs in ((one.server, other.server), (one.clients, other.clients))
        for name in state
    )
    return tensors and one.history.equals(other.history)


def test_a_run_in_two_parts_is_one_run(tmp_path):
    clients = data()
    given = {"participation": CHURN, "test": (clients.x, clients.y), "test_every": 2}
    whole = run(clients=clients, rounds=6, **given)
    file = tmp_path / "run"
    run(clients=clients, rounds=4, checkpoint=file, checkpoint_every=3, **given)
    told = []
    resumed = run(clients=clients, rounds=6, checkpoint=file, **given | {"progress": told_to(told)})
    assert told == ["rounds 0.83", "rounds 1.00"]  # the fifth and the sixth
    assert same(whole, resumed)
    assert same(whole, run(clients=clients, rounds=6, checkpoint=file, **given))


def told_to(lines):
    return lambda stage, done: lines.append(f"{stage} {done:.2f}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_a_run_that_is_killed_goes_on_with_the_same_bits(tmp_path):
    clients, file = data(), tmp_path / "run"
    given = {"clients": clients, "rounds": 30, "participation": CHURN}
    start = time.monotonic()
    whole = run(**given)
    window, draw = time.monotonic() - start, np.random.default_rng(0)
    for _ in range(4):
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                run(checkpoint=file, **given)
            os._exit(0)
        time.sleep(draw.uniform(0, window))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert same(whole, run(checkpoint=file, **given))
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".part")] == ["run"]


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"algorithm": FAdamGC(lr=0.02)},
        {"clients": data(1)},
        {"batch_size": 5},
        {"local_steps": 4},
        {"participation": CHURN},
        {"loss": mse_loss},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_file_of_another_run_is_refused(changed, tmp_path):
    file = tmp_path / "run"
    run(rounds=1, checkpoint=file)
    if "loss" in changed:
        x, y = data().x, nn.functional.one_hot(data().y, CLASSES).float()
        changed = {**changed, "clients": ClientData(x, y, data().parts())}
    with pytest.raises(ValueError, match="another run's"):
        run(checkpoint=file, **changed)


def test_a_damaged_file_is_refused(tmp_path):
    file = tmp_path / "run"
    run(rounds=1, checkpoint=file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match="the file of a federated run"):
        run(checkpoint=file)
    with pytest.raises(ValueError, match="a folder that exists"):
        run(checkpoint=tmp_path / "nowhere" / "run")


def one_row_short(clients: ClientData) -> tuple[torch.Tensor, torch.Tensor]:
    return clients.x[:5], clients.y[:4]


REFUSED = {
    "no rounds": lambda: run(rounds=0),
    "no steps": lambda: run(local_steps=0),
    "steps for other clients": lambda: run(local_steps=[1, 2]),
    "steps that are none": lambda: run(local_steps=[0] * N),
    "half a step": lambda: run(local_steps=0.5),
    "no batch": lambda: run(batch_size=0),
    "an unknown engine": lambda: run(engine="fast"),
    "an unknown weighting": lambda: run(weighting="loss"),
    "batch norm": lambda: run(nn.Sequential(nn.Linear(FEATURES, 3), nn.BatchNorm1d(3))),
    "dropout": lambda: run(nn.Sequential(nn.Dropout(), nn.Linear(FEATURES, 3))),
    "a model of other inputs": lambda: run(nn.Linear(7, 3)),
    "a model without parameters": lambda: run(nn.Flatten()),
    "a loss with a number for each": lambda: run(loss=nn.CrossEntropyLoss(reduction="none")),
    "targets that would be spread over outputs": lambda: run(
        nn.Linear(FEATURES, 1),
        clients=ClientData(data().x, data().x[:, 0], data().parts()),
        loss=nn.functional.mse_loss,
    ),
    "no algorithm": lambda: run(algorithm="fedavg"),
    "no clients": lambda: run(clients=[1]),
    "a test without targets": lambda: run(test=data().x),
    "a test of other inputs": lambda: run(test=(torch.ones(3, 7), torch.zeros(3).long())),
    "a test one target short": lambda: run(test=one_row_short(data())),
}


@pytest.mark.untyped("wrong arguments are judged by what comes back")
@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name):
    with pytest.raises((ValueError, TypeError), match="expected"):
        REFUSED[name]()


def test_what_does_not_fit_is_refused_before_it_is_made():
    from overparam import memory_limit

    with memory_limit(5000), pytest.raises(MemoryError, match="moments='reset'"):
        run()


def test_a_server_that_steps_with_adam_and_everyone_lost():
    done = run(algorithm=FedAdam(), participation=Participation(dropouts=1.0))
    start = torch.cat([p.detach().reshape(-1) for p in network().parameters()])
    assert torch.equal(done.server["x"], start)
    assert (done.history["reported"] == 0).all()


def test_a_device_gives_what_the_processor_gives(device):
    here = run(rounds=2, participation=CHURN)
    there = run(network().to(device), rounds=2, participation=CHURN)
    assert there.server["x"].device.type == device.type
    torch.testing.assert_close(there.server["x"].cpu(), here.server["x"], rtol=1e-4, atol=1e-5)
