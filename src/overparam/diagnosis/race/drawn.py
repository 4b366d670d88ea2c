"""Batches as a loader gives them, drawn once for all trainings that take them in one order."""

import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from overparam._batch import tensors
from overparam._errors import complaint, expect
from overparam._memory import GIB, part_of
from overparam._random_numbers import OwnStream
from overparam.diagnosis.race.held import apart, held_by, put, start, state_of
from overparam.errors import OverparamError

_CPU = torch.device("cpu")


class Drawn:
    """The batches of a loader, pass after pass, in the order that a seed makes.

    Its size, collation, sampler, augmentation and workers are the loader's. What it and its data
    draw comes from generators that start at the seed (torch's, numpy's, Python's, those that the
    loader, its sampler and its data hold), so that every training sees the same batches and nothing
    of the program's is used up.

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
        for once in (getattr(loader, name, None) for name in ("sampler", "batch_sampler")):
            expect(
                not isinstance(once, Iterator), where, "a sampler that can be gone through again",
                f"a {type(once).__name__}", hint="sampler=list(...) makes one.",
            )  # fmt: skip
        self._loader, self._where, self._seed = apart(loader), where, seed
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


class _Numbers:
    """Generators as they stand for a loader, put in the place of the program's for a while."""

    def __init__(self, seed: int, loader: Any) -> None:
        self._seed, self._torch = seed, OwnStream(seed, _CPU)
        self._own = held_by(loader)
        self._at: tuple | None = None

    def __enter__(self) -> None:
        self._torch.__enter__()
        self._before = self._states()
        if self._at is None:
            random.seed(self._seed)
            np.random.seed(self._seed % 2**32)  # noqa: NPY002  what data sets draw from
            for generator in self._own:
                start(generator, self._seed)
        else:
            self._put(self._at)

    def __exit__(self, *exception: object) -> None:
        self._at = self._states()
        self._put(self._before)
        self._torch.__exit__(*exception)

    def _states(self) -> tuple:
        numpys: Any = np.random.get_state()  # noqa: NPY002
        return random.getstate(), numpys, [state_of(g) for g in self._own]

    def _put(self, states: tuple) -> None:
        pythons, numpys, others = states
        random.setstate(pythons)
        np.random.set_state(numpys)  # noqa: NPY002
        for generator, state in zip(self._own, others, strict=True):
            put(generator, state)
