"""Batches as a loader gives them, drawn once for all trainings that take them in one order."""

import copy
import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from overparam._batch import tensors
from overparam._errors import complaint, expect
from overparam._memory import GIB, part_of
from overparam._random_numbers import OwnStream
from overparam.errors import OverparamError

_CPU = torch.device("cpu")


class Drawn:
    """The batches of a loader, pass after pass, in the order that a seed makes.

    Its size, collation, sampler, augmentation and workers are the loader's. What it and its data
    draw comes from generators of their own (torch's, numpy's, Python's, those of the loader), so
    that every training sees the same batches and nothing of the program's is used up.

    Batches stay in memory, up to an eighth of what is free and 1 GiB, for the trainings that
    follow; one that goes on beyond those draws its own.

    Args:
        loader: What can be gone through again and again.
        seed: Of the order, and of what is drawn.
        keep: Whether batches stay for others.
        where: The argument this is for, for the error message.
    """

    def __init__(
        self, loader: Iterable[Any], seed: int, *, keep: bool = True, where: str = "data=..."
    ) -> None:
        self._loader, self._where, self._seed = _apart(loader), where, seed
        self._kept: list[Any] = []
        self._room = part_of(1 / 8, GIB, _CPU) if keep else 0
        self._source = self._passes(seed)

    def __iter__(self) -> Iterator[Any]:
        at = 0
        while True:
            if at == len(self._kept):
                if self._room <= 0:
                    break
                batch = next(self._source)
                self._kept.append(batch)
                self._room -= sum(t.numel() * t.element_size() for t in tensors(batch))
            yield self._kept[at]
            at += 1
        yield from self._passes(self._seed + at)

    def _passes(self, seed: int) -> Iterator[Any]:
        """Pass after pass of the loader, each batch drawn from generators of their own."""
        numbers = _Numbers(seed, self._loader)
        while True:
            with numbers:
                batches, empty = self._asked(lambda: iter(self._loader)), True
            while True:
                with numbers:
                    batch = self._asked(lambda b=batches: next(b, _END))
                if batch is _END:
                    break
                empty = False
                yield batch
            expect(
                not empty, self._where, "batches that can be gone through again and again",
                "none in a pass", hint="is the data set empty, or gone through already?",
            )  # fmt: skip

    def _asked(self, draw: Any) -> Any:
        """What the loader gives; what its code raises is told in a line."""
        try:
            return draw()
        except OverparamError:
            raise
        except Exception as problem:
            came = (str(problem).strip() or "no message").splitlines()[-1]
            raise complaint(
                self._where, "a loader that gives batches", f"{type(problem).__name__}: {came}"
            ) from problem


_END = object()


def _apart(loader: Any) -> Any:
    """The loader without the pass that its owner may be in, and without workers that stay."""
    if not isinstance(loader, DataLoader):
        return loader
    twin = copy.copy(loader)
    vars(twin).update(persistent_workers=False, _iterator=None)
    return twin


class _Numbers:
    """Generators as they stand for a loader, put in the place of the program's for a while."""

    def __init__(self, seed: int, loader: Any) -> None:
        self._seed, self._torch = seed, OwnStream(seed, _CPU)
        sampler = getattr(loader, "sampler", None)
        inner = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
        held = [getattr(part, "generator", None) for part in (loader, sampler, inner)]
        self._own = {id(g): g for g in held if isinstance(g, torch.Generator)}.values()
        self._at: tuple | None = None

    def __enter__(self) -> None:
        self._torch.__enter__()
        self._before = self._states()
        if self._at is None:
            random.seed(self._seed)
            np.random.seed(self._seed % 2**32)  # noqa: NPY002  what data sets draw from
            for generator in self._own:
                generator.manual_seed(self._seed)
        else:
            self._put(self._at)

    def __exit__(self, *exception: object) -> None:
        self._at = self._states()
        self._put(self._before)
        self._torch.__exit__(*exception)

    def _states(self) -> tuple:
        numpys: Any = np.random.get_state()  # noqa: NPY002
        return random.getstate(), numpys, [g.get_state() for g in self._own]

    def _put(self, states: tuple) -> None:
        pythons, numpys, others = states
        random.setstate(pythons)
        np.random.set_state(numpys)  # noqa: NPY002
        for generator, state in zip(self._own, others, strict=True):
            generator.set_state(state)
