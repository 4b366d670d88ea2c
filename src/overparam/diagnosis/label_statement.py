"""What the counts say of labels, in words."""

import math

from overparam._statement import Statement
from overparam._told import real as show
from overparam.diagnosis.label_evidence import (
    LEAST,
    MEMORISED,
    SURE,
    LabelEvidence,
    LabelVerdict,
    judge,
    largest_error,
)

_BAR = f"An alarm from {show(100 * LEAST)} % drawn at random on."
CLASS_LABELS = "class labels, one for each example"


def label_statement(
    evidence: LabelEvidence | None,
    *,
    labels: bool,
    needed: str = CLASS_LABELS,
    held_out: bool = True,
    turned: bool = False,
    more_time: str = "Give it a larger budget.",
    unmeasured: tuple[str, str] = ("", ""),
    lost: str = "",
) -> Statement:
    """What labels look wrong, and when to stop.

    Args:
        evidence: What was counted; `None` if nothing was.
        labels: Whether every example has one class.
        needed: What labels need to be judged, where they could not be.
        held_out: Whether there are test examples.
        turned: Whether the test measure got worse again.
        more_time: What to do about a run without an epoch.
        unmeasured: Why no outputs were measured, and what would do; empty if they were.
        lost: Why the network says nothing of labels, where it diverged or died.
    """
    why, action = unmeasured
    if why:
        return Statement(
            "labels", f"Cannot tell whether labels are wrong: {why}.", math.nan, LEAST, action,
            "unknown",
        )  # fmt: skip
    if not labels:
        return Statement(
            "labels", f"Cannot tell which targets are wrong: that needs {needed}.",
            math.nan, LEAST, "", "unknown",
        )  # fmt: skip
    if lost:
        return Statement(
            "labels", f"Cannot tell whether labels are wrong: {lost}.", math.nan, LEAST, "",
            "unknown",
        )  # fmt: skip
    if evidence is None:
        why, action = (
            ("the run did not complete an epoch", more_time)
            if held_out
            else ("there are no test examples", "Give test examples.")
        )
        return Statement(
            "labels", f"Cannot tell whether labels are wrong: {why}.", math.nan, LEAST, action,
            "unknown",
        )  # fmt: skip
    verdict = judge(evidence)
    if verdict.kind == "random":
        return _random_labels(evidence, verdict, turned)
    if verdict.kind == "sound":
        return Statement(
            "labels",
            f"No sign of labels drawn at random: at most {show(100 * verdict.high)} % of them "
            "can be. (Systematic confusion of two classes gives no such sign.)",
            verdict.rate, LEAST, "", "good", _BAR,
        )  # fmt: skip
    if verdict.kind == "few":
        text = (
            f"Cannot tell whether labels are wrong: with {evidence.held_out} test examples "
            f"up to {show(100 * verdict.high)} % of them might be."
        )
        return Statement("labels", text, verdict.rate, LEAST, "Give more test examples.", "unknown")
    if evidence.confidence < SURE:
        return Statement(
            "labels",
            "Cannot tell wrong labels from hard ones: after epoch "
            f"{evidence.epoch}, which tells most, the network is not sure of any class yet.",
            verdict.rate, LEAST, "A network that has learned more would tell.", "unknown",
        )  # fmt: skip
    fitted = largest_error(evidence.classes)
    wanted = fitted if evidence.error_by_class > fitted else evidence.error / 2
    return Statement(
        "labels",
        "Cannot tell wrong labels from hard ones: after epoch "
        f"{evidence.epoch}, which tells most, the network errs on {show(100 * evidence.error)} % "
        "of the test examples.",
        verdict.rate, LEAST,
        f"A network that errs on less than {show(100 * wanted)} % of them would tell.", "unknown",
    )  # fmt: skip


def _random_labels(evidence: LabelEvidence, verdict: LabelVerdict, turned: bool) -> Statement:
    """How many labels look random, which look wrong, and when to stop."""
    bounds = f"{show(100 * verdict.low)} to {show(100 * verdict.high)} %"
    text = f"About {show(100 * verdict.rate)} % of labels look drawn at random ({bounds})"
    actions = []
    if evidence.suspects:
        share = evidence.suspects / evidence.n_train
        text += f"; {evidence.suspects:,} ({show(100 * share)} %) look wrong, hard ones among them."
        actions.append("Review the suspects.")
    else:
        text += ", but none stands out."
    if evidence.learned >= MEMORISED:
        learned = f"{show(100 * evidence.learned)} % of the suspects were learned by the end"
        actions.append(
            f"Stop after epoch {evidence.epoch}: {learned}."
            if turned
            else f"{learned[0].upper()}{learned[1:]}, which the test examples do not show yet."
        )
    elif evidence.suspects:
        actions.append("The wrong labels are not being learned yet.")
    return Statement("labels", text, verdict.rate, LEAST, " ".join(actions), "warning", _BAR)
