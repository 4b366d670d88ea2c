"""How long work shows how far it is, the same way everywhere.

Whatever takes `progress` takes a `Progress`: True draws bars on stderr where somebody watches, a
terminal or a notebook; False draws none; and a function is called with the name of the stage and
the share of it that is done, from 0 to 1. A new name ends the stage before. Nothing of a result
depends on it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from tqdm import tqdm

from overparam._errors import expect
from overparam._numbers import described, is_integer

Tell: TypeAlias = Callable[[str, float], None]
Progress: TypeAlias = bool | Tell


def expect_progress(progress: Any, where: str) -> None:
    """Raise unless it is a `Progress`."""
    flag = isinstance(progress, (bool, np.bool_)) or is_integer(progress)
    words = "True, False or a function of a stage and of the share of it that is done"
    expect(flag or callable(progress), where, words, described(progress), error=TypeError)


@contextmanager
def telling(progress: Progress) -> Iterator[Tell]:
    """A function to be told the stage and the share of it that is done.

    Example:
        >>> with telling(lambda stage, done: print(f"{stage}: {done:.0%}")) as tell:
        ...     tell("training", 0.5)
        training: 50%
    """
    if callable(progress):
        yield progress
    elif progress:
        with Stages() as stages:
            yield stages
    else:
        yield _silent


@contextmanager
def counted(
    progress: Progress, stage: str, total: int, *, done: int = 0, unit: str = "it"
) -> Iterator[Callable[[], None]]:
    """A function to call after each of the `total` parts of a stage, of which some are done.

    Example:
        >>> with counted(lambda stage, done: print(stage, done), "rounds", 4, done=2) as advance:
        ...     advance()
        rounds 0.75
    """
    if callable(progress):
        parts = iter(range(done + 1, total + 1))
        yield lambda: progress(stage, next(parts, total) / total)
        return
    hidden = not progress or _unwatched()
    with tqdm(
        total=total, initial=done, unit=unit, desc=stage, file=sys.stderr, disable=hidden
    ) as bar:

        def advance() -> None:
            bar.update()

        yield advance


class Stages:
    """One bar per stage; nothing where nobody watches.

    Call it with the name of the stage and the share of it that is done.
    """

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage = ""

    def __enter__(self) -> "Stages":
        return self

    def __call__(self, stage: str, done: float) -> None:
        if stage != self._stage:
            self._close()
            self._stage = stage
            self._bar = tqdm(
                total=100, desc=f"{stage:>24}", leave=True, file=sys.stderr, disable=_unwatched(),
                bar_format="{desc} {bar:30} {elapsed}",
            )  # fmt: skip
        if self._bar is not None:
            self._bar.update(max(0, round(100 * done) - self._bar.n))

    def __exit__(self, *exception: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.update(max(0, 100 - self._bar.n))
            self._bar.close()
            self._bar = None


def _silent(stage: str, done: float) -> None:
    """Tell nobody."""


def _unwatched() -> bool:
    """Whether nobody would see a bar. A notebook's stderr is no terminal, and is looked at."""
    there = sys.stderr is not None and sys.stderr.isatty()
    return not there and "ipykernel" not in sys.modules
