"""Whether training is done, under way or stuck, in words."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

from overparam._statement import Statement
from overparam._told import real as show
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.rate_of_run import LABELS_FIRST, direction, waits_for_labels
from overparam.diagnosis.run_facts import (
    KERNEL_REGIME,
    SAME,
    STALLED,
    carries_nothing,
    cut_short,
    dead,
    ending,
    fell,
    larger,
    memorising,
    worsened,
)

# A loss below this part of where it began is that of a network that interpolates.
INTERPOLATED = 1e-2
# Losses that tell a trend; a loss that chance moves by more than this part is not called stuck.
_FEWEST, _NOISY = 8, 0.05


def progress(found: Findings) -> Statement:
    """Whether training is done, under way or stuck."""
    losses = [loss for loss in found.losses if math.isfinite(loss)]
    cut = ending(found)
    if found.diverged:
        told = (
            f"The run's training loss went from {show(losses[0])} to {show(losses[-1])}, then it"
            if losses
            else "The run"
        )
        return Statement(
            "progress", f"{told} diverged.{cut}", math.nan, STALLED,
            "Change the rate first, as advised.", "critical",
        )  # fmt: skip
    if len(losses) < _FEWEST:
        return Statement(
            "progress", f"Cannot tell whether training is stuck: the run was too short.{cut}",
            math.nan, STALLED, _see_more(found), "unknown",
        )  # fmt: skip
    left, quarter = _part(losses[-1], losses[0]), max(len(losses) // 4, 2)
    # A spike or two make a mean; what a run does between them is told by the median.
    level, what = (median, "median") if found.events else (fmean, "mean")
    before = level(losses[-2 * quarter : -quarter])
    # A loss below zero has no part: what it lost of its fall tells whether that goes on.
    fall = before <= 0 and losses[0] > before
    size = losses[0] - before if fall else abs(before)
    lost = _lost(level(losses[-quarter:]), before, size)
    told = f"The run's training loss went from {show(losses[0])} to {show(losses[-1])}"
    if dead(found):
        return Statement(
            "progress",
            f"{told}: the network is dead, it gives all examples the same outputs.{cut}",
            found.output_spread, SAME,
            "Start again, at a lower rate." if direction(found) < 0 else
            "Start again from other weights; look at the initialisation and the inputs' scale.",
            "critical",
        )  # fmt: skip
    # A loss that goes below zero, such as a likelihood, is not at its end anywhere.
    small = left < INTERPOLATED and min(losses) >= 0
    if not memorising(found) and (small or found.train_error == 0):
        why = "" if small else " (it errs on none of its examples)"
        return Statement(
            "progress", f"{told}: the network interpolates its training set{why}.{cut}",
            left, INTERPOLATED, "", "good",
            f"Interpolating below {show(100 * INTERPOLATED)} % of the first loss.",
        )  # fmt: skip
    if memorising(found):
        return Statement(
            "progress", f"{told}, in part by learning labels that look wrong.{cut}", lost, STALLED,
            "", "info",
        )  # fmt: skip
    of_it = " of the fall" * fall
    bar = (
        f"Stuck if the last quarter is less than {show(100 * STALLED)} %{of_it} below the one "
        "before."
    )
    chance, late = _wavers(losses, quarter, size), _late(lost, what, of_it)
    wavers = lost < chance if lost >= STALLED else -lost < chance > _NOISY
    if lost < STALLED and not wavers and cut_short(found):
        # A beginning that is level says nothing of the rest: many runs warm up, or cross a plateau.
        return Statement(
            "progress", f"{told}. Cannot tell whether it is stuck: {late}.{cut}", lost,
            STALLED, _first(found) or larger(found, "sees it to its end"), "unknown",
        )  # fmt: skip
    if lost < STALLED and not wavers:
        rose = level(losses[-quarter:]) > losses[0] + abs(losses[0])
        state = "did not come down again" if rose else "is stuck"
        # One whose kernel stays would learn no more by being wider.
        wider = "" if found.kernel_change < KERNEL_REGIME else ": widen it"
        action = _first(found) or (
            "Let the rate fall over the run; what is left after that is the least that this loss "
            f"can be, noise, or beyond this network{wider}."
        )
        return Statement(
            "progress", f"{told} and {state}: {late}.{cut}", lost, STALLED, action,
            "warning", bar,
        )  # fmt: skip
    if first := _first(found, compared=True):
        action = first
    elif worsened(found):
        action = ""
    elif found.cut and found.stopped == "budget":
        action = larger(found, "sees it to its end")
    else:
        action = "Train longer."
    how = (
        f", wavering: over its last quarter it moved by {show(100 * abs(lost))} %{of_it}, within "
        "chance"
        if wavers
        else f" and was still falling: {late}"
        if fell(found)
        else f", though it was falling by then: {late}"
    )
    return Statement(
        "progress", f"{told}{how}.{cut}", lost, STALLED, action, "info", bar,
    )  # fmt: skip


def _first(found: Findings, *, compared: bool = False) -> str:
    """What comes before anything else; empty if nothing does.

    Args:
        found: What was found.
        compared: Whether a race that compared nothing is no reason to wait.
    """
    if direction(found):
        return "Change the rate first, as advised."
    if waits_for_labels(found):
        return LABELS_FIRST
    if carries_nothing(found):
        return "Do first what is said of the test error."
    if found.outcome.learned or (compared and not found.outcome.losses):
        return ""
    return "Do first what is said of the learning rate."


def _see_more(found: Findings) -> str:
    """What to do about a run of a few steps."""
    if found.cut and found.stopped == "budget":
        return larger(found, "sees it to its end")
    return f"Train for at least {_FEWEST} steps."


def _part(last: float, first: float) -> float:
    """What is left of a loss that may have been zero; `nan` of one that may be below."""
    if last < 0 or first < 0:
        return math.nan
    return last / first if first else (math.inf if last else 0.0)


def _lost(last: float, first: float, size: float) -> float:
    """The part of a size by which a loss fell; below zero if it rose."""
    if size:
        return (first - last) / size
    return -math.inf if last > 0 else 0.0


def _wavers(losses: Sequence[float], quarter: int, size: float) -> float:
    """The part of a size by which two quarters differ by chance, as their stretches tell."""
    late = losses[-2 * quarter :]
    # For normal deviations the median difference of neighbours is 0.95 standard deviations.
    deviation = median(abs(after - before) for before, after in pairwise(late)) / 0.95
    return math.sqrt(2 / quarter) * deviation / size if size else 0.0


def _late(lost: float, what: str, of_it: str) -> str:
    """What a loss did in the last quarter of the run, against the quarter before it."""
    if not math.isfinite(lost) or lost == 0:
        return "over the last quarter it did not fall"
    way = "below" if lost > 0 else "above"
    size = show(100 * abs(lost))
    return f"its {what} over the last quarter was {size} %{of_it} {way} that of the quarter before"
