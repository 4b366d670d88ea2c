"""How a user trains, in the terms a race needs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from overparam._batch import call, n_examples, take, tensors
from overparam._copies import copied_model
from overparam._random_numbers import own_random_numbers
from overparam.diagnosis.budget import UNKNOWN_EPOCH
from overparam.diagnosis.race.drawn import Drawn
from overparam.diagnosis.task import Schedule, TrainingTask, batches

# Below this a step is over before a second thread has begun.
_FEW_FLOPS = 2e8
_PROBED = 256
_BATCHES = 8


@dataclass(frozen=True)
class Recipe:
    """A training in which all but the rate is settled.

    Attributes:
        model: Where it starts; entrants copy it, with the optimizer.
        optimizer: Of its parameters. Groups keep their proportions to the largest rate.
        loss_of: The loss of a model on a batch, a mean over examples.
        batches: Batches without end, in an order that a seed decides.
        probe: Batches on which short trainings are judged.
        epoch: Optimizer steps of an epoch.
        schedule: Makes the scheduler for a training of a length, or `None`.
        clip_norm: Largest norm of the gradient of a step, or `None`.
        accumulate: Batches per optimizer step.
    """

    model: nn.Module
    optimizer: Optimizer
    loss_of: Callable[[nn.Module, Any], Tensor]
    batches: Callable[[int], Iterator[Any]]
    probe: tuple[Any, ...]
    epoch: int
    schedule: Schedule | None = None
    clip_norm: float | None = None
    accumulate: int = 1

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device


def recipe_of(task: TrainingTask, *, seed: int = 0) -> Recipe:
    """The recipe of a task."""
    if task.feed is not None:
        return recipe_of_loader(
            task.model, task.optimizer, task.feed.loss_of, task.feed.loader,
            schedule=task.schedule, clip_norm=task.clip_norm, accumulate=task.accumulate,
            where=task.feed.where,
        )  # fmt: skip
    examples, size = task.examples, task.batch_size
    n = n_examples(examples.x)

    def batch(index: Tensor) -> tuple[Any, Tensor]:
        return take(examples.x, index), examples.y[index]

    def ordered(order: int) -> Iterator[tuple[Any, Tensor]]:
        return map(batch, batches(n, size, torch.Generator().manual_seed(order)))

    probed = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    count = max(min(_PROBED, n) // size, 1)
    probe = tuple(batch(part) for part in probed[: count * size].split(size))
    return Recipe(
        task.model, task.optimizer,
        lambda model, pair: task.loss(call(model, pair[0]), pair[1]),
        ordered, probe, task.epoch,
        task.schedule, task.clip_norm, task.accumulate,
    )  # fmt: skip


def recipe_of_loader(
    model: nn.Module,
    optimizer: Optimizer,
    loss_of: Callable[[nn.Module, Any], Tensor],
    loader: Iterable[Any],
    *,
    schedule: Schedule | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    where: str = "a loader",
) -> Recipe:
    """The recipe of a training whose batches come from a loader, which shuffles them itself.

    Args:
        model: In the mode of training.
        optimizer: Of its parameters.
        loss_of: The loss of a model on a batch as the loader gives it.
        loader: Gone through again and again, see `Drawn`. One without a length is a stream, whose
            epoch never ends.
        schedule: As in `Recipe`.
        clip_norm: As in `Recipe`.
        accumulate: As in `Recipe`.
        where: The argument that the loader is, for the error message.
    """

    @cache
    def drawn(order: int) -> Drawn:
        return Drawn(loader, order, where=where)

    try:
        length = len(loader)  # type: ignore[arg-type]
    except TypeError:
        length = None
    probe: list[Any] = []
    for batch in islice(drawn(0), min(_BATCHES, length or _BATCHES)):
        probe.append(batch)
        if sum(len(t) for one in probe for t in tensors(one)[:1] if t.ndim) >= _PROBED:
            break
    epoch = UNKNOWN_EPOCH if length is None else max(length // accumulate, 1)
    return Recipe(
        model, optimizer, loss_of, lambda order: iter(drawn(order)), tuple(probe), epoch,
        schedule, clip_norm, accumulate,
    )  # fmt: skip


def threads_for(recipe: Recipe, most: int) -> int:
    """Threads that a step of this size is worth: 1 or `most`.

    By operations counted and not by a clock, since sums in another order are other numbers.
    """
    model = copied_model(recipe.model)
    counter = FlopCounterMode(display=False)
    with own_random_numbers({recipe.device}), torch.no_grad(), counter:
        recipe.loss_of(model, recipe.probe[0])
    return 1 if 3 * counter.get_total_flops() < _FEW_FLOPS else most
