"""The learning rate of a diagnosis: what the race found, and what the run at it showed."""

import math

from overparam._statement import Statement
from overparam._told import real as show
from overparam.diagnosis.budget import RACE
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.rate_statement import (
    RateFindings,
    as_good,
    does_as_well,
    rate_statement,
)


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
        return Statement(
            "learning_rate", f"At the rate {show(rate)} the run diverged{raced}.", rate, rate,
            f"Train at {show(lower)} or below.", "critical",
        )  # fmt: skip
    return rate_statement(
        RateFindings(
            outcome=outcome, optimizer=found.optimizer, batch_size=found.batch_size,
            given=rate if found.rate_given else None, share=RACE,
        )
    )  # fmt: skip


def rate_to_set(found: Findings) -> tuple[float, str]:
    """The rate that the statement on it ends with, and what it is."""
    outcome, rate = found.outcome, found.rate
    if found.diverged:
        lower = outcome.rate if outcome.rate < rate else rate / 4
        return lower, "this or below: the run diverged at the rate in use"
    if found.rate_given and does_as_well(outcome, rate):
        return rate, f"the one in use: {_why_kept(found)}"
    if found.rate_given and outcome.learned and rate not in outcome.own:
        return outcome.rate, "did best; there was no time to compare the one in use with it"
    return outcome.rate, "advised for this optimizer at this batch size"


def _why_kept(found: Findings) -> str:
    """Why the rate in use need not be changed."""
    if as_good(found.outcome, found.rate):
        return "keep it, it did as well as the best"
    if found.outcome.verdict in ("rough", "between"):
        return "nothing found in this budget speaks against it"
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
