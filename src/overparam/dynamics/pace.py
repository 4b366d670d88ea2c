"""How many steps to let pass between two looks, and between two losses that are kept."""

import math

from overparam.dynamics.budget import OverheadBudget

# Part of the budget that keeping losses, and looking at them, may take; the rest measures.
_KEEPING, _LOOKING = 1 / 2, 1 / 16
_LONGEST = 255
# The first calls are cold, and no measure of the others.
_TRIALS = 8


class Pace:
    """Keep the books rarely where a training step is so short that they would cost too much.

    Between two looks a step only leaves its loss and learning rate, without reading the clock:
    its time is booked afterwards, at what the last clocked ones took. Where even that exceeds
    half of the budget, only every k-th loss is kept. Intervals are odd, so that they do not
    fall on the same batches of every epoch of even length.

    Args:
        budget: The account of time.

    Attributes:
        every: Steps from one loss that is kept to the next; 1 keeps all.
        until: Step up to which nothing but losses is kept.
        light: Steps since the last clocked one.
    """

    __slots__ = ("_call", "_look", "_push", "_pushes", "budget", "every", "light", "until")

    def __init__(self, budget: OverheadBudget) -> None:
        self.budget = budget
        self.every, self.until, self.light = 1, 0, 0
        self._call = self._push = self._look = math.nan
        self._pushes = 0

    def enter(self, kept: int | None = None, aside: float = 0.0) -> None:
        """Training stops here; book the light steps since it went on.

        Args:
            kept: How many of them have kept their loss; `None` where nobody counted.
            aside: Seconds that they have spent on something else.
        """
        losses = self.light / self.every if kept is None else kept
        self.budget.enter(self.books(self.light, losses) + aside)
        self.light = 0

    def books(self, steps: int, losses: float) -> float:
        """Seconds that so many light steps take, which keep so many losses."""
        if not steps:
            return 0.0
        # A step that keeps nothing still costs the host the call.
        call = 0.0 if self.every == 1 else self._call / 16
        return losses * self._push + steps * call

    def pushed(self, seconds: float, host: float | None = None) -> None:
        """Take note of what keeping a loss took, and for what part of it the host was busy."""
        self._push = steady_mean(self._push, seconds)
        self._call = steady_mean(self._call, seconds if host is None else host)
        self._pushes += 1

    def looked(self, step: int, seconds: float, books: float, *, hurry: bool) -> None:
        """Take note of what a look took, without its measurements, and plan the next.

        Args:
            step: The present step.
            seconds: What it took.
            books: What keeping losses and looking at them has taken so far.
            hurry: The loss is on the move: look at every step, if the budget allows a debt.
        """
        self._look = steady_mean(self._look, seconds)
        limit, training = self.budget.max_overhead, self.budget.training
        granted = limit * training / (step + 1)
        if math.isinf(limit) or (hurry and self.budget.credit + limit * training >= self._look):
            self.every, self.until = 1, step + 1
        elif granted > 0 and self._pushes >= _TRIALS:
            self.every = _odd(self._push / (_KEEPING * granted))
            owed = max(books - (_KEEPING + _LOOKING) * limit * training, 0.0)
            self.until = step + _odd(max((self._look + owed) / (_LOOKING * granted), self.every))
        else:  # not enough is known yet about what steps and books take
            self.every, self.until = 1, step + 1


def steady_mean(mean: float, seconds: float) -> float:
    """A running mean with one more value; it falls sooner than it rises.

    The first calls are cold, and an interruption says little: it counts at most threefold.
    """
    if math.isnan(mean):
        return seconds
    return mean + (0.3 if seconds < mean else 0.1) * (min(seconds, 3 * mean) - mean)


def _odd(steps: float) -> int:
    """The next odd number of steps."""
    return min(math.ceil(max(steps, 1.0)) | 1, _LONGEST) if math.isfinite(steps) else 1
