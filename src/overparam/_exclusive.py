"""What one thread at a time may do: evaluate a module, differentiate in forward mode."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, wraps
from typing import Any, TypeVar

import torch
from torch import nn
from torch.autograd import forward_ad

from overparam._errors import expect
from overparam._parts import parts
from overparam._switches import lock, on_fork

F = TypeVar("F", bound=Callable[..., Any])

_changed = threading.Condition(lock)
# The thread that holds a module or a parameter, by the identity of the latter.
_holder: dict[int, int] = {}
# The same of a module with everything inside it.
_whole: dict[int, int] = {}
_forward = threading.RLock()


@contextmanager
def exclusive(model: nn.Module) -> Iterator[None]:
    """Wait until no other thread is inside with a part of `model`, and keep others out.

    The same thread may enter again. What counts are submodules and parameters, so that a module
    around a model and models with common weights exclude each other as well.

    Raises:
        RuntimeError: Where this thread, which holds another model, would have to wait: two that
            wait for each other never end.
    """
    me = threading.get_ident()
    if _whole.get(id(model)) == me:  # all of it is held already, by a caller further up
        yield
        return
    inside: list[int] = []

    def free() -> bool:
        # Modules first: in one that is in use the parameters may be others for the moment.
        modules = parts(model)
        inside.extend(map(id, modules))
        if any(_holder.get(part, me) != me for part in inside):
            inside.clear()
            return False
        for module in modules:
            inside.extend(id(p) for _, p in module._parameters.items() if p is not None)
        if any(_holder.get(part, me) != me for part in inside):
            inside.clear()
            return False
        return True

    with lock:
        expect(
            (unused := free()) or me not in _holder.values(),
            f"{type(model).__name__}.forward",
            "a model that no other thread evaluates, inside the evaluation of another model",
            "one that is in use",
            hint="give each thread a copy.",
            error=RuntimeError,
        )
        if not unused:
            _changed.wait_for(free)
        taken = [part for part in inside if part not in _holder]
        _holder.update(dict.fromkeys(taken, me))
        _whole[id(model)] = me
    try:
        yield
    finally:
        with lock:
            _whole.pop(id(model), None)
            for part in taken:
                _holder.pop(part, None)
            _changed.notify_all()


def held(model: nn.Module) -> AbstractContextManager[None]:
    """`exclusive`, but while a graph is compiled, which takes the tensors as arguments."""
    return nullcontext() if torch.compiler.is_compiling() else exclusive(model)


def exclusively(function: F) -> F:
    """Let a function or method of a module, its first argument, run in one thread at a time.

    A module that reads its own parameters needs it too: in another thread they may be others.
    """

    @wraps(function)
    def alone(model: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with held(model):
            return function(model, *args, **kwargs)

    return alone  # pyright: ignore[reportReturnType]


def forward_mode() -> AbstractContextManager[object]:
    """Keep other threads out of forward-mode derivatives, whose levels torch counts per process.

    A compiled graph does not enter locks.
    """
    if torch.compiler.is_compiling():
        return nullcontext()
    with _forward:
        _load_rules()
    return _forward


@cache
def _load_rules() -> None:
    """Let torch compile its rules, which it does on the first derivative of a process.

    How it does that is deprecated, by torch itself: whoever turns warnings into errors is not to
    lose a measurement to it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with forward_ad.dual_level():
            forward_ad.make_dual(torch.zeros(1), torch.ones(1))


def _forked(me: int) -> None:
    global _forward
    _forward = threading.RLock()
    for held_by in (_holder, _whole):
        for part in [part for part, thread in held_by.items() if thread != me]:
            del held_by[part]


on_fork(_forked)
