"""How long a training is to be, and how long finding out about it may take."""

import re
import sys
from dataclasses import dataclass
from typing import Any

from overparam._errors import expect
from overparam._numbers import described, is_integer, is_number

UNKNOWN_EPOCH = sys.maxsize
"""Steps of an epoch of a stream, which has no end that is known."""

LONGEST_OF_STREAM = 2048
"""Steps of the longest trainings that are compared where nothing says how long one is."""

RACE = 0.5
"""Part of a diagnosis's budget, but for loading, that the race for the learning rate has."""

AFTER = 0.1
"""Part of it that is kept for what follows the run."""

FEWEST_STEPS = 60
"""Steps of the shortest run that says anything."""

STEPS_AT_LEAST = 10
"""Steps that a run takes for which there is no time at all."""

# What measuring loads when it is first done, as a part of what loading for optimizers took.
_COLD = 0.5

LEAST_SECONDS, _MOST_SECONDS = 5.0, 366 * 86400.0


class Left(float):
    """Seconds that are left of a budget: what there is time for; statements tell the whole.

    Attributes:
        of: The budget.

    Example:
        >>> left = Left(20.0, of=30.0)
        >>> left, left.of
        (20.0, 30.0)
    """

    of: float

    def __new__(cls, seconds: float, *, of: float) -> "Left":
        """So many seconds of a budget."""
        left = super().__new__(cls, seconds)
        left.of = of
        return left


def parse_budget(budget: str | float, who: str = "diagnose") -> float:
    """Seconds in ``"90s"``, ``"1.5m"``, ``"2h"`` or a number.

    Example:
        >>> parse_budget("1.5m")
        90.0
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(s|m|h|)\s*", str(budget))
    expect(
        match is not None,
        f"{who}(budget=...)",
        "a time such as '60s', '5m' or a number of seconds",
        repr(budget),
    )
    assert match is not None
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
    expect(
        LEAST_SECONDS <= seconds <= _MOST_SECONDS,
        f"{who}(budget=...)",
        f"at least {LEAST_SECONDS:g} s"
        + (f" and at most {_MOST_SECONDS / 86400:.0f} days" if seconds > 1 else ""),
        f"{seconds:g} s",
        hint="a minute tells more." if seconds < LEAST_SECONDS else "",
    )
    return seconds


def planned_steps(
    epochs: float | None,
    steps: int | None,
    epoch: int,
    who: str = "diagnose",
) -> int | None:
    """Optimizer steps of the training that is planned; `None` if neither is given.

    Args:
        epochs: Passes over the training examples; may be a part of one.
        steps: Optimizer steps, instead.
        epoch: Steps of an epoch.
        who: The call this is for, for the error message.

    Example:
        >>> planned_steps(2.5, None, 40)
        100
    """
    expect(
        epochs is None or steps is None, f"{who}(epochs=..., steps=...)", "one of the two", "both"
    )
    if steps is not None:
        return positive(steps, f"{who}(steps=...)", is_integer(steps))
    if epochs is None:
        return None
    expect(
        epoch < UNKNOWN_EPOCH, f"{who}(epochs=...)", "steps= instead, for data without a length",
        epochs,
    )  # fmt: skip
    return max(round(positive(epochs, f"{who}(epochs=...)", is_number(epochs)) * epoch), 1)


def positive(value: Any, where: str, right: bool) -> Any:
    """A length that is one; `right` tells whether it is of the right type."""
    words = "a positive number, or None"
    expect(right, where, words, described(value), error=TypeError)
    expect(0 < value < 1e12, where, words, value)
    return value


@dataclass(frozen=True)
class Spent:
    """What the stages of a diagnosis may take, from what the ones before them took.

    A machine with other work takes a multiple for all of them, for imports and for steps. All
    times are seconds since the diagnosis began.

    Attributes:
        budget: For everything.
        loaded: When all was loaded.
        imports: Seconds of that for the part of torch that optimizers need; 0 if it was there.
        step: Seconds of a training step.
        measured: Seconds that a measurement before the run took.
    """

    budget: float
    loaded: float
    imports: float
    step: float
    measured: float = 0.0

    @property
    def race_ends(self) -> float:
        """Half of what loading left."""
        return self.loaded + RACE * max(self.budget - self.loaded, 0.0)

    def leaves_measuring(self, now: float) -> bool:
        """Whether there is time for what measuring loads, and as much again for a run."""
        return self.budget - now > 2 * _COLD * self.imports

    def run_ends(self, now: float, *, measuring: bool) -> float:
        """When the run has to end, so that what follows it is done in time.

        A run of the fewest steps that say anything has the rest of the budget, and a few steps
        are taken in any case.

        Args:
            now: Before the run.
            measuring: Whether anything is measured after it.
        """
        after = max(AFTER * self.budget, 2 * self.measured) if measuring else 0.0
        fewest = min(now + FEWEST_STEPS * self.step, self.budget)
        return max(self.budget - after, fewest, now + STEPS_AT_LEAST * self.step)

    def fits(self, now: float, more: float) -> bool:
        """Whether there is time for so many seconds."""
        return now + more < self.budget
