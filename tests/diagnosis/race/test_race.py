"""A race finds the best of what it may try, and is the same every time."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from overparam.diagnosis.examples import Examples
from overparam.diagnosis.race.bracket import Bracket, bracket
from overparam.diagnosis.race.entrant import Entrant, set_rate
from overparam.diagnosis.race.outcome import FEW_STEPS, Outcome, Trial, best, flat, sound
from overparam.diagnosis.race.race import Race, horizons
from overparam.diagnosis.race.recipe import Recipe, recipe_of, threads_for
from overparam.diagnosis.race.run import Clock, _own, run_race
from overparam.diagnosis.scheduled import _TRIED
from overparam.diagnosis.task import TrainingTask, build_task, with_details


def squares(curvature: float = 10.0, optimizer=None, **details) -> TrainingTask:
    """Least squares in two directions, all examples in every batch: the best rate is known."""
    x = torch.eye(2).repeat(8, 1) * torch.tensor([1.0, curvature**0.5])
    examples = Examples("squares", x, x @ torch.ones(2, 1), x[:0], x[:0, :1])
    model = nn.Linear(2, 1, bias=False)
    nn.init.constant_(model.weight, 0.5)
    task = build_task(model, examples, "mse", optimizer or (lambda p: SGD(p, lr=1.0)), 16)
    return with_details(
        task, details.get("schedule"), details.get("clip_norm"), details.get("accumulate", 1)
    )


def noisy(seed: int = 0, **options) -> TrainingTask:
    """A small network on labels of which some are wrong."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(256, 6, generator=generator)
    y = (x[:, 0] * x[:, 1] > 0).long()
    y[:25] = 1 - y[:25]
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 2))
    return build_task(model, Examples("noisy", x, y, x[:0], y[:0], ("0", "1")), None, **options)


def counting() -> Callable[[], float]:
    """A clock that goes on by a second each time it is read."""
    ticks = itertools.count()
    return lambda: float(next(ticks))


def test_on_least_squares_it_finds_the_best_power_of_two() -> None:
    task = squares()
    recipe = recipe_of(task)
    # The eigenvalues of 2XᵀX/n are 1 and 10; the error of each direction falls by |1 − rate λ|.
    outcome = run_race(recipe, 200, clock=Clock())
    worst = {rate: max(abs(1 - rate), abs(1 - 10 * rate)) for rate in outcome.losses}
    assert outcome.verdict == "found"
    assert outcome.rate == min(worst, key=lambda rate: worst[rate]) == 2**-3
    assert outcome.ceiling > 0.2
    assert outcome.interval[0] <= 2 / 11 <= outcome.interval[1]


def test_the_bracket_is_where_updates_are_small_parts_of_the_parameters() -> None:
    recipe = recipe_of(squares())
    found = bracket(recipe)
    gradient = math.hypot(0.5 * 1, 0.5 * 10)
    norm = math.hypot(0.5, 0.5)
    # Of two steps at a rate near 0 the second is the first but for 10 · rate of it.
    assert found.update_size == pytest.approx(gradient / norm, rel=1e-2)
    assert found.rates[0] * found.update_size >= 1e-4
    assert found.rates[0] * found.update_size < 2e-4
    assert 0.1 / 4 < found.rates[-1] * found.update_size <= 0.2
    assert all(math.log2(rate).is_integer() for rate in found.rates)


def test_a_second_race_is_the_same() -> None:
    task = noisy(optimizer=lambda p: AdamW(p), batch_size=16)
    first, second = (run_race(recipe_of(task), 64, clock=Clock()) for _ in range(2))
    other = run_race(recipe_of(task), 64, order=5, clock=Clock())
    assert replace(first, step_seconds=0.0) == replace(second, step_seconds=0.0)
    assert first.losses != other.losses


def test_a_clock_decides_nothing_but_the_horizon() -> None:
    """A race that is ended early says what the longer one said at that length."""
    task = noisy(optimizer=lambda p: SGD(p, lr=1.0), batch_size=16)
    whole = run_race(recipe_of(task), 64, clock=Clock())
    recipe = recipe_of(task)
    race = Race(recipe, bracket(recipe))
    for length in horizons(64, recipe.epoch):
        seconds = race.spent + race.cost(length) + 100.0
        clock = Clock(deadline=seconds, now=counting())
        cut = run_race(recipe, 64, clock=clock)
        race.compare(length, final=length == 64)
        if cut.horizon == race.horizon:
            assert cut.losses == race.losses
    assert race.losses == whole.losses
    assert cut.stopped == "budget" or cut.horizon == 64


def test_out_of_time_keeps_the_last_comparison() -> None:
    recipe = recipe_of(squares())
    clock = Clock(deadline=200.0, now=counting())
    outcome = run_race(recipe, 100_000, clock=clock)
    assert outcome.stopped == "budget"
    assert 0 < outcome.horizon < 100_000
    assert outcome.verdict == "rough"
    assert math.isfinite(outcome.rate)


def test_an_interruption_gives_the_best_so_far() -> None:
    def interrupted(done: float) -> None:
        if done > 0.2:
            raise KeyboardInterrupt

    outcome = run_race(recipe_of(squares()), 200, clock=Clock(), tell=interrupted)
    assert outcome.stopped == "interrupted"
    assert outcome.horizon == 50
    assert math.isfinite(outcome.rate)


def test_without_a_gradient_there_is_no_comparison() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    for p in model.parameters():
        nn.init.zeros_(p)
    x, y = torch.randn(64, 2), torch.arange(64) % 2
    examples = Examples("dead", x, y, x[:0], y[:0], ("0", "1"))
    task = build_task(model, examples, lambda f, y: (f * 0).sum(), lambda p: SGD(p, lr=1.0), 16)
    outcome = run_race(recipe_of(task), 50, clock=Clock())
    assert (outcome.verdict, outcome.spent) == ("none", 0)
    assert math.isnan(outcome.rate)


def test_a_plateau_is_told_and_not_ranked() -> None:
    """Labels that do not depend on inputs, balanced in every batch: nothing can be learned."""
    x = torch.zeros(64, 3)
    y = torch.arange(64) % 2
    examples = Examples("coin", x, y, x[:0], y[:0], ("0", "1"))
    model = nn.Linear(3, 2)
    nn.init.zeros_(model.bias)
    task = build_task(model, examples, None, lambda p: SGD(p, lr=1.0), 64)
    outcome = run_race(recipe_of(task), 40, clock=Clock())
    assert outcome.verdict in ("nothing", "none")
    assert math.isnan(outcome.rate)


def test_the_users_own_rate_is_compared_unless_it_lies_between_the_best() -> None:
    recipe = recipe_of(squares())
    low = run_race(recipe, 100, given=1e-4, clock=Clock())
    assert low.own[1e-4] > 2 * min(low.losses.values())
    beside = run_race(recipe, 100, given=0.13, clock=Clock())
    assert set(beside.own) == {0.13}
    lost = run_race(recipe, 100, given=50.0, clock=Clock())
    assert lost.own == {50.0: math.inf}


@pytest.mark.untyped("a stand-in for a race has what is asked of it alone")
def test_a_rate_between_two_that_are_equal_is_not_compared() -> None:
    level: Any = SimpleNamespace(
        losses={0.125: 0.3, 0.25: 0.301, 0.5: 0.9}, also=lambda rate: {rate: 1.0}
    )
    assert _own(level, 0.2) == {}
    assert _own(level, 0.25) == {0.25: 0.301}
    assert _own(level, 0.3) == {0.3: 1.0}


def test_two_orders_are_compared_where_the_first_stopped_short() -> None:
    task = noisy(optimizer=lambda p: SGD(p, lr=1.0), batch_size=16)
    whole = run_race(recipe_of(task), 40, clock=Clock())
    assert whole.pair == ()
    short = run_race(recipe_of(task), 80, longest=40, clock=Clock())
    one, other = short.pair
    assert one != other
    assert {trial.order for trial in short.trials} == {0, 1}
    # The last comparison of all leaves out what was clearly worse before.
    assert whole.losses.items() <= short.losses.items()
    torn = replace(short, horizon=120, pair=({0.1: 1.0, 0.8: 2.0}, {0.1: 2.0, 0.8: 1.0}))
    assert torn.verdict == "between"
    assert torn.interval[0] == pytest.approx(replace(short, pair=()).interval[0] / 8)


@pytest.mark.parametrize(
    ("planned", "lengths"),
    [(100, [13, 25, 50, 100]), (7, [7]), (10, [10]), (20, [10, 20]), (1, [1])],
)
def test_lengths_are_the_planned_one_over_powers_of_two(planned, lengths) -> None:
    assert list(horizons(planned, 10)) == lengths


def test_lengths_without_a_plan_end() -> None:
    lengths = list(horizons(None, 100))
    assert lengths[0] == 10
    assert lengths[-1] <= 6400 < 2 * lengths[-1]


def test_groups_keep_their_proportions_and_schedules_start_anew() -> None:
    weights = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = SGD([{"params": weights[:1], "lr": 0.4}, {"params": weights[1:], "lr": 0.1}])
    LambdaLR(optimizer, lambda step: 0.5)  # a scheduler of the user's own, already at work
    set_rate(optimizer, 2.0)
    assert [group["lr"] for group in optimizer.param_groups] == [2.0, 0.5]


def test_a_schedule_is_laid_out_for_each_length() -> None:
    seen: list[int] = []

    def schedule(optimizer, steps):
        seen.append(steps)
        return CosineAnnealingLR(optimizer, steps)

    run_race(recipe_of(squares(schedule=schedule)), 40, clock=Clock())
    assert seen[0] == _TRIED  # to see whether it is one
    assert set(seen[1:]) == {10, 40}


def test_an_entrant_goes_on_as_if_it_had_not_stopped() -> None:
    recipe = recipe_of(noisy(optimizer=lambda p: AdamW(p), batch_size=16))
    whole = Entrant(recipe, 0.01, order=3, horizon=40)
    whole.advance(40)
    parts = Entrant(recipe, 0.01, order=3, horizon=40)
    for steps in (1, 17, 40):
        torch.rand(5)  # somebody else draws
        parts.advance(steps)
    assert parts.losses == whole.losses


def test_accumulated_batches_are_one_larger_batch() -> None:
    one = recipe_of(squares(accumulate=4))
    several = Entrant(one, 0.05, order=0, horizon=5)
    several.advance(5)
    alone = Entrant(recipe_of(squares()), 0.05, order=0, horizon=5)
    alone.advance(5)
    # Every batch holds all examples, so the mean of four is that of one, up to rounding.
    eps = torch.finfo(torch.float32).eps
    assert several.losses == pytest.approx(alone.losses, rel=100 * eps)


def test_a_clipped_step_is_no_longer_than_the_norm() -> None:
    recipe = recipe_of(squares(clip_norm=0.01))
    entrant = Entrant(recipe, 1.0, order=0, horizon=1)
    entrant.advance(1)
    moved = entrant.model.weight - recipe.model.weight
    assert float(moved.detach().norm()) == pytest.approx(0.01, rel=1e-3)


def test_nothing_of_the_recipe_moves() -> None:
    task = noisy(optimizer=lambda p: AdamW(p, lr=0.3), batch_size=16)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    state = torch.get_rng_state()
    run_race(recipe_of(task), 20, clock=Clock())
    assert torch.equal(state, torch.get_rng_state())
    assert task.optimizer.param_groups[0]["lr"] == 0.3
    assert not task.optimizer.state
    assert all(torch.equal(v, before[k]) for k, v in task.model.state_dict().items())


def test_threads_are_counted_and_not_timed() -> None:
    small = recipe_of(squares())
    assert threads_for(small, 8) == 1
    x = torch.randn(64, 2048)
    examples = Examples("wide", x, x[:, :1], x[:0], x[:0, :1])
    model = nn.Sequential(nn.Linear(2048, 2048), nn.Linear(2048, 1))
    wide = recipe_of(build_task(model, examples, "mse", None, 64))
    assert threads_for(wide, 8) == 8


def outcome_of(losses: dict[float, float], horizon: int, planned: int | None = 400) -> Outcome:
    return Outcome(
        losses=losses, horizon=horizon, planned=planned, epoch=10, learned=True, ceiling=math.inf,
        own={}, pair=(), spent=0, step_seconds=1e-3, trials=(), stopped="finished",
    )  # fmt: skip


def test_the_pick_is_the_best_and_the_interval_is_wider_for_short_trainings() -> None:
    losses = {0.1: 1.0, 0.2: 0.505, 0.4: 0.495, 0.8: 2.0}
    assert best(losses) == outcome_of(losses, 400).rate == 0.4
    assert outcome_of(losses, 400).interval == outcome_of(losses, 200).interval == (0.1, 0.8)
    assert outcome_of(losses, 100).interval == (0.05, 1.6)
    assert outcome_of(losses, 100, planned=None).interval == (0.1, 0.8)
    # What was seen to diverge lies outside.
    lost = outcome_of(losses | {0.8: math.inf}, 100)
    assert lost.interval == (0.05, pytest.approx(0.72))
    # Next to one that was lost half of the best is picked, where that costs little.
    assert (best(lost.losses), lost.rate) == (0.4, 0.2)
    assert outcome_of({0.2: 0.63, 0.4: 0.495, 0.8: math.inf}, 400).rate == 0.4
    assert flat({0.1: 1.0, 0.2: 0.99, 0.4: 1.2})
    assert not flat({0.1: 1.0, 0.2: 0.97, 0.4: 1.2})


def test_a_flat_bottom_ends_at_a_rate_that_was_lost() -> None:
    level = {0.1: 1.0, 0.2: 0.5, 0.4: 0.51, 0.8: 0.52, 1.6: 0.51}
    assert outcome_of(level, 400).bottom == [0.2, 0.4, 0.8, 1.6]
    # Beyond it others may do well again, but nobody would go there through it.
    assert outcome_of({**level, 0.8: math.inf}, 400).bottom == [0.2, 0.4]
    start = Trial(0.1, 0, 400, 1.0, False, (1.0,) * 400)
    lost = Trial(0.8, 0, 50, math.inf, True, (1.0, math.inf))
    without = {rate: loss for rate, loss in level.items() if rate != 0.8}
    known = replace(outcome_of(without, 400), trials=(start,))
    assert known.bottom == [0.2, 0.4, 1.6]
    assert known.wide
    ended = replace(known, trials=(start, lost))
    assert ended.bottom == [0.2, 0.4]
    assert ended.rate == 0.2
    assert not ended.wide
    # Where one between did worse, chance is larger than the part that counts as level.
    assert outcome_of({0.1: 0.9, 0.2: 0.5, 0.4: 0.53, 0.8: 0.51, 1.6: 1.0}, 400).bottom == [0.2]
    # Of two lost ones the nearer to the best, below it as above.
    assert outcome_of({0.1: 0.5, 0.2: math.inf, 0.4: 0.49}, 400).bottom == [0.4]


class Told(Race):
    """A race whose trainings end as they are told to, by length and rate."""

    def __init__(self, ends: dict[int, dict[float, float]], again: dict[float, float]) -> None:
        super().__init__(recipe_of(squares()), Bracket((1.0, 2.0, 4.0), 1.0, 1e-3), learned=True)
        self.ends, self.again = ends, again

    def _trained(self, rate: float, horizon: int) -> float:
        loss = self.ends[horizon][rate]
        if math.isinf(loss):
            self.ceiling = min(self.ceiling, rate)
        self._trials[rate] = Trial(rate, 0, horizon, loss, math.isinf(loss), (1.0,) * horizon)
        return loss

    def _in_another_order(self, rate: float, horizon: int) -> Trial:
        loss = self.again[rate]
        return Trial(rate, 1, horizon, loss, math.isinf(loss), (1.0,) * horizon)


def test_what_was_worse_comes_back_where_the_best_was_lost_in_the_end() -> None:
    race = Told({40: {1: 0.5, 2: 0.1, 4: math.inf}, 80: {1: 0.3, 2: math.inf, 0.5: 0.6}}, {1: 0.4})
    race.compare(40)
    race.compare(80, final=True)
    assert race.losses == {0.5: 0.6, 1: 0.3, 2: math.inf}
    assert best(race.losses) == 1


@pytest.mark.parametrize(
    ("again", "losses", "tried"),
    [({2: 0.2}, {1: 0.3, 2: 0.05}, {2: False}),
     ({2: math.inf, 1: 0.4}, {0.5: 0.6, 1: 0.3, 2: math.inf}, {2: True, 1: False}),
     ({2: math.inf, 1: math.inf, 0.5: 0.7}, {0.25: 0.9, 0.5: 0.6, 1: math.inf, 2: math.inf},
      {2: True, 1: True, 0.5: False})],
)  # fmt: skip
def test_a_winner_next_to_lost_rates_is_tried_in_another_order(again, losses, tried) -> None:
    """The next lower rate takes the place of one that is lost there, however well it did here."""
    end = {0.25: 0.9, 0.5: 0.6, 1: 0.3, 2: 0.05}
    race = Told({40: {1: 0.5, 2: 0.1, 4: math.inf}, 80: end}, again)
    race.compare(40)
    assert race.trials()[-1].order == 0  # only of the trainings that are planned
    race.compare(80, final=True)
    assert race.losses == losses
    outcome = replace(outcome_of(race.losses, 80, 80), trials=race.trials(), ceiling=race.ceiling)
    assert outcome.again == tried
    assert outcome.rate == min(rate for rate in tried if losses[rate] < 1)
    assert outcome.interval[1] < 2 * outcome.rate
    kept = Told({}, {})
    kept.restore({**race.state(), "entrants": {}})
    assert kept.trials() == race.trials()


def test_next_to_lost_rates_half_of_the_best_is_picked_where_that_costs_little() -> None:
    """A fifth, or a factor 2 where a network has nearly fitted: so much another order changes."""
    for least, half, rate in ((0.5, 0.59, 1), (0.5, 0.61, 2), (0.05, 0.09, 1), (0.05, 0.11, 2)):
        race = Told({40: {1: 0.9, 2: 0.5, 4: math.inf}, 80: {1: half, 2: least}}, {2: 0.5})
        race.compare(40)
        race.compare(80, final=True)  # 1 was clearly worse at half of the length, and is needed now
        outcome = outcome_of(race.losses, 80, 80)
        assert replace(outcome, trials=race.trials(), ceiling=4.0).rate == rate
        assert bool(race.trials()[-1].order) == (rate == 2)
        assert outcome.rate == 2  # nobody knows of rates that fail


def test_what_is_lost_later_or_in_another_order_is_not_the_best() -> None:
    at, later = {1.0: 0.3, 2.0: 0.1, 4.0: 0.2}, Trial(2.0, 0, 60, math.inf, True, (1.0,))
    assert sound(at, [later]) == {1.0: 0.3, 2.0: math.inf, 4.0: math.inf}
    assert sound(at, [replace(later, order=1)])[2.0] == math.inf
    assert sound(at, [replace(later, rate=3.0)]) == at  # another's rate was not compared
    assert sound(at, [replace(later, rate=1.0)]) == at  # nothing would be left


def test_a_bottom_that_may_go_on_has_no_middle() -> None:
    falling = {0.1: 0.515, 0.2: 0.51, 0.4: 0.5}
    assert outcome_of(falling, 400).wide
    assert outcome_of(falling, 400).rate == 0.4
    assert outcome_of({**falling, 0.8: 0.7}, 400).rate == 0.2
    assert outcome_of({**falling, 0.8: math.inf}, 400).rate == 0.2
    assert outcome_of({0.1: 0.5, 0.2: 0.51, 0.4: 0.515, 0.8: 0.7}, 400).rate == 0.1


def test_without_a_plan_no_race_ends_before_it_tells_more_than_an_order_of_magnitude() -> None:
    """All is learned in a few steps: of the first ones the fastest rate alone would be judged."""
    outcome = run_race(recipe_of(squares(curvature=1.0)), None, clock=Clock())
    assert outcome.stopped == "finished"
    assert FEW_STEPS <= outcome.horizon < 2 * FEW_STEPS
    assert outcome.verdict in ("found", "flat")


def test_rates_at_which_all_is_lost_lead_down() -> None:
    recipe = recipe_of(squares())
    high = Bracket((64.0, 256.0), 1.0, 1e-3)
    race = Race(recipe, high)
    race.compare(40)
    assert min(race.losses) < 0.2
    assert math.isfinite(min(race.losses.values()))


def test_a_recipe_is_made_of_batches_of_the_task() -> None:
    recipe: Recipe = recipe_of(noisy(optimizer=None, batch_size=100))
    assert recipe.epoch == 2
    assert [len(y) for _, y in recipe.probe] == [100, 100]
    one, again = (next(recipe.batches(4))[1] for _ in range(2))
    assert torch.equal(one, again)


def test_the_best_is_not_expected_where_the_loss_was_ten_times_as_large() -> None:
    trial = Trial(1e-3, 0, 100, 0.9, False, (1.0,) * 100)
    outcome = Outcome(
        losses={0.1: 0.5, 0.2: 0.003, 0.4: 0.3}, horizon=100, planned=100, epoch=10, learned=True,
        ceiling=math.inf, own={}, pair=(), spent=0, step_seconds=1e-3, trials=(trial,),
        stopped="finished",
    )  # fmt: skip
    assert outcome.interval == (0.1, pytest.approx(0.9 * 0.4))
    # Six times as much may be another order of batches, and so may all of a little.
    assert replace(outcome, losses={0.2: 0.05, 0.4: 0.3}).interval == (0.1, 0.4)
    assert replace(outcome, losses={0.2: 1e-4, 0.4: 9e-3}).interval == (0.1, 0.4)
    # Nor does a shorter training tell what a longer one comes to.
    short = replace(trial, rate=0.3, steps=25, loss=0.3)
    alike = replace(outcome, losses={0.2: 0.003}, trials=(trial, short))
    assert alike.interval == (0.1, 0.4)


def test_a_rate_in_use_above_one_that_was_lost_is_trained_as_well() -> None:
    task = squares()
    outcome = run_race(recipe_of(task), 40, given=64.0)
    assert outcome.ceiling < 64.0
    assert outcome.own == {64.0: math.inf}
    assert any(trial.rate == 64.0 and trial.lost for trial in outcome.trials)
