"""Catapults on request: their number, their effect, the rates set, and what is refused."""

import copy
import math

import pytest
import torch
from torch import nn

from overparam.dynamics import CatapultScheduler
from overparam.errors import NumericalError
from overparam.nets import ntk_mlp
from overparam.optim import critical_learning_rate
from overparam.tangents import agop, agop_alignment

mse = nn.functional.mse_loss


class Run:
    """The product of two of twenty normal inputs, 128 examples, and a network to train on it."""

    def __init__(self, seed: int, width: int = 256, **options) -> None:
        draw = torch.Generator().manual_seed(seed)
        x = torch.randn(628, 20, generator=draw)
        y = (x[:, 0] * x[:, 1])[:, None]
        self.x, self.y, self.x_test, self.y_test = x[:128], y[:128], x[128:], y[128:]
        self.net = ntk_mlp([20, width, 1], "relu", seed=draw)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=1.0)
        self.measured = 0
        self.optimizer.param_groups[0]["lr"] = 0.5 * self.critical()
        self.schedule = CatapultScheduler(self.optimizer, self.critical, **options)
        self.losses: list[float] = []

    def critical(self) -> float:
        self.measured += 1
        return critical_learning_rate(self.net, self.x, self.y, mse)

    def step(self) -> None:
        self.optimizer.zero_grad()
        loss = mse(self.net(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())
        self.schedule.step(loss.item())

    def finish(self, steps: int = 3000) -> tuple[float, float]:
        """Train through all catapults to a small loss; test error and alignment then."""
        while self.schedule.phase != "finished" or not self.losses or self.losses[-1] > 1e-2:
            self.step()
            assert len(self.losses) < steps
        target = torch.diag(torch.tensor([1.0, 1.0] + [0.0] * 18))
        with torch.no_grad():
            error = mse(self.net(self.x_test), self.y_test).item()
        return error, agop_alignment(agop(self.net, self.x_test), target)


@pytest.mark.parametrize("seed", [0, 1])
def test_as_many_as_asked_and_each_helps(seed):
    without = Run(seed)
    without.schedule.step = lambda loss: None
    without.schedule.phase = "finished"
    found = [without.finish()]
    for count in (1, 2):
        run = Run(seed, n_catapults=count)
        found.append(run.finish())
        assert run.schedule.n_done == count == len(run.schedule.peaks)
        assert min(run.schedule.peaks) > 1.5
        assert run.measured <= 3 + 3 * count
    errors, cosines = zip(*found, strict=True)
    assert errors[0] > errors[1] > errors[2]
    assert cosines[0] < cosines[1] < cosines[2]


def test_rates_of_the_protocol():
    run = Run(0, n_catapults=2, mult=1.3, rest=0.4, warmup=5, cooldown=7)
    first = run.critical()
    assert run.schedule.get_last_lr() == pytest.approx([0.4 * first], rel=1e-3)
    phases, previous = [], "warm up"
    while run.schedule.phase != "finished":
        phases.append(run.schedule.phase)
        run.step()
        now, rate = run.schedule.phase, run.optimizer.param_groups[0]["lr"]
        if now != previous and now == "catapult":
            assert rate == pytest.approx(1.3 * run.critical(), rel=1e-2)
        elif now != previous:
            assert rate <= 0.4 * run.critical() * 1.01
        previous = now
    assert phases[:5] == ["warm up"] * 5
    assert phases.count("cool down") == 7
    assert run.schedule.get_lr() == run.schedule.get_last_lr()


def test_groups_keep_their_proportion():
    net = ntk_mlp([3, 32, 1], "relu", seed=0)
    x, y = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.ones(8, 1)
    groups = [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.025, momentum=0.5)
    schedule = CatapultScheduler(
        optimizer, lambda: critical_learning_rate(net, x, y, mse, optimizer), warmup=1
    )
    for _ in range(2):
        fast, slow = (group["lr"] for group in optimizer.param_groups)
        assert fast / slow == pytest.approx(4)
        optimizer.zero_grad()
        loss = mse(net(x), y)
        loss.backward()
        optimizer.step()
        schedule.step(loss.item())
    assert schedule.phase == "catapult"
    critical = critical_learning_rate(net, x, y, mse, optimizer)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1.2 * critical, rel=0.05)


def test_state_goes_on_exactly():
    whole = Run(0, width=64, n_catapults=2)
    for _ in range(40):
        whole.step()
    assert whole.schedule.phase == "catapult"
    other = Run(1, width=64, n_catapults=1, mult=1.5)
    other.x, other.y = whole.x, whole.y
    other.net.load_state_dict(whole.net.state_dict())
    other.optimizer.load_state_dict(copy.deepcopy(whole.optimizer.state_dict()))
    other.schedule.load_state_dict(copy.deepcopy(whole.schedule.state_dict()))
    for _ in range(60):
        whole.step()
        other.step()
    assert other.losses == whole.losses[40:]
    assert other.schedule.state_dict() == whole.schedule.state_dict()
    state = whole.schedule.state_dict() | {"proportions": [1.0, 1.0]}
    with pytest.raises(ValueError, match=r"load_state_dict\(.*1 parameter groups, got 2"):
        other.schedule.load_state_dict(state)


def test_a_loss_that_never_rises_is_tried_again_and_rounding_is_no_catapult():
    weights = [torch.zeros(1, requires_grad=True)]
    calls = []
    schedule = CatapultScheduler(
        torch.optim.SGD(weights, lr=0.1),
        lambda: calls.append(1) or 1.0,
        n_catapults=1,
        warmup=2,
        patience=5,
    )
    for loss in [1.0, 1e-12, *[1e-12, 9e-12] * 10]:
        schedule.step(loss)
    assert (schedule.phase, schedule.n_done) == ("catapult", 0)
    assert len(calls) == 2 + 20 // 5
    for loss in (1e-3, 1e-13):
        schedule.step(loss)
    assert (schedule.phase, schedule.n_done) == ("finished", 1)


def through(schedule, losses, steps):
    """Give the losses one after another, then again; steps until the schedule has ended."""
    for taken in range(steps):
        if schedule.phase == "finished":
            return taken
        schedule.step(losses[taken % len(losses)])
    raise AssertionError(f"not finished after {steps} steps: {schedule.state_dict()}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_that_interpolates_ends_the_schedule(dtype):
    # At half its critical rate an orthogonal problem is solved long before the first event.
    net = ntk_mlp([2, 16, 1], "identity", seed=0).to(dtype)
    x, y = 2**0.5 * torch.eye(2, dtype=dtype), torch.tensor([[1.0], [0.0]], dtype=dtype)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    schedule = CatapultScheduler(
        optimizer,
        lambda: critical_learning_rate(net, x, y, mse, optimizer),
        n_catapults=1,
        warmup=60,
        patience=60,
        attempts=2,
    )
    taken = 0
    while schedule.phase != "finished":
        optimizer.zero_grad()
        loss = mse(net(x), y)
        loss.backward()
        optimizer.step()
        schedule.step(loss.item())
        taken += 1
        assert taken <= 60 + 2 * 60
    # A processor that rounds otherwise may leave an error that grows; it has then done so.
    assert schedule.n_done == 1 or schedule.reason.startswith("interpolates: ")


@pytest.mark.parametrize(
    ("losses", "ends", "reason"),
    [
        # One weight in single precision: 1.2e-7² of the first loss is rounding, 1e-12 is not.
        ([1.0, 1e-15], 2 + 5, "interpolates: "),
        ([1.0, 1e-12], 2 + 3 * 5, "interpolates: "),
        ([0.0], 2 + 5, "interpolates: "),
        ([1.0, 1.0], 2 + 3 * 5, "no rise in 3 attempts of 5 steps"),
        # Above the level from the first step of every attempt on.
        ([2.0**k for k in range(18)], 2 + 3 * 5, "no return in 3 attempts of 5 steps"),
    ],
)
def test_every_schedule_ends_and_says_why(losses, ends, reason):
    schedule = CatapultScheduler(
        torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1),
        lambda: 1.0,
        warmup=2,
        patience=5,
        attempts=3,
    )
    assert schedule.reason is None
    schedule.step(losses[0])
    assert 1 + through(schedule, losses[1:] or losses, 100) == ends
    assert schedule.reason.startswith(reason)
    # It goes on calmly, as after a catapult.
    assert schedule.get_last_lr() == [0.5]


def test_a_schedule_without_further_words_ends_below_rounding():
    schedule = CatapultScheduler(sgd(), lambda: 1.0, n_catapults=2, patience=5)
    assert through(schedule, [1.0, *[5.6e-16] * 3000], 3000) < 3000
    assert schedule.n_done == 0


def test_a_catapult_begins_the_count_of_attempts_again():
    schedule = CatapultScheduler(sgd(), lambda: 1.0, warmup=0, cooldown=0, patience=2, attempts=2)
    event = [1.0, 1.0, 1.0, 2.0, 0.5]
    for loss in event * 3:
        schedule.step(loss)
    assert (schedule.n_done, schedule.phase) == (3, "cool down")
    schedule.step(1.0)
    assert through(schedule, [1.0], 10) == 4
    assert (schedule.n_done, schedule.reason) == (3, "no rise in 2 attempts of 2 steps")


def test_without_curvature_an_interpolating_model_ends_the_schedule_and_another_is_an_error():
    rates = [1.0]
    schedule = CatapultScheduler(sgd(), lambda: rates[-1], warmup=2)
    schedule.step(1.0)
    rates.append(math.inf)
    schedule.step(1e-8)
    assert schedule.phase == "finished"
    assert schedule.reason.startswith("interpolates: ")
    assert schedule.get_last_lr() == [0.5]
    other = CatapultScheduler(sgd(), lambda: 1.0, warmup=2)
    other.critical_lr = lambda: math.inf
    other.step(1.0)
    with pytest.raises(ValueError, match="inf means that no output depends"):
        other.step(1.0)


def test_a_state_from_before_there_was_a_bound_loads():
    done = CatapultScheduler(sgd(), lambda: 1.0, n_catapults=1, warmup=0)
    for loss in (1.0, 2.0, 0.5):
        done.step(loss)
    assert done.reason == "all catapults done"
    for old, reason in (
        (done, "all catapults done"),
        (CatapultScheduler(sgd(), lambda: 1.0), None),
    ):
        state = old.state_dict()
        for new in ("attempts", "failed", "reason"):
            del state[new]
        schedule = CatapultScheduler(sgd(), lambda: 1.0, attempts=7)
        schedule.load_state_dict(state)
        assert schedule.phase == old.phase
        assert (schedule.reason, schedule.attempts, schedule.failed) == (reason, 7, 0)


def sgd(**options):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], **({"lr": 0.1} | options))


@pytest.mark.parametrize(
    ("change", "where", "error"),
    [
        ({"optimizer": 0.1}, "optimizer", TypeError),
        (
            {"optimizer": torch.optim.Adadelta([torch.zeros(1, requires_grad=True)])},
            "optimizer",
            ValueError,
        ),
        ({"optimizer": sgd(maximize=True)}, "optimizer", ValueError),
        ({"optimizer": sgd(lr=0.0)}, "optimizer", ValueError),
        ({"optimizer": sgd(lr=math.inf)}, "optimizer", ValueError),
        ({"critical_lr": 0.1}, "critical_lr", TypeError),
        ({"critical_lr": lambda: math.nan}, "critical_lr", ValueError),
        ({"critical_lr": lambda: math.inf}, "critical_lr", ValueError),
        ({"critical_lr": lambda: -1.0}, "critical_lr", ValueError),
        ({"n_catapults": 0}, "n_catapults", ValueError),
        ({"mult": 1.0}, "mult", ValueError),
        ({"mult": 2.0}, "mult", ValueError),
        ({"rest": 1.0}, "rest", ValueError),
        ({"warmup": -1}, "warmup", ValueError),
        ({"cooldown": -1}, "cooldown", ValueError),
        ({"peak": 1.0}, "peak", ValueError),
        ({"patience": 0}, "patience", ValueError),
        ({"attempts": 0}, "attempts", ValueError),
    ],
)
def test_bad_arguments(change, where, error):
    given = {"optimizer": sgd(), "critical_lr": lambda: 1.0} | change
    with pytest.raises(error, match=rf"`CatapultScheduler\({where}=\.\.\.\)` expected"):
        CatapultScheduler(**given)


@pytest.mark.parametrize("loss", [math.nan, math.inf, 2e6])
def test_a_diverged_run_is_said_so(loss):
    schedule = CatapultScheduler(sgd(), lambda: 1.0)
    schedule.step(1.0)
    with pytest.raises(
        NumericalError, match=r"`CatapultScheduler.step\(loss=...\)`.*\n.*smaller mult"
    ):
        schedule.step(loss)
