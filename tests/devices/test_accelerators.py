"""What holds for accelerators alone: resuming, random numbers, streams, waiting."""

import io
import math
from typing import Any

import pytest
import torch
from second_device import FAR, SecondDevice, place_of
from torch import Tensor, nn

from overparam._batch import on_device
from overparam._devices import of_operator, synchronize
from overparam._model import undisturbed
from overparam._random_numbers import own_random_numbers, seeded
from overparam.curvature import GGNOperator
from overparam.dynamics import LabelNoiseScorer, Monitor
from overparam.dynamics.loss_stream import LossStream
from overparam.linalg import DiagonalOperator, hutchinson, hutchpp, power_iteration, top_eigenpairs
from overparam.optim import MaSS, gaussian_quadratic, noise_scale, second_moment_rate
from overparam.tangents import NTKOperator

MSE = nn.functional.mse_loss


def network(device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 1)).double().to(device)


def data(device: torch.device) -> tuple[Tensor, Tensor]:
    x = torch.randn(8, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x.to(device), x[:, :1].to(device)


def test_a_run_goes_on_from_a_state_read_onto_the_cpu(device: torch.device) -> None:
    model, (x, y) = network(device), data(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def steps(monitor: Monitor, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            value = MSE(model(x), y)
            value.backward()
            monitor.step(value, batch=(x, y))
            optimizer.step()

    first = Monitor(model, MSE, optimizer, max_overhead=math.inf)
    steps(first, 3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    again = Monitor(model, MSE, optimizer, max_overhead=math.inf)
    again.load_state_dict(torch.load(file, map_location="cpu"))
    steps(again, 3)
    assert again.probes.keys() == first.probes.keys()
    last = again.history.iloc[4]  # the update of the last step is not known yet
    # Where the signal comes out below zero, nothing is known; everything else is there.
    pairs = again.history[["gradient_signal", "gradient_noise"]].iloc[:5]
    known = noise_scale(*(pairs[name].tolist() for name in pairs)).low > 0
    unknown = set() if known else {"noise_scale_low"}
    assert set(last.index[last.isna()]) - {"update_norm"} == unknown


def test_scores_go_on_from_a_state_read_onto_the_device(device: torch.device) -> None:
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    labels, ids = torch.tensor([0, 1] * 3), torch.arange(6)
    scorers = [LabelNoiseScorer(6, 2) for _ in range(2)]
    scorers[0].update(logits, labels, ids)
    scorers[1].load_state_dict(on_device(scorers[0].state_dict(), device))
    for scorer in scorers:
        scorer.update(logits.to(device), labels.to(device), ids.to(device))
    states = [scorer.state_dict() for scorer in scorers]
    for name in ("sums", "aligned", "given", "probabilities"):
        torch.testing.assert_close(states[0][name], states[1][name], equal_nan=True)


def test_a_state_is_moved_whole(device: torch.device) -> None:
    state = {"a": [torch.ones(1), (torch.ones(2), "text")], "b": None, "c": 1.5}
    found = on_device(state, device)
    assert found["a"][0].device == found["a"][1][0].device == device
    assert (found["a"][1][1], found["b"], found["c"]) == ("text", None, 1.5)


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps"])
def test_random_numbers_of_every_kind_are_put_back(kind: str) -> None:
    with SecondDevice(kind) as second:
        before, here = second.state.clone(), torch.get_rng_state()
        model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).to(second.device)
        here = torch.get_rng_state()
        with undisturbed(model):
            model(torch.ones(4, 2, device=second.device))
            assert not torch.equal(second.state, before)
        assert torch.equal(second.state, before)
        with own_random_numbers([second.device]):
            torch.rand(3, device=second.device)
        assert torch.equal(second.state, before)
        with seeded(3, second.device):
            first = torch.rand(3, device=second.device)
        with seeded(3, second.device):
            assert torch.equal(torch.rand(3, device=second.device), first)
        assert torch.equal(second.state, before)
        assert torch.equal(torch.get_rng_state(), here)


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps"])
@pytest.mark.parametrize("chosen", [True, False])
def test_every_kind_is_waited_for(kind: str, chosen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(SecondDevice):
        count = 0

        def synchronize(self, *_: Any) -> None:
            self.count += 1

    with Counting(kind) as second, monkeypatch.context() as patch:
        if not chosen:  # one that torch does not count among its accelerators
            patch.setattr(torch.accelerator, "current_accelerator", lambda *_, **__: None)
        synchronize(second.device)
        synchronize(torch.device("cpu"))
        synchronize(torch.device("meta"))
    assert second.count == 1


def test_losses_travel_on_their_own_stream_in_their_own_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded: list[Any] = []

    class Event:
        def record(self, stream: Any = None) -> None:
            recorded.append(stream.device)

        def query(self) -> bool:
            return True

    exact = 1 + 2.0**-40
    with SecondDevice("cuda") as second, monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "Event", Event)
        losses = LossStream()
        rate = torch.tensor(0.1 + 2.0**-45, dtype=torch.float64, device=second.device)
        for number in (exact, 2.0):
            loss = torch.tensor([number], dtype=torch.float64, device=second.device)
            losses.push(0, loss, rate, None)
        assert not second.waits
        found = losses.ready()
    assert recorded == [second.device] * 2
    assert [(moment.loss, moment.rate) for moment in found] == [
        (exact, 0.1 + 2.0**-45), (2.0, 0.1 + 2.0**-45)
    ]  # fmt: skip


def test_operators_say_where_they_are(device: torch.device) -> None:
    model, (x, y) = network(device), data(device)
    kernel, curvature = NTKOperator(model, x), GGNOperator(model, x, y, MSE)
    assert of_operator(kernel.matvec) == (device, torch.float64)
    assert of_operator(lambda v: v) == (torch.device("cpu"), torch.float32)
    for operator in (kernel, curvature):
        assert (operator.device, operator.dtype) == (device, torch.float64)
        top = top_eigenpairs(operator)
        assert top.values.device == top.vectors.device == device
        largest, vector = power_iteration(operator, top.vectors[:, 0])
        # Residual of the pair: the tolerance that was asked for.
        assert largest == pytest.approx(float(top.values[0]), rel=1e-6)
        assert vector.device == device
        dense = operator @ torch.eye(operator.size, device=device).double()
        for trace in (hutchinson, hutchpp):
            found = trace(operator, products=12)
            # Six standard errors, and rounding where the estimate is exact.
            error = 6 * found.standard_error + 1e-9 * abs(found.value)
            assert found.value == pytest.approx(float(dense.trace()), abs=error)


def test_a_rate_on_the_device_has_its_answer_there(device: torch.device) -> None:
    problem, lr = gaussian_quadratic([1.0, 0.5]), torch.tensor([0.1, 0.2])
    for others in ({}, {"alpha": torch.tensor([[0.5], [0.2]]), "batch_size": 2}):
        there = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in others.items()}
        found = second_moment_rate(problem, lr.to(device), **there)
        assert found.device == device
        assert torch.equal(found.cpu(), second_moment_rate(problem, lr, **others))


@pytest.mark.parametrize("foreach", [False, True])
def test_a_rate_on_the_device_is_not_waited_for(foreach: bool) -> None:
    def trained(place: Any, rate: Any) -> list[Tensor]:
        model, (x, y) = network(place), data(place)
        optimizer = MaSS(model.parameters(), lr=rate, foreach=foreach)
        for _ in range(3):
            optimizer.zero_grad()
            MSE(model(x), y).backward()
            optimizer.step()
        return [p.detach() for p in model.parameters()]

    expected = trained(torch.device("cpu"), 0.05)
    with SecondDevice("cuda") as second:
        rate = torch.tensor(0.05, device=second.device, dtype=torch.float64)
        MaSS([nn.Parameter(torch.ones(1, device=second.device))], lr=rate)
        checked = second.waits.total()
        found = trained(second.device, rate)
        assert second.waits.total() == 2 * checked  # the rate's range, once
        for p, truth in zip(found, expected, strict=True):
            # The same sums in another order, a few steps of numbers about 1.
            torch.testing.assert_close(p.cpu(), truth, rtol=1e-13, atol=1e-13)


def test_buffers_are_compared_with_one_wait() -> None:
    with SecondDevice("cuda") as second:
        layers = [nn.BatchNorm1d(3, device=second.device) for _ in range(5)]
        model, x = nn.Sequential(*layers), torch.randn(4, 3, device=second.device)
        before = [b.clone() for b in model.buffers()]
        second.waits.clear()
        with undisturbed(model):
            model(x)
        assert second.waits.total() <= 2  # the running statistics, and how many there were
        assert all(b.equal(old) for b, old in zip(model.buffers(), before, strict=True))


def test_lanczos_waits_once_a_step() -> None:
    with SecondDevice("cuda") as second:
        values = torch.linspace(1, 2, 50, device=second.device, dtype=torch.float64)
        operator = DiagonalOperator(values)
        second.waits.clear()
        found = top_eigenpairs(operator)
        # One a product, and for the start and the result a few.
        assert second.waits.total() <= found.products + 5


def test_what_the_marks_say_is_what_the_tests_ask(device: torch.device) -> None:
    x = torch.ones(1, device=device)
    assert x.device == device
    assert torch.cuda.is_available()
    assert place_of(x) == FAR or x.is_cuda
