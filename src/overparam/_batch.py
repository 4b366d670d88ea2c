"""Batches: tensors, alone or nested in tuples, lists, dictionaries and data classes.

The first axis of every tensor is the batch axis. What else is in there (a number, a flag, None)
belongs to all examples alike and is handed on as it is.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from overparam._errors import expect


def mapped(function: Callable[..., Any], x: Any, *others: Any) -> Any:
    """`x` with `function` of each tensor in the tensor's place.

    Args:
        function: Of a tensor, or of as many as there are structures.
        x: A tensor or a structure of some. A mapping comes back as a dictionary.
        others: More of the same form, gone through alongside.

    Example:
        >>> mapped(lambda a, b: float(a + b), (torch.tensor(1), {"k": torch.tensor(2)}),
        ...        (torch.tensor(3), {"k": torch.tensor(4)}))
        (4.0, {'k': 6.0})
    """
    if isinstance(x, Tensor):
        return function(x, *others)
    if isinstance(x, Mapping):
        return {key: mapped(function, v, *(o[key] for o in others)) for key, v in x.items()}
    if isinstance(x, (tuple, list)):
        items = [mapped(function, *same) for same in zip(x, *others, strict=True)]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        made = copy.copy(x)
        for field in dataclasses.fields(x):
            values = [getattr(one, field.name) for one in (x, *others)]
            object.__setattr__(made, field.name, mapped(function, *values))
        return made
    return x


def leaves(x: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """What is in a batch, each after its place: '' for one alone, else keys, fields, positions."""
    if isinstance(x, Mapping):
        items: Any = x.items()
    elif isinstance(x, (tuple, list)):
        items = enumerate(x)
    elif dataclasses.is_dataclass(x) and not isinstance(x, (type, Tensor)):
        items = [(field.name, getattr(x, field.name)) for field in dataclasses.fields(x)]
    else:
        yield prefix, x
        return
    for key, value in items:
        yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))


def named_tensors(x: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors alone, each after its place."""
    return ((place, value) for place, value in leaves(x) if isinstance(value, Tensor))


def tensors(x: Any) -> list[Tensor]:
    """The tensors that make up a batch."""
    return [value for _, value in named_tensors(x)]


def n_examples(x: Any) -> int:
    """Length of the batch axis.

    Raises:
        TypeError: If there is no tensor, which would have one.
    """
    first = next(iter(tensors(x)), None)
    expect(first is not None, "a batch", "at least one tensor", type(x).__name__, error=TypeError)
    assert first is not None
    return len(first)


def take(x: Any, index: slice | Tensor | Sequence[int] | tuple[None]) -> Any:
    """The examples at `index`, in the form of `x`; ``(None,)`` makes a batch of one example."""
    return mapped(lambda value: value[index], x)


def joined(parts: Sequence[Any]) -> Any:
    """Batches of one form, one after another."""
    return mapped(lambda *values: torch.cat(values), *parts)


def detached(x: Any) -> Any:
    """The same numbers without a graph behind them."""
    return mapped(Tensor.detach, x)


def copied(x: Any) -> Any:
    """Tensors of their own, which stay when a loader uses the memory again; without a graph."""
    return mapped(lambda value: value.detach().clone(), x)


def in_precision(dtype: torch.dtype, x: Any) -> Any:
    """What is real in another precision; whole numbers, such as tokens, stay."""
    return mapped(lambda value: value.to(dtype) if value.is_floating_point() else value, x)


def on_device(x: Any, device: torch.device) -> Any:
    """The same on a device."""
    return mapped(lambda value: value.to(device), x)


def form(x: Any) -> object:
    """Shapes of one example."""
    return mapped(lambda value: tuple(value.shape[1:]), x)


def chunks(n: int, chunk_size: int | None) -> list[slice]:
    """Slices that cover ``range(n)``, each at most `chunk_size` long; `None` means one."""
    size = chunk_size or max(n, 1)
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def call(model: nn.Module, x: Any) -> Any:
    """What `model` gives for `x`, with several tensors as arguments or keywords."""
    if isinstance(x, Mapping):
        return model(**x)
    return model(*x) if isinstance(x, (tuple, list)) else model(x)
