"""What became of a rise of the loss, apart from what caused it."""

from typing import Literal

from overparam.dynamics.catapult_counter import relative
from overparam.dynamics.spikes.causes import Cause

Outcome = Literal["under way", "recovered", "lasting", "lost", "catapult", "divergence"]

# Causes whose rise the dynamics of the optimizer itself drive.
_DRIVEN = ("above the limit", "rate raised")


def ended(phase: str, loss: float, level: float, first: float) -> Outcome:
    """How a rise ended.

    Args:
        phase: That of the counter: ``"closed"``, ``"dismissed"``, or ``"lost"``.
        loss: The latest one.
        level: The loss before.
        first: The run's first loss.

    Returns:
        Back, for good where it left for good, and lasting where it found another level.
    """
    if phase != "lost":
        return "recovered"
    if level < 0:
        return "lasting" if relative(loss, level, first) <= 2.2 else "lost"
    return "lasting" if loss <= max(2 * level, 1.2 * first) else "lost"


def named(outcome: Outcome, cause: Cause, *, above: bool) -> Outcome:
    """The outcome by its own name where the rate was above its limit.

    Args:
        outcome: As `ended` gives it.
        cause: What made the loss rise.
        above: Whether measurements say that the rate was above its limit, where the cause
            leaves it open.
    """
    driven = cause == "above the limit" or (cause in _DRIVEN and above)
    if outcome == "recovered" and driven:
        return "catapult"
    if outcome == "lost" and cause in _DRIVEN:
        return "divergence"
    return outcome
