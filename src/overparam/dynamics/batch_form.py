"""What users pass as a batch, as a pair (inputs, targets), or the words for why it is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from overparam._batch import leaves, tensors

_WHERE = "Monitor.step(batch=...)"
_HINT = "pass batch=(inputs, targets); the callbacks of Trainers take split=, which makes it."


@dataclass(frozen=True)
class NoBatch:
    """What an adapter passes in a batch's place where it could make none, and has said so.

    Attributes:
        why: The words for it.
    """

    why: str


def as_pair(batch: Any) -> tuple[tuple[Any, Any] | None, str]:
    """Inputs and targets, with tuples for lists of tensors; or `None` and what is wrong.

    Example:
        >>> as_pair([[torch.zeros(2), torch.ones(2)], torch.ones(2)])[0]
        ((tensor([0., 0.]), tensor([1., 1.])), tensor([1., 1.]))
        >>> as_pair({"x": 1})[1].splitlines()[0]
        '`Monitor.step(batch=...)` expected a pair (inputs, targets), got a dict with x.'
    """
    if batch is None:
        return None, ""
    if isinstance(batch, NoBatch):
        return None, batch.why
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        return None, _wrong(_described(batch))
    inputs, targets = (_in_tuples(part) for part in batch)
    if inputs is None or any(isinstance(part, str) for part in (inputs, targets)):
        return None, _wrong(f"a pair of {_named(inputs)} and {_named(targets)}")
    return (inputs, targets), ""


def why_whole(inputs: Any, targets: Any) -> str:
    """Why the examples of a batch cannot be taken apart; empty if they can.

    Example:
        >>> why_whole((torch.zeros(4, 3), torch.zeros(2, 9)), torch.zeros(4))
        'tensors of 2 and 4 rows, which are no list of examples'
    """
    found = []
    for part in (inputs,) if targets is None else (inputs, targets):
        if not tensors(part):
            return f"{_named(part)}, which is no list of examples"
        for _, value in leaves(part):
            if isinstance(value, Tensor):
                if value.layout is not torch.strided:  # of which no examples can be taken
                    return f"a tensor in {str(value.layout)[6:]}, which is no list of examples"
                found.append(len(value) if value.ndim else 0)
            elif value is not None and not isinstance(value, (bool, int, float, str)):
                return f"{_named(value)}, which is no list of examples"
    lengths = sorted(set(found))
    if len(lengths) == 1 and lengths[0] > 0:
        return ""
    return f"tensors of {' and '.join(map(str, lengths))} rows, which are no list of examples"


def is_sound(inputs: Any, targets: Any, *, masked: bool = False) -> bool:
    """Whether there is something in a batch, and nothing that is not finite, unless masked."""
    values = [*tensors(inputs), *tensors(targets)]
    return all(value.numel() > 0 for value in values) and (masked or finite(values))


def finite(x: Any) -> bool:
    """Whether all real numbers of a structure of tensors are finite, of sparse ones those kept."""
    return all(bool(torch.isfinite(_kept(t)).all()) for t in tensors(x) if t.is_floating_point())


def _kept(tensor: Tensor) -> Tensor:
    if tensor.layout is torch.strided:
        return tensor
    return tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()


def _in_tuples(x: Any) -> Any:
    """Tuples in the place of lists that hold tensors, as data loaders make them."""
    if isinstance(x, list) and tensors(x):
        return tuple(_in_tuples(value) for value in x)
    if type(x) is tuple:
        return tuple(_in_tuples(value) for value in x)
    return x


def _wrong(found: str) -> str:
    return f"`{_WHERE}` expected a pair (inputs, targets), got {found}.\nHint: {_HINT}"


def _described(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"a dict with {', '.join(map(str, list(batch)[:6])) or 'nothing'}"
    if isinstance(batch, (tuple, list)):
        return f"{len(batch)} parts"
    return _named(batch)


def _named(value: Any) -> str:
    if isinstance(value, str):
        return repr(value)
    return "nothing" if value is None else f"a {type(value).__name__}"
