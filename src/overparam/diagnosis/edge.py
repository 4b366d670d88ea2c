"""The learning rate a task settles at when its rate follows the edge of stability."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from overparam._batch import call, n_examples, take
from overparam._copies import copied
from overparam._deprecated import renamed
from overparam._model import undisturbed
from overparam._switches import quietly
from overparam._types import Inputs
from overparam.diagnosis.task import TrainingTask, batches
from overparam.errors import NumericalError
from overparam.optim.known_kinds import known_kind
from overparam.optim.stability import stability


@dataclass
class EdgeTrace:
    """A short training whose learning rate was led up to its limit and then along it.

    Attributes:
        steps: The steps at which the limit was measured.
        rates: The learning rate from each of these steps on.
        limits: The critical learning rate measured there.
        reached: Index of the first measurement at the edge; `None` if it was never reached.
        loss: Training loss of each batch.
        margin: Part of the limit that the rate was led along.
    """

    steps: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    reached: int | None = None
    loss: list[float] = field(default_factory=list)

    margin: float = 1.0

    @property
    def broken(self) -> bool:
        """Whether the network was lost: its loss ended above where it began.

        A large step can switch off a ReLU network for good; what is measured of the ruin says
        nothing about the network.
        """
        if not all(map(math.isfinite, self.loss)):
            return True
        return len(self.loss) > 40 and fmean(self.loss[-20:]) >= fmean(self.loss[:5])

    @property
    def limit(self) -> float:
        """Geometric mean of the limits at the edge; `nan` if it was not reached, or broken."""
        if self.reached is None or self.broken:
            return math.nan
        logs = [math.log(limit) for limit in self.limits[self.reached :] if 0 < limit < math.inf]
        return math.exp(fmean(logs)) if logs else math.nan


def margin_for(optimizer: Optimizer) -> float:
    """Part of its limit to train at: all of it for gradient descent, a quarter with memory.

    An optimizer that averages gradients answers to the curvature of 1/(1−β) steps ago, and
    overshoots a limit that moves. On handwritten digits the best rate of a grid lay at 0.6 to
    4 times this for heavy ball, at 0.2 to 1.1 for Nesterov and 0.4 to 6 for Adam; with plain
    SGD within a factor of two.
    """
    groups = optimizer.param_groups
    plain = known_kind(optimizer) is SGD and all(group["momentum"] == 0 for group in groups)
    return 1.0 if plain else 0.25


@renamed(steps="max_steps")
def follow_edge(
    task: TrainingTask,
    probe: tuple[Inputs, Tensor],
    *,
    max_steps: int = 200,
    every: int = 5,
    doubling: float = 12.0,
    seconds: float = math.inf,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> EdgeTrace:
    """Train a copy for a few hundred steps with the largest rate its curvature allows.

    The rate starts at 1/32 of its first limit and doubles every `doubling` steps until it
    meets the limit 2/λ(t) (or the optimizer's own, times `margin_for` it); from then on it is
    the limit, though it never grows faster than before. The curvature at initialisation alone
    misjudges the rate: under cross-entropy λ grows up to sixteenfold within the first steps,
    and under any loss a step beyond the limit lowers λ again. The trace shows where the two
    come to rest.

    Args:
        task: Model, data, loss and optimizer; all are copied.
        probe: The examples on which the limit is measured.
        max_steps: Training steps at most.
        every: Steps between two measurements.
        doubling: Steps in which the rate doubles on its way up.
        seconds: Wall-clock limit; the trace ends early when it is spent.
        seed: Of the order of the batches.
        clock: Where the time comes from.

    Returns:
        The trace. `margin * limit` is what to train with.

    Cost:
        `max_steps` training steps, and one product with the Gauss–Newton matrix of the probe per
        measurement.

    References:
        Cohen et al. (2021), arXiv:2103.00065: gradient descent comes to rest at λ = 2/lr.
        Lewkowycz et al. (2020), arXiv:2003.02218: beyond it, λ falls.
    """
    model, optimizer = copied(task.model, task.optimizer)
    # Regularised by its own noise, dropout has no limit of its own: the probe leaves it out.
    mode = model.training
    margin = margin_for(optimizer)
    trace, started, vector = EdgeTrace(margin=margin), clock(), None
    x, y = probe
    generator = torch.Generator().manual_seed(seed)
    order = batches(n_examples(task.examples.x), task.batch_size, generator)
    proportions = [float(group["lr"]) for group in optimizer.param_groups]
    fastest = max(proportions) or 1.0
    proportions = [lr / fastest if max(proportions) else 1.0 for lr in proportions]

    def set_rate(rate: float) -> None:
        for group, part in zip(optimizer.param_groups, proportions, strict=True):
            group["lr"] = rate * part

    rate, growth = math.nan, 2 ** (every / doubling)
    for step in range(max_steps):
        if step % every == 0:
            if clock() - started > seconds:
                break
            try:
                # The advice says it of the optimizer, once.
                with undisturbed(model, evaluation=True), quietly():
                    measured = stability(
                        model, x, y, task.loss, optimizer, v0=vector,
                        products=6 if vector is None else 3, seed=seed,
                    )  # fmt: skip
            except (NumericalError, ValueError):
                break  # the training broke down; what was measured before stands
            limit, vector = measured.critical_learning_rate, measured.vector
            if math.isnan(limit):
                break
            if step == 0:
                rate = limit / 32 if math.isfinite(limit) else 1e-3
            else:
                if trace.reached is None and margin * limit <= rate * growth:
                    trace.reached = len(trace.limits)
                rate = min(margin * limit, rate * growth)
            set_rate(rate)
            trace.steps.append(step)
            trace.rates.append(rate)
            trace.limits.append(limit)
        index = next(order)
        model.train(mode)
        optimizer.zero_grad()
        loss = task.loss(call(model, take(task.examples.x, index)), task.examples.y[index])
        loss.backward()
        optimizer.step()
        trace.loss.append(float(loss.detach()))
        if not math.isfinite(trace.loss[-1]):
            break
    return trace


def edge_limit(
    task: TrainingTask,
    probe: tuple[Inputs, Tensor],
    *,
    seconds: float = math.inf,
    traces: int = 3,
    seed: int = 0,
    progress: Callable[[float], None] = lambda done: None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, list[EdgeTrace]]:
    """Limit of the learning rate over several traces along the edge, and the traces.

    The geometric mean of theirs. If all that reached the edge broke there, the smallest limit
    any of them met; `nan` if none reached it. A trace that the time left would cut short is
    not begun, except the first.
    """
    found: list[EdgeTrace] = []
    began = clock()
    for number in range(traces):
        spent = clock() - began
        if number and spent * (number + 1) / number > seconds:
            break
        found.append(follow_edge(task, probe, seconds=seconds - spent, seed=seed + number,
                                 clock=clock))  # fmt: skip
        progress((number + 1) / traces)
    limits = [trace.limit for trace in found if math.isfinite(trace.limit)]
    if limits:
        return math.exp(fmean(map(math.log, limits))), found
    met = [limit for t in found if t.reached is not None for limit in t.limits if limit > 0]
    return min(met, default=math.nan), found
