"""The main job: measure a training task inside a budget of time, and conclude."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from overparam._errors import expect
from overparam._model import gradients_on
from overparam._numbers import described, is_integer
from overparam._progress import Progress, Tell, expect_progress, telling
from overparam._random_numbers import python_numbers_kept, seeded
from overparam._switches import quietly, thread_count
from overparam._types import Forward, Inputs, Loss
from overparam.datasets.dataset import expect_seed
from overparam.diagnosis.budget import (
    AFTER,
    FEWEST_STEPS,
    LONGEST_OF_STREAM,
    RACE,
    STEPS_AT_LEAST,
    UNKNOWN_EPOCH,
    Left,
    Spent,
    planned_steps,
)
from overparam.diagnosis.budget import parse_budget as parse_budget
from overparam.diagnosis.document import as_diagnosis
from overparam.diagnosis.gathered import Measured
from overparam.diagnosis.measure import after_run, before_run
from overparam.diagnosis.prepared import prepared_task
from overparam.diagnosis.race.entrant import set_rate
from overparam.diagnosis.race.outcome import Outcome, best, with_run
from overparam.diagnosis.race.recipe import Recipe, recipe_of, threads_for
from overparam.diagnosis.race.run import Clock, run_race
from overparam.diagnosis.result import Diagnosis
from overparam.diagnosis.scheduled import fastest
from overparam.diagnosis.split import Split
from overparam.diagnosis.task import (
    OptimizerSource,
    Schedule,
    TrainingTask,
    place_of,
    step_seconds,
    with_details,
)
from overparam.diagnosis.training import Run, train_monitored
from overparam.dynamics.monitor import Monitor
from overparam.dynamics.probes.norms import Norms

_LOADING = "loading the data"
# Part of training time that the monitor takes, at least and at most; a run that is over in a moment
# is measured for so many seconds, if there is time.
_OVERHEAD, _MOST_OVERHEAD, _MOMENT = 0.2, 4.0, 2.0


class _Asked(NamedTuple):
    """What a diagnosis may take, besides its task.

    Attributes:
        seconds: The budget, for everything.
        told: The budget that statements tell of, which loading may have begun on before.
        began: When it began, on `time.perf_counter`.
        imports: Seconds that loading what optimizers need took.
        step_seconds: Of a training step.
        recipe: How the task is trained.
        planned: Steps of the training that the advice is for, if that is known.
        max_steps: Of the monitored run, and of the race's trainings.
        seed: Of everything random.
        command: What to tell a reader who wants to repeat it.
        tell: Told the stage and the part of it that is done.
    """

    seconds: float
    told: float
    began: float
    imports: float
    step_seconds: float
    recipe: Recipe
    planned: int | None
    max_steps: int | None
    seed: int
    command: str | None
    tell: Tell

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.began


@gradients_on()
def diagnose(
    model: nn.Module | Callable[..., nn.Module] | None = None,
    data: Any = "digits",
    loss: Loss | str | None = None,
    optimizer: OptimizerSource = None,
    *,
    epochs: float | None = None,
    budget: str | float = "60s",
    batch_size: int | None = None,
    schedule: Schedule | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    forward: Forward | None = None,
    split: Split | None = None,
    steps: int | None = None,
    max_steps: int | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    command: str | None = None,
    progress: Progress = False,
) -> Diagnosis:
    """What learning rate a task wants, and what happens when it is trained.

    Trains *copies* of the model for at most the budget: first a race of short trainings at several
    rates, which gives the advice (see `suggest_lr`), then a monitored run at the given rate, or at
    the advised one if none was given. Nothing of yours is changed.

    Args:
        model: A module, in any state of training; a function that makes one (of the examples,
            if it takes an argument); `None` is a network of two hidden layers of 256. Copies train
            in the modes of its parts, as for `suggest_lr`.
        data: The name of a set (``"digits"``, ``"mnist"``, …), a file (``"houses.csv:price"``),
            arrays or tensors ``(x, y)`` or ``(x_train, y_train, x_test, y_test)``, a
            `Dataset`, a `DataLoader` or another iterable of batches, a pair of them to train and
            to test on, a data module of Lightning, or a function of no argument that gives one of
            these. A loader is used as it is: its batch size, collation, sampler, workers, and
            augmentation drawn anew at every pass. Batches are (inputs, targets), (x, y, id), or
            mappings with ``"labels"``. Of a loader alone nothing is held out.
        loss: `loss(outputs, targets)`, or ``"mse"`` or ``"cross_entropy"``; `None` is the loss
            that the model computes inside (as those of transformers do when they are given
            labels, or the `training_step` of a Lightning module, with its optimizer), else chosen
            by the targets. Mean squared error on class labels means on their one-hot form. With a
            loader also a function of what the model returns for a whole batch, such as
            ``lambda output: output.loss``: then neither curvature nor kernels are measured.
        optimizer: The one you use, on the model's parameters, with its learning rate; or a
            function of parameters that makes it. `None` is plain SGD at the advised rate.
        epochs: Of the training you plan; the advice is for that length, and the run has it if there
            is time. `None`: the run is as long as the budget allows, and the advice is for it.
        budget: Time for everything, such as ``"60s"``, ``"5m"`` or seconds. A run whose data
            are interpolated ends before.
        batch_size: Examples per batch of data without a loader; `None` is 32.
        schedule: `schedule(optimizer, steps)` makes the scheduler, stepped once per optimizer
            step, for a training of so many steps.
        clip_norm: Largest norm of the gradient of a step.
        accumulate: Batches per optimizer step.
        forward: ``forward(model, x)`` that returns the tensor the loss takes, for a model that
            returns a tuple, a dict or an object; as in `Monitor`.
        split: ``split(batch)`` that returns (inputs, targets), for batches of another form.
        steps: Of the training you plan, in optimizer steps, in place of `epochs`; data without a
            length need it.
        max_steps: Steps of the monitored run, and of the trainings of the race, at most. With a
            generous budget, the same seed then gives the same training on any machine.
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
        KeyboardInterrupt: If interrupted; a line on stderr then tells the best rate so far.

    Cost:
        The budget.

    Example:
        ::

            loaders = train_loader, test_loader
            found = op.diagnose(model, loaders, nn.CrossEntropyLoss(), optimizer, epochs=10)
            print(found.summary())
            found.report("page.html")

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
    with (  # the built-in network, a function's network, dropout
        python_numbers_kept(), seeded(seed, place_of(model, device)), thread_count() as most,
        telling(progress) as tell,
    ):  # fmt: skip
        tell(_LOADING, 0.0)
        imports = _imported()
        task = prepared_task(
            model, data, loss, optimizer, forward=forward, split=split, batch_size=batch_size,
            device=device, seed=seed, seconds=seconds, few=False, who="diagnose",
            tell=partial(tell, _LOADING),
        )  # fmt: skip
        task = with_details(task, schedule, clip_norm, accumulate)
        planned = planned_steps(epochs, steps, task.epoch) or max_steps
        recipe = recipe_of(task, seed=seed)
        torch.set_num_threads(threads_for(recipe, most))
        each = step_seconds(task)
        asked = _Asked(
            seconds,
            budget.of if isinstance(budget, Left) else seconds,
            began,
            imports,
            each,
            recipe,
            planned,
            max_steps,
            seed,
            command,
            tell,
        )
        return _diagnose(task, asked)


def _imported() -> float:
    """Load what every optimizer loads; the seconds tell how fast a machine loads."""
    began = time.perf_counter()
    import_module("torch._dynamo")
    return time.perf_counter() - began


def _expect_enough(asked: _Asked) -> None:
    """Raise unless what was asked for allows the fewest steps that say anything."""
    fewest, part = asked.step_seconds * FEWEST_STEPS, 1 - RACE - AFTER
    expect(
        fewest <= part * asked.seconds,
        "diagnose(budget=...)",
        f"at least {fewest / part:.0f} s, for {FEWEST_STEPS} training steps of "
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
    """Find the rate, then train and measure; whoever interrupts is told what was found."""
    _expect_enough(asked)
    generator = torch.Generator().manual_seed(asked.seed)
    # The advice comes first: of a small budget the kernel may leave nothing.
    stage = "finding the learning rate"
    asked.tell(stage, 0.0)
    given = fastest(task.optimizer)
    spent = Spent(asked.seconds, asked.now, asked.imports, asked.step_seconds)
    clock = Clock()
    clock.deadline = asked.began + spent.race_ends
    longest = asked.max_steps
    if asked.planned is None and asked.recipe.epoch == UNKNOWN_EPOCH:
        longest = LONGEST_OF_STREAM
    outcome = run_race(
        asked.recipe, asked.planned, given=given if task.rate_given else None, order=asked.seed,
        longest=longest, clock=clock, tell=partial(asked.tell, stage),
    )  # fmt: skip
    try:
        if outcome.stopped == "interrupted":
            raise KeyboardInterrupt
        return _observed(task, asked, spent, outcome, given, generator)
    except KeyboardInterrupt:
        if outcome.learned:
            tqdm.write(
                f"The best rate so far: {outcome.rate:.3g}, of {len(outcome.losses)} compared "
                f"over {outcome.horizon} steps.", sys.stderr,
            )  # fmt: skip
        raise


def _observed(
    task: TrainingTask,
    asked: _Asked,
    spent: Spent,
    outcome: Outcome,
    given: float,
    generator: torch.Generator,
) -> Diagnosis:
    """Train at a rate that is known by now, measuring before, meanwhile and after."""
    asked.tell("measuring the kernel", 0.0)
    # Measuring for the first time loads much of torch: where loading took most of the budget, as on
    # a machine with other work, it would take as long again.
    late = not spent.leaves_measuring(asked.now)
    before = before_run(task, generator, -1.0 if late else asked.seconds - asked.now)
    spent = replace(spent, measured=before.kernel_seconds)
    # Where nothing was learned or compared, what did least harm.
    rate = given if task.rate_given else outcome.rate
    if not math.isfinite(rate):
        rate = best(outcome.losses) if outcome.losses else given
    set_rate(task.optimizer, rate)

    asked.tell("training", 0.0)
    ends = spent.run_ends(asked.now, measuring=before.probe is not None)
    steps = asked.planned or _run_length(outcome, ends - asked.now, asked)
    outcome = replace(outcome, planned=steps, chosen=asked.planned is None)
    run = _train(
        task, before.probe, ends, min(steps, asked.max_steps or steps), asked,
        few=late or not task.compared,
    )  # fmt: skip
    # Under a schedule a run of another length has another rate at the same step.
    alike = task.schedule is None or run.planned == outcome.horizon
    losses = run.monitor.record.series().get("loss", {"step": [], "value": []})
    if task.rate_given and alike and losses["step"] == [*range(len(losses["step"]))]:
        outcome = with_run(outcome, rate, losses["value"], asked.seed)

    asked.tell("concluding", 0.0)
    # Of a network that diverged nothing can be measured any more but its batches.
    end = after_run(
        task, before, generator, sound=run.stopped != "diverged",
        in_time=lambda more: spent.fits(asked.now, more),
    )  # fmt: skip
    elapsed = asked.now
    return as_diagnosis(
        Measured(
            task, before, outcome, rate, run, end,
            seconds=asked.told, elapsed=elapsed, seed=asked.seed, command=asked.command,
        )
    )  # fmt: skip


def _run_length(outcome: Outcome, seconds: float, asked: _Asked) -> int:
    """Steps of a run that nobody planned: as many as the trainings of the race.

    If it was the clock that ended the race, twice or four times as many, where there is time: more
    would leave the advice without trainings of the kind.
    """
    horizon = outcome.horizon or FEWEST_STEPS
    each = (1 + _OVERHEAD) * asked.step_seconds
    fitting = [many for many in (4, 2) if many * horizon * each < seconds]
    more = fitting[0] if fitting and outcome.stopped == "budget" else 1
    return more * horizon


def _train(
    task: TrainingTask,
    probe: tuple[Inputs, Tensor] | None,
    ends: float,
    steps: int,
    asked: _Asked,
    *,
    few: bool,
) -> Run:
    """The monitored run; the more time there is to spare, the more is measured."""
    seconds = ends - asked.now
    needed = steps * asked.step_seconds
    most = max(_MOST_OVERHEAD, _MOMENT / needed)
    overhead = min(max(seconds / needed - 1, _OVERHEAD), most)
    # What judges labels after an epoch takes long to load: not where there will be none.
    labels = task.identified and not (few and 2 * seconds < task.epoch * asked.step_seconds)
    # An optimizer without a known limit is told of by a statement.
    with quietly("the stability limit of"):
        monitor = Monitor(
            task.model, task.loss, task.optimizer, probe_batch=probe, max_overhead=overhead,
            n_classes=task.n_classes if labels else None,
            n_samples=task.n_train if labels else None, seed=asked.seed,
            probes=[Norms()] if few else None,
        )  # fmt: skip
        least = STEPS_AT_LEAST * asked.step_seconds
        with monitor:
            return train_monitored(
                task, monitor, max(ends - asked.now, least), max_steps=steps, seed=asked.seed,
                progress=partial(asked.tell, "training"),
            )  # fmt: skip
