"""What was found out about a model that is measured over and over: nobody looks again."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import nn


@contextmanager
def known_separate(
    model: nn.Module, findings: dict[Any, Any], *, looked: bool = True
) -> Iterator[None]:
    """Inside, nobody looks again whether the examples of this model are separate.

    For whoever measures a model over and over, on examples of one form, and has looked: a
    measurement on few examples consists mostly of such looks.

    Args:
        model: The module.
        findings: What else is found out about it, for the next time.
        looked: Whether anybody has looked; if not, findings are kept all the same.
    """
    before = _separate.set((model, findings, looked))
    try:
        yield
    finally:
        _separate.reset(before)


def found_before(model: nn.Module) -> dict[Any, Any] | None:
    """What was found out about a model that is known to have separate examples, else nothing."""
    known = _separate.get()
    return known[1] if known is not None and known[0] is model and known[2] else None


def to_keep(model: nn.Module) -> dict[Any, Any]:
    """Where what is found out about a model is kept; nowhere, if nobody measures it again."""
    known = _separate.get()
    return known[1] if known is not None and known[0] is model else {}


_separate: ContextVar[tuple[nn.Module, dict[Any, Any], bool] | None] = ContextVar(
    "separate", default=None
)
