"""Which of the optimizers whose update is known an optimizer is; subclasses count as well."""

from collections.abc import Callable
from typing import Any

from torch import optim
from torch.optim import (
    LBFGS,
    SGD,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)

from overparam._errors import expect
from overparam.optim.mass import MaSS

KNOWN: tuple[type[Optimizer], ...] = (
    SGD, MaSS, AdamW, Adam, NAdam, RAdam, Adamax, RMSprop, Adagrad, Adafactor,
)  # fmt: skip

# Of packages that are not needed: by the package and the name of the class.
_SCHEDULE_FREE = {
    ("schedulefree", "SGDScheduleFree"),
    ("schedulefree", "AdamWScheduleFree"),
    ("pytorch_optimizer", "ScheduleFreeSGD"),
    ("pytorch_optimizer", "ScheduleFreeAdamW"),
}

# Optimizers whose steps do not get smaller with the gradient: signs, orthogonal matrices, and
# steps as long as a part of the weights. Packages agree on their names, but for case.
_KEEPS_ITS_SIZE = {
    "lion": "signs",
    "signsgd": "signs",
    "tiger": "signs",
    "rprop": "signs",
    "muon": "orthogonal matrices",
    "lars": "as long as a part of the weights",
    "lamb": "as long as a part of the weights",
}
_TORCHS = tuple(filter(None, (Rprop, getattr(optim, "Muon", None))))  # torch 2.9 brought Muon

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


def is_schedule_free(kind: type | None) -> bool:
    """Whether a class is one of the schedule-free optimizers whose update is known."""
    return kind is not None and (kind.__module__.partition(".")[0], kind.__name__) in _SCHEDULE_FREE


def unknown_because(optimizer: Optimizer) -> str:
    """What of an optimizer is not known and why: its name, and all that follows it."""
    nearest, name = _nearest(optimizer), type(optimizer).__name__
    if nearest is not None:
        known = known_kind(optimizer) is not None
        own = "these options" if known else f"a `step` of its own in place of {nearest.__name__}'s"
        return f"{name} with {own} is not known"
    for base in type(optimizer).__mro__:
        reason = _KEEPS_ITS_SIZE.get(base.__name__.lower())
        if reason is not None and (base in _TORCHS or base.__module__.partition(".")[0] != "torch"):
            return (
                f"{name} is not known: there is no known limit, since its steps are {reason} "
                "however small the gradient, so that on a quadratic they neither settle nor grow"
            )
    return f"{name} is not known"


def takes_plain_steps(optimizer: Any) -> bool:
    """Whether `expect_plain_steps` has nothing to say."""
    try:
        expect_plain_steps(optimizer, "")
    except ValueError:
        return False
    return True


def expect_plain_steps(optimizer: Any, where: str) -> None:
    """Raise for an optimizer whose step is not one of one gradient."""
    if not isinstance(optimizer, Optimizer):
        return
    kind = type(optimizer)
    two = all(callable(getattr(kind, name, None)) for name in ("first_step", "second_step"))
    expect(
        not two, where, "an optimizer that takes a step by one gradient",
        f"{kind.__name__}, which takes two, each with a gradient of its own",
        hint="pass the optimizer inside it: its rate is what is looked for.",
    )  # fmt: skip
    expect(
        not isinstance(optimizer, LBFGS), where, "an optimizer whose step() needs no closure",
        f"{kind.__name__}, which evaluates the loss several times in a step",
        hint="it finds its step by a line search: line_search_fn='strong_wolfe'.",
    )  # fmt: skip


def _nearest(optimizer: Optimizer) -> type[Optimizer] | None:
    bases = type(optimizer).__mro__
    return next((base for base in bases if base in KNOWN or is_schedule_free(base)), None)


def _step(kind: type[Optimizer]) -> Callable[..., Any]:
    """The `step` that a class defines or inherits, without torch's hooks."""
    step: Any = kind.step
    while getattr(step, "__code__", None) is _HOOK:
        step = step.__wrapped__
    return step
