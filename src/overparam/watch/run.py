"""A run's record on disk, read while another process appends to it."""

import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Seconds without a new line after which a run on another machine is said to be silent.
_SILENT = 30.0


class RunFile:
    r"""What a file written by ``Monitor(file=...)`` says so far.

    Lines that are not complete are left for the next reading; lines that are not JSON, such as
    one that a killed process began, are skipped. A run that went on from a saved state takes
    the place of what was recorded after that state.

    Args:
        path: The file; it need not exist yet.

    Attributes:
        path: The same.
        facts: Of the run: its process, model, optimizer.
        series: Columns of steps and values, as in a diagnosis.
        events: Spikes with their causes, in order.
        rising: The spike under way, if there is one.
        finished: The number of steps, once the run has ended in order.
        version: Changes whenever something was read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "run.jsonl")
        >>> _ = path.write_text('{"begin": 0}\n{"steps": [0, 1], "loss": [2.0, 1.0], "lr"')
        >>> run = RunFile(path)
        >>> run.read(), run.series
        (True, {})
        >>> with path.open("a") as file:
        ...     _ = file.write(': [0.1, 0.1]}\n')
        >>> run.read(), run.series["loss"]
        (True, {'step': [0, 1], 'value': [2.0, 1.0]})
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.version = 0
        self._reset()

    def _reset(self) -> None:
        self.facts: dict[str, Any] = {}
        self.series: dict[str, dict[str, list]] = {}
        self.events: list[dict[str, Any]] = []
        self.rising: dict[str, Any] | None = None
        self.finished: int | None = None
        self._at, self._inode, self._news = 0, None, 0.0

    def read(self) -> bool:
        """Take the lines that have come; whether there were any."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._at:
                    self._reset()  # another file of the same name
                    self._inode = status.st_ino
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return False
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:
            return False
        self._at += len(whole)
        self._news = status.st_mtime
        for line in whole.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                self._take(entry)
        self.version += 1
        return True

    def state(self) -> str:
        """What the run is doing: waiting, running, finished, stopped, or silent."""
        if not self.series and not self.facts:
            return "waiting"
        if self.finished is not None:
            return "finished"
        here = self.facts.get("host") == platform.node()
        if here and not _alive(self.facts.get("pid")):
            return "stopped"
        return "running" if here or time.time() - self._news < _SILENT else "silent"

    @property
    def last_step(self) -> int | None:
        """The latest step of which anything is known."""
        return max((c["step"][-1] for c in self.series.values() if c["step"]), default=None)

    def document(self) -> dict[str, Any]:
        """Series and events in the form that figures are drawn from."""
        events = list(self.events)
        if self.rising is not None:
            events.append({**self.rising, "kind": "under way"})
        return {"series": self.series, "events": events, "model": self.facts, "data": {}}

    def _take(self, entry: Mapping[str, Any]) -> None:
        if "begin" in entry:
            self._begin(entry)
        elif "steps" in entry:
            self._extend("loss", entry["steps"], entry.get("loss") or [])
            self._extend("lr", entry["steps"], entry.get("lr") or [])
        elif "event" in entry:
            self.events.append(entry["event"])
        elif "rising" in entry:
            self.rising = entry["rising"]
        elif "end" in entry:
            self.finished, self.rising = entry["end"], None
        elif "step" in entry:
            for name, value in entry.items():
                if name != "step":
                    self._extend(name, [entry["step"]], [value])

    def _begin(self, entry: Mapping[str, Any]) -> None:
        """A run starts, or goes on from a state saved before this step."""
        first = entry["begin"]
        self.facts, self.finished, self.rising = dict(entry), None, None
        for column in self.series.values():
            kept = sum(step < first for step in column["step"])
            del column["step"][kept:], column["value"][kept:]
        self.series = {name: column for name, column in self.series.items() if column["step"]}
        self.events = [event for event in self.events if (event.get("step") or 0) < first]

    def _extend(self, name: str, steps: list, values: list) -> None:
        column = self.series.setdefault(name, {"step": [], "value": []})
        for step, value in zip(steps, values, strict=False):
            column["step"].append(step)
            column["value"].append(value)


def _alive(pid: Any) -> bool:
    """Whether a process of this machine is still there, and not only its entry."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, TypeError, ValueError):
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return True
