"""Gradients of several functionals on their way through one operation of the graph."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def name_of(node: Any) -> str:
    """The node's name without a namespace."""
    try:
        name = node.name()
    except RuntimeError:  # an older torch refuses it of a function that is written in Python
        name = type(node).__name__
    return name.rsplit("::", 1)[-1]


@dataclass(frozen=True)
class Step:
    """From the result of an operation to one of its inputs, for K functionals."""

    node: Any
    position: int  # of the input
    gradient: Tensor  # (K, *result), perhaps with axes split in two
    shape: torch.Size  # of the input
    room: Callable[..., Tensor]  # memory of a shape, the same at every sweep
    spare: bool = False  # whether nobody else needs the gradient, so that it may be overwritten

    @property
    def name(self) -> str:
        """The node's."""
        return name_of(self.node)

    @property
    def result(self) -> torch.Size:
        """Shape of the operation's result."""
        return torch.Size(self.node._input_metadata[0].shape)

    def whole(self) -> Tensor:
        """The gradient in the shape of the result."""
        return self.gradient.reshape(len(self.gradient), *self.result)

    def whole_product(self, whole: Tensor) -> Tensor:
        """The same in the shape of `whole()`, which is given."""
        return self.product() if self.gradient.shape == whole.shape else torch.empty_like(whole)

    def product(self) -> Tensor:
        """Memory for the gradient times something: its own if nobody else needs it."""
        k, n, *rest = self.gradient.shape
        if self.spare:
            return self.gradient
        if len(self.shape) == 2:
            return self.gradient.new_empty(k, n, *rest)
        return self.room(n, k, *rest).transpose(0, 1)


def folded(gradient: Tensor) -> Tensor:
    """Functionals and examples as one axis, in the order of memory."""
    return (gradient.transpose(0, 1) if _by_example(gradient) else gradient).flatten(0, 1)


def unfolded(rows: Tensor, like: Tensor) -> Tensor:
    """What was made of `folded(like)`, with the two axes apart again."""
    k, n = like.shape[:2]
    if _by_example(like):
        return rows.unflatten(0, (n, k)).transpose(0, 1)
    return rows.unflatten(0, (k, n))


def _by_example(gradient: Tensor) -> bool:
    """Whether memory runs over the functionals of the first example, then the second's."""
    return gradient.stride(1) > gradient.stride(0)


def elementwise(step: Step) -> Tensor | None:
    """δ to δ ∘ derivative, which autograd's own node tells when it is given ones."""
    if step.result != step.shape:
        return None
    alone = len(step.gradient) == 1
    answer = step.node(step.whole()[0] if alone else step.gradient.new_ones(step.shape))
    derivative = (answer[step.position] if isinstance(answer, tuple) else answer).detach()
    if alone:
        return derivative[None]
    derivative = derivative.reshape(step.gradient.shape[1:])
    return torch.mul(step.gradient, derivative, out=step.product()).view(-1, *step.shape)
