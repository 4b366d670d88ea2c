"""A learning rate for a training, from a race of short ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Optimizer

from overparam._batch import n_examples
from overparam._errors import expect
from overparam._files import Name
from overparam._model import gradients_on
from overparam._numbers import described, is_integer
from overparam._progress import Progress, expect_progress, telling
from overparam._random_numbers import python_numbers_kept, seeded
from overparam._types import Forward, Loss
from overparam.datasets.dataset import expect_seed
from overparam.diagnosis.budget import (
    LONGEST_OF_STREAM,
    UNKNOWN_EPOCH,
    Left,
    parse_budget,
    planned_steps,
    positive,
)
from overparam.diagnosis.prepared import prepared_task
from overparam.diagnosis.race.recipe import recipe_of
from overparam.diagnosis.race.run import Clock
from overparam.diagnosis.race.variant import (
    OptimizerMaker,
    Variant,
    batch_size_variants,
    makers_of,
    optimizer_variants,
)
from overparam.diagnosis.scheduled import fastest
from overparam.diagnosis.split import Split
from overparam.diagnosis.suggested_rate import SuggestedRate, find_rate
from overparam.diagnosis.task import (
    OptimizerSource,
    Schedule,
    TrainingTask,
    place_of,
    step_seconds,
    with_details,
)
from overparam.optim.mass import MaSS

_LOADING = "loading the data"


@gradients_on()
def suggest_lr(
    model: nn.Module | Callable[..., nn.Module] | None = None,
    data: Any = "digits",
    loss: Loss | str | None = None,
    optimizer: OptimizerSource = None,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    budget: str | float = "60s",
    batch_size: int | None = None,
    schedule: Schedule | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    forward: Forward | None = None,
    split: Split | None = None,
    optimizers: Sequence[str] | Mapping[str, OptimizerMaker] = (),
    batch_sizes: Sequence[int] = (),
    longest: int | None = None,
    keep: Name | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    command: str | None = None,
    progress: Progress = False,
) -> SuggestedRate:
    """The learning rate at which a training ends with the lowest loss, by trying it.

    Copies of the model train at several rates, with your optimizer, batches, schedule and
    clipping, and race: the best one and its neighbours go on for twice as long, and twice as long
    again, up to the training you plan or until the budget is spent. Nothing of yours is changed.

    Args:
        model: As it is when training starts: fresh, or trained, for fine-tuning. A function makes
            one (of the examples, if it takes an argument); `None` is a network of two hidden
            layers of 256. Copies train in the modes that its parts are in, so that a frozen
            batch norm stays so; a model that is in evaluation mode as a whole is put into that of
            training.
        data: As for `diagnose`, but that nothing of it is set aside.
        loss: As for `diagnose`.
        optimizer: The one you use, or a function of parameters that makes it. Groups keep their
            proportions; the rate of an optimizer that exists is compared as well. `None` is SGD.
        epochs: Of the training you plan.
        steps: The same in optimizer steps. With neither, the budget decides: the answer is then
            for trainings as long as those compared.
        budget: Time for everything. Whole trainings are compared in that of about four of them,
            and of four or three more for each optimizer or batch size.
        batch_size: Examples per batch of data without a loader; `None` is 32.
        schedule: `schedule(optimizer, steps)` makes the scheduler, stepped once per optimizer
            step, for a training of so many steps; it is laid out anew for each length. One that
            exists already, as of `configure_optimizers`, is not: pass what makes it.
        clip_norm: Largest norm of the gradient of a step.
        accumulate: Batches per optimizer step.
        forward: As for `diagnose`.
        split: As for `diagnose`.
        optimizers: Others to compare with: names out of ``"sgd"``, ``"heavy ball"``,
            ``"nesterov"``, ``"mass"``, ``"adamw"``, ``"prodigy"``, ``"schedule-free"`` (the last
            two where prodigyopt and schedulefree are installed), or a dictionary from a name of
            yours to a function of parameters. Each races at rates of its own (Prodigy at 1).
        batch_sizes: Others to compare with, for as many examples, at rates around the scaled one;
            not of a loader, whose size is its own.
        longest: Steps of the longest trainings that are compared; `None` is all that is planned.
        keep: A file for the race: written after every comparison, and gone on with where it exists,
            to the same answer bit by bit. A larger budget may then continue what a smaller began.
        seed: Of batches, of random layers, of a network that is made here.
        device: Where to work; `None` is where the model is.
        command: What to tell a reader who wants to repeat it.
        progress: Whether to draw bars, or a function of the stage and the share that is done.

    Returns:
        `SuggestedRate`: ``.rate``, ``.interval``, ``.summary()``, ``.plot()``,
        ``.report("rate.html")``. An interruption (Ctrl+C) returns the best so far.

    Raises:
        ValueError: Data, model, loss and optimizer that do not fit together.

    Cost:
        The budget at most. Steps are counted and the clock only ends the race, after one of its
        doublings: the same seed gives the same rate on the same machine under any load, as long
        as it gets as far.

    Example:
        ::

            found = op.suggest_lr(model, train_loader, nn.CrossEntropyLoss(), optimizer, epochs=10)
            print(found.summary())
            optimizer.param_groups[0]["lr"] = found.rate
    """
    who = "suggest_lr"
    clock = Clock()
    seconds = parse_budget(budget, who)
    expect_seed(seed, f"{who}(seed=...)")
    expect_progress(progress, f"{who}(progress=...)")
    if batch_size is not None:
        positive(batch_size, f"{who}(batch_size=...)", is_integer(batch_size))
    makers = makers_of(optimizers, f"{who}(optimizers=...)")
    if longest is not None:
        positive(longest, f"{who}(longest=...)", is_integer(longest))
    place = place_of(model, device, who)
    with python_numbers_kept(), seeded(seed, place), telling(progress) as tell:
        tell(_LOADING, 0.0)
        task = prepared_task(
            model, data, loss, optimizer, forward=forward, split=split, batch_size=batch_size,
            device=device, seed=seed, seconds=seconds, few=True, who=who,
            tell=partial(tell, _LOADING),
        )  # fmt: skip
        task = with_details(task, schedule, clip_norm, accumulate, who)
        planned = planned_steps(epochs, steps, task.epoch, who)
        step_seconds(task, who, count=1)  # what does not train is told before anything is compared
    others = _batch_size_variants(task, batch_sizes, seed, who)
    expect(
        keep is None or task.feed is None, f"{who}(keep=...)", "data as tensors or arrays",
        "a loader, which cannot be put back to where it was", hint="leave keep out.",
    )  # fmt: skip
    recipe = recipe_of(task, seed=seed)
    if planned is None and recipe.epoch == UNKNOWN_EPOCH:
        longest = longest or LONGEST_OF_STREAM
    given = isinstance(optimizer, Optimizer) or (optimizer is None and task.rate_given)
    return find_rate(
        recipe, planned, budget=seconds, told=budget.of if isinstance(budget, Left) else seconds,
        batch_size=task.batch_size, longest=longest, seed=seed, clock=clock,
        given=fastest(task.optimizer) if given else None,
        data=None if task.feed is not None else task.examples.digest, command=command,
        progress=progress, keep=keep, variants=[*optimizer_variants(recipe, makers), *others],
    )  # fmt: skip


def _batch_size_variants(
    task: TrainingTask, sizes: Sequence[int], seed: int, who: str
) -> list[Variant]:
    where = f"{who}(batch_sizes=...)"
    expect(
        not sizes or task.feed is None, where, "data as tensors or arrays",
        "a loader, whose batches are as large as they are", hint="leave batch_sizes out.",
    )  # fmt: skip
    n = 0 if task.feed is not None else n_examples(task.examples.x)
    for size in sizes:
        words = f"sizes from 1 to {n}, the training set"
        expect(is_integer(size) and 1 <= size <= n, where, words, described(size))
    return batch_size_variants(
        lambda size: recipe_of(replace(task, batch_size=size), seed=seed),
        task.batch_size, sizes, linear=isinstance(task.optimizer, SGD | MaSS),
    )  # fmt: skip
