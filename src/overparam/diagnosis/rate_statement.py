"""What a race says of a learning rate, in words. Nothing here has seen a tensor."""

import math
from dataclasses import dataclass

from overparam._statement import Level, Statement
from overparam._told import real as show
from overparam.diagnosis.race.outcome import NEAR, NOTHING_LEFT, Outcome, best, tolerated

# A rate beyond which the loss is so many times the best costs more than it can win.
_DEAR = 2.0
_INTERRUPTED = " The comparison was interrupted; this is the best so far."
# A loss within this part of the best is as good; below this part of the first one, as good as none.
_AS_GOOD, _GONE = 0.05, 1e-2


@dataclass(frozen=True, kw_only=True)
class RateFindings:
    """What is asked of a race.

    Attributes:
        outcome: Of the race.
        optimizer: Its name.
        batch_size: Examples per batch.
        given: The user's rate; `None` if it is for us to find one.
        to_set: The rate that the advice ends with; `None` for the pick of the race.
        share: Part of the budget that the race had.
        budget: That budget in seconds; zero if it is not known.
    """

    outcome: Outcome
    optimizer: str
    batch_size: int
    given: float | None = None
    to_set: float | None = None
    share: float = 1.0
    budget: float = 0.0


def rate_statement(found: RateFindings) -> Statement:
    """The rate to train at, what was tried to find it, and how sure that is."""
    outcome = found.outcome
    if outcome.verdict == "none":
        return _not_compared(found)
    if outcome.verdict == "nothing":
        return _nothing_learned(found)
    low, high = outcome.interval
    text = f"{comparison(found)} {_beyond(outcome)}".strip()
    if outcome.stopped == "interrupted":
        text += _INTERRUPTED
    if found.given is None:
        level: Level = "unknown" if _unsure(outcome) else "info"
        action = f"Train at {show(outcome.rate)}.{_would_tell(found)}"
        return Statement("learning_rate", text, outcome.rate, high, action, level)
    return _judged(found, text, low, high)


def comparison(found: RateFindings) -> str:
    """What was compared, what did best, and where the best rate is expected."""
    return f"{_opening(found)} {_sureness(found.outcome).strip()}"


def _opening(found: RateFindings) -> str:
    outcome = found.outcome
    tried = len({trial.rate for trial in outcome.trials})
    epochs = show(outcome.horizon / outcome.epoch)
    long = f" ({epochs} epoch{'s' * (epochs != '1')})" if outcome.horizon >= outcome.epoch else ""
    winner = _winner(found)
    first = show(winner)
    if winner == found.given != outcome.rate:
        first = f"the one in use, {first},"
    return (
        f"Of {tried} rates tried with {found.optimizer} at batch size {found.batch_size}, "
        f"{first} did best in trainings of {outcome.horizon:,} steps{long}."
    )


def _winner(found: RateFindings) -> float:
    """The rate of the least loss; of several the one to set, as in the picture beside it."""
    outcome = found.outcome
    losses = {**outcome.losses, **outcome.own}
    to_set = outcome.rate if found.to_set is None else found.to_set
    return min(sorted(losses), key=lambda rate: (losses[rate], rate != to_set))


def _unsure(outcome: Outcome) -> bool:
    return outcome.verdict in ("rough", "between")


def _would_tell(found: RateFindings) -> str:
    """What would make a rough answer a sure one."""
    return f" {_more_time(found)}" if _unsure(found.outcome) else ""


def _sureness(outcome: Outcome) -> str:
    low, high = map(show, outcome.interval)
    part = outcome.share
    short = f" That is {_of_planned(outcome)}." if part < 1 else ""
    if outcome.wide:
        ends = f"{show(outcome.bottom[0])} to {show(outcome.bottom[-1])}"
        short += f" Those from {ends} ended within {show(100 * NEAR)} % of the least loss"
        short += f"; {show(outcome.rate)} is in their middle." if outcome.centred else "."
    if not outcome.centred and outcome.rate != best(outcome.losses):
        mine, least = outcome.losses[outcome.rate], min(outcome.losses.values())
        much = "about the same loss"
        if mine > least + NEAR * abs(least):  # of a loss below zero there are no multiples
            much = (
                f"{show(mine / least)} times that loss"
                if least > 0
                else (f"a loss of {show(mine)}, against {show(least)}")
            )
        short += f" {show(outcome.rate)} ended at {much}, and is further from rates that fail."
    if outcome.verdict == "rough":
        return f"{short} So short a training tells an order of magnitude: {low} to {high}."
    if outcome.verdict == "between":
        return (
            f"{short} Another order of batches picked another rate: expect the best in {low} to "
            f"{high}."
        )
    return f"{short} Expect the best in {low} to {high}."


def _of_planned(outcome: Outcome) -> str:
    """What part the trainings are of the one that is planned, or of the run that nobody planned."""
    whole = (
        f"the run's {outcome.planned:,}" if outcome.chosen else f"the {outcome.planned:,} planned"
    )
    return f"{_fraction(outcome.share)} of {whole}"


def _fraction(part: float) -> str:
    """One over a power of two where it is that but for rounding, else in percent."""
    power = 2 ** round(math.log2(1 / part))
    return f"1/{power}" if abs(power * part - 1) < 0.02 < power - 1 else f"{show(100 * part, 2)} %"


def _beyond(outcome: Outcome) -> str:
    """What happens a step above those that did well, if that is dear."""
    above = [rate for rate in outcome.losses if rate > outcome.bottom[-1]]
    tried = outcome.again
    kept = [rate for rate, gone in tried.items() if rate == outcome.rate and not gone]
    twice = f" In another order of batches {show(kept[0])} did not diverge either." if kept else ""
    if not above:
        lost, failed = outcome.ceiling, outcome.failed
        if failed < lost and failed not in outcome.own:  # what the interval ends short of
            return f"At {show(failed)} a shorter training learned nothing."
        return f"At {show(lost)} the training diverged.{twice}" if math.isfinite(lost) else ""
    next_one = min(above)
    loss, least = outcome.losses[next_one], min(outcome.losses.values())
    if not math.isfinite(loss):
        first = min((trial.order for trial in outcome.trials), default=0)
        here = any(t.lost for t in outcome.trials if (t.rate, t.order) == (next_one, first))
        where = " in another order of batches" if tried.get(next_one) and not here else ""
        return f"At {show(next_one)} the training diverged{where}.{twice}"
    if least > 0 and loss > _DEAR * least:
        times = "over a thousand" if loss > 1e3 * least else show(loss / least)
        # The interval is of the whole training, and may hold what is too much for a short one.
        inside = outcome.share < 1 and next_one <= outcome.interval[1]
        of_it = " of so short a training" if inside else ""
        return f"At {show(next_one)} the loss{of_it} was {times} times as large."
    return ""


def _judged(found: RateFindings, text: str, low: float, high: float) -> Statement:
    """The user's rate against what the race found."""
    outcome, given = found.outcome, found.given
    assert given is not None
    mine = outcome.own.get(given, math.nan)
    least = min(outcome.losses.values())
    there = f"ended at a loss of {show(mine)}, against {show(least)}"
    if does_as_well(outcome, given):
        level: Level = "unknown" if _unsure(outcome) else "good"
        inside = low <= given <= high
        where = "lies there" if inside else f"did as well: it {there}"
        if inside and math.isfinite(mine) and not as_good(outcome, given):
            where += f", and {there}"
        if given == outcome.rate:
            text = f"{text} {show(given)} is the rate in use."
        elif given != _winner(found):
            text = f"{text} The rate in use, {show(given)}, {where}."
        action = _would_tell(found).strip()
        return Statement("learning_rate", text, given, high, action, level)
    if math.isnan(mine):
        told = f"The rate in use, {show(given)}, lies outside; there was no time to compare it."
        action = f"Try {show(outcome.rate)}. {_more_time(found)}"
        return Statement("learning_rate", f"{text} {told}", given, high, action, "unknown")
    end = "diverged" if math.isinf(mine) else f"{there} ({_judged_by(outcome)})"
    told = f"After as many steps at the rate in use, {show(given)}, the training {end}."
    above = given > outcome.rate
    if _unsure(outcome) and math.isfinite(mine):
        action = f"Try {show(outcome.rate)}. {_more_time(found)}"
        return Statement("learning_rate", f"{text} {told}", given, high, action, "unknown")
    verb = "Lower" if above else "Raise"
    level = "critical" if math.isinf(mine) else "warning"
    return Statement(
        "learning_rate", f"{text} {told}", given, high if above else low,
        f"{verb} it to {show(outcome.rate)}.", level,
    )  # fmt: skip


def _judged_by(outcome: Outcome) -> str:
    """What the losses of trainings are, which is not what the run's own loss is."""
    if outcome.averaged:
        return "means over the last quarter of the steps"
    return "on the same examples, at the end"


def does_as_well(outcome: Outcome, given: float) -> bool:
    """Whether a rate lies where the best is expected, or came as far as the best."""
    if outcome.verdict in ("none", "nothing"):
        return False
    low, high = outcome.interval
    there = low <= given <= high and not _seen_worse(outcome, given)
    return there or as_good(outcome, given)


def _seen_worse(outcome: Outcome, given: float) -> bool:
    """Whether a rate was compared and costs more than it can win, by trainings that can tell."""
    least, began = min(outcome.losses.values()), outcome.began
    gone = _GONE * began if began > 0 else 0.0
    dear = outcome.own.get(given, math.nan) > max(tolerated(least, began), gone)
    return dear and least > 0 and not _unsure(outcome)


def as_good(outcome: Outcome, given: float) -> bool:
    """Whether a rate that was compared came as far as the best."""
    least = min(outcome.losses.values())
    return outcome.own.get(given, math.nan) <= least + _AS_GOOD * abs(least)


def _not_compared(found: RateFindings) -> Statement:
    outcome = found.outcome
    if outcome.stopped == "interrupted":
        return Statement(
            "learning_rate", "Cannot tell which rate is best: interrupted before a comparison.",
            math.nan, math.nan, "", "unknown",
        )  # fmt: skip
    if not outcome.trials and 0 <= outcome.first < NOTHING_LEFT:
        return Statement(
            "learning_rate",
            f"The loss is {show(outcome.first)} before training: nothing is left to learn, and no "
            "rate moves the parameters.",
            outcome.first, NOTHING_LEFT,
            "If that is a surprise, look at the targets, and for a loss that is zero whatever the "
            "outputs are.", "info",
        )  # fmt: skip
    if not outcome.trials and outcome.step_seconds != outcome.step_seconds:
        return Statement(
            "learning_rate", "No rate moves the parameters: their gradients are zero.", 0.0, 0.0,
            "Look for units that are off for every example, and for a loss without a gradient.",
            "critical",
        )  # fmt: skip
    return Statement(
        "learning_rate", "Cannot tell which rate is best: there was no time for a comparison.",
        math.nan, math.nan, _more_time(found), "unknown",
    )  # fmt: skip


def _nothing_learned(found: RateFindings) -> Statement:
    outcome = found.outcome
    own = () if outcome.ahead else outcome.own
    rates = sorted({*outcome.losses, *own})
    whole = outcome.share == 1
    part = "" if whole else f", {_of_planned(outcome)},"
    text = (
        f"Nothing was learned in {outcome.horizon:,} steps{part} at any of {len(rates)} rates from "
        f"{show(rates[0])} to {show(rates[-1])}: none lowers the loss by 2 % below that of the "
        "smallest."
    )
    if outcome.stopped == "interrupted":
        text += " The comparison was interrupted."
    action = (
        "Look at the initialisation, the scale of the inputs and the targets."
        if whole
        else f"A longer training may begin to learn. {_more_time(found)}"
    )
    level: Level = "warning" if whole else "unknown"
    return Statement("learning_rate", text, math.nan, math.nan, action, level)


def whole_budget(outcome: Outcome, share: float) -> float:
    """Seconds in which whole trainings are compared, of which a race has a share; or `nan`."""
    if outcome.planned is None or not math.isfinite(outcome.step_seconds):
        return math.nan
    return 5 * outcome.planned * outcome.step_seconds / share


def _more_time(found: RateFindings) -> str:
    """The budget in which whole trainings are compared."""
    outcome = found.outcome
    if (outcome.chosen or outcome.planned is None) and found.budget:
        # With more of it the run would be longer, too.
        more = show(2 * found.budget, 2)
        return f"A budget of about {more} s compares longer trainings; say how long yours is to be."
    seconds = whole_budget(outcome, found.share)
    if math.isnan(seconds):
        return "Give it a larger budget."
    # Twice what was not enough at least: loading counts, and machines have other work.
    seconds = max(seconds, 2 * found.budget, 1)
    return f"A budget of about {show(seconds, 2)} s compares whole trainings."
