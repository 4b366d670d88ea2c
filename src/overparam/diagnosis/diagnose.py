"""The main job: measure a training task inside a budget of time, and conclude."""

import copy
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from overparam._batch import call, take
from overparam._devices import expect_device, synchronize
from overparam._errors import expect
from overparam._numbers import described, is_integer
from overparam._progress import Progress, Tell, expect_progress, telling
from overparam._random_numbers import seeded
from overparam._switches import quietly, thread_count
from overparam._types import Inputs, Loss
from overparam.datasets.dataset import expect_seed
from overparam.diagnosis.document import Measured, as_diagnosis
from overparam.diagnosis.edge import find_rates, set_rate
from overparam.diagnosis.measure import after_run, before_run
from overparam.diagnosis.result import Diagnosis
from overparam.diagnosis.task import OptimizerSource, TrainingTask, as_examples, build_task, told
from overparam.diagnosis.training import Run, train_monitored
from overparam.dynamics.monitor import Monitor
from overparam.errors import InvalidValue

# Shares of the budget: finding the rate, and what follows the run.
_SEARCH, _AFTER = 0.25, 0.08
_FEWEST_STEPS, _LEAST_SECONDS, _MOST_SECONDS = 60, 5.0, 366 * 86400.0
# Part of training time that the monitor takes, at least and at most, and the epochs a run is
# given before it may take more than the least.
_OVERHEAD, _MOST_OVERHEAD, _EPOCHS = 0.2, 4.0, 40


class _Asked(NamedTuple):
    """What a diagnosis may take, besides its task.

    Attributes:
        seconds: The budget, for everything.
        began: When it began, on `time.perf_counter`.
        step_seconds: Of a training step.
        max_steps: Of the monitored run.
        seed: Of everything random.
        command: What to tell a reader who wants to repeat it.
        tell: Told the stage and the part of it that is done.
    """

    seconds: float
    began: float
    step_seconds: float
    max_steps: int | None
    seed: int
    command: str | None
    tell: Tell


def diagnose(
    model: nn.Module | Callable[..., nn.Module] | None = None,
    data: Any = "digits",
    loss: Loss | str | None = None,
    optimizer: OptimizerSource = None,
    *,
    budget: str | float = "60s",
    batch_size: int | None = None,
    max_steps: int | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    command: str | None = None,
    progress: Progress = False,
) -> Diagnosis:
    """What rate, batch size and momentum a task wants, and what happens when it is trained.

    Trains a *copy* of the model for at most the budget: first a few hundred steps whose rate
    follows the edge of stability, which give the advice, then a monitored run at the given
    rate, or at the advised one if none was given. Nothing of yours is changed.

    Args:
        model: A module, in any state of training; a function that makes one (of the examples,
            if it takes an argument); `None` is a network of two hidden layers of 256.
        data: The name of a set (``"digits"``, ``"mnist"``, …), a file (``"houses.csv:price"``),
            arrays or tensors ``(x, y)`` or ``(x_train, y_train, x_test, y_test)``, a
            `Dataset` or a `DataLoader`.
        loss: `loss(outputs, targets)`, or ``"mse"`` or ``"cross_entropy"``; `None` chooses by
            the targets. Mean squared error on class labels means on their one-hot form.
        optimizer: The one you use, on the model's parameters, with its learning rate; or a
            function of parameters that makes it. `None` is plain SGD at the advised rate.
        budget: Time for everything, such as ``"60s"``, ``"5m"`` or seconds. A run whose data
            are interpolated ends before.
        batch_size: Examples per step; `None` is 32.
        max_steps: Steps of the monitored run at most. With a generous budget, the same seed
            then gives the same training on any machine.
        seed: Of batches, probes and splits.
        device: Where to work; `None` is where the model is.
        command: What to tell a reader who wants to repeat it.
        progress: Whether to draw bars where somebody watches, or a function that is called with
            the stage and the share of it that is done.

    Returns:
        Plain data; see `Diagnosis`. ``print(result.summary())``, ``result.report("r.html")``.

    Raises:
        ValueError: Data, model, loss and optimizer that do not fit together, or a budget too
            small for a run that says anything. Each says what was expected and what came.

    Cost:
        The budget.

    References:
        Zhu, Liu, Radhakrishnan, Belkin (2023), arXiv:2306.04815; Liu, Zhu, Belkin (2023),
        arXiv:2306.02533; Cohen et al. (2021), arXiv:2103.00065; Liu, Belkin (2020),
        arXiv:1810.13395.
    """
    began = time.perf_counter()
    seconds = parse_budget(budget)
    expect_seed(seed, "diagnose(seed=...)")
    for name, count in (("batch_size", batch_size), ("max_steps", max_steps)):
        expect(
            count is None or is_integer(count), f"diagnose({name}=...)",
            "a positive number, or None", described(count), error=TypeError,
        )  # fmt: skip
    expect_progress(progress, "diagnose(progress=...)")
    examples = as_examples(data, seed=seed)
    place = _device_of(model, device)
    with seeded(seed, place):  # the built-in network, a function's network, dropout
        if callable(model) and not isinstance(model, nn.Module):
            model = model(examples)
            place = _device_of(model, device)
        task = build_task(model, examples.to(place), loss, optimizer, batch_size, place)
        with _fastest_threads(task) as step_seconds, telling(progress) as tell:
            asked = _Asked(seconds, began, step_seconds, max_steps, seed, command, tell)
            return _diagnose(task, asked)


def parse_budget(budget: str | float) -> float:
    """Seconds in ``"90s"``, ``"1.5m"``, ``"2h"`` or a number.

    Example:
        >>> parse_budget("1.5m")
        90.0
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(s|m|h|)\s*", str(budget))
    expect(
        match is not None,
        "diagnose(budget=...)",
        "a time such as '60s', '5m' or a number of seconds",
        repr(budget),
    )
    assert match is not None
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
    expect(
        _LEAST_SECONDS <= seconds <= _MOST_SECONDS,
        "diagnose(budget=...)",
        f"at least {_LEAST_SECONDS:g} s"
        + (f" and at most {_MOST_SECONDS / 86400:.0f} days" if seconds > 1 else ""),
        f"{seconds:g} s",
        hint="a minute tells more." if seconds < _LEAST_SECONDS else "",
    )
    return seconds


def _device_of(model: Any, device: str | torch.device | None) -> torch.device:
    """Where to work: as asked, else where the model is."""
    if device is not None:
        return expect_device(device, "diagnose(device=...)")
    first = next(iter(model.parameters()), None) if isinstance(model, nn.Module) else None
    place = torch.device("cpu") if first is None else first.device
    expect(
        place.type != "meta", "diagnose(model=...)", "parameters that have values",
        "some on no device (meta)", hint="model.to_empty(device='cpu'), then set them.",
    )  # fmt: skip
    return place


@contextmanager
def _fastest_threads(task: TrainingTask) -> Iterator[float]:
    """Work with one thread where that is no slower than with all; yields seconds per step.

    A small network loses more time waiting for threads than it gains from them, most of all
    on a machine that is busy with something else.
    """
    with thread_count() as before:
        several = _time_of_step(task)
        torch.set_num_threads(1)
        single = _time_of_step(task)
        if several < single:
            torch.set_num_threads(before)
        yield min(several, single)


def _time_of_step(task: TrainingTask) -> float:
    """Seconds of a training step, the median of a few on a copy."""
    copied = copy.copy(task)
    copied.model, copied.optimizer = copy.deepcopy((task.model, task.optimizer))
    index = torch.arange(task.batch_size)
    x, y = take(task.examples.x, index), task.examples.y[index]
    times = []
    for _ in range(6):
        synchronize(y.device)
        began = time.perf_counter()
        try:
            copied.optimizer.zero_grad()
            copied.loss(call(copied.model, x), y).backward()
            copied.optimizer.step()
        except Exception as problem:  # all of it is the user's
            raise InvalidValue(
                "`diagnose(model=...)` expected a model, a loss and an optimizer that make a "
                f"training step of {task.batch_size} examples, got {told(problem)}"
            ) from problem
        synchronize(y.device)
        times.append(time.perf_counter() - began)
    return median(times[1:])


def _expect_enough(asked: _Asked) -> None:
    """Raise unless what was asked for allows the fewest steps that say anything."""
    fewest, part = asked.step_seconds * _FEWEST_STEPS, 1 - _SEARCH - _AFTER
    expect(
        fewest <= part * asked.seconds,
        "diagnose(budget=...)",
        f"at least {fewest / part:.0f} s, for {_FEWEST_STEPS} training steps of "
        f"{asked.step_seconds:.2g} s",
        f"{asked.seconds:g} s",
        hint="give more time, or a smaller model or batch.",
    )
    expect(
        asked.max_steps is None or asked.max_steps >= 1,
        "diagnose(max_steps=...)",
        "a positive number of steps, or None",
        asked.max_steps,
    )


def _diagnose(task: TrainingTask, asked: _Asked) -> Diagnosis:
    """Measure, find the rate, train, measure again, conclude: each step hands over plain data."""
    _expect_enough(asked)
    generator = torch.Generator().manual_seed(asked.seed)
    asked.tell("measuring the kernel", 0.0)
    # 120 products are what three short traces need.
    before = before_run(task, 0.5 * _SEARCH * asked.seconds / 120, generator)

    stage = "finding the learning rate"
    asked.tell(stage, 0.0)
    rates = find_rates(
        task, before.probe, seconds=_SEARCH * asked.seconds, seed=asked.seed,
        progress=partial(asked.tell, stage),
    )  # fmt: skip
    set_rate(task.optimizer, rates.used)

    asked.tell("training", 0.0)
    # The kernel is measured once more after the run.
    after = max(_AFTER * asked.seconds, 1.5 * before.kernel_seconds)
    left = asked.seconds - after - (time.perf_counter() - asked.began)
    run = _train(task, before.probe, max(left, asked.step_seconds * _FEWEST_STEPS), asked)

    asked.tell("concluding", 0.0)
    # Of a network that diverged nothing can be measured any more but its batches.
    end = after_run(task, before, generator, sound=run.stopped != "diverged")
    elapsed = time.perf_counter() - asked.began
    return as_diagnosis(
        Measured(
            task, before, rates, run, end,
            seconds=asked.seconds, elapsed=elapsed, seed=asked.seed, command=asked.command,
        )
    )  # fmt: skip


def _train(task: TrainingTask, probe: tuple[Inputs, Tensor], seconds: float, asked: _Asked) -> Run:
    """The monitored run; the more time there is to spare, the more is measured."""
    n = len(task.examples.y)
    needed = _EPOCHS * max(n // task.batch_size, 1) * asked.step_seconds
    overhead = min(max(seconds / needed - 1, _OVERHEAD), _MOST_OVERHEAD)
    # An optimizer without a known limit is told of by a statement.
    with quietly("the stability limit of"):
        monitor = Monitor(
            task.model, task.loss, task.optimizer, probe_batch=probe, max_overhead=overhead,
            n_classes=task.n_classes, n_samples=n if task.n_classes else None, seed=asked.seed,
        )  # fmt: skip
        with monitor:
            return train_monitored(
                task, monitor, seconds, max_steps=asked.max_steps, seed=asked.seed,
                progress=partial(asked.tell, "training"),
            )  # fmt: skip
