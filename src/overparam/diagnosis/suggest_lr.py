"""A learning rate for a training, from a race of short ones."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from overparam._environment import environment
from overparam._json import strict
from overparam._numbers import is_integer
from overparam._progress import Progress, expect_progress, telling
from overparam._random_numbers import seeded
from overparam._statement import Concluded, Statement
from overparam._switches import thread_count
from overparam._types import Loss
from overparam.datasets.dataset import expect_seed
from overparam.diagnosis.budget import parse_budget, planned_steps, positive
from overparam.diagnosis.examples import as_examples, batch_size_of
from overparam.diagnosis.race.outcome import Outcome
from overparam.diagnosis.race.recipe import recipe_of, threads_for
from overparam.diagnosis.race.record import sweep_of, trials_of
from overparam.diagnosis.race.run import Clock, run_race
from overparam.diagnosis.rate_statement import RateFindings, rate_statement
from overparam.diagnosis.task import (
    OptimizerSource,
    Schedule,
    TrainingTask,
    build_task,
    optimizer_name,
    place_of,
    with_details,
)
from overparam.errors import MissingPackage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The rest is for what comes after the race.
_OF_BUDGET = 0.95


@dataclass(frozen=True)
class SuggestedRate(Concluded):
    """A learning rate with what it rests on, as plain data.

    Attributes:
        environment: Versions, machine, seed, time taken.
        rate: To train at, for the fastest parameter group; `nan` if nothing was learned.
        interval: Where the best rate is expected, (low, high).
        verdict: ``"found"``; ``"flat"`` (rates a factor 4 apart do as well); ``"between"`` (two
            orders of batches disagree); ``"rough"`` (an order of magnitude); ``"nothing"`` (no
            rate lowered the loss); ``"none"`` (no comparison).
        steps: h, the optimizer steps of the trainings that were compared.
        planned_steps: Of the training that the rate is for; `None` if none was named.
        trial_steps: Steps of all trainings together.
        curve: The last comparison: ``"lr"`` and ``"loss"``, lists; a loss that is infinite is that
            of a training that was lost.
        trials: Every training: rate, order of batches, steps, loss, whether it was lost, and
            its losses.
        optimizer: Its name.
        batch_size: Examples per batch.
        stopped: ``"finished"``, ``"budget"`` or ``"interrupted"``.
        statements: The conclusion.
    """

    environment: dict[str, Any]
    rate: float
    interval: tuple[float, float]
    verdict: str
    steps: int
    planned_steps: int | None
    trial_steps: int
    curve: dict[str, Any]
    trials: list[dict[str, Any]]
    optimizer: str
    batch_size: int
    stopped: str
    statements: list[Statement] = field(default_factory=list)

    def _statements(self) -> list[Statement]:
        return self.statements

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it: a number that is not finite becomes `None`."""
        return strict({"kind": "rate", **asdict(self)})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Loss against rate, the pick and its interval, drawn by matplotlib.

        Args:
            ax: Where to draw; `None` makes a figure.
        """
        try:
            from matplotlib import pyplot
        except ImportError as problem:
            raise MissingPackage(
                "`SuggestedRate.plot` expected the package matplotlib, got none.\n"
                "Hint: pip install matplotlib, or write a page: .report('rate.html')"
            ) from problem
        ax = ax or pyplot.subplots()[1]
        pairs = list(zip(self.curve["lr"], self.curve["loss"], strict=True))
        kept = [(rate, loss) for rate, loss in pairs if loss < float("inf")]
        lost = [rate for rate, loss in pairs if not loss < float("inf")]
        ax.plot(*zip(*kept, strict=True) if kept else ([], []), "o-")
        if lost and kept:
            top = max(loss for _, loss in kept)
            ax.plot(lost, [top] * len(lost), "x", color="tab:red", label="lost")
        if self.rate == self.rate:
            ax.axvline(self.rate, color="tab:green", linestyle="--", label=f"{self.rate:.3g}")
            ax.axvspan(*self.interval, color="tab:green", alpha=0.12)
            ax.legend()
        ax.set_xscale("log", base=2)
        ax.set_xlabel("learning rate")
        ax.set_ylabel(f"training loss after {self.steps} steps")
        return ax


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
    longest: int | None = None,
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
            layers of 256.
        data: As for `diagnose`, but that nothing of it is set aside; of a `DataLoader` the batch
            size is taken as well.
        loss: `loss(outputs, targets)`, or ``"mse"`` or ``"cross_entropy"``; `None` chooses by
            the targets.
        optimizer: The one you use, or a function of parameters that makes it. Groups keep their
            proportions; the rate of an optimizer that exists is compared as well. `None` is SGD.
        epochs: Of the training you plan.
        steps: The same in optimizer steps. With neither, the budget decides: the answer is then
            for trainings as long as those compared.
        budget: Time for everything. Whole trainings are compared in that of about four of them.
        batch_size: Examples per batch; `None` is that of the loader, or 32.
        schedule: `schedule(optimizer, steps)` makes the scheduler, stepped once per optimizer
            step, for a training of so many steps; it is laid out anew for each length.
        clip_norm: Largest norm of the gradient of a step.
        accumulate: Batches per optimizer step.
        longest: Steps of the longest trainings that are compared; `None` is all that is planned.
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
    clock.deadline = clock.began + _OF_BUDGET * seconds
    expect_seed(seed, f"{who}(seed=...)")
    expect_progress(progress, f"{who}(progress=...)")
    if longest is not None:
        positive(longest, f"{who}(longest=...)", is_integer(longest))
    examples = as_examples(data, seed=seed, test=False, who=who)
    place = place_of(model, device, who)
    with seeded(seed, place):
        if callable(model) and not isinstance(model, nn.Module):
            model = model(examples)
            place = place_of(model, device, who)
        size = batch_size_of(data) if batch_size is None else batch_size
        task = build_task(model, examples.to(place), loss, optimizer, size, place, who)
    task = with_details(task, schedule, clip_norm, accumulate, who)
    given = optimizer.param_groups if isinstance(optimizer, Optimizer) else None
    recipe = recipe_of(task, seed=seed)
    with telling(progress) as tell, thread_count() as most:
        torch.set_num_threads(threads := threads_for(recipe, most))
        outcome = run_race(
            recipe, planned_steps(epochs, steps, recipe.epoch, who), order=seed,
            given=None if given is None else max(float(group["lr"]) for group in given),
            longest=longest, clock=clock, tell=partial(tell, "racing"),
        )  # fmt: skip
    record = environment(
        seconds=round(clock.now() - clock.began, 1), seed=seed, device=place, threads=threads,
        data=examples.digest, command=command, budget_seconds=seconds,
    )  # fmt: skip
    return _suggested(task, outcome, record, given is not None)


def _suggested(
    task: TrainingTask, outcome: Outcome, record: dict[str, Any], given: bool
) -> SuggestedRate:
    name = optimizer_name(task.optimizer)
    used = max(float(group["lr"]) for group in task.optimizer.param_groups) if given else None
    asked = RateFindings(
        outcome=outcome, optimizer=name, batch_size=task.batch_size, given=used
    )  # fmt: skip
    return SuggestedRate(
        environment=record, rate=outcome.rate, interval=outcome.interval,
        verdict=outcome.verdict, steps=outcome.horizon, planned_steps=outcome.planned,
        trial_steps=outcome.spent, curve=sweep_of(outcome), trials=trials_of(outcome),
        optimizer=name, batch_size=task.batch_size, stopped=outcome.stopped,
        statements=[rate_statement(asked)],
    )  # fmt: skip
