"""From numbers to conclusions. Nothing here has seen a tensor."""

import math

from overparam._curves import MOST, fewest, middle_and_high
from overparam._statement import Level, Statement, most_urgent_first
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.label_evidence import (
    MEMORISED,
    judge,
)
from overparam.diagnosis.label_statement import label_statement
from overparam.diagnosis.noise_statement import noise_statement
from overparam.diagnosis.rate_statement import RateFindings, does_as_well, rate_statement, show

# Below this the kernel of training is the kernel of initialisation for all purposes; from the
# other on the change is of the order of the kernel itself.
KERNEL_REGIME, FEATURE_REGIME = 0.1, 0.5
# A loss that lost less than this part of itself over the last quarter of a run has stalled,
# unless it is already below INTERPOLATED times where it began.
STALLED, INTERPOLATED = 0.01, 1e-2
# Outputs that differ by less than this part of what targets do, or of one logit, are the same.
_SAME = 1e-3
# From this part of the limit on a run counts as at the edge.
_EDGE = 0.8


def conclude(found: Findings) -> list[Statement]:
    """All statements, the most urgent first."""
    return most_urgent_first([
        learning_rate(found),
        stability_of_run(found),
        spikes(found),
        progress(found),
        regime(found),
        noise(found),
        labels(found),
        generalisation(found),
        inputs(found),
    ])  # fmt: skip


def learning_rate(found: Findings) -> Statement:
    """The rate to train at, from the race; a run that diverged has the last word."""
    outcome, rate = found.outcome, found.rate
    if found.diverged:
        raced = (
            f", though trainings of {outcome.horizon} steps did not"
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
            given=rate if found.rate_given else None,
        )
    )  # fmt: skip


def rate_to_set(found: Findings) -> tuple[float, str]:
    """The rate that the statement on it ends with, and what it is."""
    outcome, rate = found.outcome, found.rate
    if found.diverged:
        lower = outcome.rate if outcome.rate < rate else rate / 4
        return lower, "this or below: the run diverged at the rate in use"
    if found.rate_given and does_as_well(outcome, rate):
        return rate, "the one in use: keep it, it does as well as the best"
    return outcome.rate, "advised for this optimizer at this batch size"


def direction(found: Findings) -> int:
    """Where the learning rate is to go: 1 for up, −1 for down, 0 for nowhere."""
    action = learning_rate(found).action
    if found.diverged:
        return -1
    return {"Raise": 1, "Lower": -1}.get(action.partition(" ")[0], 0)


def dead(found: Findings) -> bool:
    """Whether the trained network gives all examples the same outputs."""
    return found.output_spread < _SAME


def fell(found: Findings) -> bool:
    """Whether the training loss fell."""
    losses = [loss for loss in found.losses if math.isfinite(loss)]
    return len(losses) > 1 and losses[-1] < losses[0] - STALLED * abs(losses[0])


def worsened(found: Findings) -> bool:
    """Whether the test measure ended worse than it had been."""
    known = [value for value in found.test_errors if math.isfinite(value)]
    return bool(known) and known[-1] > min(known) + _slack(found, min(known), known[-1])


def _slack(found: Findings, best: float, last: float) -> float:
    """By how much the test measure may be worse at the end before it says anything."""
    if found.test_measure != "error":
        return 0.1 * best
    # Twice the standard error of the difference between two shares of as many examples.
    chance = 2 * math.sqrt(2 * last * max(1 - last, 0) / found.n_test) if found.n_test else 0.0
    return max(0.01, chance)


def stability_of_run(found: Findings) -> Statement:
    """How close to the limit of stability the run was: an explanation, not advice."""
    if found.no_limit:
        return Statement(
            "stability",
            f"Cannot tell how close the run was to its stable limit: that of {found.no_limit}.",
            math.nan, 1.0, "", "unknown",
        )  # fmt: skip
    known = sorted(ratio for ratio in found.ratios if math.isfinite(ratio))
    if not (known and math.isfinite(found.limit)):
        more = f": none of {found.unsettled} measurements settled" if found.unsettled else ""
        return Statement(
            "stability", f"Cannot tell how close the run was to its stable limit{more}.",
            math.nan, 1.0, "Give the run a larger budget.", "unknown",
        )  # fmt: skip
    if found.diverged or dead(found) or not fell(found):
        return Statement(
            "stability",
            "The stable limit is not told: that of a network that learned nothing says nothing of "
            "one that does.", math.nan, 1.0, "", "unknown",
        )  # fmt: skip
    middle, high = middle_and_high(known)
    advised, _ = rate_to_set(found)
    edge = (
        " So it trained at the edge of stability; the limit follows the rate in use, so that this "
        "is no reason to lower it, nor a ceiling for a fresh training."
        if middle > _EDGE
        else f" The limit follows the rate in use: it is no ceiling for a fresh training at "
        f"{show(advised)}."
        if advised > found.limit
        else ""
    )
    left_out = f" ({found.unsettled} more did not settle)" if found.unsettled else ""
    return Statement(
        "stability",
        f"The stable limit, above which small errors grow, was {show(found.limit)} in the median "
        f"of {len(known)} measurements{left_out}; the run used {show(middle)} of it in the median, "
        f"{show(high)} in the highest tenth.{edge}",
        middle, 1.0, "", "info",
    )  # fmt: skip


_CAUSES = {
    "catapult": "catapult (the rate exceeded its limit, the curvature fell, training recovered)",
    "above the limit": "from a rate above its limit",
    "rate raised": "from a rate that was raised at once",
    "bad batch": "from the data (the batch was unusual, the curvature was not)",
    "hard batch": "one hard batch (small, and over at once)",
    "data switched": "from data that are others from there on",
    "weights changed": "from weights that something else than the optimizer changed",
    "state lost": "from an optimizer whose moments were lost",
    "stale moments": "from second moments that no longer fit the gradients",
    "gradient scale": "from a gradient of the wrong scale",
    "numerical": "from a gradient that was not finite",
    "divergence": "divergence (the loss did not return)",
    "non-finite": "not a number",
    "unexplained": "unexplained (not measured in time)",
}
# What to do about each, the most urgent first.
_ACTIONS = {
    "weights changed": "Find what writes to the weights; layers are listed under loss spikes.",
    "state lost": "Find what resets the optimizer at the step listed under loss spikes.",
    "gradient scale": "Look at loss scale and clipping at the step listed under loss spikes.",
    "numerical": "Look at the layer whose gradient is not finite, listed under loss spikes.",
    "stale moments": "Lower the optimizer's second beta, or clip its updates.",
    "data switched": "Compare the data before and after the step listed under loss spikes.",
    "bad batch": "Look at the examples of these batches, listed under loss spikes.",
    "rate raised": "Raise the rate in several steps.",
    "catapult": "Leave them: catapults flatten the loss and often help the test error.",
    "above the limit": "Leave them, unless the loss does not come back.",
    "hard batch": "Leave them.",
}


def spikes(found: Findings) -> Statement:
    """What the loss spikes were."""
    kinds = [str(event["kind"]) for event in found.events]
    counts = {kind: kinds.count(kind) for kind in _CAUSES if kind in kinds}
    lower = "" if direction(found) > 0 else "Lower the rate, as above."
    if found.outcome.rate < found.rate:
        lower = f"Lower the rate to {show(found.outcome.rate)}."
    if not counts and found.diverged:
        text = "Training diverged: the last step left a loss that is not finite."
        return Statement("spikes", text, 0.0, 0.0, lower, "critical")
    if not counts:
        level: Level = "info" if dead(found) or not fell(found) else "good"
        return Statement("spikes", "The loss had no spikes.", 0.0, 0.0, "", level)
    told = "; ".join(f"{count} × {_CAUSES[kind]}" for kind, count in counts.items())
    text = f"The loss spiked {len(kinds)} time{'s' if len(kinds) > 1 else ''}: {told}."
    causes = {str(event.get("cause") or event["kind"]) for event in found.events}
    others = [_ACTIONS[cause] for cause in _ACTIONS if cause in causes - {"above the limit"}]
    lost = any(event.get("outcome") in ("lost", "divergence") for event in found.events)
    if found.diverged or lost or "non-finite" in counts or "divergence" in counts:
        # A lower rate mends what the rate did, and hides the rest.
        apart = causes.isdisjoint(("above the limit", "unexplained", "divergence", "non-finite"))
        action = others[0] if apart and others else lower
        return Statement("spikes", text, len(kinds), 0.0, action, "critical")
    known = [_ACTIONS[kind] for kind in _ACTIONS if kind in causes | counts.keys()]
    action = known[0] if known else "Give the monitor a larger overhead to learn the cause."
    return Statement("spikes", text, len(kinds), 0.0, action, "info")


def progress(found: Findings) -> Statement:
    """Whether training is done, under way or stuck."""
    losses = [loss for loss in found.losses if math.isfinite(loss)]
    cut = (
        f" The budget ended the run after {found.steps} of {found.cut} steps." if found.cut else ""
    )
    if len(losses) < 8:
        return Statement(
            "progress", f"Cannot tell whether training is stuck: the run was too short.{cut}",
            math.nan, STALLED, "Give it a larger budget.", "unknown",
        )  # fmt: skip
    left = _part(losses[-1], losses[0])
    late = losses[-max(len(losses) // 4, 2) :]
    lost = _lost(late[-1], late[0])
    told = f"The training loss went from {show(losses[0])} to {show(losses[-1])}"
    if dead(found):
        return Statement(
            "progress", f"{told}: the network is dead, it gives all examples the same outputs.",
            found.output_spread, _SAME,
            "Start again, at a lower rate." if direction(found) < 0 else
            "Start again from other weights; look at the initialisation and the inputs' scale.",
            "critical",
        )  # fmt: skip
    if not memorising(found) and (left < INTERPOLATED or found.train_error == 0):
        return Statement(
            "progress", f"{told}: the network interpolates its training set.{cut}",
            left, INTERPOLATED, "", "good",
        )  # fmt: skip
    if memorising(found):
        return Statement(
            "progress", f"{told}, in part by learning labels that look wrong.{cut}", lost, STALLED,
            "", "info",
        )  # fmt: skip
    if lost < STALLED:
        action = (
            "Change the rate first, as advised."
            if direction(found)
            else "Decay the rate; if that does not help, widen the network."
        )
        return Statement(
            "progress",
            f"{told} and is stuck: over the last quarter it {_late(lost)}.{cut}",
            lost, STALLED, action, "warning",
        )  # fmt: skip
    action = "Change the rate first, as advised." if direction(found) else "Train longer."
    if worsened(found):
        action = ""
    return Statement(
        "progress",
        f"{told} and was still falling, by {show(100 * lost)} % over the last quarter.{cut}",
        lost, STALLED, action, "info",
    )  # fmt: skip


def _part(last: float, first: float) -> float:
    """What is left of a loss that may have been zero."""
    return last / first if first else (math.inf if last else 0.0)


def _lost(last: float, first: float) -> float:
    """The part of a loss that went; below zero if it rose."""
    if first:
        return (first - last) / abs(first)
    return -math.inf if last > 0 else 0.0


def _late(lost: float) -> str:
    """What a loss did that lost so little of itself."""
    if lost > 0:
        return f"lost {show(100 * lost)} %"
    return (
        f"did not fall, it rose by {show(-100 * lost)} %"
        if -math.inf < lost < 0
        else ("did not fall")
    )


def regime(found: Findings) -> Statement:
    """Kernel regime, feature learning, or between."""
    change, error = found.kernel_change, found.linearization_error
    if not math.isfinite(change):
        return Statement(
            "regime", "Cannot tell whether features were learned: the kernel was not measured.",
            change, FEATURE_REGIME, "", "unknown",
        )  # fmt: skip
    if found.diverged or dead(found) or not fell(found):
        return Statement(
            "regime", "Cannot tell whether features were learned: the loss did not fall.", change,
            FEATURE_REGIME, "", "unknown",
        )  # fmt: skip
    also = (
        f" A linearization at the start misses {show(100 * error)} % of what was learned."
        if math.isfinite(error)
        else ""
    )
    size = f"{show(100 * change)} % of" if change < 2 else f"{show(change)} times"
    moved = f"the tangent kernel changed by {size} its norm."
    if change < KERNEL_REGIME:
        return Statement(
            "regime", f"Kernel regime: {moved}{also}", change, KERNEL_REGIME,
            "A kernel method would do as well; a narrower network would learn features.", "info",
        )  # fmt: skip
    if change < FEATURE_REGIME:
        return Statement(
            "regime", f"Between kernel and feature learning: {moved}{also}", change,
            FEATURE_REGIME, "", "info",
        )  # fmt: skip
    return Statement(
        "regime", f"Feature learning: {moved}{also}", change, FEATURE_REGIME, "", "good"
    )


def noise(found: Findings) -> Statement:
    """How noisy the gradients of the run were; of a network that was lost nothing is said."""
    return noise_statement(
        found.noise,
        batch_size=found.examples_per_step or found.batch_size,
        times=found.noise_times,
        lost=found.diverged or dead(found),
    )


def labels(found: Findings) -> Statement:
    """Which labels look wrong, and when to stop."""
    return label_statement(
        found.label_evidence if found.labels else None,
        labels=found.labels,
        needed=found.labels_need,
    )


def memorising(found: Findings) -> bool:
    """Whether the network was learning labels that look wrong: then a lower loss is no aim."""
    evidence = found.label_evidence
    return (
        evidence is not None and evidence.learned >= MEMORISED and judge(evidence).kind == "random"
    )


def generalisation(found: Findings) -> Statement:
    """How the test measure ended against its best."""
    known = [value for value in found.test_errors if math.isfinite(value)]
    if not known:
        return Statement(
            "test", "No test examples, so nothing is said of generalisation.", math.nan, math.nan,
            "", "unknown",
        )  # fmt: skip
    if found.diverged:
        return Statement(
            "test", "Cannot tell how the network generalises: training diverged.", math.nan,
            math.nan, "", "unknown",
        )  # fmt: skip
    best, last, what = min(known), known[-1], found.test_measure
    shown = (lambda v: f"{show(100 * v)} %") if what == "error" else show
    slack = _slack(found, best, last)
    if worsened(found):
        return Statement(
            "test", f"The test {what} ended at {shown(last)}, after a best of {shown(best)}.",
            last, best + slack, "Stop earlier, or regularise.", "info",
        )  # fmt: skip
    # Not to have got worse is no merit of a network that has learned little.
    level: Level = "good" if last <= max(known) / 2 else "info"
    return Statement(
        "test", f"The test {what} ended at {shown(last)}, its best being {shown(best)}.",
        last, best + slack, "", level,
    )  # fmt: skip


def inputs(found: Findings) -> Statement:
    """Which inputs the trained network looks at."""
    shares = [share for share in found.input_share if math.isfinite(share)]
    if not shares or sum(shares) <= 0:
        return Statement(
            "inputs", "Cannot tell which inputs matter: the gradients were not measured.",
            math.nan, math.nan, "", "unknown",
        )  # fmt: skip
    order = sorted(range(len(shares)), key=lambda i: -shares[i])
    count, even = fewest(shares), MOST * len(shares)
    if found.input_names:
        top = ", ".join(f"{found.input_names[i]} ({show(100 * shares[i])} %)" for i in order[:3])
        most = f" Most: {top}."
    else:
        most = ""
    kind = "pixels" if found.image else "inputs"
    return Statement(
        "inputs",
        f"{count:,} of {len(shares):,} {kind} hold 90 % of the network's sensitivity; spread "
        f"evenly it would be {math.ceil(even):,}.{most}",
        count, even,
        "Check that these are what the answer should depend on." if found.input_names else "",
        "info",
    )  # fmt: skip
