"""What a diagnosis measured, and the numbers of it that statements rest on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from overparam._batch import n_examples, tensors
from overparam._curves import SETTLED, stretch_means
from overparam._told import real as show
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.label_evidence import LabelEvidence
from overparam.diagnosis.label_statement import CLASS_LABELS
from overparam.diagnosis.measure import After, Before
from overparam.diagnosis.race.outcome import Outcome
from overparam.diagnosis.task import TrainingTask, optimizer_name
from overparam.diagnosis.training import Run
from overparam.dynamics.instruments import ProbeStatus
from overparam.optim.limits import limit_unknown
from overparam.optim.noise_scale import noise_scale

# Stretches of a run whose mean losses are told.
STRETCHES = 24
# A mean of the first of them that is so many times the first loss is that of what a rate destroyed.
_ROSE = 10.0
# Below this part of the limit no run of `bench limits` began to diverge; see the docs on rates.
_FAR = 0.3
# How the status of a probe begins that was given up.
_FAILED = "switched off after "
# Outcomes of a spike that the loss does not come back from.
_GONE = ("lost", "divergence")


@dataclass(frozen=True)
class Measured:
    """Everything a diagnosis measured, before it is put into words.

    Attributes:
        task: With the trained network.
        before: What was measured of it before its run.
        outcome: Of the race for the learning rate.
        rate: Of the run.
        run: What it left behind.
        after: What was measured after it.
        seconds: The budget.
        elapsed: Seconds that passed.
        seed: Of everything random.
        command: What repeats it.
    """

    task: TrainingTask
    before: Before
    outcome: Outcome
    rate: float
    run: Run
    after: After
    seconds: float
    elapsed: float
    seed: int
    command: str | None


def _limits(measured: Measured) -> tuple[list[float], list[float], int]:
    """Limits along the run and rates over them where they settled, and how often they did not."""
    columns = measured.run.monitor.record.series()
    measurements = zip(
        *(
            columns.get(name, {"value": []})["value"]
            for name in ("stability_ratio", "sharpness_residual")
        ),
        strict=False,
    )
    rates = columns.get("stability_ratio", {"step": []})["step"]
    used = dict(zip(*columns["lr"].values(), strict=True)) if "lr" in columns else {}
    settled, limits, unsettled = [], [], 0
    for step, (ratio, residual) in zip(rates, measurements, strict=False):
        if not (math.isfinite(ratio) and ratio > 0):
            continue
        if not residual < SETTLED:
            unsettled += 1
            continue
        settled.append(ratio)
        limits.append(used.get(step, measured.rate) / ratio)
    return limits, settled, unsettled


def findings_of(measured: Measured, evidence: LabelEvidence | None) -> Findings:
    """The numbers that a diagnosis concludes from."""
    task, run = measured.task, measured.run
    columns = run.monitor.record.series()
    errors = [error for _, _, error in run.evaluated]
    by_error = any(math.isfinite(error) for error in errors)
    examples = task.examples
    limits, ratios, unsettled = _limits(measured)
    signals, noises = _gradient_noise(columns)
    after, seen = measured.after.found, None
    if not math.isfinite(after.kernel_change):
        watched = columns.get("kernel_change", {"step": [], "value": []})
        known = [pair for pair in zip(*watched.values(), strict=True) if math.isfinite(pair[1])]
        if known:
            seen, change = known[-1]
            after = replace(after, kernel_change=change)
    return Findings(
        **vars(measured.before.found),
        **{**vars(after), "input_share": by_position(after.input_share, examples.image_shape)},
        optimizer=optimizer_name(task.optimizer),
        outcome=measured.outcome,
        rate=measured.rate,
        rate_given=task.rate_given,
        limits=limits,
        batch_size=task.batch_size,
        no_limit=limit_unknown(task.optimizer),
        n_train=task.n_train,
        n_test=n_examples(examples.x_test),
        ratios=ratios,
        unsettled=unsettled,
        events=[
            _plausible(event, ratios)
            for event in _until_lost(
                [event.to_dict() for event in run.monitor.events], run.stopped == "diverged"
            )
        ],
        losses=told_losses(columns.get("loss", {"value": []})["value"]),
        train_error=run.train_error,
        test_errors=errors if by_error else [loss for _, loss, _ in run.evaluated],
        test_measure="error" if by_error else "loss",
        test_guess=_guess(examples.y, examples.y_test) if by_error else math.nan,
        labels=task.identified,
        label_evidence=evidence,
        epochs=run.steps / task.epoch,
        input_names=examples.column_names,
        image=examples.image_shape is not None,
        overhead=run.monitor.overhead,
        scheduled=task.schedule is not None,
        highest=_highest(columns) if task.schedule else math.nan,
        budget=measured.seconds,
        unmeasured=task.unmeasured,
        unsharp=_unsharp(run.monitor.status()),
        diverged=run.stopped == "diverged",
        cut=run.planned if run.steps < (run.planned or 0) else None,
        stopped=run.stopped,
        kernel_step=None if seen is None else int(seen),
        held_out=n_examples(examples.x_test) > 0,
        numeric=any(part.is_floating_point() for part in tensors(examples.x)),
        steps=run.steps,
        labels_need=_labels_need(task),
        noise=noise_scale(signals, noises) if signals else None,
        noise_times=len(signals),
        examples_per_step=task.batch_size * task.accumulate,
    )


def told_losses(values: Sequence[float]) -> list[float]:
    """Means of stretches of a run, from what its loss was before a rate that drove it up at once.

    A network that comes back from there to no more than that has learned nothing.

    Example:
        >>> told_losses([0.5] * 23 + [0.25])[::23]
        [0.5, 0.25]
        >>> told_losses([0.5, 900.0] + [0.25] * 46)[::23]
        [0.5, 0.25]
    """
    means = stretch_means(values, STRETCHES)
    if means and values[0] > 0 and not means[0] <= _ROSE * values[0]:
        means[0] = values[0]
    return means


def _guess(y: Tensor, y_test: Tensor) -> float:
    """Test error of always answering the class most frequent in training; `nan` of no classes."""
    if y.is_floating_point() or not y.numel() or not y_test.numel():
        return math.nan
    return float((y_test != y.flatten().mode().values).double().mean())


def _unsharp(probes: Sequence[ProbeStatus]) -> str:
    """Why curvature could not be measured on the model; empty if it could, or was not tried."""
    for probe in probes:
        if "stability_ratio" in probe.keys and probe.status.startswith(_FAILED):
            why = probe.status.removeprefix(_FAILED).removesuffix(".")
            return f"measuring it failed with {why.rpartition(', got ')[2]}"
    return ""


def _until_lost(events: list[dict[str, Any]], diverged: bool) -> list[dict[str, Any]]:
    """Of a run that diverged, its spikes up to the one that it did not come back from.

    A loss that leaves for good sets new marks on its way, and ends in gradients that are not
    finite: all of that is one spike, and the first of them has its cause.
    """
    back = max((i for i, event in enumerate(events) if event["outcome"] not in _GONE), default=-1)
    return events[: back + 2] if diverged else events


def _plausible(event: dict[str, Any], ratios: Sequence[float]) -> dict[str, Any]:
    """A spike without signs of a rate above its limit, where all of the run was far below.

    They are seen before the limit is measured, and a few unusual batches make them, too.
    """
    far = bool(ratios) and max(ratios) < _FAR
    if not far or event["cause"] != "above the limit" or event["outcome"] != "catapult":
        return event
    seen = f"{event['reason']}, and the rate was at most {show(max(ratios))} of its limit"
    told = {"kind": "unexplained", "cause": "unexplained", "outcome": "recovered"}
    return {**event, **told, "reason": f"cannot tell: {seen}"}


def _gradient_noise(columns: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Signal and noise wherever both were measured."""
    names = ("gradient_signal", "gradient_noise")
    pairs = zip(*(columns.get(name, {"value": []})["value"] for name in names), strict=True)
    known = [(g, s) for g, s in pairs if math.isfinite(g) and math.isfinite(s)]
    return [g for g, _ in known], [s for _, s in known]


def _highest(columns: dict[str, Any]) -> float:
    """The largest learning rate that a run came to."""
    return max(columns.get("lr", {"value": []})["value"], default=math.nan)


def _labels_need(task: TrainingTask) -> str:
    """What labels need to be judged, in the words of a task of which they cannot be."""
    if task.n_classes is not None:
        return "arrays, in which each example can be followed from epoch to epoch"
    y = task.examples.y
    if not y.is_floating_point() and y.ndim > 1:
        return "one class label for each example, and here each has several"
    if y.unique().numel() == 2:
        return "an output for each of the two classes, and their cross entropy"
    return CLASS_LABELS


def by_position(weights: Sequence[float], shape: Sequence[int] | None) -> list[float]:
    """Of an image each position's sum over its channels, else the weights as they are."""
    if shape is None or not weights:
        return list(weights)
    size = math.prod(shape[1:])
    return [math.fsum(weights[place::size]) for place in range(size)]
