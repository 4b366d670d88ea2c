"""From numbers to conclusions. Nothing here has seen a tensor."""

import math

from overparam._curves import MOST, fewest, level_at_end
from overparam._statement import Level, Statement, most_urgent_first
from overparam._told import part
from overparam._told import real as show
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.label_evidence import judge
from overparam.diagnosis.label_statement import label_statement
from overparam.diagnosis.noise_statement import noise_statement
from overparam.diagnosis.progress_statement import progress
from overparam.diagnosis.rate_of_run import direction, learning_rate, rate_to_set
from overparam.diagnosis.run_facts import (
    KERNEL_REGIME,
    carries_nothing,
    cut_short,
    dead,
    ending,
    fell,
    halved,
    larger,
    learned_nothing,
    longer,
    slack,
    unmeasured,
    worsened,
)
from overparam.diagnosis.stability_statement import stability_of_run

# From this on the change of the kernel is of the order of the kernel itself; below the other it is
# the rounding of one that does not change.
FEATURE_REGIME, _LINEAR = 0.5, 1e-6
# So many spikes that come more often than once in so many steps are no events.
_OFTEN, _SEVERAL = 20, 8
_NO_DERIVATIVES = "the derivatives were not measured"


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


# Each cause in the word that table and figure have for it, and what it means.
_CAUSES = {
    "catapult": "signs of a rate above its limit, and training recovered",
    "above the limit": "signs of a rate above its limit",
    "rate raised": "at once",
    "bad batch": "the batch was unusual: its loss is high at earlier weights, too",
    "hard batch": "small, and over at once",
    "data switched": "the data are others from there on",
    "weights changed": "by something else than the optimizer",
    "state lost": "the optimizer's moments were",
    "stale moments": "the second ones no longer fit the gradients",
    "gradient scale": "the gradient was of the wrong size",
    "numerical": "a gradient was not finite",
    "divergence": "the loss did not return",
    "non-finite": "the loss is not a number",
    "unexplained": "what was measured does not tell",
}
# What to do about each, the most urgent first.
_ACTIONS = {
    "weights changed": "Find what writes to the weights; layers are listed under loss spikes.",
    "state lost": "Find what resets the optimizer at the step listed under loss spikes.",
    "gradient scale": "Look at loss scale and clipping at the step listed under loss spikes.",
    "numerical": "Look at the layer whose gradient is not finite, listed under loss spikes.",
    "stale moments": "Lower the optimizer's second beta, or clip its updates.",
    "data switched": "Compare the data before and after the step listed under loss spikes.",
    "bad batch": "Look at the examples of an unusual batch, listed under loss spikes.",
    "rate raised": "Raise the rate in several steps.",
    "catapult": "Leave them: catapults flatten the loss and often help the test error.",
    "above the limit": "Leave them, unless the loss does not come back.",
    "hard batch": "Leave them.",
}
# What comes less often, or not at all, at a lower rate.
_OF_RATE = {"bad batch", "rate raised", "catapult", "above the limit", "hard batch"}


def spikes(found: Findings) -> Statement:
    """What the loss spikes were."""
    kinds = [str(event["kind"]) for event in found.events]
    counts = {kind: kinds.count(kind) for kind in _CAUSES if kind in kinds}
    lower = "" if direction(found) > 0 else "Lower the rate if it happens again."
    if rate_to_set(found)[0] < found.rate:
        lower = f"Lower the rate to {show(rate_to_set(found)[0])}."
    if not counts and found.diverged:
        text = "Training diverged: the last step left a loss that is not finite."
        return Statement("spikes", text, 0.0, 0.0, lower, "critical")
    if not counts:
        steps = f" in {found.steps:,} step{'s' * (found.steps > 1)}" if found.steps else ""
        but = (
            ", and the network is dead" if dead(found)
            else ", nor did it fall" if not fell(found)
            else f" of {found.cut:,}" if cut_short(found)
            else ""
        )  # fmt: skip
        level: Level = "info" if but else "good"
        return Statement("spikes", f"The loss had no spikes{steps}{but}.", 0.0, 0.0, "", level)
    told = "; ".join(f"{count} × {kind} ({_CAUSES[kind]})" for kind, count in counts.items())
    text = f"The loss spiked {len(kinds)} time{'s' if len(kinds) > 1 else ''}: {told}."
    came_back = not found.diverged and len(kinds) >= _SEVERAL
    if came_back and found.steps and _OFTEN * len(kinds) > found.steps:
        text += f" That is one in {found.steps / len(kinds):.0f} steps: batches differ so much."
    causes = {str(event.get("cause") or event["kind"]) for event in found.events}
    others = [_ACTIONS[cause] for cause in _ACTIONS if cause in causes - {"above the limit"}]
    lost = any(event.get("outcome") in ("lost", "divergence") for event in found.events)
    if found.diverged or lost or "non-finite" in counts or "divergence" in counts:
        # A lower rate mends what the rate did, and hides the rest.
        apart = causes.isdisjoint(("above the limit", "unexplained", "divergence", "non-finite"))
        action = others[0] if apart and others else lower
        if not counts.keys() & {"divergence", "non-finite"}:
            text += " Then training diverged." if found.diverged else " The loss did not come back."
        return Statement("spikes", text, len(kinds), 0.0, action, "critical")
    known = [kind for kind in _ACTIONS if kind in causes | counts.keys()]
    rate_first = "Change the rate first, as advised." if direction(found) else ""
    more = rate_first or larger(found, "leaves more time to learn the cause")
    action = _ACTIONS[known[0]] if known else more
    if known and direction(found) < 0 and known[0] in _OF_RATE:
        action = f"{rate_first} {action}" if known[0] == "bad batch" else rate_first
    return Statement("spikes", text, len(kinds), 0.0, action, "info")


def regime(found: Findings) -> Statement:
    """Kernel regime, feature learning, or between."""
    change, error = found.kernel_change, found.linearization_error
    why, action = unmeasured(found)
    if (lost := learned_nothing(found)) and (math.isfinite(change) or not why):
        return Statement(
            "regime", f"Cannot tell whether features were learned: {lost}.", change,
            FEATURE_REGIME, longer(found), "unknown",
        )  # fmt: skip
    if not math.isfinite(change):
        if not why and found.cut and found.stopped == "budget":
            action = larger(found, "leaves time to measure it")
        return Statement(
            "regime",
            f"Cannot tell whether features were learned: {why or 'the kernel was not measured'}.",
            change, FEATURE_REGIME, action, "unknown",
        )  # fmt: skip
    also = (
        f" A linearization at the start misses what was learned by {part(error)} it."
        if math.isfinite(error)
        else ""
    )
    by_then = f" by step {found.kernel_step:,}" if found.kernel_step is not None else ""
    moved = f"the tangent kernel changed by {part(change)} its norm{by_then}."
    if change < FEATURE_REGIME and cut_short(found):
        return Statement(
            "regime", f"Cannot tell yet whether features are learned: {moved}{ending(found)}",
            change, FEATURE_REGIME, larger(found, "sees it to its end"), "unknown",
        )  # fmt: skip
    bar = (
        f"Feature learning from {show(100 * FEATURE_REGIME)} % on, kernel regime below "
        f"{show(100 * KERNEL_REGIME)} %."
    )
    if change < _LINEAR:
        return Statement(
            "regime",
            "The model is linear in its parameters, as far as can be told: while it learned, its "
            "tangent kernel did not change.", change, KERNEL_REGIME, "", "info",
        )  # fmt: skip
    if change < KERNEL_REGIME:
        return Statement(
            "regime", f"Kernel regime: {moved}{also}", change, KERNEL_REGIME,
            # A kernel that stood still while next to nothing was learned may move later.
            "A kernel method would do as well; a narrower network would learn features."
            if halved(found)
            else "",
            "info",
            bar,
        )  # fmt: skip
    if change < FEATURE_REGIME:
        return Statement(
            "regime", f"Between kernel and feature learning: {moved}{also}", change,
            FEATURE_REGIME, "", "info", bar,
        )  # fmt: skip
    return Statement(
        "regime", f"Feature learning: {moved}{also}", change, FEATURE_REGIME, "", "good", bar
    )


def noise(found: Findings) -> Statement:
    """How noisy the gradients of the run were; of a network that was lost nothing is said."""
    return noise_statement(
        found.noise,
        batch_size=found.examples_per_step or found.batch_size,
        times=found.noise_times,
        unmeasured=unmeasured(found),
        lost="the run diverged" if found.diverged else "the network is dead" if dead(found) else "",
    )


def labels(found: Findings) -> Statement:
    """Which labels look wrong, and when to stop."""
    return label_statement(
        found.label_evidence if found.labels else None,
        labels=found.labels,
        needed=found.labels_need,
        held_out=found.held_out,
        turned=worsened(found),
        more_time=larger(found, "has time for one")
        if found.cut and found.stopped == "budget"
        else "Plan at least one.",
        unmeasured=unmeasured(found),
        lost=_lost_labels(found),
    )


def _lost_labels(found: Findings) -> str:
    """Why a network says nothing of labels; empty if it may, or had before it was lost."""
    if found.diverged and found.label_evidence is None:
        return "the run diverged"
    alarm = found.label_evidence is not None and judge(found.label_evidence).kind == "random"
    return "the network is dead" if dead(found) and not alarm else ""


def generalisation(found: Findings) -> Statement:
    """How the test measure ended against its best."""
    known = [value for value in found.test_errors if math.isfinite(value)]
    why, action = unmeasured(found)
    if not known and why:
        return Statement(
            "test", f"Cannot tell how the network generalises: {why}.", math.nan, math.nan, action,
            "unknown",
        )  # fmt: skip
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
    best, (last, count), what = min(known), level_at_end(known), found.test_measure
    shown = (lambda v: f"{show(100 * v)} %") if what == "error" else show
    bound = best + slack(found, best, last)
    more = "chance" if what == "error" else "a tenth"
    ended = f"The test {what} ended at {shown(last)}"
    if count > 1:
        ended += f" (the median of its last {count} values)"
    # Not to have got worse is no merit of a network that has learned little.
    half = known[0] / 2
    bar = (
        f"Good up to half of its first value, {shown(half)}; worse than the best by more than "
        f"{more} from {shown(bound)} on."
    )
    if carries_nothing(found):
        guess, wrong = show(100 * found.test_guess), show(100 * found.train_error)
        return Statement(
            "test",
            f"{ended}, its best being {shown(best)}: no better than always answering the most "
            f"frequent class ({guess} %), though of the training examples {wrong} % are answered "
            "wrongly. What was learned does not carry over.",
            last, found.test_guess,
            "Check that inputs and labels belong together; if they do, give more examples, or "
            "regularise.", "warning",
        )  # fmt: skip
    if worsened(found):
        return Statement(
            "test", f"{ended}, after a best of {shown(best)}.", last, bound, _when_worse(found),
            "info", bar,
        )  # fmt: skip
    # Half of a loss that was zero, or below, is no bar.
    level: Level = "good" if last <= half and known[0] > 0 else "info"
    its_best = "its best" if last <= best else f"its best being {shown(best)}"
    return Statement("test", f"{ended}, {its_best}.", last, bound, "", level, bar)


def _when_worse(found: Findings) -> str:
    """What to do about a test measure that turned; at another rate it may not."""
    if direction(found):
        return "Change the rate first, as advised; if it turns again, stop earlier, or regularise."
    if found.outcome.losses and not found.outcome.learned and not fell(found):
        return "Do first what is said of the learning rate."
    return "Stop earlier, or regularise."


def inputs(found: Findings) -> Statement:
    """Which inputs the trained network looks at."""
    shares = [share for share in found.input_share if math.isfinite(share)]
    if dead(found):  # what is left of it is rounding
        shares = []
    if not shares or sum(shares) <= 0:
        why = (
            unmeasured(found)[0]
            if found.unmeasured
            else "outputs have no derivative by inputs that are no real numbers"
            if not found.numeric
            else "the run diverged"
            if found.diverged
            else "the network is dead"
            if dead(found)
            else _NO_DERIVATIVES
            if not shares
            else "no input changes the outputs"
        )
        action = unmeasured(found)[1]
        if why == _NO_DERIVATIVES and found.cut and found.stopped == "budget":
            action = larger(found, "leaves time for them")
        return Statement(
            "inputs", f"Cannot tell which inputs matter: {why}.", math.nan, math.nan, action,
            "unknown",
        )  # fmt: skip
    if cut_short(found) and not fell(found):  # that is what it looked at when it was made
        return Statement(
            "inputs", f"Cannot tell which inputs matter: {learned_nothing(found)}.", math.nan,
            math.nan, longer(found), "unknown",
        )  # fmt: skip
    order = sorted(range(len(shares)), key=lambda i: -shares[i])
    count, even = fewest(shares), MOST * len(shares)
    if found.input_names:
        top = ", ".join(f"{found.input_names[i]} ({show(100 * shares[i])} %)" for i in order[:3])
        most = f" Most: {top}."
    else:
        most = ""
    kind = "pixels" if found.image else "inputs"
    verb = "holds" if count == 1 else "hold"
    return Statement(
        "inputs",
        f"{count:,} of {len(shares):,} {kind} {verb} 90 % of the network's sensitivity; spread "
        f"evenly it would be {math.ceil(even):,}.{most}",
        count, even,
        "Check that these are what the answer should depend on." if found.input_names else "",
        "info",
    )  # fmt: skip
