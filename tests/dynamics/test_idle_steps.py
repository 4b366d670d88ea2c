"""Steps of which nothing is kept are let pass: no loss is read, no hook runs, all are counted."""

import math

import pytest
import torch
from torch import nn

from overparam.dynamics import Monitor

MSE = nn.functional.mse_loss


class Clock:
    """Seconds that a test moves; it counts how often it is asked."""

    now, asked = 0.0, 0

    def __call__(self):
        self.asked += 1
        return self.now


class Loss(float):
    """A loss that counts how often it is looked at."""

    looked = 0

    def __float__(self):
        Loss.looked += 1
        return float.__float__(self)


def resting(every, **options):
    """A monitor that keeps every so manyeth loss from step 30 on, and its optimizer."""
    clock, model = Clock(), nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, probes=[], clock=clock, **options)
    for _ in range(30):
        monitor.step(Loss(1.0))
        clock.now += 1.0
    monitor._pace.every, monitor._pace.until = every, 10**9
    monitor._watch.examiner.log.choose(0)
    return monitor, optimizer, clock


def test_of_the_steps_between_two_that_are_kept_nothing_is_asked():
    monitor, optimizer, clock = resting(3)
    monitor.step(Loss(1.0))
    Loss.looked = 0
    for step in range(31, 61):
        clock.now += 1.0
        monitor.step(Loss(1 + step / 1000))
    assert Loss.looked == 10
    kept = monitor.history["loss"][31:].dropna()
    assert kept.index.tolist() == list(range(33, 61, 3))
    assert kept.tolist() == [1 + step / 1000 for step in range(33, 61, 3)]
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_logits_that_nobody_scores_wake_nobody():
    monitor, _, _ = resting(3)
    monitor.step(Loss(1.0))
    Loss.looked = 0
    monitor.step(Loss(1.0), logits=torch.zeros(2, 3))
    assert Loss.looked == 0


def test_logits_that_are_scored_wait_for_the_next_look_without_a_clock():
    monitor, _, clock = resting(3, n_classes=2, n_samples=8)
    x, y, ids = torch.ones(4, 2), torch.zeros(4).long(), torch.arange(4)

    def step(count):
        monitor._batches = count
        for _ in range(count):
            monitor.step(Loss(1.0), batch=(x, y), ids=ids, logits=torch.zeros(4, 2))

    step(12)  # three short blocks, from which the cost is learnt
    asked = clock.asked
    step(7)
    assert clock.asked == asked
    monitor._labels.taking = 0.5
    own = monitor.budget.own
    clock.now += 100.0
    monitor._pace.until = monitor._next = 0
    monitor._pace._push = monitor._pace._call = 0.0
    monitor.step(Loss(1.0))
    assert monitor.budget.own - own == pytest.approx(7 * 0.5)
    counts = monitor.label_noise._sums[:, 0]
    assert counts.tolist() == [19.0] * 4 + [0.0] * 4


def test_a_step_asks_the_system_for_nothing(monkeypatch):
    monitor, _, clock = resting(1)

    def asked():
        raise AssertionError("a call of the system takes longer than the rest of the step")

    monkeypatch.setattr("os.getpid", asked)
    before = clock.asked
    for _ in range(5):
        monitor.step(Loss(1.0))
    assert clock.asked == before


@pytest.mark.parametrize("wrong", [torch.zeros(2), torch.zeros(()).to(torch.complex64)])
def test_a_loss_that_is_none_is_refused_between_looks_too(wrong):
    monitor, _, _ = resting(1)
    monitor.step(Loss(1.0))
    before = monitor._step
    with pytest.raises((TypeError, ValueError), match=r"Monitor.step\(loss_value=...\)"):
        monitor.step(wrong)
    assert monitor._step == before
    assert monitor.history["loss"].notna().all()


def test_they_are_booked_when_training_is_next_clocked():
    monitor, _, clock = resting(3)
    monitor._pace._push, monitor._pace._call = 1e-2, 1.6e-1
    own = monitor.budget.own
    for _ in range(30, 60):
        monitor.step(Loss(1.0))
        clock.now += 1.0
    monitor._pace.until = 0
    monitor._next = 0
    monitor.step(Loss(1.0))
    # Ten losses, and the call of thirty.
    assert monitor.budget.own - own == pytest.approx(10 * 1e-2 + 30 * 1e-2)


def test_a_resumed_run_keeps_the_losses_that_it_would_have_kept():
    monitor, _, _ = resting(3)
    monitor.step(Loss(1.0))
    other, _, _ = resting(3)
    other.load_state_dict(monitor.state_dict())
    for _ in range(31, 40):
        other.step(1.0)
    assert other.history["loss"][31:].dropna().index.tolist() == [33, 36, 39]


def test_a_log_that_is_taken_up_again_holds_nothing_against_the_steps_it_missed():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    monitor = Monitor(model, MSE, optimizer, probes=[], max_overhead=math.inf)
    log = monitor._watch.examiner.log
    for step in range(12):
        log.choose(2 if step < 4 or step > 7 else 0)
        model(torch.ones(3, 2)).square().mean().backward()
        log.step = step
        optimizer.step()
    rows = log.taken()
    assert [row.step for row in rows] == [0, 1, 2, 3, 8, 9, 10, 11]
    assert rows[4].number > rows[3].number + 1
    assert all(row.restored is None and not row.replaced for row in rows)


@pytest.mark.filterwarnings("ignore:the monitor measures nothing on batches")
def test_a_loss_that_rises_in_between_is_looked_at_with_any_batch():
    monitor, _, clock = resting(1, max_overhead=0.5)
    for loss in (1.0, 1e6, 1e6, 1.0):
        clock.now += 1.0
        monitor.step(loss, batch={"a": 1, "b": 2, "c": 3})
    assert "switched off" not in monitor.summary()
    assert monitor._watch.rising
