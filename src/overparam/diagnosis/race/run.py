"""A whole race: comparisons up to the planned length, a second order, the user's own rate."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from overparam.diagnosis.race.bracket import Bracket, bracket
from overparam.diagnosis.race.kept import KeptRace, bracket_of
from overparam.diagnosis.race.outcome import FEW_STEPS, NEAR, Outcome, sound, within
from overparam.diagnosis.race.race import OutOfTime, Race, horizons
from overparam.diagnosis.race.recipe import Recipe

# Without a planned length a race ends once the best training has lost all but this part of its
# loss, but for the shortest ones: a longer one would compare how close to zero they come.
_DONE = 1e-3


@dataclass
class Clock:
    """When to stop, and where the time comes from."""

    deadline: float = math.inf
    now: Callable[[], float] = time.perf_counter
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.now()

    def in_time(self) -> bool:
        """Whether there is time left."""
        return self.now() < self.deadline


def run_race(
    recipe: Recipe,
    planned: int | None,
    *,
    given: float | None = None,
    order: int = 0,
    longest: int | None = None,
    near: tuple[float, ...] | None = None,
    widen: bool = True,
    second: bool = True,
    clock: Clock | None = None,
    tell: Callable[[float], None] = lambda done: None,
    kept: KeptRace | None = None,
) -> Outcome:
    """Race until the planned length, the deadline or an interruption; there is always an answer.

    Args:
        recipe: Of the training; its model and optimizer are copied.
        planned: Steps of the training that the rate is for; `None` takes as many as there is
            time for, up to 64 epochs.
        given: A rate that is compared as well, at the end.
        order: Seed of the order of batches; the next one is that of a second race.
        longest: Steps of the longest comparison; `None` is what is planned.
        near: Rates among which, or beside which, the best is known to be: they are compared once,
            at the planned length. `None` looks everywhere.
        widen: Whether rates beyond an end that wins are tried.
        second: Whether another order of batches is tried, where the race stops short.
        clock: Ends the race.
        tell: Told the part of the work that is done.
        kept: A file to go on from, and to write after every comparison.

    Cost:
        About four times the planned training. A comparison for which there is no time is not
        begun, and one that runs out of it does not count.
    """
    clock = clock or Clock()
    found = Bracket(near or (), math.nan, math.nan)
    race = Race(recipe, found, order=order)  # until there is a bracket
    stopped, other, own = "finished", None, {}
    try:
        before = None if kept is None else kept.load()
        if before is not None:
            found = bracket_of(before)
        elif near is None:
            found = bracket(recipe, order=order, clock=clock.now)
        race = Race(
            recipe, found, order=order, in_time=clock.in_time, learned=near is not None,
            widen=widen,
        )  # fmt: skip
        if before is not None:
            race.restore(before["race"])
        lengths = _lengths(recipe, planned, longest, once=near is not None)
        stopped = _double(race, lengths, planned, found, clock, tell, kept)
        if race.learned:
            own = _own(race, given)
            if second and planned is not None and race.horizon < planned:
                other = _second_order(race, recipe, found, order + 1, clock)
    except OutOfTime:
        stopped = "budget"
    except KeyboardInterrupt:
        stopped = "interrupted"
    trials = (*race.trials(), *(() if other is None else other.trials()))
    return Outcome(
        losses=sound(race.losses, trials), horizon=race.horizon, planned=planned,
        epoch=recipe.epoch, learned=race.learned and bool(race.losses), ceiling=race.ceiling,
        own=own,
        pair=() if other is None else (race.history[other.horizon], other.losses),
        spent=race.spent + (0 if other is None else other.spent),
        step_seconds=_step_seconds(race, found, clock), trials=trials, stopped=stopped,
        first=found.loss,
    )  # fmt: skip


def _lengths(recipe: Recipe, planned: int | None, longest: int | None, *, once: bool) -> list[int]:
    """Of the comparisons, ascending."""
    if once and planned is not None:
        return [planned]
    # Under a schedule every comparison starts anew, so that there are fewer of them.
    factor = 2 if recipe.schedule is None else 4
    return [n for n in horizons(planned, recipe.epoch, factor) if n <= (longest or n)]


def _double(
    race: Race,
    lengths: list[int],
    planned: int | None,
    found: Bracket,
    clock: Clock,
    tell: Callable[[float], None],
    kept: KeptRace | None,
) -> str:
    """Comparisons, each longer than the last; returns what ended them."""
    for length in lengths if found.rates else ():
        if length <= race.horizon:  # compared before the race was ended
            continue
        if race.horizon and not _fits(race, race.cost(length), found, clock):
            return "budget"
        race.compare(length, final=length == planned and len(lengths) > 1)
        if kept is not None:
            kept.save(race, found)
        tell(length / lengths[-1])
        long = planned is None and length >= FEW_STEPS
        if long and race.learned and 0 <= min(race.losses.values()) < _DONE * race.first:
            break
    return "finished"


def _fits(race: Race, steps: int, found: Bracket, clock: Clock) -> bool:
    """Whether there is time for so many steps."""
    return clock.now() + steps * _step_seconds(race, found, clock) < clock.deadline


def _step_seconds(race: Race, found: Bracket, clock: Clock) -> float:
    """What was done is the best measure of what a step takes on a machine that others use."""
    now = race.spent - race.brought
    return (clock.now() - clock.began) / now if now else found.step_seconds


def _second_order(
    race: Race, recipe: Recipe, found: Bracket, order: int, clock: Clock
) -> Race | None:
    """A race in another order of batches up to the last comparison but one.

    Where the first stopped short of what is planned: whether two such races agree says most of how
    far the answer can be trusted, and the time left was too short for another doubling.
    """
    lengths = sorted(race.history)[:-1]
    if not lengths:
        return None
    second = Race(recipe, found, order=order, in_time=clock.in_time)
    try:
        for length in lengths:
            if not _fits(race, second.cost(length), found, clock):
                return None
            second.compare(length)
    except OutOfTime:
        return None
    return second if second.learned else None


def _own(race: Race, given: float | None) -> dict[float, float]:
    """The loss at the user's own rate, after as many steps as the others had.

    Between two rates that did about as well there is nothing to compare.
    """
    if given is None:
        return {}
    if given in race.losses:
        return {given: race.losses[given]}
    near = within(race.losses, NEAR)
    return {} if near[0] <= given <= near[-1] else race.also(given)
