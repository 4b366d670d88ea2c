"""Which of the optimizers whose update is known an optimizer is; subclasses count as well."""

from collections.abc import Callable
from typing import Any

from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from overparam.optim.mass import MaSS

KNOWN: tuple[type[Optimizer], ...] = (SGD, MaSS, AdamW, Adam, RMSprop, Adagrad)

# What torch puts around the `step` of every class of which there is an optimizer, and so around
# the inherited one of a subclass that is made first.
_HOOK = Optimizer.profile_hook_step(lambda optimizer: None).__code__


def known_kind(optimizer: Optimizer) -> type[Optimizer] | None:
    """The nearest class with a known update, unless the optimizer has a `step` of its own.

    A subclass that adds a method or a default steps as its parent does. One that overrides `step`
    may do anything. What is put around the `step` of a single optimizer, as by torch's learning
    rate schedulers, does not count: it watches or counts.

    Example:
        >>> import torch
        >>> class Ours(SGD):
        ...     pass
        >>> known_kind(Ours([torch.ones(1)], lr=0.1)).__name__
        'SGD'
    """
    nearest = _nearest(optimizer)
    same = nearest is not None and _step(type(optimizer)) is _step(nearest)
    return nearest if same else None


def unknown_because(optimizer: Optimizer) -> str:
    """Why the update of an optimizer is not known, as what follows its name."""
    nearest = _nearest(optimizer)
    if nearest is None or known_kind(optimizer) is not None:
        return "with these options"
    return f"with a `step` of its own in place of {nearest.__name__}'s"


def _nearest(optimizer: Optimizer) -> type[Optimizer] | None:
    return next((base for base in type(optimizer).__mro__ if base in KNOWN), None)


def _step(kind: type[Optimizer]) -> Callable[..., Any]:
    """The `step` that a class defines or inherits, without torch's hooks."""
    step: Any = kind.step
    while getattr(step, "__code__", None) is _HOOK:
        step = step.__wrapped__
    return step
