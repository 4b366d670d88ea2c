"""A monitored run comes to its end: what measuring may take follows what steps turn out to take."""

import time
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch

from overparam.diagnosis import diagnose, suggest_lr
from overparam.diagnosis.budget import Left, Spent
from overparam.diagnosis.training import affordable
from overparam.dynamics.budget import OverheadBudget


@pytest.mark.parametrize(
    ("step", "part"),
    [(0.01, 2.8),  # as planned: of 37 s the steps need 9, and 28 / 10 are left for measuring
     (0.02, 0.95),  # twice as slow: (37 - 18) / 20
     (0.04, 0.2)],  # no time to spare, and a fifth all the same
)  # fmt: skip
def test_measuring_gives_way_to_steps(step: float, part: float) -> None:
    budget = OverheadBudget(3.0)
    budget.training, budget.own = 100 * step, 1.0
    assert affordable(budget, 100, 1000, 36.0, 3.0) == pytest.approx(part)


def test_measuring_takes_no_more_than_was_planned() -> None:
    budget = OverheadBudget(0.5)
    assert affordable(budget, 10, 100, 1.0, 0.5) == 0.5  # nothing is known yet
    budget.training = 1.0
    assert affordable(budget, 10, 100, 1e6, 0.5) == 0.5
    assert affordable(budget, 10, 100, 1.0, 0.1) == 0.1


def test_half_of_what_loading_left_is_the_race_s_and_a_slow_machine_measures_less() -> None:
    usual = Spent(30.0, loaded=2.0, imports=1.0, step=0.01)
    assert usual.race_ends == 16.0
    assert usual.leaves_measuring(16.0)
    slow = Spent(30.0, loaded=20.0, imports=10.0, step=0.1)
    assert slow.race_ends == 25.0
    assert not slow.leaves_measuring(25.0)
    # It is data that took long, not the machine.
    assert replace(slow, imports=1.0).leaves_measuring(25.0)
    assert replace(slow, loaded=40.0).race_ends == 40.0


@pytest.mark.parametrize(
    ("now", "measured", "measuring", "ends"),
    [(17.0, 0.1, True, 27.0),  # a tenth is kept for what follows
     (17.0, 4.0, True, 23.0),  # and of the kernel what measuring it again takes
     (17.0, 0.1, False, 30.0),
     (26.0, 0.1, True, 30.0),  # 60 steps would take 6 s
     (26.0, 4.0, True, 30.0),
     (29.9, 0.1, True, 30.9),  # ten steps at least
     (33.0, 0.1, False, 34.0)],
)  # fmt: skip
def test_a_run_ends_in_time_for_what_follows_it(now, measured, measuring, ends) -> None:
    spent = Spent(30.0, loaded=2.0, imports=1.0, step=0.1, measured=measured)
    assert spent.run_ends(now, measuring=measuring) == pytest.approx(ends)
    assert spent.fits(now, 0.05) == (now < 30)
    assert not spent.fits(now, 30.1 - now)


@pytest.mark.parametrize(
    ("imports", "loading", "measured"),
    [(10.0, 20.0, True), (1000.0, 100.0, False), (10.0, 1100.0, True)],
)
def test_on_a_slow_machine_what_is_measured_gives_way(
    imports, loading, measured, monkeypatch
) -> None:
    """The clock goes on by what loading takes, and by next to nothing when it is read."""
    now = [100.0]
    # Of the package another thing has the name of the module.
    stages = import_module("overparam.diagnosis.diagnose")
    prepared = stages.prepared_task

    def imported() -> float:
        now[0] += imports
        return imports

    def slow(*args: Any, **kwargs: Any) -> Any:
        now[0] += loading
        return prepared(*args, **kwargs)

    def clock() -> float:
        now[0] += 1e-5
        return now[0]

    monkeypatch.setattr(time, "perf_counter", clock)
    monkeypatch.setattr(stages, "_imported", imported)
    monkeypatch.setattr(stages, "prepared_task", slow)
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    model = torch.nn.Linear(3, 1)
    found = diagnose(model, (x, x[:, :1]), budget=1350, max_steps=2)
    inputs = next(said for said in found.statements if said.name == "inputs")
    assert (inputs.level != "unknown") == measured
    assert found.data["steps_run"] == 2


def test_a_budget_that_loading_began_on_is_told_as_it_was_given() -> None:
    """What is left of 30 s is little, and a reader who gave 30 is told of more."""
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    data = (x, (x[:, 0] > 0).long())
    found = diagnose(torch.nn.Linear(3, 2), data, budget=Left(60.0, of=90.0), max_steps=20)
    assert found.environment["budget_seconds"] == 90.0
    rate = suggest_lr(torch.nn.Linear(3, 2), data, budget=Left(60.0, of=90.0), longest=10)
    assert "A budget of about 180 s compares" in rate.statements[0].action


def test_a_run_whose_loss_is_below_zero_is_not_over() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 3)
    model = torch.nn.Linear(3, 1)
    loss = lambda outputs, y: (outputs - y).square().mean() - 50.0  # noqa: E731
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    found = diagnose(
        model, (x, x[:, :1]), loss, optimizer, steps=32, max_steps=32, batch_size=16, budget="5m"
    )
    assert found.data["steps_run"] == 32
