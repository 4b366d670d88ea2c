"""A wall-clock account that keeps measuring within a share of the time spent training."""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from overparam._errors import expect
from overparam.dynamics.fair_shares import fair_shares

# No measurement was made yet.
_NEVER = -(10**9)
# What the share of one that is late is multiplied by.
_LATE = 3
# A share counts for more, up to so many times, where a run costs more than its part.
_DEAR = 4
# One that costs less than that part of the mean is cheap, and is given so many equal parts at most.
_CHEAP, _EQUAL = 1 / 4, 1.5
# Part of the limit that is lent to what cannot wait, in the long run.
_LENT = 1 / 4
# Part of it that those who take turns count on at least, whatever the rest has taken so far.
_TURNS = 1 / 2


@dataclass
class _Job:
    """What a repeated measurement may use: `saved` seconds, and what it costs."""

    share: float
    every: int
    within: int
    cold: float
    beside: str = ""
    cost: float = math.nan
    before: float = math.nan
    saved: float = 0.0
    last: int = _NEVER
    after: float = 0.0

    @property
    def price(self) -> float:
        """A run with what comes after it."""
        return self.cost + self.after

    @property
    def most(self) -> float:
        """What it may save up; more than a run, as grants do not come in that size."""
        return 2 * self.price


class OverheadBudget:
    """Decide when a measurement may run, from what measuring and training have cost so far.

        credit = max_overhead · training time − own time

    A measurement runs only when the credit covers what it last cost, so own time stays below
    `max_overhead` times the training time, and intervals stretch by themselves where steps are
    short. Each saves up its share of the credit for itself: a cheap one never waits until a dear
    one is covered, and a dear one does not starve behind cheap ones. None is given more than it
    takes to come round in time before all have that. The share of one that costs more than its
    part counts up to fourfold, so that all come round, rather than each for as many seconds. What
    one that has enough would get, the others get. Those that cost less than a quarter of the mean
    come first, and go on while what was borrowed is paid back.

    Training time is whatever passes between `leave` and `enter`.

    A run of a few steps would see nothing. The first of each measurement may therefore be run on
    what the first `ahead` steps will have granted, the cheapest ones first: own time then stays
    below `max_overhead` times the training time, or that of so many steps while there are fewer.

    Args:
        max_overhead: Own time allowed, as a fraction of training time; `math.inf` for no limit.
        clock: Seconds, monotone.
        reserve: Part of the limit that is kept back, for costs that no clock sees.
        unseen: Seconds of them in a step of training; where these are a smaller part of the limit,
            no more than that is kept back, once it is known what each measurement takes.
        ahead: Steps whose grant may be spent at once, on first measurements.

    Attributes:
        max_overhead: What is left of the limit when what is kept back is taken off.
        training: Seconds of training so far.
        own: Seconds of measuring so far.
        booked: Seconds of it that were booked by name; the rest went into keeping the books.
        borrowed: Seconds of it that could not wait for their turn.
        turns: Seconds of those that did.

    Example:
        Steps of one second and a measurement of two, at 50 %: it runs every fourth step.

        >>> now = [0.0]
        >>> budget = OverheadBudget(0.5, clock=lambda: now[0])
        >>> budget.add("sharpness", cost=2.0)
        >>> ran = []
        >>> for step in range(13):
        ...     budget.enter()
        ...     if budget.due(step) == "sharpness":
        ...         now[0] += 2.0
        ...         ran.append(step)
        ...         budget.ran("sharpness", step, 2.0)
        ...     budget.leave()
        ...     now[0] += 1.0
        >>> ran, budget.overhead
        ([4, 8, 12], 0.5)

    References:
        Bertsekas, Gallager (1992), Data Networks, 6.5.2: max-min fair shares.
    """

    def __init__(
        self,
        max_overhead: float,
        *,
        clock: Callable[[], float] = time.perf_counter,
        reserve: float = 0.0,
        unseen: float = math.inf,
        ahead: int = 0,
    ) -> None:
        expect(
            max_overhead > 0,
            "OverheadBudget(max_overhead=...)",
            "a positive fraction of the training time",
            max_overhead,
            hint="0.05 allows 5 %; math.inf sets no limit.",
        )
        expect(0 <= reserve < 1, "OverheadBudget(reserve=...)", "a part in [0, 1)", reserve)
        self.max_overhead, self.clock = max_overhead * (1 - reserve), clock
        self._limit, self._reserve, self._unseen = max_overhead, reserve, unseen
        self.training = self.own = self.booked = self.borrowed = self.turns = 0.0
        self.ahead = ahead
        self._jobs: dict[str, _Job] = {}
        self._entered = self._divided = 0.0
        self._left: float | None = None

    def paced(self, step_seconds: float) -> None:
        """A step of training takes so long; what is kept back follows."""
        known = all(job.last != _NEVER for job in self._jobs.values())
        if known and math.isfinite(self._limit) and step_seconds > 0:
            kept = min(self._reserve, self._unseen / (self._limit * step_seconds))
            self.max_overhead = self._limit * (1 - kept)

    def enter(self, aside: float = 0.0) -> None:
        """Training stops here; `aside` seconds of it were own time that nobody clocked."""
        self._entered = now = self.clock()
        if self._left is not None:
            passed = now - self._left
            self.own += min(aside, passed)
            self.training += max(passed - aside, 0.0)

    def aside(self, seconds: float) -> None:
        """So much of the training time until `enter` was own time."""
        seconds = min(seconds, self.training)
        self.training -= seconds
        self.own += seconds

    def book(self, seconds: float) -> None:
        """So much own time was measuring, though by nobody who takes turns."""
        self.booked += seconds

    @property
    def spent(self) -> float:
        """Seconds since `enter`."""
        return self.clock() - self._entered

    def leave(self) -> None:
        """Training goes on from here."""
        self._left = now = self.clock()
        self.own += now - self._entered

    @property
    def credit(self) -> float:
        """Seconds that may be spent now, the time since `enter` already taken off."""
        if math.isinf(self.max_overhead):
            return math.inf
        return self.max_overhead * self.training - self.own - self.spent

    @property
    def overhead(self) -> float:
        """Own time as a fraction of training time; `nan` before any."""
        return self.own / self.training if self.training else math.nan

    def overhead_by_now(self, steps: int, clocked: int, books: float = 0.0) -> float:
        """`overhead` with the steps since `leave`, whose time nobody has read yet.

        Args:
            steps: How many.
            clocked: Steps that `training` is the time of; each of the others is taken to have
                been as long, and all not longer than the time that has passed.
            books: Seconds of them that were own time.
        """
        if self._left is None or not (steps and clocked):
            return self.overhead
        passed = min(self.clock() - self._left, steps * self.training / clocked)
        total = self.training + max(passed - books, 0.0)
        return (self.own + min(books, passed)) / total if total else math.nan

    def add(
        self,
        name: str,
        *,
        cost: float,
        share: float = 1.0,
        every: int = 1,
        within: int = 250,
        cold: float = 2.0,
        beside: str = "",
    ) -> None:
        """Make known a repeated measurement.

        Args:
            name: What it is known by.
            cost: Seconds it is expected to take.
            share: Its part of the credit relative to the others.
            every: Fewest steps between two.
            within: Steps after which it is late, and its share counts threefold.
            cold: What the first may take, as a multiple, where it runs ahead of its turn.
            beside: Another one, at whose steps alone it is run, after it, as long as that is known;
                in debt, if it is late or cheap.
        """
        expect(share > 0, "OverheadBudget.add(share=...)", "a part > 0 of the budget", share)
        expect(every >= 1, "OverheadBudget.add(every=...)", "a number of steps ≥ 1", every)
        self._jobs[name] = _Job(share, every, within, cold, beside, cost)

    def remove(self, name: str) -> None:
        """Forget a measurement; what it had saved is the others'."""
        self._jobs.pop(name, None)

    def due(self, step: int, without: Collection[str] = ()) -> str | None:
        """The measurement to run now: of those whose savings cover them the one that waited most.

        In the first `ahead` steps otherwise the cheapest that has not run, if they pay it back.

        Args:
            step: The present one.
            without: Those that cannot run now.
        """
        waiting = [
            name
            for name, job in self._jobs.items()
            if step - job.last >= job.every and name not in without
            if job.beside not in self._jobs or self._jobs[job.beside].last == step
        ]
        if not waiting:
            return None
        credit = self.credit
        if math.isinf(credit):
            return min(waiting, key=lambda name: self._jobs[name].last)
        self._divide(step, credit)
        covered = [n for n in waiting if self._jobs[n].price <= self._jobs[n].saved]
        afforded = [n for n in covered if self._jobs[n].price <= credit]
        if not afforded and credit < 0:  # what was borrowed is owed, but not by the cheap ones
            most = credit + self.max_overhead * self.training
            cheap = self._cheap()
            afforded = [n for n in covered if n in cheap and self._jobs[n].price <= most]
        beside = [n for n in waiting if self._jobs[n].beside in self._jobs]
        if not afforded and beside:  # alone, or by the next occasion, it would be dearer
            most = credit + self.max_overhead * self.training
            late = {n for n in beside if step - self._jobs[n].last > self._jobs[n].within}
            now = [n for n in beside if n in late | self._cheap()]
            afforded = [n for n in now if self._jobs[n].price <= most]
        if afforded:
            return min(afforded, key=lambda name: self._jobs[name].last)
        if not 0 < step < self.ahead:
            return None
        credit += self.max_overhead * self.training * (self.ahead - step) / step
        first = [n for n in waiting if self._jobs[n].last == _NEVER]
        afforded = [n for n in first if self._jobs[n].cold * self._jobs[n].price <= credit]
        return min(afforded, key=lambda name: self._jobs[name].price, default=None)

    def _divide(self, step: int, credit: float) -> None:
        """Let the savings add up to the credit: what is new goes to those that lack something."""
        granted = self._granted(self.training - self._divided)
        self._divided, rest = self.training, credit
        weights = {name: self._weight(job, step) for name, job in self._jobs.items()}
        parts = self._parts(self._needs(step), weights)
        for name, job in self._jobs.items():
            job.saved = min(job.saved, job.most)  # a cost that fell leaves some for others
            if job.saved < job.price:  # beyond it by one grant at most
                job.saved += granted * parts[name]
            rest -= job.saved
        served = [name for name, job in self._jobs.items() if job.saved < job.price]
        if rest < 0:
            # Spent on something else, on the books or ahead of the credit: the dear owe it.
            served = [n for n in self._jobs if n not in self._cheap()] or list(self._jobs)
            weights = {name: self._jobs[name].share for name in served}
        total = sum(weights[name] for name in served)
        for name in served:
            self._jobs[name].saved += rest * weights[name] / total

    def _needs(self, step: int) -> dict[str, float]:
        """The part of all grants by which each comes round in time.

        A quarter of its share at least, as what takes next to nothing may come round more often.
        """
        granted = self._granted(self.training / max(step, 1))
        if granted <= 0:
            return dict.fromkeys(self._jobs, math.inf)
        total = 4 * sum(job.share for job in self._jobs.values())
        return {
            name: max(job.price / (job.within * granted), job.share / total)
            for name, job in self._jobs.items()
        }

    def _parts(self, needs: dict[str, float], weights: dict[str, float]) -> dict[str, float]:
        """Of what is granted: cheap ones first what they need, half at most, then the others."""
        cheap = self._cheap()
        most = min(_EQUAL / len(needs), 1 / (2 * max(len(cheap), 1)))
        found = {name: min(needs[name], most) for name in cheap}
        room = 1 - sum(found.values())
        left = {name: need / room for name, need in needs.items() if name not in found}
        shared = fair_shares(left, {name: weights[name] for name in left})
        return found | {name: room * part for name, part in shared.items()}

    def _cheap(self) -> set[str]:
        """Those that take less than a quarter of what all take in the mean."""
        prices = {name: job.price for name, job in self._jobs.items()}
        mean = sum(prices.values()) / len(prices)
        return {name for name, price in prices.items() if price < _CHEAP * mean}

    def _weight(self, job: _Job, step: int) -> float:
        """What a measurement counts for where credit is divided."""
        granted = self._granted(job.within * self.training / max(step, 1))
        late = _LATE if step - job.last > job.within else 1
        need = job.price / self._part(job, granted) if granted > 0 else 1.0
        return job.share * late * min(max(need, 1.0), _DEAR)

    def cost(self, name: str) -> float:
        """Seconds a measurement is expected to take; `nan` for one that is not known."""
        job = self._jobs.get(name)
        return math.nan if job is None else job.price

    def expect_cost(self, name: str, seconds: float) -> None:
        """A measurement was changed, and is expected to take so long from now on."""
        job = self._jobs[name]
        job.cost, job.before = seconds, math.nan

    def allowance(self, name: str, seconds: float) -> float:
        """What a measurement is granted in so many seconds of training.

        What goes into the books, and what cannot wait, is not granted; so far it may have taken
        more than its part.
        """
        return self._part(self._jobs[name], self._granted(seconds))

    def _part(self, job: _Job, granted: float) -> float:
        return granted * job.share / sum(other.share for other in self._jobs.values())

    def _granted(self, seconds: float) -> float:
        """What all that take turns are granted in so many seconds of training."""
        limit = self.max_overhead * self.training
        rest = (self.own - self.turns) / limit if limit else 0.0
        left = 1.0 if math.isinf(self.max_overhead) else min(max(1 - rest, _TURNS), 1.0)
        return left * self.max_overhead * seconds

    def wait(self, name: str) -> float:
        """Seconds of training until a measurement is covered; `nan` for one that is not known."""
        job = self._jobs.get(name)
        if job is None or math.isinf(self.max_overhead):
            return math.nan if job is None else 0.0
        missing = max(job.price - job.saved, 0.0)
        return missing / self.allowance(name, 1.0)

    def may_borrow(self, name: str) -> bool:
        """Whether an urgent measurement may run ahead of its credit.

        It may while the debt stays below what the budget has granted so far: own time is then
        below twice the budget, and nothing dear runs until it is paid back.
        """
        job = self._jobs.get(name)
        if job is None:
            return False
        return math.isinf(self.max_overhead) or (
            self.credit + self.max_overhead * self.training >= job.cost
        )

    def lends(self, part: float = 1.0) -> bool:
        """Whether less was borrowed so far than a part of what is lent in the long run.

        Of one event all that belongs to it may be borrowed, and of a run with many not all.
        """
        most = math.inf if math.isinf(self.max_overhead) else self.max_overhead * self.training
        return self.borrowed <= part * _LENT * most

    def borrow(self, seconds: float) -> None:
        """So much own time was for what could not wait."""
        self.borrowed += seconds

    def ran(
        self, name: str, step: int, seconds: float, *, usual: bool = True, next_time: float = 1.0
    ) -> None:
        """Take note of what a measurement cost.

        Args:
            name: The measurement.
            step: The present one.
            seconds: What it took.
            usual: Of an unusual one the next is no image.
            next_time: What the next is expected to take, as a part of that.
        """
        job = self._jobs[name]
        if usual:
            # The lower of the last two: the first run also pays for imports and allocations.
            following = seconds * next_time
            job.cost = following if math.isnan(job.before) else min(following, job.before)
            job.before = math.nan if next_time < 1 else seconds  # an expectation is no measure
            self.turns += seconds
        else:
            self.borrow(seconds)
        job.saved -= seconds
        job.last = step
        self.booked += seconds

    def followed(self, name: str, seconds: float) -> None:
        """Take note of what a measurement cost one step later."""
        self.booked += seconds
        job = self._jobs.get(name)
        if job is not None:
            self.turns += seconds
            job.after = min(seconds, 3 * job.after) if job.after else seconds
            job.saved -= seconds

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs."""
        jobs = {name: [j.cost, j.before, j.saved, j.last] for name, j in self._jobs.items()}
        return {
            "training": self.training, "own": self.own, "booked": self.booked,
            "borrowed": self.borrowed, "turns": self.turns, "jobs": jobs,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; the time in between is nobody's."""
        self.training, self.own, self.booked = state["training"], state["own"], state["booked"]
        self.borrowed = state.get("borrowed", 0.0)
        self.turns = state.get("turns", self.booked)
        self._left, self._divided = None, self.training
        for name, numbers in state["jobs"].items():
            if name in self._jobs:
                job = self._jobs[name]
                job.cost, job.before, job.saved, job.last = numbers
