"""The main job: measure a training task inside a budget of time, and conclude."""

import copy
import math
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from overparam._devices import expect_device, synchronize
from overparam._errors import expect
from overparam._model import call, take, undisturbed
from overparam._numbers import described, is_integer
from overparam._random_numbers import seeded
from overparam._switches import quietly, thread_count
from overparam._types import Inputs, Loss
from overparam.datasets.dataset import expect_seed
from overparam.diagnosis.document import Measured, as_diagnosis
from overparam.diagnosis.edge import edge_limit, margin_for
from overparam.diagnosis.measure import (
    change_since,
    kernel_at_start,
    probe_batch,
    smoothness_ratio,
)
from overparam.diagnosis.result import Diagnosis
from overparam.diagnosis.task import OptimizerSource, Task, as_examples, build_task, told
from overparam.diagnosis.training import Run, train_monitored
from overparam.dynamics.monitor import Monitor
from overparam.errors import InvalidValue
from overparam.optim.hyperparameters import critical_batch_sizes
from overparam.optim.stability import critical_learning_rate
from overparam.tangents.input_gradients import agop_diagonal

# Shares of the budget: finding the rate, and what follows the run.
_SEARCH, _AFTER = 0.25, 0.08
_FEWEST_STEPS, _LEAST_SECONDS, _MOST_SECONDS = 60, 5.0, 366 * 86400.0
_SENSITIVITY = 512
# Part of training time that the monitor takes, at least and at most, and the epochs a run is
# given before it may take more than the least.
_OVERHEAD, _MOST_OVERHEAD, _EPOCHS = 0.2, 4.0, 40

Progress = Callable[[str, float], None]
T = TypeVar("T")


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
    progress: Progress = lambda stage, done: None,
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
        progress: Called with the stage and the part of it that is done.

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
    expect(callable(progress), "diagnose(progress=...)", "a function", described(progress))
    examples = as_examples(data, seed=seed)
    place = _device_of(model, device)
    with seeded(seed, place):  # the built-in network, a function's network, dropout
        if callable(model) and not isinstance(model, nn.Module):
            model = model(examples)
            place = _device_of(model, device)
        task = build_task(model, examples.to(place), loss, optimizer, batch_size, place)
        with _fastest_threads(task) as step_seconds:
            return _diagnose(task, seconds, began, step_seconds, max_steps, seed, command, progress)


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


def _diagnose(
    task: Task,
    seconds: float,
    began: float,
    step_seconds: float,
    max_steps: int | None,
    seed: int,
    command: str | None,
    progress: Progress,
) -> Diagnosis:
    generator = torch.Generator().manual_seed(seed)
    expect(
        step_seconds * _FEWEST_STEPS <= (1 - _SEARCH - _AFTER) * seconds,
        "diagnose(budget=...)",
        f"at least {step_seconds * _FEWEST_STEPS / (1 - _SEARCH - _AFTER):.0f} s, for "
        f"{_FEWEST_STEPS} training steps of {step_seconds:.2g} s",
        f"{seconds:g} s",
        hint="give more time, or a smaller model or batch.",
    )
    expect(
        max_steps is None or max_steps >= 1,
        "diagnose(max_steps=...)",
        "a positive number of steps, or None",
        max_steps,
    )
    progress("measuring the kernel", 0.0)
    # 120 products are what three short traces need.
    probe = probe_batch(task, 0.5 * _SEARCH * seconds / 120, generator)
    before_kernel = time.perf_counter()
    start = _attempt("the kernel", lambda: kernel_at_start(task, generator), None)
    # The kernel is measured once more after the run.
    after = max(_AFTER * seconds, 1.5 * (time.perf_counter() - before_kernel))
    initial = {n: p.detach().clone() for n, p in task.model.named_parameters()}
    given = max(float(group["lr"]) for group in task.optimizer.param_groups)
    # An unknown optimizer is told of by a statement.
    with quietly(), undisturbed(task.model, evaluation=True):
        initial_limit = critical_learning_rate(task.model, *probe, task.loss, task.optimizer)

    progress("finding the learning rate", 0.0)
    limit, traces = edge_limit(
        task, probe, seconds=_SEARCH * seconds, seed=seed,
        progress=lambda done: progress("finding the learning rate", done),
    )  # fmt: skip
    advised = limit * margin_for(task.optimizer)
    rate = given if task.rate_given else advised
    if not math.isfinite(rate):  # no limit was met: the largest rate that was tried
        rate = max((r for trace in traces for r in trace.rates), default=given)
    _set_rate(task, rate)

    progress("training", 0.0)
    left = seconds - after - (time.perf_counter() - began)
    run = _train(
        task,
        probe,
        max(left, step_seconds * _FEWEST_STEPS),
        step_seconds,
        max_steps,
        seed,
        progress,
    )

    progress("concluding", 0.0)
    constants = None if start is None else start.constants
    regimes = (
        critical_batch_sizes(constants)
        if constants is not None
        else (smoothness_ratio(task, probe, generator), math.nan)
    )
    change, missed, final = math.nan, math.nan, []
    sensitivity = None
    diverged = run.stopped == "diverged"  # then nothing can be measured any more
    if start is not None and not diverged:
        known = start
        change, missed, final = _attempt(
            "the kernel's change",
            lambda: change_since(task, known, initial),
            (math.nan, math.nan, []),
        )
    if not diverged:
        sensitivity = _attempt("the inputs", lambda: _sensitivity(task, generator), None)
    measured = Measured(
        task, run, traces, start,
        rate=rate, advised=advised, limit=limit, initial_limit=initial_limit,
        regimes=regimes, kernel_change=change, linearization_error=missed,
        final_spectrum=final, sensitivity=sensitivity,
        seconds=seconds, elapsed=time.perf_counter() - began, seed=seed, command=command,
    )  # fmt: skip
    return as_diagnosis(measured)


@contextmanager
def _fastest_threads(task: Task) -> Iterator[float]:
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


def _time_of_step(task: Task) -> float:
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


def _attempt(what: str, measure: Callable[[], T], otherwise: T) -> T:
    """A measurement, or a warning: one that a model does not allow must not cost the others."""
    try:
        return measure()
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as problem:
        warnings.warn(
            f"diagnose could not measure {what}: {type(problem).__name__}: {problem}",
            RuntimeWarning,
            stacklevel=2,
        )
        return otherwise


def _set_rate(task: Task, rate: float) -> None:
    """The rate for the fastest group, the others keeping their proportion."""
    groups = task.optimizer.param_groups
    fastest = max(float(group["lr"]) for group in groups)
    for group in groups:
        group["lr"] = rate * (float(group["lr"]) / fastest if fastest else 1.0)


def _train(
    task: Task,
    probe: tuple[Inputs, Tensor],
    seconds: float,
    step_seconds: float,
    max_steps: int | None,
    seed: int,
    progress: Progress,
) -> Run:
    """The monitored run; the more time there is to spare, the more is measured."""
    n = len(task.examples.y)
    needed = _EPOCHS * max(n // task.batch_size, 1) * step_seconds
    overhead = min(max(seconds / needed - 1, _OVERHEAD), _MOST_OVERHEAD)
    # An optimizer without a known limit is told of by a statement.
    with quietly("the stability limit of"):
        monitor = Monitor(
            task.model, task.loss, task.optimizer, probe_batch=probe, max_overhead=overhead,
            n_classes=task.n_classes, n_samples=n if task.n_classes else None, seed=seed,
        )  # fmt: skip
        with monitor:
            return train_monitored(
                task, monitor, seconds, max_steps=max_steps, seed=seed,
                progress=lambda done: progress("training", done),
            )  # fmt: skip


def _sensitivity(task: Task, generator: torch.Generator) -> Tensor | None:
    """Diagonal of the average gradient outer product; `None` where inputs are not numbers."""
    x = task.examples.x
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return None
    index = torch.randperm(len(x), generator=generator)[:_SENSITIVITY]
    with undisturbed(task.model, evaluation=True):
        width = call(task.model, x[:1]).numel()
        few: Any = {"outputs": "random", "n_vectors": 4} if width > 32 else {}
        return agop_diagonal(task.model, x[index], chunk_size=64, **few)
