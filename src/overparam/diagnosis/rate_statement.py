"""What a race says of a learning rate, in words. Nothing here has seen a tensor."""

import math
from dataclasses import dataclass

from overparam._statement import Level, Statement
from overparam.diagnosis.race.outcome import NEAR, Outcome, within

# A rate beyond which the loss is so many times the best costs more than it can win.
_DEAR = 2.0
# A loss within this part of the best is as good.
_AS_GOOD = 0.05


@dataclass(frozen=True, kw_only=True)
class RateFindings:
    """What is asked of a race.

    Attributes:
        outcome: Of the race.
        optimizer: Its name.
        batch_size: Examples per batch.
        given: The user's rate; `None` if it is for us to find one.
    """

    outcome: Outcome
    optimizer: str
    batch_size: int
    given: float | None = None


def show(number: float) -> str:
    """A number as it is read aloud: three significant digits."""
    return f"{number:.3g}"


def rate_statement(found: RateFindings) -> Statement:
    """The rate to train at, what was tried to find it, and how sure that is."""
    outcome = found.outcome
    if outcome.verdict == "none":
        return _not_compared(outcome)
    if outcome.verdict == "nothing":
        return _nothing_learned(outcome)
    low, high = outcome.interval
    text = f"{_opening(found)} {_sureness(outcome).strip()} {_beyond(outcome)}".strip()
    if found.given is None:
        level: Level = "unknown" if outcome.verdict in ("rough", "between") else "info"
        action = f"Train at {show(outcome.rate)}."
        return Statement("learning_rate", text, outcome.rate, high, action, level)
    return _judged(found, text, low, high)


def _opening(found: RateFindings) -> str:
    outcome = found.outcome
    tried = len({trial.rate for trial in outcome.trials})
    epochs = outcome.horizon / outcome.epoch
    long = f" ({show(epochs)} epochs)" if epochs >= 1 else ""
    return (
        f"Of {tried} rates tried with {found.optimizer} at batch size {found.batch_size}, "
        f"{show(outcome.rate)} did best in trainings of {outcome.horizon} steps{long}."
    )


def _sureness(outcome: Outcome) -> str:
    low, high = map(show, outcome.interval)
    part = outcome.share
    short = f" That is {_fraction(part)} of the {outcome.planned} planned." if part < 1 else ""
    if outcome.verdict == "rough":
        return f"{short} So short a training tells an order of magnitude: {low} to {high}."
    if outcome.verdict == "between":
        return (
            f"{short} Another order of batches picked another rate: expect the best in {low} to "
            f"{high}."
        )
    if outcome.verdict == "flat":
        as_well = f"Any rate from {_near(outcome)} does as well"
        return f"{short} {as_well}; expect the best in {low} to {high}."
    return f"{short} Expect the best in {low} to {high}."


def _near(outcome: Outcome) -> str:
    near = within(outcome.losses, NEAR)
    return f"{show(near[0])} to {show(near[-1])}"


def _fraction(part: float) -> str:
    """One over a whole number: over a power of two where it is one but for rounding."""
    power = 2 ** round(math.log2(1 / part))
    return f"1/{power if abs(power * part - 1) < 0.02 else max(round(1 / part), 1)}"


def _beyond(outcome: Outcome) -> str:
    """What happens a step above the pick, if that is dear."""
    above = [rate for rate in outcome.losses if rate > outcome.rate]
    if not above:
        lost = outcome.ceiling
        return f"At {show(lost)} the training was lost." if math.isfinite(lost) else ""
    next_one = min(above)
    loss, least = outcome.losses[next_one], min(outcome.losses.values())
    if not math.isfinite(loss):
        return f"At {show(next_one)} the training was lost."
    if least > 0 and loss > _DEAR * least:
        times = "over a thousand" if loss > 1e3 * least else show(loss / least)
        return f"At {show(next_one)} the loss was {times} times as large."
    return ""


def _judged(found: RateFindings, text: str, low: float, high: float) -> Statement:
    """The user's rate against what the race found."""
    outcome, given = found.outcome, found.given
    assert given is not None
    mine = outcome.own.get(given, math.nan)
    least = min(outcome.losses.values())
    unsure = outcome.verdict in ("rough", "between")
    if does_as_well(outcome, given):
        level: Level = "unknown" if unsure else "good"
        where = "lies there" if low <= given <= high else f"did as well (loss {show(mine)})"
        text = f"{text} The rate in use, {show(given)}, {where}."
        return Statement("learning_rate", text, given, high, "", level)
    if math.isnan(mine):
        told = f"The rate in use, {show(given)}, lies outside; there was no time to compare it."
        return Statement("learning_rate", f"{text} {told}", given, high, "", "unknown")
    end = (
        "was lost" if math.isinf(mine)
        else f"ended at a loss of {show(mine)}, against {show(least)}"
    )  # fmt: skip
    told = f"After as many steps at the rate in use, {show(given)}, the training {end}."
    verb = "Lower" if given > high else "Raise"
    level = "critical" if math.isinf(mine) else "warning"
    return Statement(
        "learning_rate", f"{text} {told}", given, high if given > high else low,
        f"{verb} it to {show(outcome.rate)}.", level,
    )  # fmt: skip


def does_as_well(outcome: Outcome, given: float) -> bool:
    """Whether a rate lies where the best is expected, or came as far as the best."""
    if outcome.verdict in ("none", "nothing"):
        return False
    low, high = outcome.interval
    least = min(outcome.losses.values())
    mine = outcome.own.get(given, math.nan)
    return low <= given <= high or mine <= least + _AS_GOOD * abs(least)


def _not_compared(outcome: Outcome) -> Statement:
    if outcome.stopped == "interrupted":
        return Statement(
            "learning_rate", "Cannot tell which rate is best: interrupted before a comparison.",
            math.nan, math.nan, "", "unknown",
        )  # fmt: skip
    if not outcome.trials and outcome.step_seconds != outcome.step_seconds:
        return Statement(
            "learning_rate", "No rate moves the parameters: their gradients are zero.", 0.0, 0.0,
            "Look for units that are off for every example, and for a loss without a gradient.",
            "critical",
        )  # fmt: skip
    return Statement(
        "learning_rate", "Cannot tell which rate is best: there was no time for a comparison.",
        math.nan, math.nan, _more_time(outcome), "unknown",
    )  # fmt: skip


def _nothing_learned(outcome: Outcome) -> Statement:
    rates = sorted(outcome.losses)
    text = (
        f"Nothing was learned in {outcome.horizon} steps at any of {len(rates)} rates from "
        f"{show(rates[0])} to {show(rates[-1])}: none lowers the loss by 2 % below that of the "
        "smallest."
    )
    whole = outcome.share == 1
    action = (
        "Look at the initialisation, the scale of the inputs and the targets."
        if whole
        else f"A longer training may begin to learn. {_more_time(outcome)}"
    )
    level: Level = "warning" if whole else "unknown"
    return Statement("learning_rate", text, math.nan, math.nan, action, level)


def _more_time(outcome: Outcome) -> str:
    """The budget in which whole trainings are compared."""
    if outcome.planned is None or not math.isfinite(outcome.step_seconds):
        return "Give it a larger budget."
    seconds = 5 * outcome.planned * outcome.step_seconds
    return f"A budget of {max(seconds, 1):.0f} s compares whole trainings."
