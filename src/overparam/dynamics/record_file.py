"""A run's numbers on disk, so that another process can read them while it goes on."""

import json
import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from overparam._errors import expect
from overparam.dynamics.sole_writer import InUse, SoleWriter

_WHERE, _FREE = "Monitor(file=...)", "a file that no other monitor writes to"

# Seconds that lines may wait in memory while nothing happens.
_PATIENCE = 0.2


class RecordFile:
    """Lines of JSON, only ever appended, each written whole.

    A process that is killed leaves everything up to its last line; a torn line is closed when
    the next run opens the file, and skipped by whoever reads it. What is not finite is `null`.
    One record at a time writes to a file, from its first line to `end`; see `SoleWriter`.

    ====================================  ======================================================
    ``{"begin": step, "pid": …, …}``      a run begins, or goes on from a saved state at `step`
    ``{"steps": […], "loss": […], …}``    losses and learning rates
    ``{"step": …, "sharpness": …, …}``    numbers measured at a step
    ``{"rising": event | null}``          a spike is under way; it is over
    ``{"event": event}``                  a spike with its cause
    ``{"end": step}``                     the run ended in order
    ====================================  ======================================================

    Args:
        path: The file; made with the first line.
        facts: Of the run, for its first line.

    Attributes:
        start: Step at which the run begins, or goes on from a saved state.

    Raises:
        ValueError: If its folder does not exist, it is a folder, or another process writes to
            it. With the first line: if another record of this process still does.
    """

    def __init__(self, path: Path | str, facts: Mapping[str, Any]) -> None:
        self.path, self.facts = Path(path).absolute(), dict(facts)
        folder = self.path.parent
        expect(folder.is_dir(), _WHERE, "a file in a folder that exists", folder)
        expect(not self.path.is_dir(), _WHERE, "a file", f"the folder {self.path}")
        self._writer = SoleWriter(self.path)
        expect(
            not self._writer.taken_elsewhere(),
            _WHERE,
            _FREE,
            f"{str(self.path)!r}, to which one in another process does",
            hint="wait for the end of that run, or name another file.",
        )
        self._lines: list[str] = []
        self._head = ""
        self._written = 0.0
        self._begun = self._rising = self._kept = False
        self.start = 0

    def losses(self, steps: Sequence[int], losses: Sequence[float], rates: Sequence[float]) -> None:
        """Keep losses and learning rates."""
        columns = {"loss": _finite(losses), "lr": _finite(rates)}
        self._begin()
        self._lines.append(json.dumps({"steps": steps, **columns}))
        if self._rising or time.monotonic() - self._written > _PATIENCE:
            self.flush()

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Keep what was measured at a step."""
        self._begin()
        self._lines.append(json.dumps({"step": step, **_plain(values)}))
        if self._rising or time.monotonic() - self._written > _PATIENCE:
            self.flush()

    def rising(self, event: Mapping[str, Any] | None) -> None:
        """A spike is under way, or none."""
        self._rising = event is not None
        self._lines.append(json.dumps({"rising": event}))
        self.flush()

    def event(self, event: Mapping[str, Any]) -> None:
        """Keep a spike with its cause."""
        self._begin()
        self._lines.append(json.dumps({"event": event}))
        self.flush()

    def end(self, step: int) -> None:
        """The run is over; a later line begins a new one."""
        if self._begun:
            self._lines.append(json.dumps({"end": step, "at": time.time()}))
            self.flush()
            self._writer.close()
            self._begun, self.start = False, step

    def flush(self) -> None:
        """Write the lines that wait, in one piece.

        Raises:
            ValueError: If nothing has been written yet and another record writes to the file.
            OSError: If it cannot be written.
        """
        if not self._lines:
            return
        text = "\n".join(self._lines).encode() + b"\n"
        self._lines, self._written = [], time.monotonic()
        try:
            self._writer.append(text, self._head.encode() + b"\n")
        except InUse:
            expect(
                self._kept,
                _WHERE,
                _FREE,
                f"{str(self.path)!r}, to which another does",
                hint="close() the other monitor first, or name another file.",
            )
            raise
        self._kept = True

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        process = {"pid": os.getpid(), "host": platform.node(), "at": time.time()}
        self._head = json.dumps({"begin": self.start, **process, **self.facts})
        self._lines.append(self._head)


def _finite(values: Sequence[float]) -> list[float | None]:
    if all(map(math.isfinite, values)):
        return list(values)
    return [value if math.isfinite(value) else None for value in values]


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return dict(zip(values, _finite(list(values.values())), strict=True))
