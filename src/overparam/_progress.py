"""Stages of a long command on a terminal."""

import sys

from tqdm import tqdm


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
                total=100, desc=f"{stage:>24}", leave=True, file=sys.stderr, disable=None,
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
