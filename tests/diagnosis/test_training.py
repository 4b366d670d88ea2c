"""A monitored run comes to its end: what measuring may take follows what steps turn out to take."""

import pytest

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
