"""A wall-clock account that keeps measuring within a share of the time spent training."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from overparam._errors import expect


@dataclass
class _Job:
    """What a repeated measurement may use and has used."""

    share: float
    every: int
    cost: float = math.nan
    before: float = math.nan
    turn: float = 0.0
    last: int = -(10**9)


class OverheadBudget:
    """Decide when a measurement may run, from what measuring and training have cost so far.

        credit = max_overhead · training time − own time

    A measurement runs only when the credit covers what it last cost, so own time stays below
    `max_overhead` times the training time, and intervals stretch by themselves where steps are
    short. Measurements take turns in proportion to their shares (stride scheduling): an
    expensive one is saved up for and does not starve behind cheap ones.

    Training time is whatever passes between `leave` and `enter`.

    Args:
        max_overhead: Own time allowed, as a fraction of training time; `math.inf` for no limit.
        clock: Seconds, monotone.
        reserve: Part of the limit that is kept back, for costs that no clock sees.

    Attributes:
        max_overhead: What is left of the limit.
        training: Seconds of training so far.
        own: Seconds of measuring so far.
        booked: Seconds of it that were booked by name; the rest went into keeping the books.

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
        Waldspurger, Weihl (1995), MIT technical memorandum 528: stride scheduling.
    """

    def __init__(
        self,
        max_overhead: float,
        *,
        clock: Callable[[], float] = time.perf_counter,
        reserve: float = 0.0,
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
        self.training = self.own = self.booked = 0.0
        self._jobs: dict[str, _Job] = {}
        self._next: str | None = None
        self._entered = 0.0
        self._left: float | None = None

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

    def add(self, name: str, *, cost: float, share: float = 1.0, every: int = 1) -> None:
        """Make known a repeated measurement, its expected cost in seconds, share, and period."""
        expect(share > 0, "OverheadBudget.add(share=...)", "a part > 0 of the budget", share)
        expect(every >= 1, "OverheadBudget.add(every=...)", "a number of steps ≥ 1", every)
        turn = max((job.turn for job in self._jobs.values()), default=0.0)
        self._jobs[name] = _Job(share, every, cost, turn=turn)
        self._next = None

    def remove(self, name: str) -> None:
        """Forget a measurement."""
        self._jobs.pop(name, None)
        self._next = None

    def due(self, step: int) -> str | None:
        """The measurement whose turn it is, if the credit covers it."""
        name = self._next
        if name is None:
            waiting = [name for name, j in self._jobs.items() if step - j.last >= j.every]
            if not waiting:
                return None
            name = min(waiting, key=lambda name: self._jobs[name].turn)
            if len(waiting) == len(self._jobs):  # then no other can come first before it runs
                self._next = name
        return name if self.credit >= self._jobs[name].cost else None

    def may_borrow(self, name: str) -> bool:
        """Whether an urgent measurement may run ahead of its credit.

        It may while the debt stays below what the budget has granted so far: own time is then
        below twice the budget, and nothing else runs until it is paid back.
        """
        job = self._jobs.get(name)
        if job is None:
            return False
        return math.isinf(self.max_overhead) or (
            self.credit + self.max_overhead * self.training >= job.cost
        )

    def ran(self, name: str, step: int, seconds: float) -> None:
        """Take note of what a measurement cost."""
        job = self._jobs[name]
        # The lower of the last two: the first run also pays for imports and allocations.
        job.cost = seconds if math.isnan(job.before) else min(seconds, job.before)
        job.before = seconds
        job.turn += seconds / job.share
        job.last, self._next = step, None
        self.booked += seconds

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs."""
        jobs = {name: [j.cost, j.before, j.turn, j.last] for name, j in self._jobs.items()}
        return {
            "training": self.training, "own": self.own, "booked": self.booked, "jobs": jobs
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; the time in between is nobody's."""
        self.training, self.own, self.booked = state["training"], state["own"], state["booked"]
        self._left = None
        self._next = None
        for name, numbers in state["jobs"].items():
            if name in self._jobs:
                job = self._jobs[name]
                job.cost, job.before, job.turn, job.last = numbers
