"""The account of time, on a clock that only moves when it is told to."""

import itertools
import math

import pytest

from overparam.dynamics.budget import OverheadBudget


class Clock:
    """Seconds under the test's control."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("change", [{"share": 0.0}, {"share": -1.0}, {"every": 0}])
def test_a_measurement_that_would_be_due_for_ever_is_refused(change):
    with pytest.raises(ValueError, match=rf"`OverheadBudget.add\({next(iter(change))}=\.\.\.\)`"):
        OverheadBudget(0.05).add("norms", cost=1.0, **change)


def run(
    budget: OverheadBudget, clock: Clock, costs: dict[str, float], steps: int, step=1.0, first=0
):
    """Which measurement ran when, if a step takes `step` and measurements their costs."""
    ran: dict[str, list[int]] = {name: [] for name in costs}
    worst = 0.0
    for at in range(first, first + steps):
        budget.enter()
        while (name := budget.due(at)) is not None:
            clock.now += costs[name]
            budget.ran(name, at, costs[name])
            ran[name].append(at)
        budget.leave()
        clock.now += step
        if budget.training:
            worst = max(worst, budget.overhead)
    return ran, worst


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.2])
def test_own_time_stays_within_the_limit(limit):
    clock = Clock()
    budget = OverheadBudget(limit, clock=clock)
    costs = {"norms": 0.1, "sharpness": 5.0, "kernel": 40.0}
    for name, cost in costs.items():
        budget.add(name, cost=cost)
    ran, worst = run(budget, clock, costs, 20_000)
    assert worst <= limit + 1e-9
    assert budget.own > limit * budget.training - 2 * max(costs.values())
    assert all(len(steps) >= 2 for steps in ran.values())


def test_a_cost_that_was_guessed_too_low_is_paid_back():
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    budget.add("kernel", cost=0.1)
    ran, _ = run(budget, clock, {"kernel": 10.0}, 1000)
    assert ran["kernel"][:3] == [1, 200, 300]  # 100 steps to pay the first, 100 to save up


def test_shares_divide_the_time():
    clock = Clock()
    budget = OverheadBudget(0.5, clock=clock)
    budget.add("one", cost=2.0, share=1.0)
    budget.add("three", cost=1.0, share=3.0)
    ran, _ = run(budget, clock, {"one": 2.0, "three": 1.0}, 4000)
    assert 1.0 * len(ran["three"]) / (2.0 * len(ran["one"])) == pytest.approx(3, rel=0.05)


def test_cheap_measurements_do_not_starve_a_dear_one():
    clock = Clock()
    budget = OverheadBudget(0.05, clock=clock)
    costs = {"cheap": 0.01, "dear": 30.0}
    for name, cost in costs.items():
        budget.add(name, cost=cost)
    ran, _ = run(budget, clock, costs, 5000)
    assert len(ran["dear"]) >= 2


def test_the_period_is_kept_without_a_limit():
    clock = Clock()
    budget = OverheadBudget(math.inf, clock=clock)
    budget.add("each", cost=1.0)
    budget.add("tenth", cost=1.0, every=10)
    ran, _ = run(budget, clock, {"each": 1.0, "tenth": 1.0}, 30)
    assert ran == {"each": list(range(30)), "tenth": [0, 10, 20]}


def test_borrowing_is_bounded_and_paid_back():
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    budget.add("split", cost=4.0, within=10)
    budget.add("other", cost=1.0, within=10)
    for _ in range(50):
        budget.enter()
        budget.leave()
        clock.now += 1.0
    budget.enter()
    times = 0
    while budget.may_borrow("split"):
        clock.now += 4.0
        budget.ran("split", 50, 4.0)
        times += 1
    budget.leave()
    assert times == 2  # 5 granted, at most 5 more borrowed
    assert budget.own <= 2 * 0.1 * budget.training
    ran, _ = run(budget, clock, {"split": 4.0, "other": 1.0}, 100, first=51)
    assert min(ran["split"] + ran["other"]) >= 51 + 30
    assert budget.overhead <= 0.1 + 1e-9


def test_a_cheap_one_goes_on_while_a_debt_is_paid_back():
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    costs = {"cheap": 0.5, "dear": 20.0}
    budget.add("cheap", cost=0.5, within=50)  # a tenth of the grants
    budget.add("dear", cost=20.0, within=50)
    run(budget, clock, costs, 200)
    budget.enter()
    clock.now += 15.0
    budget.borrow(15.0)
    budget.leave()
    clock.now += 1.0
    ran, worst = run(budget, clock, costs, 200, first=201)
    assert len(ran["cheap"]) >= 4
    assert max(b - a for a, b in itertools.pairwise([201, *ran["cheap"]])) <= 60
    assert min(ran["dear"], default=400) >= 201 + 100
    assert worst <= 2 * 0.1
    assert budget.overhead <= 0.1 + 1e-9


def test_overhead_counts_steps_that_nobody_clocked():
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    for _ in range(11):  # ten steps of a second, and a second of own time
        budget.enter()
        clock.now += 0.1
        budget.leave()
        clock.now += 1.0
    clock.now += 60.0
    assert budget.overhead == pytest.approx(1.1 / 10)
    assert budget.overhead_by_now(0, 10) == budget.overhead
    assert budget.overhead_by_now(40, 10) == pytest.approx(1.1 / 50)
    assert budget.overhead_by_now(40, 10, books=0.4) == pytest.approx(1.5 / 49.6)
    # No more than has passed; and steps were longer before than now.
    assert budget.overhead_by_now(1000, 10) == pytest.approx(1.1 / 71)


def test_an_unknown_measurement_may_not_borrow():
    assert not OverheadBudget(math.inf).may_borrow("nothing")


def test_a_removed_measurement_is_never_due():
    budget = OverheadBudget(math.inf)
    budget.add("kernel", cost=1.0)
    assert budget.due(0) == "kernel"
    budget.remove("kernel")
    assert budget.due(1) is None


def test_state_goes_on_and_the_pause_is_nobodys():
    clock = Clock()
    costs = {"a": 2.0, "b": 5.0}

    def fresh() -> OverheadBudget:
        budget = OverheadBudget(0.1, clock=clock)
        for name, cost in costs.items():
            budget.add(name, cost=cost)
        return budget

    whole = fresh()
    expected, _ = run(whole, clock, costs, 400)
    clock.now = 0.0
    half = fresh()
    first, _ = run(half, clock, costs, 200)
    state = half.state_dict()
    clock.now += 1e6
    rest = fresh()
    rest.load_state_dict(state)
    rest.training += 1.0  # the step under way when the state was taken
    second: dict[str, list[int]] = {name: [] for name in costs}
    for at in range(200, 400):
        rest.enter()
        while (name := rest.due(at)) is not None:
            clock.now += costs[name]
            rest.ran(name, at, costs[name])
            second[name].append(at)
        rest.leave()
        clock.now += 1.0
    assert {name: first[name] + second[name] for name in costs} == expected
    assert rest.overhead == pytest.approx(whole.overhead, rel=0.02)


@pytest.mark.parametrize("limit", [0.0, -0.1, math.nan])
def test_bad_limit(limit):
    with pytest.raises(ValueError, match=r"OverheadBudget\(max_overhead=...\)"):
        OverheadBudget(limit)


def test_what_is_kept_back_is_not_spent():
    clock = Clock()
    budget = OverheadBudget(0.2, clock=clock, reserve=0.25)
    budget.add("norms", cost=1.0)
    _, worst = run(budget, clock, {"norms": 1.0}, 2000)
    assert 0.13 < worst <= 0.15 + 1e-9


def test_own_time_that_nobody_clocked_is_taken_off_training():
    clock = Clock()
    budget = OverheadBudget(0.5, clock=clock)
    budget.enter()
    budget.leave()
    clock.now += 10.0
    budget.enter(aside=1.0)
    budget.leave()
    assert (budget.training, budget.own) == (9.0, 1.0)


@pytest.mark.parametrize(
    ("step_seconds", "kept"),
    # 2 ms of a limit of 5 % are a fifth of it at steps of 0.2 s, and a half of it at 0.08 s
    [(0.2, 0.2), (0.08, 0.25), (2.0, 0.02), (0.0, 0.25), (math.nan, 0.25)],
)
def test_of_long_steps_less_is_kept_back(step_seconds, kept):
    budget = OverheadBudget(0.05, reserve=0.25, unseen=2e-3)
    assert budget.max_overhead == pytest.approx(0.05 * 0.75, rel=1e-12)
    budget.paced(step_seconds)
    assert budget.max_overhead == pytest.approx(0.05 * (1 - kept), rel=1e-12)


def test_all_is_kept_back_until_it_is_known_what_measurements_take():
    budget = OverheadBudget(0.05, reserve=0.25, unseen=2e-3)
    budget.add("norms", cost=1.0)
    budget.paced(2.0)
    assert budget.max_overhead == pytest.approx(0.05 * 0.75, rel=1e-12)
    budget.ran("norms", 7, 1.5)
    budget.paced(2.0)
    assert budget.max_overhead == pytest.approx(0.05 * 0.98, rel=1e-12)


def test_without_a_limit_nothing_is_kept_back():
    budget = OverheadBudget(math.inf, reserve=0.25, unseen=2e-3)
    budget.paced(1.0)
    assert budget.max_overhead == math.inf


@pytest.mark.parametrize("reserve", [-0.1, 1.0, math.nan])
def test_a_reserve_is_a_part(reserve):
    with pytest.raises(ValueError, match=r"OverheadBudget\(reserve=...\)"):
        OverheadBudget(0.1, reserve=reserve)


def test_own_time_inside_training_is_moved_to_where_it_belongs():
    now = [0.0]
    budget = OverheadBudget(0.5, clock=lambda: now[0])
    budget.enter()
    budget.leave()
    now[0] += 10.0
    budget.enter()
    budget.aside(2.0)
    assert (budget.training, budget.own) == (8.0, 2.0)
    budget.book(1.5)
    assert budget.booked == 1.5
    budget.aside(100.0)  # no more than there was
    assert (budget.training, budget.own) == (0.0, 10.0)
