"""Generators of random numbers that a loader and its data hold, which are their owner's."""

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Sampler

Held = torch.Generator | np.random.Generator | np.random.RandomState | random.Random

# How far they are looked for: a transform in a list of a data set's is the fifth; a longer list
# is data. What holds more parts than this is not gone through to its end.
_DEEP, _LONG, _MOST = 6, 64, 2000
_NO_HOLDERS = (Tensor, np.ndarray, nn.Module, ModuleType, FunctionType, type, str, bytes)


def held_by(owner: Any) -> list[Held]:
    """Generators in the attributes of a loader, its samplers, its data and their transforms."""
    found: list[Held] = []
    seen: set[int] = set()
    nearest: list[Any] = [owner]
    for _ in range(_DEEP):
        further: list[Any] = []
        for thing in nearest:
            if id(thing) in seen or len(seen) > _MOST:
                continue
            seen.add(id(thing))
            if isinstance(thing, Held) and not isinstance(thing, random.SystemRandom):
                found.append(thing)
            else:
                further += _parts(thing)
        nearest = further
    return found


def _parts(thing: Any) -> list[Any]:
    if isinstance(thing, _NO_HOLDERS):
        return []
    if isinstance(thing, Mapping | Sequence):
        few = len(thing) <= _LONG
        return list(thing.values() if isinstance(thing, Mapping) else thing) if few else []
    return list(getattr(thing, "__dict__", {}).values())


def start(generator: Held, seed: int) -> None:
    """Begin anew from a seed."""
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(seed).state
    else:
        generator.seed(seed % 2**32)


def state_of(generator: Held) -> Any:
    """Where it stands."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def put(generator: Held, state: Any) -> None:
    """Let it stand there."""
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


@contextmanager
def kept_generators(owner: Any) -> Iterator[None]:
    """Put the generators that something holds back on leaving."""
    states = [(generator, state_of(generator)) for generator in held_by(owner)]
    try:
        yield
    finally:
        for generator, state in states:
            put(generator, state)


def apart(loader: Any) -> Any:
    """The loader without the pass that its owner may be in, and without workers that stay.

    What samplers note while they are gone through, such as a count of epochs or an order that is
    shuffled in place, is noted in copies.
    """
    if not isinstance(loader, DataLoader):
        return loader
    twin = copy.copy(loader)
    own: dict[str, Any] = {"persistent_workers": False, "_iterator": None}
    memo = {id(loader.dataset): loader.dataset}
    for name in ("sampler", "batch_sampler"):
        own[name] = _sampler_apart(getattr(loader, name), memo)
    vars(twin).update(own)
    return twin


def _sampler_apart(sampler: Any, memo: dict[int, Any]) -> Any:
    """A copy of a sampler; those of torch that hold no state are left as they are."""
    if sampler is None or _stateless(sampler):
        return sampler
    try:
        return copy.deepcopy(sampler, memo)
    except Exception:  # whatever it holds, such as an iterator: then it is gone through itself
        return sampler


def _stateless(sampler: Any) -> bool:
    inner = sampler.sampler if type(sampler) is BatchSampler else sampler
    return type(inner).__module__ == Sampler.__module__
