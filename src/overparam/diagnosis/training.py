"""The monitored training run of a diagnosis, inside a span of time."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from overparam._batch import call, chunks, n_examples, take
from overparam._errors import expect
from overparam._model import undisturbed
from overparam._types import Inputs
from overparam.diagnosis.label_watch import LabelWatch
from overparam.diagnosis.race.entrant import finish_step
from overparam.diagnosis.race.outcome import NOTHING_LEFT
from overparam.diagnosis.scheduled import laid_out
from overparam.diagnosis.task import TrainingTask, batches
from overparam.dynamics.budget import OverheadBudget
from overparam.dynamics.monitor import Monitor

# A run is over when its loss has been this part of where it began for this many epochs, or
# is exactly where floating point stops: the rest of the budget would measure nothing new.
_DONE, _DONE_EPOCHS = 1e-3, 3
_EVALUATED = 2000
# Every so many steps, and at the first powers of two, the time for measuring is reckoned anew: on
# a machine ten times slower, a plan's time is over within the first few. It is never less than
# this part.
# The last steps are not to wait for a measurement that took longer than its like: so much is kept.
_PACED, _LEAST, _KEPT = 16, 0.2, 0.05


@dataclass
class Run:
    """What a monitored run left behind, besides the trained model in its task.

    Attributes:
        monitor: What watched it.
        steps: Optimizer steps taken.
        planned: Steps it was to take; `None` if there was no such number.
        stopped: "budget" (of time or steps), "interpolated" or "diverged".
        evaluated: (step, test loss, test error) along the run.
        train_error: Share of wrong predictions on the training set at the end.
        labels: What it showed about its labels; `None` without a class for every example.
    """

    monitor: Monitor
    steps: int = 0
    planned: int | None = None
    stopped: str = "budget"
    evaluated: list[tuple[int, float, float]] = field(default_factory=list)
    train_error: float = math.nan
    labels: LabelWatch | None = None


def evaluate(
    task: TrainingTask, x: Inputs, y: Tensor, limit: int = _EVALUATED
) -> tuple[float, float]:
    """Loss and share of wrong predictions on the first `limit` examples, in evaluation mode.

    The error is `nan` unless the targets are class indices for the last axis of the outputs.
    """
    n = min(n_examples(x), limit)
    if n == 0 or task.unmeasured:
        return math.nan, math.nan
    with undisturbed(task.model, evaluation=True), torch.no_grad():
        parts = [call(task.model, take(x, part)) for part in chunks(n, 256)]
        outputs, y = torch.cat(parts), y[:n]
        loss = float(task.loss(outputs, y))
    if y.is_floating_point() or y.shape != outputs.shape[:-1] or outputs.shape[-1] < 2:
        return loss, math.nan
    if y.ndim == 1 and task.n_classes is None:  # no row of scores, or labels that are left out
        return loss, math.nan
    return loss, float((outputs.argmax(-1) != y).double().mean())


def train_monitored(
    task: TrainingTask,
    monitor: Monitor,
    seconds: float,
    *,
    max_steps: int | None = None,
    seed: int = 0,
    progress: Callable[[float], None] = lambda done: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Run:
    """Train the task's model in place until the time is spent or its data are interpolated.

    Args:
        task: Model, data, loss and optimizer, with the learning rate set.
        monitor: Watches the run.
        seconds: Wall-clock limit.
        max_steps: Limit on the steps, if any.
        seed: Of the order of the batches.
        progress: Told the part of the time that is spent, or of the steps if that is more.
        clock: Where the time comes from.
    """
    examples, model, optimizer = task.examples, task.model, task.optimizer
    schedule = task.schedule
    expect(
        schedule is None or max_steps is not None, "train_monitored(max_steps=...)",
        "a number of steps to lay the schedule out for", "None",
    )  # fmt: skip
    scheduler = laid_out(schedule, optimizer, max_steps) if schedule and max_steps else None
    run, started = Run(monitor, planned=max_steps), clock()
    losses = _losses(task, seed)
    per_epoch = task.epoch
    run.labels = LabelWatch(task, seed) if task.identified else None
    spent_evaluating, total, calm, first = 0.0, 0.0, 0, math.nan
    if not model.training:
        model.train()
    most = monitor.budget.max_overhead
    while clock() - started < seconds and run.steps != max_steps:
        if max_steps and (run.steps % _PACED == 0 < run.steps or run.steps.bit_count() == 1):
            left = (1 - _KEPT) * seconds - (clock() - started)
            monitor.budget.max_overhead = affordable(
                monitor.budget, run.steps, max_steps, left, most
            )
        if clock() - started - spent_evaluating > 20 * spent_evaluating or not run.evaluated:
            began = clock()
            loss, error = evaluate(task, examples.x_test, examples.y_test)
            if math.isfinite(loss):
                run.evaluated.append((run.steps, loss, error))
            spent_evaluating += clock() - began
            steps = run.steps / max_steps if max_steps else 0.0
            progress(max((clock() - started) / seconds, steps))
        optimizer.zero_grad()
        mean_loss = 0.0
        for last in [False] * (task.accumulate - 1) + [True]:
            value, batch, index, outputs = next(losses)
            (value / task.accumulate).backward()
            mean_loss += float(value.detach()) / task.accumulate
            if last:
                monitor.step(mean_loss, batch=batch, ids=index, logits=outputs)
        finish_step(task.clip_norm, optimizer)
        if scheduler is not None:
            scheduler.step()
        run.steps += 1
        total += mean_loss
        if not math.isfinite(total):
            run.stopped = "diverged"
            break
        if run.steps % per_epoch == 0:
            _close_epoch(run, run.steps // per_epoch)
            mean, total = total / per_epoch, 0.0
            first = mean if math.isnan(first) else first
            # A loss that goes below zero, such as a likelihood, has no end there.
            calm = calm + 1 if 0 <= mean < max(_DONE * first, NOTHING_LEFT) else 0
            if calm >= _DONE_EPOCHS:
                run.stopped = "interpolated"
                break
    loss, error = evaluate(task, examples.x_test, examples.y_test)
    if math.isfinite(loss):
        run.evaluated.append((run.steps, loss, error))
    loss, run.train_error = evaluate(task, examples.x, examples.y)
    if not math.isfinite(loss) and not task.unmeasured:
        run.stopped = "diverged"  # maybe in the last step, which no batch has seen
    return run


def affordable(budget: OverheadBudget, taken: int, steps: int, left: float, most: float) -> float:
    """The part of training time that measuring may take, so that a run comes to its end.

    What a step takes is known only once it is taken: a machine that others use is slower.

    Args:
        budget: The account of the time so far.
        taken: Steps so far.
        steps: Of the whole run.
        left: Seconds that are left.
        most: The part that was planned.

    Returns:
        At most that part; where there is no time to spare, a fifth if that is less.
    """
    whole = budget.training * steps / taken
    spare = budget.own + left - (whole - budget.training)
    return min(most, max(spare / whole, _LEAST)) if whole > 0 else most


def _losses(
    task: TrainingTask, seed: int
) -> Iterator[tuple[Tensor, Any, Tensor | None, Tensor | None]]:
    """For one batch after another: its loss, itself, which examples, outputs for labels."""
    examples, model, feed = task.examples, task.model, task.feed
    if feed is not None:
        device = next(model.parameters()).device
        for batch in feed.drawn(seed):
            pair = feed.pair(batch, device) if task.compared else None
            yield feed.loss_of(model, batch), pair, None, None
    generator = torch.Generator().manual_seed(seed)
    for index in batches(n_examples(examples.x), task.batch_size, generator):
        x, y = take(examples.x, index), examples.y[index]
        outputs = call(model, x)
        yield task.loss(outputs, y), (x, y), index, outputs if task.identified else None


def _close_epoch(run: Run, epoch: int) -> None:
    """Let the monitor judge the labels, and keep what they show."""
    run.monitor.epoch_end()
    scorer = run.monitor.label_noise
    if scorer is not None and run.labels is not None:
        run.labels.look(epoch, scorer)
