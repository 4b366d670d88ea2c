"""The learning rate of a diagnosis: what the race found, and what the run at it showed."""

import math
from dataclasses import replace

from overparam._statement import Statement
from overparam._told import real as show
from overparam.diagnosis.budget import RACE
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.race.outcome import SHORT_OF, Outcome, best
from overparam.diagnosis.rate_statement import (
    RateFindings,
    as_good,
    comparison,
    does_as_well,
    rate_statement,
)
from overparam.diagnosis.run_facts import dead, mislabelled

LABELS_FIRST = "Do first what is said of labels."
# A schedule that comes to this part of its rate has reached it.
_REACHED = 0.95


def learning_rate(found: Findings) -> Statement:
    """The rate to train at, from the race; a run that diverged has the last word."""
    outcome, rate = found.outcome, found.rate
    if found.diverged:
        raced = (
            f", though the race's trainings of {outcome.horizon:,} steps did not"
            if math.isfinite(outcome.losses.get(rate, math.inf))
            else ""
        )
        lower, _ = rate_to_set(found)
        below = "" if _known_below(found) else " or below"
        where = (
            f"On the way to the rate {show(rate)}, at {show(found.highest)},"
            if short_of_its_rate(found)
            else f"At the rate {show(rate)}"
        )
        told = f"{where} the run diverged{raced}."
        if not below:  # what the rate to train at rests on
            told += f" {comparison(_raced(found))}"
        return Statement(
            "learning_rate", told, rate, rate, f"Train at {show(lower)}{below}.", "critical"
        )
    said = rate_statement(_raced(found))
    if found.outcome.verdict == "nothing" and dead(found):
        # More time teaches a network nothing that gives all examples the same outputs.
        said = replace(said, action="Do first what is said of progress.")
    if said.level == "good" and dead(found):  # a bias learns the mean at many a rate
        said = replace(said, level="info")
    if _labels_first(found) and said.level == "warning":
        said = replace(
            said, text=f"{said.text} Labels that look wrong are part of it: lower is no aim.",
            action=LABELS_FIRST, level="info",
        )  # fmt: skip
    if found.rate_given and math.isinf(found.outcome.own.get(rate, 0.0)):
        went_on = "The race gives up at a thousand times the first loss; the run went on."
        said = replace(said, text=f"{said.text} {went_on}")
    if not short_of_its_rate(found):
        return said
    far = f"The run did not reach {show(rate)}: its schedule had come to {show(found.highest)}."
    return replace(said, text=f"{said.text} {far}")


def _raced(found: Findings) -> RateFindings:
    return RateFindings(
        outcome=found.outcome, optimizer=found.optimizer, batch_size=found.batch_size,
        given=found.rate if found.rate_given else None, to_set=rate_to_set(found)[0], share=RACE,
        budget=found.budget if math.isfinite(found.budget) else 0.0,
    )  # fmt: skip


def _labels_first(found: Findings) -> bool:
    """Whether losses of trainings compare how well they learn labels that look wrong.

    They look wrong to a network that has fitted the rest: what it has still to learn are they.
    """
    compared = math.isfinite(found.outcome.own.get(found.rate, math.nan))
    return found.rate_given and compared and not found.diverged and mislabelled(found)


def waits_for_labels(found: Findings) -> bool:
    """Whether the statement on the rate leaves it to what is said of labels."""
    return learning_rate(found).action == LABELS_FIRST


def short_of_its_rate(found: Findings) -> bool:
    """Whether the run ended before its schedule had reached the rate that it was given."""
    return found.highest < _REACHED * found.rate


def rate_to_set(found: Findings) -> tuple[float, str]:
    """The rate that the statement on it ends with, and what it is."""
    outcome, rate = found.outcome, found.rate
    peak = ", the peak of its schedule" if found.scheduled else ""
    if found.diverged:
        if _known_below(found):
            return outcome.rate, f"{_merit(outcome)}{peak}; the run diverged at a far higher one"
        lower = outcome.rate if outcome.rate < rate else rate / 4
        return lower, f"this or below{peak}; the run diverged at a higher one"
    if found.rate_given and does_as_well(outcome, rate):
        return rate, f"the one in use{peak}; {_why_kept(found)}"
    if _labels_first(found) and found.outcome.learned:
        return rate, f"the one in use{peak}; labels that look wrong come first"
    if not outcome.learned:
        why = "none lowered the loss" if outcome.losses else "there was no time to compare any"
        return math.nan, f"no rate is advised: {why}"
    if found.rate_given and rate not in outcome.own:
        untold = "there was no time to compare the one in use with it"
        return outcome.rate, f"{_merit(outcome)}{peak}; {untold}"
    advised = "advised for this optimizer at this batch size"
    merit = _merit(outcome)
    return outcome.rate, f"{advised if merit == 'did best' else merit}{peak}"


def _merit(outcome: Outcome) -> str:
    """What the advised rate is among those that were compared."""
    if outcome.centred:
        return "in the middle of those that did about as well"
    if outcome.rate != best(outcome.losses):
        return "half of the one that did best, which is next to rates that fail"
    return "did best"


def interval_to_set(found: Findings) -> tuple[float, float]:
    """Where the best rate is expected, short of one at which the run diverged."""
    low, high = found.outcome.interval
    if not found.diverged or high < found.rate:
        return low, high
    high = found.rate * SHORT_OF
    return (low, high) if low < high else (math.nan, math.nan)


def _known_below(found: Findings) -> bool:
    """Whether a run diverged at a rate far above all where the best is expected."""
    return found.outcome.learned and found.outcome.interval[1] < found.rate


def _why_kept(found: Findings) -> str:
    """Why the rate in use need not be changed."""
    if as_good(found.outcome, found.rate):
        return "keep it, it did as well as the best"
    if found.outcome.verdict == "rough":
        return "it lies in the order of magnitude, and so short trainings tell no more"
    if found.outcome.verdict == "between":
        return "it lies where the best is expected, and two orders of batches disagree on more"
    return "keep it, it lies where the best is expected"


def direction(found: Findings) -> int:
    """Where the learning rate is to go: 1 for up, −1 for down, 0 for nowhere."""
    action = learning_rate(found).action
    if found.diverged:
        return -1
    verb = action.partition(" ")[0]
    if verb == "Try":
        return 1 if found.outcome.rate > found.rate else -1
    return {"Raise": 1, "Lower": -1}.get(verb, 0)
