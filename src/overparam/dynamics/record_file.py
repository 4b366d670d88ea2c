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

# Seconds that lines may wait in memory while nothing happens.
_PATIENCE = 0.2


class RecordFile:
    """Lines of JSON, only ever appended, each written whole.

    A process that is killed leaves everything up to its last line; a torn line is closed when
    the next run opens the file, and skipped by whoever reads it. What is not finite is `null`.

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
        ValueError: If its folder does not exist, or it is a folder.
    """

    def __init__(self, path: Path | str, facts: Mapping[str, Any]) -> None:
        self.path, self.facts = Path(path).absolute(), dict(facts)
        folder = self.path.parent
        expect(folder.is_dir(), "Monitor(file=...)", "a file in a folder that exists", folder)
        expect(not self.path.is_dir(), "Monitor(file=...)", "a file", f"the folder {self.path}")
        self._lines: list[str] = []
        self._written = 0.0
        self._begun = self._rising = False
        self.start = 0

    def losses(self, steps: Sequence[int], losses: Sequence[float], rates: Sequence[float]) -> None:
        """Keep losses and learning rates."""
        finite = all(map(math.isfinite, losses))
        shown = losses if finite else [x if math.isfinite(x) else None for x in losses]
        self._begin()
        self._lines.append(json.dumps({"steps": steps, "loss": shown, "lr": rates}))
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
            self._begun, self.start = False, step

    def flush(self) -> None:
        """Write the lines that wait, in one piece."""
        if not self._lines:
            return
        text = "\n".join(self._lines).encode() + b"\n"
        self._lines, self._written = [], time.monotonic()
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                text = b"\n" + text  # what a killed run began to write
            os.write(handle, text)
        finally:
            os.close(handle)

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        process = {"pid": os.getpid(), "host": platform.node(), "at": time.time()}
        self._lines.append(json.dumps({"begin": self.start, **process, **self.facts}))


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: x if math.isfinite(x) else None for name, x in values.items()}
