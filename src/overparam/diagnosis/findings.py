"""The numbers that a diagnosis concludes from. Nothing here has seen a tensor."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overparam.diagnosis.label_evidence import LabelEvidence
from overparam.diagnosis.label_statement import CLASS_LABELS
from overparam.diagnosis.measure import AtEnd, AtStart
from overparam.diagnosis.race.outcome import Outcome
from overparam.optim.noise_scale import NoiseScale


@dataclass(frozen=True, kw_only=True)
class Findings(AtStart, AtEnd):
    """The numbers a diagnosis concludes from; `nan` or `None` where none was measured.

    Attributes:
        optimizer: Its name.
        outcome: Of the race for the learning rate.
        rate: Learning rate of the monitored run.
        rate_given: Whether the user chose it.
        limits: Stable limits of the rate along the run, each one that settled;
        batch_size: Of the run.
        n_train: Training examples.
        n_test: Test examples.
        ratios: the learning rate over them.
        unsettled: Measurements of the limit that did not.
        events: The run's loss spikes, as in the JSON.
        losses: Training loss, smoothed, at equal distances from start to end.
        train_error: Share of training examples classified wrongly at the end.
        test_errors: Test error (or test loss, see `test_measure`) along the run.
        test_measure: ``"error"`` or ``"loss"``.
        test_guess: Test error of always answering the class most frequent in training; `nan` where
            there is none.
        labels: Whether every example has a class label, so that labels could be judged.
        label_evidence: What was counted of the labels; `None` without an epoch to judge them at.
        epochs: Epochs trained.
        input_names: Their names; empty if they have none.
        image: Whether inputs are images.
        overhead: Part of the run's time that the monitor took.
        diverged: Whether the loss was not finite at the end.
        steps: Steps of the run.
        cut: Steps planned of a run that ended before; else `None`.
        stopped: What ended the run: ``"budget"``, ``"interpolated"`` or ``"diverged"``.
        kernel_step: Step at which the kernel's change was last seen, where it could not be
            measured after the run.
        held_out: Whether there are test examples to judge labels by.
        numeric: Whether inputs are numbers, which have derivatives.
        labels_need: What labels need to be judged, unless they could be.
        noise: Gradient noise scale of the run; `None` if it was not measured.
        noise_times: Measurements it rests on.
        examples_per_step: Batch size times the batches that are accumulated; `None` is one.
        scheduled: Whether a schedule changes the rate along the run.
        highest: The largest rate that it came to; `nan` without a schedule.
        budget: Seconds that everything may take.
        unmeasured: Why what needs outputs or the loss of outputs could not be measured, and what
            would do; empty if it could.
        unsharp: Why the limit could not be measured on this model, as what follows a colon; else
            empty.
        no_limit: Why the optimizer has no known limit, as what follows "that of"; else empty.
    """

    optimizer: str
    outcome: Outcome
    rate: float
    rate_given: bool
    batch_size: int
    n_train: int
    n_test: int = 0
    limits: Sequence[float] = ()
    ratios: Sequence[float] = ()
    unsettled: int = 0
    events: Sequence[Mapping[str, Any]] = ()
    losses: Sequence[float] = ()
    train_error: float = math.nan
    test_errors: Sequence[float] = ()
    test_measure: str = "error"
    test_guess: float = math.nan
    labels: bool = False
    label_evidence: LabelEvidence | None = None
    epochs: float = 0.0
    input_names: Sequence[str] = ()
    image: bool = False
    overhead: float = math.nan
    diverged: bool = False
    scheduled: bool = False
    highest: float = math.nan
    budget: float = math.nan
    unmeasured: str = ""
    unsharp: str = ""
    no_limit: str = ""
    steps: int = 0
    cut: int | None = None
    stopped: str = "budget"
    kernel_step: int | None = None
    held_out: bool = True
    numeric: bool = True
    labels_need: str = CLASS_LABELS
    noise: NoiseScale | None = None
    noise_times: int = 0
    examples_per_step: int | None = None
