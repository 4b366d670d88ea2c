"""A run's record on disk, read while another process appends to it."""

import os
import platform
import stat
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from overparam.watch.column import Column, as_entry
from overparam.watch.line import read_line

# Seconds without a new line after which a run on another machine is said to be silent.
_SILENT = 30.0
# Bytes taken from the file at once, and of a line; the monitor writes some thousands.
_PIECE, _LONGEST_LINE = 1 << 18, 4_000_000
# By the last bytes read one sees that a file of the same name and length is another.
_TAIL = 64
# What is kept of a record that has more; the examples of the spikes that a page lists.
_MOST_COLUMNS, _MOST_EVENTS, _MOST_WITH_IDS = 200, 1000, 50
_NO_FILE = "it is no regular file"
# No series has this name.
EVENTS = ""


class RunFile:
    r"""What a file written by ``Monitor(file=...)`` says so far.

    Lines that are not complete are left for the next reading; a line that is not of the
    documented form, such as one that a killed process began, is skipped and counted. A run that
    went on from a saved state takes the place of what was recorded after that state.

    Args:
        path: The file; it need not exist yet.

    Attributes:
        path: The same.
        facts: Of the run: its process, model, optimizer.
        events: Spikes with their causes, in order; of more than 1000 the latest.
        forgotten: The number of earlier ones.
        rising: The spike under way, if there is one.
        finished: The number of steps, once the run has ended in order.
        skipped: The number of lines that could not be read.
        problem: Why the file cannot be read at present; empty if it can, or does not exist.
        version: Changes whenever something was read.

    Cost:
        A reading costs what has come since the last one. Memory: at most 500 stretches of each
        of 200 columns, whatever the length of the run; see `overparam.watch.column`.

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
        self.problem = ""
        self._changes = 0
        self._reset()

    def _reset(self) -> None:
        self.facts: dict[str, Any] = {}
        self.columns: dict[str, Column] = {}
        self.events: deque[dict[str, Any]] = deque(maxlen=_MOST_EVENTS)
        self.forgotten = self.skipped = 0
        self.rising: dict[str, Any] | None = None
        self.finished: int | None = None
        self._changed: dict[str, int] = {}
        self._changes += 1
        self._all_changed = self._changes
        self._at = self._size = 0
        self._file: tuple[int, int] | None = None
        self._tail = self._begun = b""
        self._overlong = self._behind = False
        self._news = 0.0

    def read(self, at_most: int | None = None) -> bool:
        """Take the lines that have come; whether there were any.

        Args:
            at_most: Bytes to read; `None` reads up to the end. `state` tells whether some are
                left.
        """
        try:
            with _open_file(self.path) as file:
                found, problem = self._read(file, at_most), ""
        except FileNotFoundError:
            found, problem, self._behind = False, "", False
        except OSError as error:
            found, problem, self._behind = False, error.strerror or str(error), False
        self.version += found or problem != self.problem
        self.problem = problem
        return found

    def _read(self, file: IO[bytes], at_most: int | None) -> bool:
        status = os.fstat(file.fileno())
        name = status.st_dev, status.st_ino
        if name != self._file or status.st_size < self._at or not self._goes_on(file):
            self.version += bool(self._at)
            self._reset()
            self._file = name
        self._size = status.st_size
        end = self._size if at_most is None else min(self._size, self._at + at_most)
        found = False
        file.seek(self._at)
        while self._at < end and (piece := file.read(min(_PIECE, end - self._at))):
            self._at += len(piece)
            self._tail = (self._tail + piece)[-_TAIL:]
            found |= self._take_lines(piece)
        self._behind = self._at < self._size
        if found:
            self._news = status.st_mtime
        return found

    def _goes_on(self, file: IO[bytes]) -> bool:
        """Whether what was read last still stands where it stood."""
        file.seek(self._at - len(self._tail))
        return file.read(len(self._tail)) == self._tail

    def _take_lines(self, piece: bytes) -> bool:
        """Take the lines that end in a piece of the file; whether there were any."""
        *lines, self._begun = (self._begun + piece).split(b"\n")
        if lines and self._overlong:
            lines[0], self._overlong = b"", False  # the end of it
        if len(self._begun) > _LONGEST_LINE or self._overlong:
            self.skipped += not self._overlong
            self._begun, self._overlong = b"", True
        for line in lines:
            if line.strip():
                entry = read_line(line) if len(line) <= _LONGEST_LINE else None
                if entry is None:
                    self.skipped += 1
                else:
                    self._take(entry)
        return bool(lines)

    def state(self) -> str:
        """What the run is doing: waiting, running, finished, stopped, or silent.

        Or what this reader is: reading, while it has not come to the end of the file, and
        unreadable, if it cannot.
        """
        if self.problem:
            return "unreadable"
        if self._behind:
            return "reading"
        if not self.columns and not self.facts:
            return "waiting"
        if self.finished is not None:
            return "finished"
        here = self.facts.get("host") == platform.node()
        if here and not _alive(self.facts.get("pid")):
            return "stopped"
        return "running" if here or time.time() - self._news < _SILENT else "silent"

    @property
    def progress(self) -> float:
        """The part of the file that has been read."""
        return self._at / self._size if self._size else 1.0

    @property
    def series(self) -> dict[str, dict[str, list]]:
        """Columns of steps and values, as in a diagnosis; of long ones, what shows."""
        return {name: as_entry(column.points()) for name, column in self.columns.items()}

    @property
    def last_step(self) -> int | None:
        """The latest step of which anything is known."""
        return max((c.last[0] for c in self.columns.values() if c.last), default=None)

    def not_finite(self) -> dict[str, int]:
        """The quantities whose latest value is not finite, with the step since which none was."""
        since = {name: column.lost_since() for name, column in self.columns.items()}
        return {name: step for name, step in since.items() if step is not None}

    def changed(self, names: Iterable[str]) -> int:
        """A number that grows when one of these series changes; `EVENTS` stands for the events."""
        return max(self._all_changed, *(self._changed.get(name, 0) for name in names))

    def document(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """Series and events in the form that figures are drawn from.

        ``"samples"`` holds, of each series, values that were not chosen by their size.

        Args:
            names: Of the series that are wanted; `None` is all of them.
        """
        events = list(self.events)
        if self.rising is not None:
            events.append({**self.rising, "kind": "under way"})
        columns = {
            name: self.columns[name]
            for name in (self.columns if names is None else names)
            if name in self.columns
        }
        return {
            "series": {name: as_entry(column.points()) for name, column in columns.items()},
            "samples": {name: as_entry(column.sample()) for name, column in columns.items()},
            "events": events,
            "model": self.facts,
            "data": {},
        }

    def _take(self, entry: Mapping[str, Any]) -> None:
        self._changes += 1
        if "begin" in entry:
            self._begin(entry)
        elif "steps" in entry:
            for name, values in entry["columns"].items():
                if name in self.columns or len(self.columns) < _MOST_COLUMNS:
                    self.columns.setdefault(name, Column()).extend(entry["steps"], values)
                    self._changed[name] = self._changes
        elif "event" in entry:
            self.forgotten += len(self.events) == _MOST_EVENTS
            self.events.append(entry["event"])
            if len(self.events) > _MOST_WITH_IDS:
                self.events[-1 - _MOST_WITH_IDS]["ids"] = None
            self._changed[EVENTS] = self._changes
        elif "rising" in entry:
            self.rising = entry["rising"]
            self._changed[EVENTS] = self._changes
        elif "end" in entry:
            self.finished, self.rising = entry["end"], None
            self._changed[EVENTS] = self._changes

    def _begin(self, entry: Mapping[str, Any]) -> None:
        """A run starts, or goes on from a state saved before this step."""
        first = entry["begin"]
        self.facts, self.finished, self.rising = dict(entry), None, None
        for column in self.columns.values():
            column.forget_from(first)
        self.columns = {name: column for name, column in self.columns.items() if column.last}
        kept = [event for event in self.events if event["step"] < first]
        self.events = deque(kept, maxlen=_MOST_EVENTS)
        if not first:
            self.forgotten = 0
        self._all_changed = self._changes


def _open_file(path: Path) -> IO[bytes]:
    """A file for reading; never waits, as opening a pipe would."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # to open a device may already do something
        raise OSError(_NO_FILE)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(_NO_FILE)
    return open(handle, "rb", buffering=0)


def _alive(pid: int | None) -> bool:
    """Whether a process of this machine is still there, and not only its entry."""
    if not pid:
        return False
    if os.name == "nt":
        return True  # there, asking a process this way would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError, UnicodeDecodeError):
        return True
