"""The losses of the batches that one step of an optimizer is made of."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class _Loss:
    """What is known of a batch's loss."""

    value: Tensor
    divisor: float  # the last thing done to it was to divide it by that; 1 if it was not
    own: bool  # it depends on the parameters of the optimizer
    stepped: bool = False  # another optimizer has stepped since


class Accumulated:
    """Losses whose gradients are added up, until the optimizer steps.

    What is said of them is the mean over the batches, however few there are in the last group.
    A loss that is divided by the number of batches in a whole group before its backward pass is
    multiplied by that first.
    """

    def __init__(self) -> None:
        self._losses: list[_Loss] = []
        self._longest = 1

    def add(self, value: Tensor, *, divisor: float = 1.0, own: bool = True) -> None:
        """Take the loss of a batch."""
        self._losses.append(_Loss(value.detach(), divisor, own))

    def clear(self) -> None:
        """Start anew, as gradients do that are set to zero."""
        self._losses = []

    def other_stepped(self) -> None:
        """Another optimizer has stepped: what does not depend on ours was for that one alone."""
        self._losses = [loss for loss in self._losses if loss.own]
        for loss in self._losses:
            loss.stepped = True

    def mean(self) -> Tensor | None:
        """The mean of the losses since the last step, `None` without any; begin the next."""
        losses, self._losses = self._losses, []
        ours = [loss for loss in losses if loss.own] or losses
        ours = [loss for loss in ours if not loss.stepped] or ours
        if not ours:
            return None
        self._longest = max(self._longest, len(ours))
        divided = all(math.isclose(loss.divisor, self._longest, rel_tol=1e-6) for loss in ours)
        total = torch.stack([loss.value for loss in ours]).sum()
        return total * (self._longest if divided else 1) / len(ours)


def depends_on(loss: Tensor, parameters: Iterable[Any]) -> bool:
    """Whether the backward pass of a loss comes to one of the parameters.

    Cost: a visit to every node of the graph.
    """
    wanted = {id(p) for p in parameters}
    pending: list[Any] = [loss.grad_fn]
    seen: set[Any] = set(pending)
    while pending:
        node = pending.pop()
        if id(getattr(node, "variable", None)) in wanted:
            return True
        fresh = {follower for follower, _ in getattr(node, "next_functions", ())} - seen - {None}
        seen |= fresh
        pending += fresh
    return False


def divisor(loss: Tensor, *, scaled: bool = False) -> float:
    """The number that a loss was divided by last; 1 if something else was done last.

    Args:
        loss: As it goes into the backward pass.
        scaled: It was multiplied by a loss scale after that.
    """
    node: Any = loss.grad_fn
    if scaled and node is not None:
        node = node.next_functions[0][0]
    other = getattr(node, "_saved_other", None)
    if node is None or not isinstance(other, Tensor) or other.ndim or not other.is_cpu or not other:
        return 1.0
    kind = str(node.name())
    if kind.startswith("Div"):
        return float(other)
    return 1 / float(other) if kind.startswith("Mul") else 1.0
