"""From what was measured to the plain data a diagnosis is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overparam._batch import n_examples
from overparam._curves import SETTLED, extremes, stretch_means
from overparam._environment import environment
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.label_evidence import LabelEvidence, judge
from overparam.diagnosis.label_statement import CLASS_LABELS
from overparam.diagnosis.label_watch import LabelScores
from overparam.diagnosis.measure import After, Before
from overparam.diagnosis.race.outcome import Outcome
from overparam.diagnosis.race.record import sweep_of, trials_of
from overparam.diagnosis.rate_of_run import rate_to_set
from overparam.diagnosis.result import Diagnosis
from overparam.diagnosis.statements import conclude
from overparam.diagnosis.task import TrainingTask, optimizer_name
from overparam.diagnosis.training import Run
from overparam.nets.linear import NTKLinear
from overparam.optim.limits import limit_unknown
from overparam.optim.noise_scale import noise_scale

# A curve with more points is thinned, for the sake of the file.
_POINTS = 4000
_SUSPECTS, _SMOOTH = 24, 24
# What the monitor says of labels while it watches, without held-out examples: the statement,
# which has them, speaks for both.
_LIVE = ("armed", "noise_rate", "rho", "suspect_loss")


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


def as_diagnosis(measured: Measured) -> Diagnosis:
    """The diagnosis, with its conclusions."""
    labels = measured.run.labels
    scores = None if labels is None else labels.scores()
    evidence = None if labels is None else labels.evidence()
    found = _findings(measured, evidence)
    return Diagnosis(
        environment=_environment(measured),
        model=_model(measured.task),
        data=_data(measured),
        advice=_advice(measured, found),
        statements=conclude(found),
        events=[_event(event.to_dict()) for event in measured.run.monitor.events],
        suspects=_suspects(measured, scores, evidence),
        series=_series(measured, scores, found),
    )


def _environment(measured: Measured) -> dict[str, Any]:
    return environment(
        seconds=round(measured.elapsed, 1),
        seed=measured.seed,
        device=next(measured.task.model.parameters()).device,
        threads=torch.get_num_threads(),
        data=measured.task.examples.digest,
        command=measured.command
        or "overparam.diagnose(model, data, loss, optimizer, "
        f"budget={measured.seconds:g}, seed={measured.seed})",
        budget_seconds=measured.seconds,
    )


def _model(task: TrainingTask) -> dict[str, Any]:
    layers = [
        {
            "name": name or "(model)",
            "type": type(module).__name__,
            "parameters": sum(p.numel() for p in module.parameters(recurse=False)),
        }
        for name, module in task.model.named_modules()
        if not list(module.children()) or list(module.parameters(recurse=False))
    ]
    scaled = any(isinstance(module, NTKLinear) for module in task.model.modules())
    parameters = list(task.model.parameters())
    return {
        "name": task.model._get_name(),
        "parameters": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "layers": layers,
        "parametrisation": "ntk" if scaled else "standard",
    }


def _data(measured: Measured) -> dict[str, Any]:
    task, examples = measured.task, measured.task.examples
    shape = list(examples.x.shape[1:]) if isinstance(examples.x, Tensor) else None
    return {
        "name": examples.name,
        "train": task.n_train,
        "test": n_examples(examples.x_test),
        "input_shape": shape,
        "classes": task.n_classes,
        "task": "classification" if not examples.y.is_floating_point() else "regression",
        "feature_names": list(examples.column_names) or None,
        "loss": task.loss_name,
        "batch_size": task.batch_size,
        "epochs_run": round(measured.run.steps / task.epoch, 2),
        "steps_run": measured.run.steps,
        "steps_planned": measured.run.planned,
        "stopped": measured.run.stopped,
    }


def _advice(measured: Measured, found: Findings) -> dict[str, Any]:
    task, outcome = measured.task, measured.outcome
    rate, meaning = rate_to_set(found)
    return {
        "learning_rate": outcome.rate,
        # What the page tells to set, which may be the rate in use.
        "set": {"learning_rate": rate, "meaning": meaning},
        "interval": list(outcome.interval),
        "verdict": outcome.verdict,
        "horizon": {"steps": outcome.horizon, "of": outcome.planned or outcome.horizon},
        "trial_steps": outcome.spent,
        "stable_limit": median(found.limits) if found.limits else math.nan,
        "limit_at_initialisation": measured.before.found.initial_limit,
        "optimizer": optimizer_name(task.optimizer),
        "batch_size": task.batch_size,
        # What a formula says of these was not borne out by training; they are not advised.
        "critical_batch_sizes": [measured.after.found.critical_batch_size, math.nan],
        # A measurement, beside them: see the statement on noise.
        "noise_scale": None if found.noise is None else {
            "scale": found.noise.scale, "low": found.noise.low, "high": found.noise.high,
            "measurements": found.noise_times,
        },
        "momentum": math.nan,
        "mass": None,
    }  # fmt: skip


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


def _findings(measured: Measured, evidence: LabelEvidence | None) -> Findings:
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
        **{**vars(after), "input_share": _by_position(after.input_share, examples.image_shape)},
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
        events=[event.to_dict() for event in run.monitor.events],
        losses=stretch_means(columns.get("loss", {"value": []})["value"], _SMOOTH),
        train_error=run.train_error,
        test_errors=errors if by_error else [loss for _, loss, _ in run.evaluated],
        test_measure="error" if by_error else "loss",
        labels=task.identified,
        label_evidence=evidence,
        epochs=run.steps / task.epoch,
        input_names=examples.column_names,
        image=examples.image_shape is not None,
        overhead=run.monitor.overhead,
        diverged=run.stopped == "diverged",
        cut=run.planned if run.steps < (run.planned or 0) else None,
        stopped=run.stopped,
        kernel_step=None if seen is None else int(seen),
        held_out=n_examples(examples.x_test) > 0,
        numeric=not isinstance(examples.x, Tensor) or examples.x.is_floating_point(),
        steps=run.steps,
        labels_need=_labels_need(task),
        noise=noise_scale(signals, noises) if signals else None,
        noise_times=len(signals),
        examples_per_step=task.batch_size * task.accumulate,
    )


def _gradient_noise(columns: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Signal and noise wherever both were measured."""
    names = ("gradient_signal", "gradient_noise")
    pairs = zip(*(columns.get(name, {"value": []})["value"] for name in names), strict=True)
    known = [(g, s) for g, s in pairs if math.isfinite(g) and math.isfinite(s)]
    return [g for g, _ in known], [s for _, s in known]


def _labels_need(task: TrainingTask) -> str:
    """What labels need to be judged, in the words of a task of which they cannot be."""
    if task.n_classes is not None:
        return "arrays, in which each example can be followed from epoch to epoch"
    if task.examples.y.unique().numel() == 2:
        return "an output for each of the two classes, and their cross entropy"
    return CLASS_LABELS


def _event(event: dict[str, Any]) -> dict[str, Any]:
    kept = (
        "step", "kind", "reason", "peak_ratio", "steps_to_recover", "ratio_before", "top_share",
        "sharpness_before", "sharpness_after", "ids", "cause", "outcome", "layers", "groups",
    )  # fmt: skip
    return {name: event.get(name) for name in kept}


def _suspects(
    measured: Measured, scores: LabelScores | None, evidence: LabelEvidence | None
) -> list[dict[str, Any]]:
    """Examples whose labels look wrong, the most suspicious first; none unless some are random."""
    if scores is None or evidence is None or judge(evidence).kind != "random":
        return []
    examples = measured.task.examples
    names = examples.class_names
    wrong = np.flatnonzero(scores.suspect)
    wrong = wrong[np.argsort(-scores.score[wrong], kind="stable")]
    return [
        {
            "id": int(index),
            "label": names[scores.given[index]],
            "predicted": names[scores.predicted[index]],
            "score": float(scores.score[index]),
            "posterior": float(scores.posterior[index]),
            "image": _picture(examples, int(index)),
        }
        for index in wrong[:_SUSPECTS]
    ]


def _picture(examples: Any, index: int) -> list[list[float]] | None:
    """An example's image in grey, in [0, 1]; `None` if it has none."""
    if examples.image_shape is None:
        return None
    image = examples.x[index].float().mean(0)
    low, high = float(image.min()), float(image.max())
    image = (image - low) / (high - low) if high > low else image * 0
    return [[round(value, 3) for value in row] for row in image.tolist()]


def _series(measured: Measured, scores: LabelScores | None, found: Findings) -> dict[str, Any]:
    run, start = measured.run, measured.before.kernel
    series: dict[str, Any] = {
        name: _thinned(column)
        for name, column in run.monitor.record.series().items()
        if name not in _LIVE
    }
    losses = run.monitor.record.series().get("loss")
    if losses:
        # What the statement on progress rests on, before the curve is thinned.
        series["loss_stretches"] = {
            name: stretch_means(losses[name], _SMOOTH) for name in ("step", "value")
        }
    steps = [step for step, _, _ in run.evaluated]
    for name, position in (("test_loss", 1), ("test_error", 2)):
        values = [entry[position] for entry in run.evaluated]
        if any(math.isfinite(value) for value in values):
            series[name] = {"step": steps, "value": values}
    if math.isfinite(measured.after.found.kernel_change):
        ended = measured.after.found.kernel_change
        series["kernel_change_after"] = {"step": [run.steps], "value": [ended]}
    if start is not None:
        series["spectrum"] = {
            "eigenvalues": start.eigenvalues,
            "label_alignment": start.alignment,
            "final": measured.after.spectrum,
        }
    weights = measured.after.sensitivity
    if weights is not None:
        examples = measured.task.examples
        shape = examples.image_shape
        series["agop"] = {
            "diagonal": _by_position(weights.tolist(), shape),
            "image_shape": list(shape[1:]) if shape is not None else None,
            "names": list(examples.column_names) or None,
        }
    if scores is not None:
        series["scores"] = {
            "score": scores.score.round(5).tolist(),
            "posterior": scores.posterior.round(4).tolist(),
            "suspect": scores.suspect.astype(int).tolist(),
        }
    series["race"] = trials_of(measured.outcome)
    # The rate that the statement ends with and the page tells to set.
    series["rate_sweep"] = {**sweep_of(measured.outcome), "advised": rate_to_set(found)[0]}
    return series


def _by_position(weights: Sequence[float], shape: Sequence[int] | None) -> list[float]:
    """Of an image each position's sum over its channels, else the weights as they are."""
    if shape is None or not weights:
        return list(weights)
    size = math.prod(shape[1:])
    return [math.fsum(weights[place::size]) for place in range(size)]


def _thinned(column: dict[str, list]) -> dict[str, list]:
    """A long curve as the smallest and the largest of many stretches."""
    kept = extremes(column["value"], _POINTS)
    return {name: [values[i] for i in kept] for name, values in column.items()}
