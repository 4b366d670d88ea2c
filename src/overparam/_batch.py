"""Batches: tensors, alone or nested in tuples, lists, mappings, data classes and graphs' data.

The first axis of every tensor is the batch axis. What else is in there (a number, a flag, None, a
tensor without axes) belongs to all examples alike and is handed on as it is.

A graph's data, as of PyG, is known by a `to_dict` that holds tensors, which are its attributes.
No part can be taken of it, since its tensors have axes of several kinds.
"""

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from overparam._errors import expect


def mapped(function: Callable[..., Any], x: Any, *others: Any) -> Any:
    """`x` with `function` of each tensor in the tensor's place.

    Args:
        function: Of a tensor, or of as many as there are structures.
        x: A tensor or a structure of some. A mapping that cannot be written to comes back as a
            dictionary, everything else as what it was.
        others: More of the same form, gone through alongside.

    Example:
        >>> mapped(lambda a, b: float(a + b), (torch.tensor(1), {"k": torch.tensor(2)}),
        ...        (torch.tensor(3), {"k": torch.tensor(4)}))
        (4.0, {'k': 6.0})
    """
    if isinstance(x, Tensor):
        return function(x, *others)
    if isinstance(x, Mapping):
        made = {key: mapped(function, v, *(o[key] for o in others)) for key, v in x.items()}
        return made if type(x) is dict else _rewritten(x, made)
    if isinstance(x, (tuple, list)):
        items = [mapped(function, *same) for same in zip(x, *others, strict=True)]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        made = copy.copy(x)
        for field in dataclasses.fields(x):
            values = [getattr(one, field.name) for one in (x, *others)]
            object.__setattr__(made, field.name, mapped(function, *values))
        return made
    if is_graph(x):
        return _rewritten_graph(function, x, *others)
    return x


def _rewritten(x: Mapping, items: dict) -> Any:
    """A mapping of the same class with other items, such as a tokenizer's `BatchEncoding`."""
    try:
        made: Any = copy.copy(x)
        for key, value in items.items():
            made[key] = value
    except (TypeError, AttributeError, NotImplementedError):
        return items
    return made


def _rewritten_graph(function: Callable[..., Any], x: Any, *others: Any) -> Any:
    made = copy.copy(x)
    for key, value in _held_by(x).items():
        setattr(made, key, mapped(function, value, *(_held_by(o)[key] for o in others)))
    return made


def _held_by(graph: Any) -> Any:
    return graph.to_dict()


def is_graph(x: Any) -> bool:
    """Whether it is a graph's data, or several in one, by what can be done with it."""
    kind = type(x)
    if isinstance(x, (Mapping, type)) or not hasattr(kind, "to_dict") or hasattr(kind, "__array__"):
        return False
    held = _held_by(x)
    return isinstance(held, Mapping) and any(isinstance(v, Tensor) for v in held.values())


def leaves(x: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """What is in a batch, each after its place: '' for one alone, else keys, fields, positions."""
    if isinstance(x, Mapping):
        items: Any = x.items()
    elif isinstance(x, (tuple, list)):
        items = enumerate(x)
    elif dataclasses.is_dataclass(x) and not isinstance(x, (type, Tensor)):
        items = [(field.name, getattr(x, field.name)) for field in dataclasses.fields(x)]
    elif is_graph(x):
        items = _held_by(x).items()
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
    if is_graph(x):
        for count in ("num_graphs", "num_nodes"):
            if isinstance(found := getattr(x, count, None), int):
                return found
    found = tensors(x)
    expect(len(found) > 0, "a batch", "at least one tensor", type(x).__name__, error=TypeError)
    return next((len(value) for value in found if value.ndim), 1)


def take(x: Any, index: slice | Tensor | Sequence[int] | tuple[None]) -> Any:
    """The examples at `index`, in the form of `x`; ``(None,)`` makes a batch of one example.

    Raises:
        TypeError: For less than all of a graph.
    """
    if is_graph(x):
        n = n_examples(x)
        everything = isinstance(index, slice) and index.indices(n) == (0, n, 1)
        expect(
            everything, "a batch", "examples that can be taken one by one",
            f"a graph's {type(x).__name__}, whose nodes belong together", error=TypeError,
        )  # fmt: skip
        return x
    return mapped(lambda value: value[index] if value.ndim else value, x)


def joined(parts: Sequence[Any]) -> Any:
    """Batches of one form, one after another."""
    return mapped(lambda *values: torch.cat(values) if values[0].ndim else values[0], *parts)


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


def arguments(model: nn.Module, x: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What `model` is called with for `x`: several tensors are arguments or keywords.

    They are one argument where `forward` takes no others, and takes one.
    """
    if getattr(model, "takes_whole", False) or not isinstance(x, (Mapping, tuple, list)):
        return (x,), {}
    args, kwargs = ((), dict(x)) if isinstance(x, Mapping) else (tuple(x), {})
    if not _fits(model, args, kwargs) and _fits(model, (x,), {}):
        return (x,), {}
    return args, kwargs


def _fits(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether `forward` can be called so, by its signature."""
    forward = getattr(model, "forward", None)
    try:
        signature = _signature(getattr(forward, "__func__", forward))
        signature.bind(*((model,) if hasattr(forward, "__self__") else ()), *args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # one written in C does not say
        pass
    return True


@lru_cache(maxsize=256)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def call(model: nn.Module, x: Any) -> Any:
    """What `model` gives for `x`, with several tensors as arguments or keywords."""
    args, kwargs = arguments(model, x)
    return model(*args, **kwargs)
