"""Faults put into a training, and the causes that the monitor names."""

import copy
import gc
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overparam.dynamics import Monitor
from overparam.dynamics.probes import BatchCriticalRate, Norms, Sharpness
from overparam.dynamics.spikes.snapshot import Snapshot

CE = nn.functional.cross_entropy
AT = 45


def problem(seed=0, norm=False):
    torch.manual_seed(seed)
    x = torch.randn(256, 12)
    y = (x[:, :4] + 0.5 * torch.randn(256, 4)).argmax(1)
    layers = [nn.Linear(12, 32), *([nn.BatchNorm1d(32)] if norm else []), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(32, 4)), x, y


def grouped(model):
    first, *_, last = model
    return [{"params": first.parameters()}, {"params": last.parameters(), "name": "head"}]


def sgd(model, lr=0.05):
    return torch.optim.SGD(grouped(model), lr=lr, momentum=0.9)


def adam(model, lr=5e-3):
    return torch.optim.Adam(grouped(model), lr=lr)


class Training:
    """A training with a monitor, and places to put faults."""

    def __init__(self, optimizer=sgd, *, full=False, norm=False, loss=CE, **options):
        self.model, self.x, self.y = problem(norm=norm)
        self.optimizer, self.full, self.loss = optimizer(self.model), full, loss
        self.monitor = Monitor(
            self.model, loss, self.optimizer, **{"probes": [], "max_overhead": math.inf, **options}
        )
        self.t = 0

    def batch(self):
        if self.full:
            return self.x, self.y
        rows = torch.randint(0, 256, (64,), generator=torch.Generator().manual_seed(self.t))
        return self.x[rows], self.y[rows]

    def run(self, steps, *, spoil=None, gradients=None, take=True):
        for _ in range(steps):
            x, y = self.batch()
            if spoil:
                x, y = spoil(x, y)
            self.optimizer.zero_grad()
            loss = self.loss(self.model(x), y)
            loss.backward()
            if gradients:
                gradients()
            self.monitor.step(loss, batch=(x, y))
            if take:
                self.optimizer.step()
            self.t += 1
        return self

    def event(self):
        events = self.monitor.events
        assert events, "no spike"
        return events[0]


@torch.no_grad()
def shake(run):
    for p in run.model.parameters():
        p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))


@torch.no_grad()
def draw_anew(run):
    run.model[-1].weight.copy_(3 * torch.randn(4, 32, generator=torch.Generator().manual_seed(1)))


def go_back(run):
    run.model.load_state_dict(problem(seed=7)[0].state_dict())


def raised(run):
    for group in run.optimizer.param_groups:
        group["lr"] *= 300


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("fault", "cause"),
    [(shake, "weights changed"), (draw_anew, "weights changed"), (go_back, "weights changed"),
     (raised, "rate raised")],
)  # fmt: skip
def test_what_the_weights_do_is_no_bad_batch(fault, cause, full):
    run = Training(full=full).run(AT)
    fault(run)
    event = run.run(25).event()
    assert event.cause == cause, event
    assert AT <= event.step <= AT + 12
    if fault is draw_anew:
        assert event.layers == ("2",)
    if fault is raised:
        assert event.groups == ("0", "head")


def wrong_labels(x, y):
    return x, (y + 1) % 4


@pytest.mark.parametrize(("steps", "cause"), [(1, "bad batch"), (20, "data switched")])
def test_what_the_data_do_is_theirs(steps, cause):
    run = Training().run(AT).run(steps, spoil=wrong_labels).run(21 - steps)
    event = run.event()
    assert (event.cause, event.step) == (cause, AT), event
    assert event.spike.batch_share > 0.75
    assert event.outcome == ("recovered" if steps == 1 else event.outcome)


@pytest.mark.parametrize(("fault", "asked"), [("weights", 0), ("data", 5)])
def test_the_next_batches_are_looked_at_only_where_the_data_may_be_to_blame(
    monkeypatch, fault, asked
):
    looked = []
    earlier = Snapshot.earlier
    monkeypatch.setattr(
        Snapshot, "earlier", lambda self, batch: looked.append(1) or earlier(self, batch)
    )
    run = Training().run(AT)
    if fault == "weights":
        shake(run)
    event = run.run(20, spoil=wrong_labels if fault == "data" else None).event()
    assert event.cause == ("weights changed" if fault == "weights" else "data switched")
    assert len(looked) == asked


def test_what_is_missing_is_told_apart():
    """A batch that was never passed, and one for which there was no time."""
    run = Training()
    for t in range(60):
        run.optimizer.zero_grad()
        run.monitor.step(4.0 if 50 <= t < 55 else 1.0, batch=None)
        run.optimizer.step()
    assert run.event().missing[:1] == ("batch",)
    assert "pass batch=" in run.event().reason
    assert run.event().to_dict()["missing"] == list(run.event().missing)


def test_the_snapshot_is_renewed_while_the_last_spike_waits_for_its_sharpness():
    run = Training().run(AT).run(1, spoil=wrong_labels).run(20)
    assert run.monitor._watch.rising
    assert run.monitor._watch.examiner.snapshot.step > AT + 5
    run.run(1, spoil=wrong_labels).run(4)
    assert [event.cause for event in run.monitor.events] == ["bad batch"] * 2


def test_the_batch_itself_may_not_be_finite():
    run = Training().run(AT).run(1, spoil=lambda x, y: (x / 0, y))
    event = run.event()
    assert (event.kind, event.cause) == ("non-finite", "bad batch"), event


def test_nan_in_a_gradient_is_found_in_its_layer():
    run = Training().run(AT)

    def poison():
        run.model[2].bias.grad[0] = math.nan

    event = run.run(1, gradients=poison).run(2).event()
    assert (event.kind, event.cause, event.layers) == ("non-finite", "numerical", ("2",)), event


def test_nan_is_found_where_it_is_born_in_the_forward_pass():
    run = Training().run(AT)
    run.model[1].register_forward_hook(lambda module, inputs, outputs: outputs / 0)
    event = run.run(1).event()
    assert (event.cause, event.layers) == ("numerical", ("1",)), event
    assert "forward" in event.reason


@pytest.mark.parametrize("optimizer", [sgd, lambda model: adam(model, 0.05)])
def test_a_gradient_of_another_scale(optimizer):
    run = Training(optimizer).run(AT)

    def scale():
        for p in run.model.parameters():
            p.grad.mul_(4096)

    event = run.run(1, gradients=scale).run(12).event()
    assert event.cause == "gradient scale", event


def test_moments_that_were_lost():
    run = Training(lambda model: adam(model, 0.02)).run(AT)
    for state in run.optimizer.state.values():
        state["exp_avg_sq"].zero_()
    assert run.run(8).event().cause == "state lost", run.event()


def test_a_layer_whose_rate_climbs_is_named_and_warned_of():
    run = Training(full=True).run(AT)
    for _ in range(40):
        run.optimizer.param_groups[1]["lr"] *= 1.2
        run.run(1)
    event = run.event()
    assert event.cause == "above the limit", event
    assert event.layers == ("2",)
    first = run.monitor.warnings[0]
    assert AT < first.step < event.step
    assert (first.layer, first.signal) == ("2", "update")
    assert first.factor / first.rate < 1.5  # as the rate explains


def test_a_layer_that_is_unfrozen_on_the_way_is_measured_and_named():
    def head(model):
        model[0].requires_grad_(False)
        return torch.optim.SGD(model[2].parameters(), lr=0.05, momentum=0.9)

    run = Training(head, probes=[Norms()]).run(20)
    body = run.model[0].requires_grad_(True)
    assert run.monitor.record.last("distance") > 0
    run.optimizer.add_param_group({"params": body.parameters(), "name": "body"})
    run.run(AT)
    assert run.monitor.history["distance"].notna().all()
    assert run.monitor._subject.initial.keys() == dict(run.model.named_parameters()).keys()
    with torch.no_grad():
        body.weight.mul_(-3)
    event = run.run(5).event()
    assert (event.cause, event.layers) == ("weights changed", ("0",)), event


@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_a_layer_that_is_frozen_on_the_way_ends_no_measurement(optimizer):
    run = Training(optimizer, probes=[Sharpness(), BatchCriticalRate()]).run(20)
    run.model[0].weight.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.run(5)
    run.model[0].weight.requires_grad_(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.run(5)
    known = run.monitor.history[["sharpness", "batch_critical_lr"]].iloc[-8:]
    assert known.notna().all(axis=None)


def test_a_clock_that_does_not_move_stops_no_table():
    run = Training(clock=lambda: 1.0, probes=None, max_overhead=0.05).run(20)
    assert "not yet" in run.monitor.summary()


def test_an_overflow_that_the_scaler_leaves_out_is_no_cause():
    """The gradients of a step are infinite and it is not taken; then a batch is bad."""
    run = Training().run(AT)

    def overflow():
        for p in run.model.parameters():
            p.grad.fill_(math.inf)

    run.run(1, gradients=overflow, take=False)
    assert run.monitor.events == []
    event = run.run(1, spoil=wrong_labels).run(5).event()
    assert event.cause == "bad batch", event


def test_weights_that_are_swapped_as_a_habit_are_no_cause():
    """Weights and their average change places, as some trainings do; then a batch is bad."""
    run = Training()
    slow = [p.detach().clone() for p in run.model.parameters()]
    for t in range(AT):
        run.run(1)
        with torch.no_grad():
            for p, s in zip(run.model.parameters(), slow, strict=True):
                s.lerp_(p, 0.5)
                if t % 5 == 4:
                    p.copy_(s)
    event = run.run(1, spoil=wrong_labels).run(5).event()
    assert event.cause == "bad batch", event


def test_weights_that_are_put_back_before_the_next_step_were_not_changed():
    run = Training().run(AT)
    saved = copy.deepcopy(run.model.state_dict())
    shake(run)
    run.model.load_state_dict(saved)
    event = run.run(1, spoil=wrong_labels).run(5).event()
    assert event.cause == "bad batch", event


def test_a_bad_batch_among_those_of_an_accumulated_step():
    """Of four batches the second is bad; the last is what the monitor is given."""
    run = Training().run(AT)
    parts = []
    for number in range(4):
        x, y = run.batch()
        run.t += 1
        if number == 1:
            x, y = -3 * x, (y + 1) % 4
        loss = CE(run.model(x), y) / 4
        loss.backward()
        parts.append(loss.detach())
    run.monitor.step(sum(parts), batch=(x, y))
    run.optimizer.step()
    event = run.run(5).event()
    assert event.cause == "bad batch", event
    assert "fixed batch" in event.reason


def test_losses_at_earlier_weights_use_the_statistics_of_the_batch_and_leave_the_buffers():
    run = Training(norm=True).run(AT)
    before = {name: b.clone() for name, b in run.model.named_buffers()}
    snapshot = run.monitor._watch.examiner.snapshot
    x, y = run.batch()
    then, now = snapshot.losses((x, y))
    state = {name: b.clone() for name, b in run.model.named_buffers()}
    assert all(torch.equal(before[name], state[name]) for name in before)
    assert now == pytest.approx(CE(run.model(x), y).item(), rel=1e-5)
    assert then != now
    assert snapshot.step > AT - 12


def test_the_log_leaves_the_optimizer_as_it_was():
    run = Training().run(3)
    hooks = run.optimizer._optimizer_step_post_hooks
    assert len(hooks) == 1
    assert not copy.deepcopy(run.optimizer)._optimizer_step_post_hooks
    run.monitor.close()
    assert not hooks
    other = Training().run(3)
    hooks = other.optimizer._optimizer_step_pre_hooks
    del other.monitor
    gc.collect()
    assert not hooks


def test_a_log_that_fails_ends_no_training(monkeypatch):
    run = Training().run(AT)
    monkeypatch.setattr(run.monitor._watch.examiner.log, "_sampled_weights", None)
    event = run.run(1, spoil=wrong_labels).run(5).event()
    assert event.cause == "bad batch", event


def test_a_model_that_cannot_be_evaluated_alone_says_so_with_the_spike():
    class Pair(nn.Sequential):
        def forward(self, x):
            return super().forward(x), None

    run = Training()
    run.model = Pair(*run.model)
    run.monitor = Monitor(run.model, CE, run.optimizer, probes=[], max_overhead=math.inf)
    for t in range(AT + 6):
        x, y = run.batch()
        run.t += 1
        if t == AT:
            x, y = wrong_labels(x, y)
        run.optimizer.zero_grad()
        loss = CE(run.model(x)[0], y)
        loss.backward()
        run.monitor.step(loss, batch=(x, y))
        run.optimizer.step()
    event = run.event()
    assert event.cause == "unexplained"
    assert "Error" in event.reason


def test_a_spike_under_way_goes_on_from_a_state():
    run = Training().run(AT).run(4, spoil=wrong_labels)
    assert run.monitor.events[0].outcome == "under way"
    state = copy.deepcopy(run.monitor.state_dict())
    assert not any(isinstance(value, torch.Tensor) for value in state["watch"].values())
    other = Monitor(run.model, CE, run.optimizer, probes=[], max_overhead=math.inf)
    other.load_state_dict(state)
    assert other.events == run.monitor.events


def test_events_of_earlier_versions_are_read():
    run = Training().run(2)
    state = run.monitor.state_dict()
    old = {"kind": "catapult", "reason": "ratio 2", "step": 1, "peak_ratio": 3.0, "ids": None}
    state["watch"]["events"] = [old]
    run.monitor.load_state_dict(state)
    (event,) = run.monitor.events
    assert (event.kind, event.cause, event.spike.peak_ratio) == ("catapult", "", 3.0)


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self):
        return self.now


def test_short_steps_are_logged_less_and_a_spike_is_still_seen_on_its_step():
    clock = Clock()
    run = Training(max_overhead=0.05, clock=clock)
    watch = run.monitor._watch
    for _ in range(60):
        clock.now += 1.0
        run.run(1)
    assert watch.examiner.log.detail == 2
    # Hooks that take a tenth of a step are beyond the budget, half of that is, too.
    watch.examiner.log.costs[2][:] = [0.1] * 12
    run.monitor._pace.until = 10**9  # nothing but losses is kept, until something happens
    watch.examiner._choose_detail(60)
    assert watch.examiner.log.detail == 0
    clock.now += 1.0
    event = run.run(1, spoil=wrong_labels).run(5).event()
    assert (event.step, event.cause) == (60, "bad batch"), event


@pytest.mark.parametrize("level", [0.0, -3.0, 3.0])
def test_a_rise_from_any_level_is_seen_and_over(level):
    """Losses come to an exact zero where all is fitted, and log-likelihoods pass below it."""
    run = Training(full=True)
    losses = [5.0] * 5 + [level] * 35 + [level + 8.0] * 4 + [level] * 10
    for loss in losses:
        run.optimizer.zero_grad()
        run.monitor.step(loss, batch=run.batch())
        run.optimizer.step()
    event = run.event()
    assert (event.step, event.outcome) == (40, "recovered"), event
    assert event.spike.steps_to_recover <= 6
    known = math.isfinite(event.spike.peak_ratio)
    assert known == (level > 0), event.spike


@pytest.mark.parametrize(("steps", "cause"), [(1, "bad batch"), (20, "data switched")])
@pytest.mark.parametrize("offset", [3.0, 20.0])
def test_causes_are_the_same_where_the_loss_is_below_zero(steps, cause, offset):
    run = Training(loss=lambda logits, y: CE(logits, y) - offset)
    event = run.run(AT).run(steps, spoil=wrong_labels).run(21 - steps).event()
    assert (event.cause, event.step) == (cause, AT), event
    assert event.spike.batch_share > 0.75


def test_a_bad_batch_after_a_loss_of_exactly_zero():
    run = Training(loss=lambda logits, y: (CE(logits, y) - 1.2).clamp(min=0.0)).run(AT)
    assert run.monitor.history["loss"].iloc[-5:].eq(0).all()
    event = run.run(1, spoil=wrong_labels).run(20).event()
    assert (event.cause, event.step) == ("bad batch", AT), event


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(
            [
                0.0,
                1e-45,
                1e-20,
                1.0,
                1.3,
                40.0,
                -1e-9,
                -2.0,
                -50.0,
                1e38,
                math.inf,
                -math.inf,
                math.nan,
            ]
        ),
        min_size=5,
        max_size=80,
    )
)
def test_no_course_of_losses_switches_the_monitor_off(losses):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    monitor = Monitor(model, nn.MSELoss(), optimizer, probes=[], max_overhead=math.inf)
    batch = torch.ones(4, 2), torch.ones(4, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for loss in losses:
            monitor.step(loss, batch=batch)
        monitor.summary()
        assert len(monitor.history) == len(losses)
        assert ("Spikes of the loss: none" in monitor._repr_html_()) == (not monitor.events)
