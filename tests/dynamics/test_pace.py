"""How often a monitor looks, on a clock that only moves when it is told to."""

import math

import pytest

from overparam.dynamics.budget import OverheadBudget
from overparam.dynamics.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(limit: float, *, step: float, push: float, look: float, steps: int = 20_000):
    """Keep the books of a run; the share they took, losses kept, longest time unseen."""
    clock = Clock()
    budget = OverheadBudget(limit, clock=clock)
    pace, kept, longest, last, training = Pace(budget), 0, 0, 0, 0.0
    for at in range(steps):
        if at < pace.until:
            pace.light += 1
            if at % pace.every == 0:
                clock.now += push
                kept += 1
        else:
            pace.enter()
            clock.now += push
            kept += 1
            pace.pushed(push)
            clock.now += look
            pace.looked(at, look, budget.own, hurry=False)
            budget.leave()
            longest, last = max(longest, at - last), at
        clock.now += step
        training += step
    return (clock.now - training) / training, kept / steps, longest


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("step", [1e-4, 1e-3, 1e-1])
def test_the_books_stay_within_the_budget(limit, step):
    share, kept, longest = run(limit, step=step, push=2e-6, look=30e-6)
    assert share <= limit
    assert longest <= 257
    assert kept > 0.1


def test_every_loss_is_kept_where_that_is_cheap():
    assert run(0.05, step=1e-3, push=2e-6, look=30e-6)[1] == 1.0


def test_where_steps_are_long_every_one_is_looked_at():
    assert run(0.05, step=1.0, push=2e-6, look=30e-6)[2] == 1


def test_without_a_limit_every_step_is_looked_at():
    assert run(math.inf, step=1e-4, push=2e-6, look=30e-6, steps=50)[1:] == (1.0, 1)


def test_a_rising_loss_is_looked_at_each_step_until_the_debt_is_too_large():
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    pace = Pace(budget)
    budget.training = 1.0
    for _ in range(8):
        pace.pushed(1e-3)
    pace.looked(99, 0.05, 0.0, hurry=True)
    assert (pace.every, pace.until) == (1, 100)
    budget.own = 0.5
    pace.looked(100, 0.05, 0.5, hurry=True)
    assert pace.until > 101
