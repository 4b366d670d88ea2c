"""The best learning rate of a task by brute force: rates in factors of 2, three batch orders.

What a training reached, L, is its mean loss over the last epoch, but over a tenth of its steps
at least and a quarter at most; a training whose loss is not finite has diverged, and its L is
infinite. A rate is worth the geometric mean of L over the orders, since it is ratios of L that
methods are judged by. The best rate is that of the least worth.

The grid's rates are powers of two, nine at first around a guess for the kind of optimizer. They
go on, up to sixteen in all, until the best has two neighbours on either side, or its upper ones
have diverged.

The loop is plain PyTorch and shares nothing with the library that is judged.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from advice_tasks import Task, described
from torch import Tensor

ORDERS = 3
GUESS = {"plain": -3, "momentum": -6, "adaptive": -9}
REACH, MOST_RATES = 4, 16

Maker = Callable[[Any], torch.optim.Optimizer]


def train(task: Task, make_optimizer: Maker, order: int, *, scheduled: bool = True) -> float:
    """L of one training; schedule-free optimizers are judged where they would be evaluated."""
    x, y = task.data()
    model = task.make_model(0)
    optimizer: Any = make_optimizer(model.parameters())
    schedule = task.schedule(optimizer, task.steps) if task.schedule and scheduled else None
    epoch = len(y) // task.batch_size
    last = max(math.ceil(task.steps / 10), min(epoch, task.steps // 4))
    reached = []

    def batch_loss(index: Tensor) -> Tensor:
        return task.loss(model(x[index]), y[index])

    if averaging := hasattr(optimizer, "eval"):
        optimizer.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(order)  # of dropout
        draws = batches(len(y), task.batch_size, order)
        for step, index in zip(range(task.steps), draws, strict=False):
            late = step >= task.steps - last
            if late and averaging:
                reached.append(at_average(optimizer, partial(batch_loss, index)))
            optimizer.zero_grad()
            loss = batch_loss(index)
            value = float(loss.detach())
            if not math.isfinite(value):
                return math.inf
            if late and not averaging:
                reached.append(value)
            loss.backward()
            if task.clip_norm:
                torch.nn.utils.clip_grad_norm_(model.parameters(), task.clip_norm)
            optimizer.step()
            if schedule:
                schedule.step()
    mean = fmean(reached)
    return mean if math.isfinite(mean) else math.inf


@torch.no_grad()
def at_average(optimizer: Any, loss: Callable[[], Tensor]) -> float:
    """A loss where a schedule-free optimizer's average is."""
    optimizer.eval()
    value = float(loss())
    optimizer.train()
    return value


def batches(n: int, size: int, order: int) -> Iterator[Tensor]:
    """Whole batches of every epoch, shuffled anew for each."""
    generator = torch.Generator().manual_seed(1_000_003 * (order + 1))
    while True:
        yield from torch.randperm(n, generator=generator)[: n // size * size].view(-1, size)


def worth(losses: list[float]) -> float:
    """Geometric mean of what trainings reached; infinite if one of them diverged."""
    if math.inf in losses:
        return math.inf
    return math.exp(fmean(math.log(max(loss, 1e-30)) for loss in losses))


class Trainings:
    """What trainings reached, kept in a file: a task's grid is run once while it stays the same.

    Args:
        path: JSON, written after every training; one process at a time may have it. `None`
            keeps nothing.
        orders: Batch orders for each rate.
    """

    def __init__(self, path: Path | None, orders: int = ORDERS) -> None:
        self.path, self.orders = path, orders
        known = json.loads(path.read_text("utf-8")) if path and path.is_file() else {}
        self._known: dict[str, dict[str, list[float | None]]] = known

    def of(
        self, task: Task, name: str, make_optimizer: Maker, *, scheduled: bool = True
    ) -> list[float]:
        """L for each batch order, up to the first that diverges."""
        code = hashlib.sha256(described(train).encode()).hexdigest()[:6]
        runs = self._known.setdefault(f"{task.name} {task.digest} {code}", {})
        losses = [math.inf if loss is None else loss for loss in runs.get(name, [])]
        while len(losses) < self.orders and math.inf not in losses:
            losses.append(train(task, make_optimizer, len(losses), scheduled=scheduled))
            runs[name] = [loss if math.isfinite(loss) else None for loss in losses]
            self._write()
        return losses[: self.orders]

    def at(self, task: Task, rate: float) -> float:
        """What a rate is worth."""
        return worth(self.of(task, repr(rate), lambda params: task.make_optimizer(params, rate)))

    def _write(self) -> None:
        if self.path:
            beside = self.path.with_suffix(".part")
            beside.write_text(json.dumps(self._known, indent=1), "utf-8")
            os.replace(beside, self.path)


def grid(task: Task, trainings: Trainings, guess: int | None = None) -> dict[float, float]:
    """What each rate of the grid is worth, from the lowest rate to the highest."""
    centre = GUESS[task.family] if guess is None else guess
    found: dict[int, float] = {}

    def add(power: int) -> None:
        found[power] = trainings.at(task, 2.0**power)

    for power in range(centre - REACH, centre + REACH + 1):
        if len(found) > 1 and min(found[power - 1], found[power - 2]) == math.inf:
            break
        add(power)
    while len(found) < MOST_RATES:
        low, high = min(found), max(found)
        best = min(found, key=found.__getitem__)
        if found[best] == math.inf or best - low < 2:
            add(low - 1)
        elif high - best < 2 and (high == best or found[high] < math.inf):
            add(high + 1)
        else:
            break
    return {2.0**power: found[power] for power in sorted(found)}


def best_of(found: dict[float, float]) -> float:
    """The rate of the least worth."""
    return min(found, key=found.__getitem__)
