"""Copies of models and optimizers that `copy.deepcopy` alone does not make, or not whole."""

import copy
from collections import deque
from collections.abc import Iterator
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from overparam._exclusive import exclusive
from overparam._forward import inside

M = TypeVar("M", bound=nn.Module)


def copied_model(model: M) -> M:
    """A copy that shares nothing with the model.

    What a layer keeps of its last forward pass, as the weights of `torch.nn.utils.weight_norm` and
    `spectral_norm` are, and activations that a module keeps, has a graph behind it, which cannot
    be copied: its numbers are.
    """
    with exclusive(model):  # which may be held with other parameters in it
        return copy.deepcopy(model, _known(model))


def copied(model: M, optimizer: Optimizer | None) -> tuple[M, Any]:
    """Copies of a model and of the optimizer that trains it, which then trains the copy.

    An optimizer copies its groups and its state. What else a class of one keeps in attributes of
    its own is copied as well.
    """
    with exclusive(model):
        memo = _known(model)
        twin = copy.deepcopy(model, memo)
        if optimizer is None:
            return twin, None
        try:
            made = copy.deepcopy(optimizer, memo)
        except (AttributeError, TypeError, KeyError):  # it wants attributes that torch leaves out
            made = type(optimizer).__new__(type(optimizer))
            memo[id(optimizer)] = made
        for name, value in _own(optimizer):
            if name not in vars(made):
                vars(made)[name] = _attribute(value, memo)
        return twin, made


def _own(optimizer: Optimizer) -> Iterator[tuple[str, Any]]:
    """Its attributes; a method that something has wrapped, as schedulers do, stays with it."""
    for name, value in vars(optimizer).items():
        if not callable(getattr(type(optimizer), name, None)):
            yield name, value


def _attribute(value: Any, memo: dict[int, Any]) -> Any:
    """A copy, or what cannot be copied, such as a lock."""
    try:
        return copy.deepcopy(value, memo)
    except (TypeError, RuntimeError, copy.Error):
        return value


def _known(model: nn.Module) -> dict[int, Any]:
    """Copies of what has a graph behind it, as `copy.deepcopy` looks them up."""
    with_graph: dict[int, Tensor] = {}
    for module in model.modules():
        for value in vars(inside(module)).values():
            _find_graphs(value, with_graph)
    return {at: value.detach().clone() for at, value in with_graph.items()}


def _find_graphs(value: Any, found: dict[int, Tensor], depth: int = 3) -> None:
    """Collect the tensors with a graph in a value and in the containers that it is made of."""
    if isinstance(value, Tensor):
        if value.grad_fn is not None:
            found[id(value)] = value
    elif depth and isinstance(value, (tuple, list, set, deque, dict)):
        for held in value.values() if isinstance(value, dict) else value:
            _find_graphs(held, found, depth - 1)
