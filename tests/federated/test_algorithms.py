"""The algorithms as pure functions: where they stop, what they remember, what they refuse."""

import numpy as np
import pytest
import torch
from torch import Tensor

from overparam.federated.algorithms import (
    FAdamGC,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedCM,
    LocalAdam,
    Scaffold,
    run_round,
)

N, DIM, LOCAL = 10, 20, 10
ALL = [
    FedAvg(lr=0.02),
    FedAvgM(lr=0.02),
    FedAdam(lr=0.02),
    FedCM(lr=0.02),
    Scaffold(lr=0.02),
    LocalAdam(lr=0.02),
    *(
        FAdamGC(lr=0.02, correction=correction, moments=moments, bias_correction=biased)
        for correction in ("pre", "post")
        for moments, biased in (("keep", False), ("reset", False), ("average", True))
    ),
]


def named(algorithm) -> str:
    words = (getattr(algorithm, "correction", ""), getattr(algorithm, "moments", ""))
    return "-".join([type(algorithm).__name__, *filter(None, words)])


class Quadratics:
    """F_i = ½(x − a_i)ᵀA_i(x − a_i) with full gradients."""

    def __init__(self, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        matrices, centres = [], []
        for _ in range(N):
            q, _ = np.linalg.qr(draw.normal(size=(DIM, DIM)))
            matrices.append(q @ np.diag(draw.uniform(0.1, 3, DIM)) @ q.T)
            centres.append(3 * draw.normal(size=DIM))
        self.a, self.centres = torch.tensor(np.array(matrices)), torch.tensor(np.array(centres))

    def gradient(self, ids: Tensor):
        return lambda w, step: torch.einsum("sij,sj->si", self.a[ids], w - self.centres[ids])

    def norm(self, x: Tensor) -> float:
        everyone = torch.arange(N)
        return float(self.gradient(everyone)(x.expand(N, -1), 0).mean(0).norm())


def left(algorithm, rounds: int) -> float:
    """‖∇F‖ after so many rounds of everyone; 8 at the start."""
    problem, everyone = Quadratics(), torch.arange(N)
    server = algorithm.server_state(torch.zeros(DIM, dtype=torch.float64))
    clients, steps = algorithm.client_state(N, server["x"]), torch.full((N,), LOCAL)
    for _ in range(rounds):
        done = run_round(algorithm, server, clients, problem.gradient(everyone), steps, N)
        server, clients = done.server, done.clients
    return problem.norm(server["x"])


def test_a_correction_before_the_moments_converges_exactly():
    assert left(FAdamGC(lr=0.02), 400) <= 1e-8


def test_local_sgd_with_correction_converges_exactly():
    assert left(Scaffold(lr=0.02), 400) <= 1e-8


@pytest.mark.parametrize(
    "algorithm",
    [LocalAdam(lr=0.02), FAdamGC(lr=0.02, correction="post", moments="reset")],
    ids=named,
)
def test_without_it_or_after_them_adam_stops_far_off(algorithm):
    assert left(algorithm, 100) >= 1


def test_moments_that_begin_anew_stop_nearby():
    assert 1e-3 < left(FAdamGC(lr=0.02, moments="reset"), 200) <= 0.5


@pytest.mark.parametrize("algorithm", [Scaffold(lr=0.02), FAdamGC(lr=0.02)], ids=named)
def test_c_is_the_mean_of_all_c_i_whatever_fails(algorithm):
    """Some take part for the first time late, some are lost, one sends NaN in the fifth round."""
    problem, draw = Quadratics(), np.random.default_rng(1)
    server = algorithm.server_state(torch.zeros(DIM, dtype=torch.float64))
    clients = algorithm.client_state(N, server["x"])
    before = None
    for number in range(30):
        ids = torch.from_numpy(np.sort(draw.choice(N - 2 if number < 20 else N, 4, replace=False)))
        reached = torch.from_numpy(draw.uniform(size=4) > 0.3)
        steps = torch.from_numpy(draw.integers(1, 6, 4))
        gradient = problem.gradient(ids)
        if number == 5:
            reached[0] = True
            gradient = poisoned(gradient)
        rows = {name: state[ids] for name, state in clients.items()}
        done = run_round(algorithm, server, rows, gradient, steps, N, reached=reached)
        if number == 5:
            assert not done.kept[0]
            assert torch.equal(done.clients["c"][0], rows["c"][0])
        server = done.server
        for name, state in done.clients.items():
            clients[name][ids] = state
        assert (server["c"] - clients["c"].mean(0)).abs().max() <= 1e-12
        assert before is None or not torch.equal(server["c"], before) or not done.kept.any()
        before = server["c"]


def poisoned(gradient):
    def with_nan(w, step):
        found = gradient(w, step)
        found[0] = float("nan")
        return found

    return with_nan


@pytest.mark.parametrize("algorithm", ALL, ids=named)
def test_a_stack_does_what_single_clients_do(algorithm):
    """One call for all with unequal steps, against a call for each."""
    problem = Quadratics()
    x = torch.randn(DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    server, steps = algorithm.server_state(x), torch.tensor([1, 3, 7, 7])
    for name in set(server) - {"x"}:
        server[name] = torch.rand_like(server[name])
    clients = {
        name: torch.rand_like(rows) for name, rows in algorithm.client_state(4, x).items()
    }  # fmt: skip
    copies = {name: rows.clone() for name, rows in (server | clients).items()}
    sent, kept = algorithm.local(server, clients, problem.gradient(torch.arange(4)), steps)
    for i in range(4):
        one = {name: rows[i : i + 1] for name, rows in clients.items()}
        alone = algorithm.local(server, one, problem.gradient(torch.tensor([i])), steps[i : i + 1])
        for stacked, single in ((sent, alone[0]), (kept, alone[1])):
            assert stacked.keys() == single.keys()
            for name, rows in stacked.items():
                torch.testing.assert_close(rows[i : i + 1], single[name], rtol=1e-12, atol=1e-12)
    for name, rows in (server | clients).items():  # pure: what it was given is as it was
        assert torch.equal(rows, copies[name])


@pytest.mark.parametrize("algorithm", ALL, ids=named)
def test_weights_scale_the_change_and_not_the_correction(algorithm):
    problem, steps = Quadratics(), torch.tensor([2, 2])
    server = algorithm.server_state(torch.zeros(DIM, dtype=torch.float64))
    clients = algorithm.client_state(2, server["x"])
    gradient = problem.gradient(torch.arange(2))
    plain = run_round(algorithm, server, clients, gradient, steps, N)
    weighed = run_round(
        algorithm, server, clients, gradient, steps, N, weights=torch.tensor([1e-9, 1.0])
    )
    alone = run_round(
        algorithm, server, clients, gradient, steps, N, reached=torch.tensor([False, True])
    )
    torch.testing.assert_close(weighed.server["x"], alone.server["x"], rtol=1e-6, atol=1e-9)
    if "c" in server:
        torch.testing.assert_close(weighed.server["c"], plain.server["c"])


def test_weight_decay_and_clipping_stay_out_of_the_correction():
    problem, steps = Quadratics(), torch.tensor([1])
    gradient = problem.gradient(torch.tensor([0]))
    x = torch.ones(DIM, dtype=torch.float64)
    raw = gradient(x[None], 0)
    for algorithm in (Scaffold(weight_decay=0.5), FAdamGC(weight_decay=0.5)):
        server = algorithm.server_state(x)
        done = run_round(algorithm, server, algorithm.client_state(1, x), gradient, steps, 1)
        torch.testing.assert_close(done.clients["c"], raw)
    clipped = Scaffold(clip_norm=0.25)
    done = run_round(
        clipped, clipped.server_state(x), clipped.client_state(1, x), gradient, steps, 1
    )
    torch.testing.assert_close(done.clients["c"], 0.25 * raw / raw.norm())


def test_a_round_in_which_nobody_answers_changes_nothing():
    algorithm = FAdamGC()
    server = algorithm.server_state(torch.ones(DIM))
    clients = algorithm.client_state(2, server["x"])
    done = run_round(
        algorithm, server, clients, lambda w, k: w, torch.tensor([1, 1]), 2,
        reached=torch.tensor([False, False]),
    )  # fmt: skip
    assert torch.equal(done.server["x"], server["x"])
    assert not done.kept.any()


def test_a_bias_correction_makes_the_first_step_as_long_as_the_rate():
    """And a gradient of 0 gives a step of 0, whatever it is divided by."""
    algorithm = FAdamGC(lr=0.01, bias_correction=True)
    server = algorithm.server_state(torch.zeros(3))
    slope = torch.tensor([[1e-3, -7.0, 0.0]])
    sent, _ = algorithm.local(
        server, algorithm.client_state(1, server["x"]), lambda w, k: slope, torch.tensor([1])
    )
    torch.testing.assert_close(
        sent["delta"], torch.tensor([[-0.01, 0.01, 0.0]]), rtol=1e-4, atol=1e-9
    )


REFUSED = {
    "a rate of 0": lambda: FedAvg(lr=0.0),
    "a rate in words": lambda: FedAvg(lr="0.1"),
    "a server rate of 0": lambda: FAdamGC(server_lr=0.0),
    "beta 1": lambda: FAdamGC(betas=(0.9, 1.0)),
    "one beta": lambda: FAdamGC(betas=(0.9,)),
    "a negative beta": lambda: FedAdam(betas=(-0.1, 0.9)),
    "eps 0": lambda: FAdamGC(eps=0.0),
    "a negative decay": lambda: Scaffold(weight_decay=-1.0),
    "clipping to 0": lambda: Scaffold(clip_norm=0.0),
    "an unknown correction": lambda: FAdamGC(correction="both"),
    "an unknown rule": lambda: FAdamGC(moments="forget"),
    "a warm-up of what is no gradient": lambda: FAdamGC(correction="post", warmup=True),
    "alpha 0": lambda: FedCM(alpha=0.0),
    "momentum 1": lambda: FedAvgM(momentum=1.0),
    "more clients than registered": lambda: one_round(n_clients=1),
    "no steps": lambda: one_round(steps=torch.tensor([0, 1])),
    "half steps": lambda: one_round(steps=torch.tensor([1.5, 1.0])),
    "weights of another length": lambda: one_round(weights=torch.ones(3)),
    "a weight of 0": lambda: one_round(weights=torch.tensor([0.0, 1.0])),
    "the state of another algorithm": lambda: one_round(clients={}),
}


def one_round(**changed):
    algorithm = Scaffold()
    server = algorithm.server_state(torch.zeros(2))
    given = {
        "clients": algorithm.client_state(2, server["x"]), "steps": torch.tensor([1, 1]),
        "n_clients": 2, **changed,
    }  # fmt: skip
    return run_round(algorithm, server, gradient=lambda w, k: w, **given)


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name):
    with pytest.raises((ValueError, TypeError), match="expected"):
        REFUSED[name]()
