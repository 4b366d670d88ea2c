"""From what was measured to the plain data a diagnosis is."""

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overparam._batch import n_examples
from overparam._curves import extremes, stretch_means
from overparam._environment import environment
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.gathered import STRETCHES, Measured, by_position, findings_of, told_losses
from overparam.diagnosis.label_evidence import LabelEvidence, judge
from overparam.diagnosis.label_watch import LabelScores
from overparam.diagnosis.race.record import sweep_of, trials_of
from overparam.diagnosis.rate_of_run import interval_to_set, rate_to_set
from overparam.diagnosis.result import Diagnosis
from overparam.diagnosis.run_facts import learned_nothing
from overparam.diagnosis.statements import conclude
from overparam.diagnosis.task import TrainingTask, optimizer_name
from overparam.dynamics.spikes.causes import MISSING, cannot_tell
from overparam.nets.linear import NTKLinear

# A curve with more points is thinned, for the sake of the file.
_POINTS = 4000
_SUSPECTS = 24
# What the monitor says of labels while it watches, without held-out examples: the statement,
# which has them, speaks for both.
_LIVE = ("armed", "noise_rate", "rho", "suspect_loss")
# What may not be known of a spike; a monitor's words name arguments, which a diagnosis has from its
# budget.
_MISSING = MISSING | {
    "log": "steps are too short to log in the time there was",
    "batch": "no batch was measured",
    "time": "there was no time for losses at earlier weights",
}


def as_diagnosis(measured: Measured) -> Diagnosis:
    """The diagnosis, with its conclusions."""
    labels = measured.run.labels
    scores = None if labels is None else labels.scores()
    evidence = None if labels is None else labels.evidence()
    found = findings_of(measured, evidence)
    return Diagnosis(
        environment=_environment(measured),
        model=_model(measured.task),
        data=_data(measured),
        advice=_advice(measured, found),
        statements=conclude(found),
        events=[_event(event) for event in found.events],
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
        command=measured.command or _call(measured),
        budget_seconds=measured.seconds,
    )


def _call(measured: Measured) -> str:
    """The call that repeats a diagnosis, with all that its training is made of."""
    task = measured.task
    more = [f"steps={measured.outcome.planned}"] if measured.outcome.planned else []
    more += [] if task.feed else [f"batch_size={task.batch_size}"]
    more += ["schedule=schedule"] if task.schedule else []
    more += [f"clip_norm={task.clip_norm:g}"] if task.clip_norm else []
    more += [f"accumulate={task.accumulate}"] if task.accumulate > 1 else []
    more += [f"budget={measured.seconds:g}", f"seed={measured.seed}"]
    return f"overparam.diagnose(model, data, loss, optimizer, {', '.join(more)})"


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
    lost = learned_nothing(found)
    critical = math.nan if lost else measured.after.found.critical_batch_size
    return {
        "learning_rate": outcome.rate,
        # What the page tells to set, which may be the rate in use.
        "set": {"learning_rate": rate, "meaning": meaning},
        "interval": list(interval_to_set(found)),
        "verdict": outcome.verdict,
        "horizon": {"steps": outcome.horizon, "of": outcome.planned or outcome.horizon},
        "trial_steps": outcome.spent,
        # Of a network that learned nothing the statements tell neither.
        "stable_limit": median(found.limits) if found.limits and not lost else math.nan,
        "limit_at_initialisation": measured.before.found.initial_limit,
        "optimizer": optimizer_name(task.optimizer),
        "batch_size": task.batch_size,
        # What a formula says of these was not borne out by training; they are not advised.
        "critical_batch_sizes": [critical, math.nan],
        # A measurement, beside them: see the statement on noise.
        "noise_scale": None if found.noise is None else {
            "scale": found.noise.scale, "low": found.noise.low, "high": found.noise.high,
            "measurements": found.noise_times,
        },
        "momentum": math.nan,
        "mass": None,
    }  # fmt: skip


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    kept = (
        "step", "kind", "reason", "peak_ratio", "steps_to_recover", "ratio_before", "top_share",
        "sharpness_before", "sharpness_after", "ids", "cause", "outcome", "layers", "groups",
    )  # fmt: skip
    told = {name: event.get(name) for name in kept}
    if event.get("missing"):
        told["reason"] = cannot_tell(event["missing"], _MISSING)
    return told


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
        told, steps = told_losses(losses["value"]), stretch_means(losses["step"], STRETCHES)
        if told and told[0] == losses["value"][0]:
            steps[0] = losses["step"][0]
        series["loss_stretches"] = {"step": steps, "value": told}
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
            "diagonal": by_position(weights.tolist(), shape),
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
    low, high = interval_to_set(found)
    sweep = sweep_of(measured.outcome)
    series["rate_sweep"] = {**sweep, "advised": rate_to_set(found)[0], "low": low, "high": high}
    return series


def _thinned(column: dict[str, list]) -> dict[str, list]:
    """A long curve as the smallest and the largest of many stretches."""
    kept = extremes(column["value"], _POINTS)
    return {name: [values[i] for i in kept] for name, values in column.items()}
