"""What chooses a learning rate, or does without: the advice, range tests, a constant, peers.

A method takes a task and gives an `Answer`. The finders are the packages' own code or, for
fastai, whose requirements bring another build of torch, the same steps written anew.
"""

import io
import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import torch
from advice_grid import Maker, batches
from advice_tasks import Task
from torch.utils.data import DataLoader, TensorDataset

CONSTANTS = {"plain": 0.1, "momentum": 0.01, "adaptive": 0.001}


@dataclass(frozen=True)
class Answer:
    """A rate, NaN for none; an interval that should hold the best; the training steps it took.

    With `optimizer` a method replaces the task's optimizer instead, and its schedule too
    unless `scheduled`.
    """

    rate: float
    interval: tuple[float, float] | None
    steps: int
    optimizer: Maker | None = None
    scheduled: bool = True
    horizon: int = 0


def advice(task: Task, share: int = 1) -> Answer:
    """The library's advice from trainings of at most a share of the task's steps."""
    from overparam.diagnosis import suggest_lr  # pyright: ignore[reportAttributeAccessIssue]

    found = suggest_lr(
        task.make_model(0), task.data(), task.loss,
        lambda params: task.make_optimizer(params, CONSTANTS[task.family]),
        steps=task.steps, batch_size=task.batch_size, schedule=task.schedule,
        clip_norm=task.clip_norm, budget="1h", seed=0, longest=task.steps // share,
    )  # fmt: skip
    rate = math.nan if found.rate is None else float(found.rate)
    return Answer(rate, found.interval, found.trial_steps, horizon=found.steps)


def constant(task: Task) -> Answer:
    """One rate for each kind of optimizer."""
    return Answer(CONSTANTS[task.family], None, 0)


def steepest(task: Task, *, per_factor: bool = False) -> Answer:
    """Lightning: the steepest slope while the rate grows from 1e-8 to 1 in 100 steps.

    Its slope is that over the rate, which noise at the smallest rates dominates; over a factor
    of the rate it is that of Smith's test, of fastai's "steep" and of older releases.
    """
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.tuner.tuning import Tuner

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = task.make_model(0)

        def training_step(self, batch: Any, _: int) -> Any:
            return task.loss(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return task.make_optimizer(self.parameters(), 1.0)

    logging.getLogger("lightning.pytorch").setLevel(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(),
        redirect_stderr(io.StringIO()),  # a progress bar of its own
    ):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        loader = DataLoader(
            TensorDataset(*task.data()), task.batch_size, shuffle=True, drop_last=True
        )
        trainer = Trainer(
            accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
            gradient_clip_val=task.clip_norm,
        )  # fmt: skip
        finder = Tuner(trainer).lr_find(Module(), loader, update_attr=False)
    if finder is None:
        return Answer(math.nan, None, 0)
    rates, losses = finder.results["lr"], finder.results["loss"]
    rate = steepest_of(rates[10:-1], losses[10:-1]) if per_factor else finder.suggestion()
    return Answer(rate or math.nan, None, len(losses))


def steepest_of(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate before the largest fall from one rate to the next; NaN if there is no fall."""
    falls = {i: a - b for i, (a, b) in enumerate(pairwise(losses)) if math.isfinite(a - b)}
    return rates[max(falls, key=falls.__getitem__)] if falls else math.nan


def valley(task: Task) -> Answer:
    """The one of fastai: the longest valley while the rate grows from 1e-7 to 10."""
    rates, losses = rising_rates(task, batches(len(task.data()[1]), task.batch_size, 0))
    return Answer(valley_of(rates[10:-5], losses[10:-5]), None, len(rates))


def rising_rates(task: Task, order: Any, steps: int = 100) -> tuple[list[float], list[float]]:
    """The rates of fastai's finder and the smoothed losses, up to four times the least."""
    x, y = task.data()
    model = task.make_model(0)
    optimizer = task.make_optimizer(model.parameters(), 1.0)
    rates: list[float] = []
    losses: list[float] = []
    average = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for step, index in zip(range(steps), order, strict=False):
            rate = 1e-7 * 1e8 ** (step / steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            loss = task.loss(model(x[index]), y[index])
            loss.backward()
            if task.clip_norm:
                torch.nn.utils.clip_grad_norm_(model.parameters(), task.clip_norm)
            optimizer.step()
            average = 0.98 * average + 0.02 * float(loss.detach())
            rates.append(rate)
            losses.append(average / (1 - 0.98 ** (step + 1)))
            if losses[-1] > 4 * min(losses):
                break
    return rates, losses


def valley_of(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Half of the way through the longest run of falling losses; NaN if there is no curve."""
    known = next((i for i, loss in enumerate(losses) if math.isnan(loss)), len(losses))
    if not known:
        return math.nan
    longest, start, end = [1] * known, 0, 0
    for i in range(1, known):
        before = (longest[j] for j in range(i) if losses[i] < losses[j])
        longest[i] = 1 + max(before, default=0)
        if longest[i] > longest[end]:
            start, end = i - longest[i], i
    third = (end - start) / 3
    return rates[start + int(third) + int(third / 2)]


def prodigy(task: Task) -> Answer:
    """Prodigy at its defaults, with the task's schedule."""
    from prodigyopt import Prodigy  # pyright: ignore[reportMissingImports]

    return Answer(math.nan, None, task.steps, Prodigy)


def schedule_free(task: Task, name: str) -> Answer:
    """An optimizer of the Schedule-Free package at its defaults, without the task's schedule."""
    import schedulefree  # pyright: ignore[reportMissingImports]

    return Answer(math.nan, None, task.steps, getattr(schedulefree, name), scheduled=False)


# Each with the module it needs.
METHODS: dict[str, tuple[Callable[[Task], Answer], str]] = {
    "advice": (advice, "overparam.diagnosis.suggest_lr"),
    "advice, T/4": (partial(advice, share=4), "overparam.diagnosis.suggest_lr"),
    "steepest (Lightning)": (steepest, "lightning"),
    "steepest per factor": (partial(steepest, per_factor=True), "lightning"),
    "valley (fastai)": (valley, "torch"),
    "constant": (constant, "torch"),
    "Prodigy": (prodigy, "prodigyopt"),
    "Schedule-Free AdamW": (partial(schedule_free, name="AdamWScheduleFree"), "schedulefree"),
    "Schedule-Free SGD": (partial(schedule_free, name="SGDScheduleFree"), "schedulefree"),
}


def lacking(name: str) -> str | None:
    """Why a method cannot be judged here; `None` if it can."""
    module = METHODS[name][1]
    return None if find_spec(module) else f"needs {module}"
