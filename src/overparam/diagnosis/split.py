"""Which part of a batch is the inputs and which the targets, and how a model takes the former."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from overparam._batch import call, is_graph
from overparam._errors import expect
from overparam._model import undisturbed
from overparam._numbers import described
from overparam.errors import InvalidType

Split: TypeAlias = Callable[[Any], tuple[Any, Any]]
"""`split(batch)`: inputs and targets of a batch, as a loader gives it."""

_TARGETS = ("labels", "label", "targets", "target", "y")
_SEVERAL = (("start_positions", "end_positions"),)


def split_of(batch: Any, model: nn.Module | None, given: Split | None, who: str) -> Split | None:
    """How to split batches like this one; `None` if nothing in it is known as targets.

    Args:
        batch: As the loader gives it.
        model: Tells the parts that it takes.
        given: The user's own.
        who: The call this is for, for the error message.
    """
    if given is not None:
        where = f"{who}(split=...)"
        expect(callable(given), where, "a function of a batch", described(given), error=TypeError)
        found = given(batch)
        pair = isinstance(found, (tuple, list)) and len(found) == 2
        expect(pair, where, "a function that returns (inputs, targets)", described(found),
               error=TypeError)  # fmt: skip
        return given
    if isinstance(batch, Mapping):
        return _of_mapping(batch, model)
    if isinstance(batch, (tuple, list)) and not hasattr(batch, "_fields"):
        return _of_several(batch, model)
    fields = _fields(batch)
    whole = fields is not None or is_graph(batch)
    name = next((name for name in _TARGETS if hasattr(batch, name)), None) if whole else None
    if fields is not None and (name is None or not (model is None or _takes(model, batch))):
        # A pair with names, or fields of which the model takes some.
        if isinstance(batch, tuple) and name is None:
            return _of_several(batch, model)
        if name is not None and (inner := _of_mapping(fields, model)) is not None:
            return lambda batch: inner(_fields(batch) or {})
    return None if name is None else lambda batch: (batch, getattr(batch, name))


def _fields(batch: Any) -> dict[str, Any] | None:
    """What a named tuple or a data class holds, by name; `None` for anything else."""
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return batch._asdict()  # pyright: ignore[reportAttributeAccessIssue]
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return None


def unknown_batch(batch: Any, who: str) -> InvalidType:
    """The error for a batch that no rule can split."""
    came = described(batch)
    if isinstance(batch, Mapping):
        came = f"a mapping of {', '.join(map(repr, list(batch)[:6]))}"
    elif isinstance(batch, (tuple, list)):
        came = f"a {type(batch).__name__} of {len(batch)}"
    return InvalidType(
        f"`{who}(data=...)` expected batches (inputs, targets), or with 'labels' in them, got "
        f"{came}.\nHint: pass split=lambda batch: (inputs, targets)."
    )


def _of_mapping(batch: Mapping, model: nn.Module | None) -> Split | None:
    keys = [key for key in _TARGETS if key in batch][:1]
    keys = keys or next((list(k) for k in _SEVERAL if all(one in batch for one in k)), [])
    if not keys:
        return None
    taken = _keywords(model)
    inputs = [key for key in batch if key not in keys]
    known = [key for key in inputs if taken is None or key in taken]
    alone = None
    lone = model is None and len(inputs) == 1
    if inputs and (lone or not known):  # the model takes a tensor under another name, by position
        alone = next((key for key in inputs if isinstance(batch[key], Tensor)), inputs[0])

    def split(batch: Mapping) -> tuple[Any, Any]:
        y = batch[keys[0]] if len(keys) == 1 else {key: batch[key] for key in keys}
        if alone is not None:
            return batch[alone], y
        return {key: batch[key] for key in known}, y

    return split


def _keywords(model: nn.Module | None) -> set[str] | None:
    """Names that a model takes; `None` if it takes any."""
    if model is None or isinstance(model, nn.Sequential):
        return None if model is None else set()
    taken = inspect.signature(model.forward).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in taken) and len(taken) == 1:
        return None
    return {p.name for p in taken if p.kind is not p.VAR_POSITIONAL}


def _of_several(batch: Any, model: nn.Module | None) -> Split | None:
    if len(batch) == 2:
        return lambda batch: (batch[0], batch[1])
    if len(batch) < 3:
        return None
    first: Split = lambda batch: (batch[0], batch[1])  # noqa: E731  (x, y, id)
    last: Split = lambda batch: (tuple(batch[:-1]), batch[-1])  # noqa: E731  (x1, x2, y)
    if model is None or _takes(model, first(batch)[0]):
        return first if model is None or not _weights(batch[2]) else None
    return last if _takes(model, last(batch)[0]) else None


def _weights(third: Any) -> bool:
    """Whether what follows the targets may be something that the loss needs."""
    return isinstance(third, Tensor) and third.is_floating_point()


def _takes(model: nn.Module, x: Any) -> bool:
    with undisturbed(model, evaluation=True), torch.no_grad():
        try:
            call(model, x)
        except Exception:  # a model may raise anything
            return False
    return True
