"""The default random generators, put back after something has drawn from them."""

import random
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overparam._switches import keep, leave, lock, on_fork

_States = dict[torch.device, Tensor]

_CPU = torch.device("cpu")
_inside: Counter[int] = Counter()
_first: _States = {}


@contextmanager
def own_random_numbers(devices: Iterable[torch.device] = ()) -> Iterator[None]:
    """Put the default generators of the CPU and of `devices` back on leaving.

    The generators are the process's. While several threads are inside, none puts back what
    another still draws from: the last one out puts back what the first one found.

    Args:
        devices: Accelerators of any kind that has a generator: cuda, xpu, mps, …
    """
    me = threading.get_ident()
    with lock:
        mine = _states({_CPU, *devices})
        if not _inside:
            _first.clear()
        for device, state in mine.items():
            _first.setdefault(device, state)
        _inside[me] += 1
    try:
        yield
    finally:
        with lock:
            leave(_inside, me)
            if not _inside:
                _put_back(_first)
            elif set(_inside) == {me}:
                _put_back(mine)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Start the default generators of the CPU and of all devices of a kind from `seed` inside.

    Those of other kinds are left alone: where they have not been used yet, torch would keep the
    seed for them, in the place of one that the user may have given.
    """
    module = None if device.type == "cpu" else _module(device)
    count = 0 if module is None else module.device_count()
    with own_random_numbers(torch.device(device.type, i) for i in range(count)):
        start_from(seed, device)
        yield


def start_from(seed: int, device: torch.device) -> None:
    """Start the default generators of the CPU and of all devices of a kind from `seed`.

    To be used inside what puts them back. `torch.manual_seed` starts those of kinds that nobody
    uses as well, and notes the call stack for each, which takes as long as a pass of a small model.
    """
    torch.default_generator.manual_seed(seed)
    module = None if device.type == "cpu" else _module(device)
    if module is not None:
        getattr(module, "manual_seed_all", module.manual_seed)(seed)


@contextmanager
def python_numbers_kept() -> Iterator[None]:
    """Put the default generators of Python and numpy back on leaving.

    What a model draws when it is measured, and what a module draws when it is first imported, as
    rich does, is not to be missed by the user. Not for the steps of a training, each of which
    draws anew.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


class OwnStream:
    """Random numbers from a seed that go on where they stopped, whatever others draw between.

    Used as a context, again and again; the default generators are then its own.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed, self._device = seed, device
        self._at: _States | None = None
        self._inside = ExitStack()

    def state(self) -> dict[str, Tensor] | None:
        """Where it is, by device; `None` before its first use."""
        return None if self._at is None else {str(at): state for at, state in self._at.items()}

    def restore(self, state: dict[str, Tensor] | None) -> None:
        """Go on from there."""
        places = None if state is None else {torch.device(at): one for at, one in state.items()}
        self._at = places

    def __enter__(self) -> None:
        if self._at is None:
            self._inside.enter_context(seeded(self._seed, self._device))
        else:
            self._inside.enter_context(own_random_numbers({self._device}))
            with lock:
                _put_back(self._at)

    def __exit__(self, *exception: object) -> None:
        with lock:
            self._at = _states({_CPU, self._device})
        self._inside.close()


def states() -> tuple[Any, ...]:
    """Where the default generators of torch, numpy and Python stand, to be compared."""
    kind, words, *rest = np.random.get_state()  # noqa: NPY002  the one that others draw from
    drawn = (kind, words.tobytes(), *rest)  # pyright: ignore[reportAttributeAccessIssue]
    return torch.get_rng_state().numpy().tobytes(), drawn, random.getstate()


def _states(devices: set[torch.device]) -> _States:
    found = {}
    for device in devices:
        if device.type == "cpu":
            found[_CPU] = torch.get_rng_state()
        elif (module := _module(device)) is not None:
            found[device] = module.get_rng_state(device)
    return found


def _put_back(states: _States) -> None:
    for device, state in states.items():
        if device.type == "cpu":
            torch.set_rng_state(state)
        else:
            module: Any = _module(device)
            module.set_rng_state(state, device)


def _module(device: torch.device) -> Any:
    """What torch offers for a kind of device; nothing for one without random numbers."""
    module = getattr(torch, device.type, None)
    return module if hasattr(module, "get_rng_state") else None


on_fork(lambda me: keep(_inside, me))
