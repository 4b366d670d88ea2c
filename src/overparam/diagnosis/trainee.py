"""Copies of a model and of its optimizer, which the trainings of a diagnosis are done with."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from overparam._copies import copied
from overparam._errors import complaint, expect
from overparam._model import trainable
from overparam.diagnosis.feed_loss import has_own_step
from overparam.diagnosis.scheduled import without_schedule
from overparam.errors import InvalidType, OverparamError
from overparam.optim.known_kinds import expect_plain_steps

OptimizerSource = Optimizer | Callable[[Iterable[Tensor]], Optimizer] | None

_WORDS = "an optimizer, or a function that makes one of parameters"


def copies(
    model: Any,
    optimizer: OptimizerSource,
    loss: Any,
    device: torch.device | None,
    who: str,
    initialise: Callable[[nn.Module], None],
) -> tuple[nn.Module, Optimizer, bool]:
    """The model and the optimizer to train with, and whether its rate is the user's.

    Args:
        model: A module.
        optimizer: As given; `None` is that of a Lightning module, or SGD.
        loss: As given: a Lightning module brings its optimizer with its loss.
        device: Where to train.
        who: The call this is for, for the error messages.
        initialise: Gives lazy layers their sizes.
    """
    where = f"{who}(optimizer=...)"
    expect(
        not isinstance(model, torch.jit.ScriptModule), f"{who}(model=...)",
        "a module in Python, of which copies are trained", "one compiled by torch.jit",
        hint="pass the module that it was made of.", error=TypeError,
    )  # fmt: skip
    if isinstance(optimizer, Optimizer):
        expect_plain_steps(optimizer, where)
    try:
        twin, made = copied(model, optimizer if isinstance(optimizer, Optimizer) else None)
    except OverparamError:
        raise
    except Exception as problem:
        came = f"{type(problem).__name__}: {str(problem).strip().partition(chr(10))[0]}"
        raise complaint(
            f"{who}(model=..., optimizer=...)", "what copy.deepcopy copies", came,
            hint="pass a function that makes the model, and one that makes the optimizer.",
            error=TypeError,
        ) from problem  # fmt: skip
    given = isinstance(optimizer, Optimizer)
    if made is None:
        if any(nn.parameter.is_lazy(p) for p in twin.parameters()):
            initialise(twin)
        made, given = _made(twin, optimizer, loss, who)
        expect_plain_steps(made, where)
    trainable(twin, None, f"{who}(model=...)")
    if device is not None:
        twin.to(device)
    own = {id(p) for p in twin.parameters()}
    trains = any(id(p) in own for group in made.param_groups for p in group["params"])
    expect(
        trains, where, "an optimizer over parameters of the model",
        f"{type(made).__name__} over others",
        hint="build it from model.parameters(), after moving the model to its device.",
    )  # fmt: skip
    without_schedule(made)
    if not twin.training:  # else its parts are in the modes that it is trained in
        twin.train()
    return twin, made, given


def _made(twin: nn.Module, optimizer: Any, loss: Any, who: str) -> tuple[Optimizer, bool]:
    where = f"{who}(optimizer=...)"
    chosen = list(trainable(twin, None, f"{who}(model=...)").values())
    expect(
        optimizer is None or callable(optimizer), where, _WORDS,
        f"{type(optimizer).__name__} {optimizer!r:.60}", error=TypeError,
    )  # fmt: skip
    made: Any
    if optimizer is not None:
        try:
            made, given = optimizer(chosen), True
        except TypeError as problem:
            raise complaint(
                where, _WORDS, f"TypeError: {problem}", error=TypeError,
                hint="such as optimizer=lambda params: torch.optim.SGD(params, lr=0.1).",
            ) from problem  # fmt: skip
    elif loss is None and has_own_step(twin):
        made, given = _configured(twin, who), True
    else:
        made, given = SGD(chosen, lr=1.0), False
    expect(
        isinstance(made, Optimizer), where, _WORDS,
        f"a function that returns {type(made).__name__}", error=TypeError,
    )  # fmt: skip
    return made, given


def _configured(module: Any, who: str) -> Optimizer:
    """The one optimizer of `configure_optimizers`, in any of the forms Lightning takes."""
    try:
        found = module.configure_optimizers()
    except Exception as problem:
        raise InvalidType(
            f"`{who}(optimizer=...)` expected configure_optimizers() to work without a trainer, "
            f"got {type(problem).__name__}: {problem}.\n"
            "Hint: pass optimizer=, a function of parameters."
        ) from problem
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], (list, tuple)):
        found = found[0]
    several = list(found) if isinstance(found, (list, tuple)) else [found]
    several = [one["optimizer"] if isinstance(one, dict) else one for one in several]
    expect(
        len(several) == 1, f"{who}(optimizer=...)", "a module with one optimizer",
        f"{len(several)}", hint="pass loss= and optimizer= of one of them.",
    )  # fmt: skip
    return several[0]


def expect_step(optimizer: Optimizer, where: str, size: str, step: Callable[[], None]) -> None:
    """Raise, in a line, if a step cannot be taken: all of it is the user's."""
    try:
        step()
    except OverparamError:
        raise
    except Exception as problem:
        came = str(problem).strip().partition("\n")[0] or "no message"
        expected = f"a model, a loss and an optimizer that make a training step {size}"
        if "closure" in came.lower():
            expected = "an optimizer whose step() needs no closure"
        told = f"{type(problem).__name__}: {came} (with {type(optimizer).__name__})"
        raise complaint(where, expected, told) from problem
