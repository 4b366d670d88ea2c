"""Causes where steps are too short to log: what marks of some steps ago say of a rise."""

import copy
import math

import pytest
import torch
from torch import nn

from overparam.dynamics import Monitor
from overparam.dynamics.spikes.step_log import TRIALS
from overparam.optim import MaSS

CE = nn.functional.cross_entropy
AT = 160


class Clock:
    """Seconds: 16 ms a step, and some for each look at it."""

    now = 0.0

    def __call__(self):
        self.now += 2e-5
        return self.now


def sgd(params, momentum=0.9):
    return torch.optim.SGD(params, lr=0.05, momentum=momentum)


def plain_sgd(params):
    return sgd(params, momentum=0.0)


def adam(params, lr=5e-3):
    return torch.optim.Adam(params, lr=lr)


def fast_adam(params):
    return adam(params, lr=5e-2)


class Own(torch.optim.Optimizer):
    """Descent along signs, whose moments nobody knows."""

    def __init__(self, params):
        super().__init__(params, {"lr": 1e-3})

    @torch.no_grad()
    def step(self, closure=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            for p in group["params"]:
                kept = self.state[p].setdefault("mean", torch.zeros_like(p))
                p.sub_(group["lr"] * kept.mul_(0.9).add_(p.grad, alpha=0.1).sign())


class Training:
    """A training whose steps are too short to log, and places to put faults."""

    def __init__(self, optimizer=sgd, layer: type[nn.Module] = nn.Linear, **options):
        torch.manual_seed(0)
        self.x = torch.randn(256, 12)
        self.y = (self.x[:, :4] + 0.5 * torch.randn(256, 4)).argmax(1)
        self.model = nn.Sequential(layer(12, 32), nn.Tanh(), nn.Linear(32, 4))
        first, _, last = self.model
        groups = [{"params": first.parameters()}, {"params": last.parameters(), "name": "head"}]
        self.optimizer, self.clock, self.t = optimizer(groups), Clock(), 0
        self.monitor = Monitor(
            self.model, CE, self.optimizer, probes=[], max_overhead=0.05, clock=self.clock,
            **options,
        )  # fmt: skip
        self.log = self.monitor._log
        self.log.costs.update({1: [1.0] * TRIALS, 2: [1.0] * TRIALS})

    def run(self, steps, *, spoil=None, gradients=None, between=None):
        for _ in range(steps):
            rows = torch.randint(0, 256, (64,), generator=torch.Generator().manual_seed(self.t))
            x, y = self.x[rows], self.y[rows]
            if spoil:
                y = (y + 1) % 4
            if between:
                between(self)
            self.optimizer.zero_grad()
            loss = CE(self.model(x), y)
            loss.backward()
            if gradients:
                gradients(self)
            self.monitor.step(loss, batch=(x, y))
            self.optimizer.step()
            self.clock.now += 0.016
            self.t += 1
        return self

    def event(self):
        assert self.log.detail == 0
        assert not self.log.trouble
        assert not self.monitor._watch.examiner.marks.trouble
        assert len(self.monitor._watch.examiner._recent) < AT / 2
        events = [event for event in self.monitor.events if event.step >= AT]
        assert events, "no spike"
        return events[0]


@torch.no_grad()
def shake(run):
    for p in run.model.parameters():
        p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))


@torch.no_grad()
def shake_unseen(run):
    for p in run.model.parameters():
        p.data.add_(3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))


@torch.no_grad()
def draw_anew(run):
    run.model[-1].weight.copy_(3 * torch.randn(4, 32, generator=torch.Generator().manual_seed(1)))


def go_back(run):
    torch.manual_seed(7)
    other = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 4))
    run.model.load_state_dict({k: 2 * v for k, v in other.state_dict().items()})


@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.parametrize("fault", [shake, shake_unseen, draw_anew, go_back])
def test_weights_that_others_wrote_to(fault, optimizer):
    run = Training(optimizer).run(AT)
    fault(run)
    event = run.run(12).event()
    assert (event.cause, event.step) == ("weights changed", AT), event
    assert event.layers == (("2",) if fault is draw_anew else ("0", "2"))


def lose_moments(run):
    for p in run.model.parameters():
        state = run.optimizer.state[p]
        if "exp_avg_sq" in state:
            state["exp_avg_sq"].mul_(1e-8)
        else:
            noise = torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
            state["momentum_buffer"].copy_(9 * noise)


def lose_moments_unseen(run):
    """Second moments that fall faster than they can."""
    for p in run.model.parameters():
        run.optimizer.state[p]["exp_avg_sq"].data.mul_(1e-8)


def take_others(run):
    """Moments of another run."""
    state = copy.deepcopy(run.optimizer.state_dict())
    for kept in state["state"].values():
        if "exp_avg_sq" in kept:
            kept["exp_avg_sq"].fill_(1e-12)
        else:
            kept["momentum_buffer"].fill_(5.0)
    run.optimizer.load_state_dict(state)


@pytest.mark.parametrize(
    ("fault", "optimizer"),
    [(lose_moments, sgd), (lose_moments, adam), (lose_moments_unseen, adam), (take_others, sgd),
     (take_others, adam)],
)  # fmt: skip
def test_moments_that_others_wrote_to(fault, optimizer):
    run = Training(optimizer).run(AT)
    fault(run)
    event = run.run(20).event()
    assert event.cause == "state lost", event
    assert event.layers == ("0", "2")


def longer(run):
    for p in run.model.parameters():
        p.grad.mul_(3000)


@pytest.mark.parametrize("optimizer", [sgd, fast_adam, plain_sgd])
def test_gradients_that_were_not_unscaled(optimizer):
    run = Training(optimizer).run(AT).run(1, gradients=longer).run(20)
    assert run.event().cause == "gradient scale", run.event()


def test_second_moments_that_had_forgotten():
    def fade(run):
        for group in run.optimizer.param_groups:
            group["betas"] = (0.9, 0.8)
        for p in run.model.parameters():
            p.grad.mul_(1e-3)

    def back(run):
        for group in run.optimizer.param_groups:
            group["betas"] = (0.9, 0.999)

    run = Training(fast_adam).run(AT, gradients=fade)
    assert run.run(20, gradients=back).event().cause == "stale moments", run.event()


def test_a_rate_that_was_raised_and_one_that_climbs():
    def climb(run):
        run.optimizer.param_groups[1]["lr"] *= 1.4

    run = Training().run(AT)
    for group in run.optimizer.param_groups:
        group["lr"] *= 300
    event = run.run(12).event()
    assert (event.cause, event.groups) == ("rate raised", ("0", "head")), event
    event = Training().run(AT).run(30, between=climb).event()
    assert (event.cause, event.layers) == ("above the limit", ("2",)), event


def test_a_gradient_that_is_not_finite_leaves_its_layer():
    def spoil(run):
        run.model[-1].weight.grad[3, 31] = math.nan

    event = Training().run(AT).run(1, gradients=spoil).run(3).event()
    assert (event.cause, event.layers) == ("numerical", ("2",)), event


def swap(run):
    """Averaged weights, for an evaluation, and back."""
    if run.t % 7 == 0:
        kept = copy.deepcopy(run.model.state_dict())
        run.model.load_state_dict({k: 0.9 * v for k, v in kept.items()})
        run.model.load_state_dict(kept)


@pytest.mark.parametrize("seldom", [False, True])
def test_weights_that_are_back_were_not_changed(seldom):
    run = Training().run(AT, between=None if seldom else swap)
    run.t += (7 - run.t % 7) % 7
    event = run.run(1, between=swap, spoil=True).run(12).event()
    assert event.cause == "bad batch", event


def test_what_cannot_be_told_is_not_guessed():
    """Of an optimizer that nobody knows, whose weights were changed where no count shows it."""
    run = Training(Own).run(AT)
    kept = copy.deepcopy(run.model.state_dict())
    shake_unseen(run)
    run.run(4).model.load_state_dict(kept)
    event = run.run(20).event()
    assert (event.cause, event.step) == ("unexplained", AT), event
    assert "log" in event.missing


def test_a_rise_goes_on_in_another_monitor():
    run = Training().run(AT)
    shake(run)
    run.run(2)
    state = run.monitor.state_dict()
    assert state["watch"]["rise"]["readings"]["traces"]["changed"] == ("0", "2")
    run.monitor.load_state_dict(state)
    assert run.run(12).event().cause == "weights changed"
    del state["watch"]["rise"]["readings"]["traces"]  # as earlier versions had it
    run.monitor.load_state_dict(state)


def test_what_has_used_up_its_time_is_compared_all_the_same():
    run = Training().run(AT)
    run.monitor.budget.borrow(1e9)
    shake(run)
    event = run.run(3).event()
    assert (event.cause, event.outcome) == ("weights changed", "under way"), event


def same_state(run):
    """What a run that was stopped goes on from."""
    run.model.load_state_dict(copy.deepcopy(run.model.state_dict()))
    run.optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))


@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_the_same_state_that_is_loaded_again_is_no_change(optimizer):
    run = Training(optimizer).run(AT - 5)
    same_state(run)
    run.run(5)
    assert run.run(1, spoil=True).run(12).event().cause == "bad batch", run.event()


@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_a_raised_rate_takes_weights_far_whoever_wrote_them_back(optimizer):
    run = Training(optimizer).run(AT - 5)
    same_state(run)
    run.run(5)
    for group in run.optimizer.param_groups:
        group["lr"] *= 300
    assert run.run(12).event().cause == "rate raised", run.event()


def test_weights_that_are_seldom_put_in_and_out_are_a_habit():
    """Long before the marks that are kept: the limit is crossed at a rate that stays."""

    def rarely(run):
        if run.t in (20, AT + 95):
            run.t, at = 0, run.t
            swap(run)
            run.t = at

    def up(run):
        run.model[-1].weight.grad.mul_(-30)

    run = Training().run(AT + 100, between=rarely).run(20, gradients=up)
    assert all(event.cause != "weights changed" for event in run.monitor.events), run.event()
    assert run.monitor.events


def test_a_state_that_is_loaded_again_now_and_then_is_a_habit():
    def rarely(run):
        if run.t in (20, AT + 95):
            same_state(run)

    run = Training().run(AT + 100, between=rarely).run(1, gradients=longer).run(20)
    assert run.event().cause == "gradient scale", run.event()


def test_a_tensor_in_the_place_of_one_that_is_gone_is_another():
    """An optimizer may make a count anew at each step, and memory is given out again."""
    run = Training().run(AT)
    marks, state = run.monitor._watch.examiner.marks, run.optimizer.state[run.model[0].bias]
    held = []
    for _ in range(2):
        state.pop("count", None)
        state["count"] = torch.zeros(())
        held.append(marks._mark(AT).held)
    same = [one is other for one, other in zip(*held, strict=True)]
    assert same == [True, True, False, True, True]


class Scaled(nn.Linear):
    """With one number more that is trained."""

    def __init__(self, n, m):
        super().__init__(n, m)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, input):
        return super().forward(input) * self.scale.exp()


class Table(nn.Embedding):
    """Whose gradients and momentum are sparse."""

    def __init__(self, n, m):
        super().__init__(n, m, sparse=True)

    def forward(self, input):
        return super().forward(input.argmax(1))


def test_a_number_whose_moments_are_not_sampled_says_nothing():
    def far_longer(run):
        for p in run.model.parameters():
            p.grad.mul_(1e5)

    run = Training(layer=Scaled).run(AT).run(1, gradients=far_longer).run(20)
    assert run.event().cause == "gradient scale", run.event()


def test_moments_that_are_sparse_are_left_out():
    run = Training(layer=Table).run(AT)
    shake(run)
    event = run.run(12).event()
    assert (event.cause, event.layers) == ("weights changed", ("0", "2")), event


def mass(params):
    return MaSS(params, lr=0.02)


def test_a_setting_that_is_none():
    run = Training(mass).run(AT)
    shake(run)
    assert run.run(12).event().cause == "weights changed", run.event()
