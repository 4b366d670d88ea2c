"""What modules hold, as it was before they were called: modes, gradients, buffers, attributes."""

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from overparam._forward import inside

# Containers whose copies are what they are themselves.
_PLAIN = (dict, OrderedDict, list, set, deque)
# Contents that are looked into; a longer one, such as a record of all steps, is copied as a whole.
_MOST = 1000
# Numbers of a tensor beyond which it is taken for data that nobody writes to, and not copied.
_LARGE = 1 << 22


@contextmanager
def kept_state(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Put back on leaving what modules hold and what their `forward` may change.

    These are modes, gradients, buffers, and attributes of any other kind: a hidden state that is
    carried from batch to batch, a counter, a cache, a list of what was seen, a generator of random
    numbers. What an object of a class of its own keeps for itself is not looked into.

    Inside, the modules hold copies of their buffers, tensors and containers: a graph that still
    needs one, such as that of a batch norm whose backward pass is yet to come, breaks when it is
    written to, though it be with what it held. Generators are shared, and put back.

    Args:
        modules: All parts of a model.
    """
    holders = [inside(module) for module in modules]
    # A mode that is kept among the attributes is put back with them.
    modes = [(module, module.training) for module in modules if "training" not in vars(module)]
    kept = [
        (p, p.requires_grad, p.grad)
        for module in modules
        for _, p in module._parameters.items()
        if p is not None
    ]
    places: list[tuple[Any, dict[str, Any]]] = [(m._buffers, dict(m._buffers)) for m in modules]
    copies: dict[int, Any] = {
        id(b): b.detach().clone() for _, held in places for b in held.values() if b is not None
    }
    places += [(vars(module), dict(vars(module))) for module in holders]
    generators: list[tuple[Callable[[Any], object], Any]] = []
    try:
        for holder, held in places:
            for name in held.keys() - _OWN:
                value = held[name]
                kind = type(value)
                if kind in _SIMPLE:
                    continue
                if issubclass(kind, _STATES):
                    if (other := _copied(value, copies)) is not value:
                        holder[name] = other
                elif issubclass(kind, _GENERATORS):
                    generators.append(_state_of(value))
        yield
    finally:
        for holder, held in places:
            _put_back(holder, held)
        for put_back, state in generators:
            put_back(state)
        for module, mode in modes:
            module.training = mode
        for p, flag, grad in kept:
            if p.requires_grad is not flag:
                p.requires_grad_(flag)
            if p.grad is not grad:
                p.grad = grad


# What torch itself keeps of every module: tables that it shares, and that stay where they are.
_OWN = frozenset(vars(nn.Module()))
_SIMPLE = frozenset((int, float, bool, str, type(None)))
_STATES = (Tensor, tuple, *_PLAIN)
_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


def _copied(value: Any, copies: dict[int, Any]) -> Any:
    """The value with tensors and containers of its own; itself where it holds none of them."""
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, Tensor):
        # Parameters are nobody's state; what has a graph is computed anew by those who use it.
        plain = not (isinstance(value, nn.Parameter) or value.requires_grad)
        if plain and not value.is_inference() and value.numel() < _LARGE:
            copies[id(value)] = value.detach().clone()
        return copies.get(id(value), value)
    kind = type(value)
    if isinstance(value, tuple):
        if len(value) > _MOST or not any(isinstance(v, _STATES) for v in value):
            return value
        items = [_copied(v, copies) for v in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return kind(*items) if hasattr(kind, "_fields") else kind(items)
    if kind not in _PLAIN:
        return value
    made = copies[id(value)] = value.copy()  # known before its contents, which may hold it
    if len(value) <= _MOST and kind is not set:
        for key, held in list(value.items() if isinstance(value, dict) else enumerate(value)):
            if (other := _copied(held, copies)) is not held:
                made[key] = other
    return made


def _put_back(holder: Any, held: Mapping[str, Any]) -> None:
    """The table as it was; what is in place is not written again."""
    if len(holder) == len(held) and all(map(is_, holder.values(), held.values())):
        return
    for name in [name for name in holder if name not in held]:
        del holder[name]
    for name, value in held.items():
        if name not in holder or holder[name] is not value:
            holder[name] = value


def _state_of(generator: Any) -> tuple[Callable[[Any], object], Any]:
    """What puts a generator of random numbers back, and where it stands."""
    if isinstance(generator, np.random.Generator):
        source = generator.bit_generator
        return partial(setattr, source, "state"), source.state
    if isinstance(generator, random.Random):
        return generator.setstate, generator.getstate()
    return generator.set_state, generator.get_state()
