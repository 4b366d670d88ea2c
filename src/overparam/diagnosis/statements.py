"""From numbers to conclusions. Nothing here has seen a tensor."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overparam._statement import Level, Statement, most_urgent_first
from overparam.diagnosis.label_evidence import (
    LEAST,
    MEMORISED,
    LabelEvidence,
    LabelVerdict,
    judge,
    largest_error,
)

# Below this the kernel of training is the kernel of initialisation for all purposes; from the
# other on the change is of the order of the kernel itself.
KERNEL_REGIME, FEATURE_REGIME = 0.1, 0.5
# A loss that lost less than this part of itself over the last quarter of a run has stalled,
# unless it is already below INTERPOLATED times where it began.
STALLED, INTERPOLATED = 0.01, 1e-2
# Rates within this factor of the advised one are left alone.
CLOSE = 3.0


@dataclass(frozen=True, kw_only=True)
class AtStart:
    """What is measured of the network before it is trained; see `measure.before_run`.

    Attributes:
        initial_limit: Stable limit of the learning rate.
    """

    initial_limit: float = math.nan


@dataclass(frozen=True, kw_only=True)
class AtEnd:
    """What is measured of the trained network; see `measure.after_run`.

    Attributes:
        batch_regimes: (m1*, m2*).
        kernel_change: ‖K_T − K_0‖_F / ‖K_0‖_F.
        linearization_error: ‖f_T − f_lin‖ / ‖f_T − f_0‖ on the probe.
        input_share: Part of the average gradient outer product's trace held by each input.
    """

    batch_regimes: tuple[float, float] = (math.nan, math.nan)
    kernel_change: float = math.nan
    linearization_error: float = math.nan
    input_share: Sequence[float] = ()


@dataclass(frozen=True, kw_only=True)
class Findings(AtStart, AtEnd):
    """The numbers a diagnosis concludes from; `nan` or `None` where none was measured.

    Attributes:
        optimizer: Its name.
        rate: Learning rate of the monitored run.
        rate_given: Whether the user chose it.
        advised: The advised rate.
        limit: Stable limit along the edge of stability.
        batch_size: Of the run.
        n_train: Training examples.
        momentum: The advised momentum.
        ratios: Learning rate over critical rate at every measurement of the run.
        events: The run's loss spikes, as in the JSON.
        losses: Training loss, smoothed, at equal distances from start to end.
        train_error: Share of training examples classified wrongly at the end.
        test_errors: Test error (or test loss, see `test_measure`) along the run.
        test_measure: ``"error"`` or ``"loss"``.
        labels: Whether every example has a class label, so that labels could be judged.
        label_evidence: What was counted of the labels; `None` without an epoch to judge them at.
        epochs: Epochs trained.
        input_names: Their names; empty if they have none.
        image: Whether inputs are images.
        overhead: Part of the run's time that the monitor took.
        diverged: Whether the loss was not finite at the end.
    """

    optimizer: str
    rate: float
    rate_given: bool
    advised: float
    limit: float
    batch_size: int
    n_train: int
    momentum: float = math.nan
    ratios: Sequence[float] = ()
    events: Sequence[Mapping[str, Any]] = ()
    losses: Sequence[float] = ()
    train_error: float = math.nan
    test_errors: Sequence[float] = ()
    test_measure: str = "error"
    labels: bool = False
    label_evidence: LabelEvidence | None = None
    epochs: float = 0.0
    input_names: Sequence[str] = ()
    image: bool = False
    overhead: float = math.nan
    diverged: bool = False


def conclude(found: Findings) -> list[Statement]:
    """All statements, the most urgent first."""
    return most_urgent_first([
        learning_rate(found),
        stability_of_run(found),
        spikes(found),
        progress(found),
        regime(found),
        labels(found),
        generalisation(found),
        batch_size(found),
        inputs(found),
    ])  # fmt: skip


def show(number: float) -> str:
    """A number as it is read aloud: three significant digits."""
    return f"{number:.3g}"


def learning_rate(found: Findings) -> Statement:
    """The rate against its limit, and what to use."""
    name, rate, limit = "learning_rate", found.rate, found.limit
    if math.isnan(limit):
        return Statement(
            name,
            f"Cannot tell how large a rate {found.optimizer} allows: its limit is not known, or "
            "a short training did not reach it.",
            rate, limit, "Sweep the rate in factors of 2 around the one in use.", "unknown",
        )  # fmt: skip
    grown = found.initial_limit / limit
    moved = (
        f" At initialisation the limit was {show(found.initial_limit)}; "
        f"training {'lowered' if grown > 1 else 'raised'} it {show(max(grown, 1 / grown))}-fold."
        if grown > 2 or grown < 0.5
        else ""
    )
    held = f"The largest learning rate that holds for {found.optimizer} is {show(limit)}"
    if not found.rate_given:
        return Statement(
            name, f"{held} at batch size {found.batch_size}.{moved}", found.advised, limit,
            f"Train at {show(found.advised)}.", "info",
        )  # fmt: skip
    if rate > limit:
        level: Level = "critical" if rate > 2 * limit else "warning"
        return Statement(
            name, f"The rate {show(rate)} is {show(rate / limit)} times the limit. {held}.{moved}",
            rate, limit, f"Lower it to {show(found.advised)}, or expect spikes.", level,
        )  # fmt: skip
    if rate < found.advised / CLOSE:
        return Statement(
            name,
            f"The rate {show(rate)} uses {show(100 * rate / limit)} % of what is stable. "
            f"{held}.{moved}",
            rate, limit, f"Raise it to {show(found.advised)}: fewer steps, same result.", "warning",
        )  # fmt: skip
    return Statement(
        name, f"The rate {show(rate)} is well chosen. {held}.{moved}", rate, limit, "", "good"
    )


def stability_of_run(found: Findings) -> Statement:
    """How close to the edge the run was."""
    known = [ratio for ratio in found.ratios if math.isfinite(ratio)]
    if not known:
        return Statement(
            "stability", "Cannot tell how close the run was to instability: not measured.",
            math.nan, 1.0, "Give the run a larger budget.", "unknown",
        )  # fmt: skip
    beyond = sum(ratio > 1 for ratio in known) / len(known)
    largest = max(known)
    measured = f"at {len(known)} measurements"
    if beyond > 0.5:
        return Statement(
            "stability",
            f"The run lived beyond the edge of stability: the rate exceeded its limit "
            f"{measured} in {show(100 * beyond)} % of cases, by up to {show(largest)} times.",
            largest, 1.0, "Lower the rate if the loss is noisy at the end, or decay it.", "warning",
        )  # fmt: skip
    if beyond > 0:
        return Statement(
            "stability",
            f"The run trained at the edge of stability: the rate reached {show(largest)} times "
            f"its limit, above 1 in {show(100 * beyond)} % of {len(known)} measurements.",
            largest, 1.0, "", "good",
        )  # fmt: skip
    return Statement(
        "stability",
        f"The run stayed stable: the rate reached {show(largest)} of its limit {measured}.",
        largest, 1.0,
        "There is room for a larger rate." if largest < 0.3 else "", "good",
    )  # fmt: skip


_CAUSES = {
    "catapult": "catapult (the rate exceeded its limit, the curvature fell, training recovered)",
    "bad batch": "from the data (the batch was unusual, the curvature was not)",
    "divergence": "divergence (the loss did not return)",
    "non-finite": "not a number",
    "unexplained": "unexplained (not measured in time)",
}


def spikes(found: Findings) -> Statement:
    """What the loss spikes were."""
    kinds = [str(event["kind"]) for event in found.events]
    counts = {kind: kinds.count(kind) for kind in _CAUSES if kind in kinds}
    lower = (
        f"Lower the rate to {show(found.advised)} or below."
        if math.isfinite(found.advised)
        else "Lower the rate."
    )
    if not counts and found.diverged:
        text = "Training diverged: the last step left a loss that is not finite."
        return Statement("spikes", text, 0.0, 0.0, lower, "critical")
    if not counts:
        return Statement("spikes", "The loss had no spikes.", 0.0, 0.0, "", "good")
    told = "; ".join(f"{count} × {_CAUSES[kind]}" for kind, count in counts.items())
    text = f"The loss spiked {len(kinds)} time{'s' if len(kinds) > 1 else ''}: {told}."
    if found.diverged or "non-finite" in counts or "divergence" in counts:
        return Statement("spikes", text, len(kinds), 0.0, lower, "critical")
    if "bad batch" in counts:
        return Statement(
            "spikes", text, len(kinds), 0.0,
            "Look at the examples of these batches (events, ids), and at the suspects.", "info",
        )  # fmt: skip
    action = (
        "Leave them: catapults flatten the loss and often help the test error."
        if "catapult" in counts
        else "Give the monitor a larger overhead to learn the cause."
    )
    return Statement("spikes", text, len(kinds), 0.0, action, "info")


def progress(found: Findings) -> Statement:
    """Whether training is done, under way or stuck."""
    losses = [loss for loss in found.losses if math.isfinite(loss)]
    if len(losses) < 8:
        return Statement(
            "progress", "Cannot tell whether training is stuck: the run was too short.",
            math.nan, STALLED, "Give it a larger budget.", "unknown",
        )  # fmt: skip
    left = losses[-1] / losses[0]
    late = losses[-max(len(losses) // 4, 2) :]
    fell = 1 - late[-1] / late[0]
    told = f"The training loss went from {show(losses[0])} to {show(losses[-1])}"
    if not memorising(found) and (left < INTERPOLATED or found.train_error == 0):
        return Statement(
            "progress", f"{told}: the network interpolates its training set.",
            left, INTERPOLATED, "", "good",
        )  # fmt: skip
    if memorising(found):
        return Statement(
            "progress", f"{told}, in part by learning labels that look wrong.", fell, STALLED,
            "", "info",
        )  # fmt: skip
    if fell < STALLED:
        used = max((ratio for ratio in found.ratios if math.isfinite(ratio)), default=math.nan)
        if used < 0.2 and found.advised > found.rate:
            action = f"Raise the rate to {show(found.advised)}."
        elif used > 0.8:
            action = "Decay the rate: at the edge of stability the batches' noise keeps it up."
        elif math.isfinite(found.momentum):
            action = "Use momentum or MaSS as advised; if that does not help, widen the network."
        else:
            action = "Decay the rate, or widen the network."
        return Statement(
            "progress",
            f"{told} and is stuck: it lost {show(100 * max(fell, 0))} % over the last quarter.",
            fell, STALLED, action, "warning",
        )  # fmt: skip
    return Statement(
        "progress",
        f"{told} and was still falling, by {show(100 * fell)} % over the last quarter.",
        fell, STALLED, "Train longer.", "info",
    )  # fmt: skip


def regime(found: Findings) -> Statement:
    """Kernel regime, feature learning, or between."""
    change, error = found.kernel_change, found.linearization_error
    if not math.isfinite(change):
        return Statement(
            "regime", "Cannot tell whether features were learned: the kernel was not measured.",
            change, FEATURE_REGIME, "", "unknown",
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
            "A kernel method would do as well; for feature learning raise the rate or narrow "
            "the network.", "info",
        )  # fmt: skip
    if change < FEATURE_REGIME:
        return Statement(
            "regime", f"Between kernel and feature learning: {moved}{also}", change,
            FEATURE_REGIME, "", "info",
        )  # fmt: skip
    return Statement(
        "regime", f"Feature learning: {moved}{also}", change, FEATURE_REGIME, "", "good"
    )


def labels(found: Findings) -> Statement:
    """Which labels look wrong, and when to stop."""
    evidence = found.label_evidence
    if not found.labels:
        return Statement(
            "labels", "Cannot tell which targets are wrong: that needs one class per example.",
            math.nan, LEAST, "", "unknown",
        )  # fmt: skip
    if evidence is None:
        return Statement(
            "labels", "Cannot tell whether labels are wrong: no epoch was completed, or no "
            "example held out.", math.nan, LEAST, "", "unknown",
        )  # fmt: skip
    verdict = judge(evidence)
    if verdict.kind == "random":
        return _random_labels(evidence, verdict)
    if verdict.kind == "sound":
        return Statement(
            "labels",
            f"No sign of labels drawn at random: at most {show(100 * verdict.high)} % of them "
            "can be. (Systematic confusion of two classes gives no such sign.)",
            verdict.rate, LEAST, "", "good",
        )  # fmt: skip
    if verdict.kind == "few":
        text = (
            f"Cannot tell whether labels are wrong: with {evidence.held_out} held-out examples "
            f"up to {show(100 * verdict.high)} % of them might be."
        )
        return Statement("labels", text, verdict.rate, LEAST, "Hold out more examples.", "unknown")
    fitted = largest_error(evidence.classes)
    wanted = fitted if evidence.error_by_class > fitted else evidence.error / 2
    return Statement(
        "labels",
        "Cannot tell wrong labels from hard ones: the network errs on "
        f"{show(100 * evidence.error)} % of the held-out examples.",
        verdict.rate, LEAST,
        f"A network that errs on less than {show(100 * wanted)} % of them would tell.", "unknown",
    )  # fmt: skip


def _random_labels(evidence: LabelEvidence, verdict: LabelVerdict) -> Statement:
    """How many labels look random, which look wrong, and when to stop."""
    bounds = f"{show(100 * verdict.low)} to {show(100 * verdict.high)} %"
    text = f"About {show(100 * verdict.rate)} % of labels look drawn at random ({bounds})"
    actions = []
    if evidence.suspects:
        share = evidence.suspects / evidence.n_train
        text += f"; {evidence.suspects} ({show(100 * share)} %) look wrong."
        actions.append("Review the suspects.")
    else:
        text += ", but none stands out."
    if evidence.learned >= MEMORISED:
        actions.append(
            f"Stop after epoch {evidence.epoch}: {show(100 * evidence.learned)} % of the suspects "
            "were learned by the end."
        )
    elif evidence.suspects:
        actions.append("The wrong labels are not being learned yet.")
    return Statement("labels", text, verdict.rate, LEAST, " ".join(actions), "warning")


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
    slack = 0.01 if what == "error" else 0.1 * best
    if last > best + slack:
        return Statement(
            "test", f"The test {what} ended at {shown(last)}, after a best of {shown(best)}.",
            last, best + slack, "Stop earlier, or regularise.", "info",
        )  # fmt: skip
    return Statement(
        "test", f"The test {what} ended at {shown(last)}, its best being {shown(best)}.",
        last, best + slack, "", "good",
    )  # fmt: skip


def batch_size(found: Findings) -> Statement:
    """The batch size against its critical values."""
    first, second = found.batch_regimes
    m = found.batch_size
    if not math.isfinite(first):
        return Statement(
            "batch_size", "Cannot tell what batch size pays: the kernel was not measured.",
            m, first, "", "unknown",
        )  # fmt: skip
    upto = f" and saturate from {show(second)}" if math.isfinite(second) else ""
    bounds = f"Gains per step are linear in the batch size up to {show(first)}{upto}"
    if m < first:
        return Statement(
            "batch_size", f"{bounds}; {m} is in the linear regime.", m, first,
            f"Up to {show(first)}, a larger batch with a proportionally larger rate costs "
            "nothing in examples.", "info",
        )  # fmt: skip
    if math.isfinite(second) and m > second:
        return Statement(
            "batch_size", f"{bounds}; {m} is saturated.", m, second,
            f"A batch of {show(second)} does as well per step, for less work.", "info",
        )  # fmt: skip
    return Statement("batch_size", f"{bounds}; {m} lies between.", m, first, "", "good")


def inputs(found: Findings) -> Statement:
    """Which inputs the trained network looks at."""
    shares = [share for share in found.input_share if math.isfinite(share)]
    if not shares or sum(shares) <= 0:
        return Statement(
            "inputs", "Cannot tell which inputs matter: the gradients were not measured.",
            math.nan, math.nan, "", "unknown",
        )  # fmt: skip
    order = sorted(range(len(shares)), key=lambda i: -shares[i])
    total, count = 0.0, 0
    while total < 0.9 * sum(shares):
        total += shares[order[count]]
        count += 1
    if found.input_names:
        top = ", ".join(f"{found.input_names[i]} ({show(100 * shares[i])} %)" for i in order[:3])
        most = f" Most: {top}."
    else:
        most = ""
    kind = "pixels" if found.image else "inputs"
    return Statement(
        "inputs",
        f"{count} of {len(shares)} {kind} hold 90 % of the network's sensitivity; spread "
        f"evenly it would be {show(0.9 * len(shares))}.{most}",
        count, 0.9 * len(shares),
        "Check that these are what the answer should depend on." if found.input_names else "",
        "info",
    )  # fmt: skip
