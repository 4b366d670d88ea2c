"""The rate at which real steps begin to diverge, found by steps of copies."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from torch import nn
from torch.optim import Optimizer

from overparam._batch import call
from overparam._copies import copied
from overparam._model import undisturbed
from overparam._training_mode import as_trained, repeatably
from overparam._types import Inputs, Loss
from overparam.curvature.loss_at_point import LossAtPoint

# A run has begun to diverge where its loss is so much above the first.
RISE = 0.1
# Neighbouring rates in the end, and the furthest from the first that is tried.
FINE, FURTHEST = 2**0.25, 2.0**20


def rate_by_steps(
    where: str,
    model: nn.Module,
    x: Inputs,
    y: Any,
    loss: Loss,
    optimizer: Optimizer,
    steps: int,
    start: float,
) -> float:
    """The rate at which `steps` steps on one batch begin to diverge.

    From `start` it is doubled or halved until it is between one that diverges and one that does
    not, and then the interval is halved twice. Of each rate nothing is kept.

    Args:
        where: The public call this is for, for the error message.
        model: Any module; a copy is trained, in the modes that training has.
        x: Batch of inputs, the same in all steps.
        y: Targets.
        loss: `loss(outputs, targets)`.
        optimizer: In its present state; a copy takes the steps.
        steps: To take at each rate.
        start: Rate of the fastest group to try first; the others keep their proportion.

    Returns:
        The middle of an interval as wide as a factor of 2^¼; `inf` or 0 where no rate tried
        diverged, or all did.

    Raises:
        ValueError, NumericalError: Bad inputs, as `LossAtPoint`.

    Cost:
        About six times `steps` steps, fewer where they diverge soon; a copy of both.
    """
    parts = _proportions(model, optimizer)

    def diverges(rate: float) -> bool:
        rates = [rate * part for part in parts]
        return begins_to_diverge(islice(_losses(model, x, y, loss, optimizer, rates), steps + 1))

    with undisturbed(model, sparse=True):
        with as_trained(model, x):
            LossAtPoint(where, model, x, y, loss, None, None)  # which checks all of it
        low = high = start
        if diverges(start):
            while low * FURTHEST > start and diverges(low := low / 2):
                high = low
        else:
            while high < FURTHEST * start and not diverges(high := high * 2):
                low = high
        if high <= low:
            return math.inf if low > start else 0.0
        while high > 1.01 * FINE * low:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if diverges(middle) else (middle, high)
    return math.sqrt(low * high)


def begins_to_diverge(losses: Iterable[float]) -> bool:
    """Whether a loss is not finite, or a tenth above the first.

    Example:
        >>> begins_to_diverge([2.0, 1.0, 1.5]), begins_to_diverge([2.0, 1.0, 2.5])
        (False, True)
    """
    first = None
    for value in losses:
        first = value if first is None else first
        if not value <= first + RISE * abs(first) or math.isinf(value):
            return True
    return False


def _proportions(model: nn.Module, optimizer: Optimizer) -> list[float]:
    """Rates of the groups in units of the fastest that trains the model."""
    own = {id(p) for p in model.parameters()}
    groups = optimizer.param_groups
    rates = [float(group["lr"]) for group in groups]
    fastest = max(
        rate
        for rate, g in zip(rates, groups, strict=True)
        if any(id(p) in own for p in g["params"])
    )
    return [rate / fastest if fastest else 1.0 for rate in rates]


def _losses(
    model: nn.Module,
    x: Inputs,
    y: Any,
    loss: Loss,
    optimizer: Optimizer,
    rates: list[float],
) -> Iterator[float]:
    """Of copies of both in training, without end; random layers draw the same in every step."""
    model, optimizer = copied(model, optimizer)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    with as_trained(model, x):
        while True:
            optimizer.zero_grad()
            with repeatably(model):
                value = loss(call(model, x), y)
            yield value.item()
            value.backward()
            optimizer.step()
