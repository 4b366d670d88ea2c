"""A matrix on disk that is filled tile by tile and survives being killed at any moment.

While it grows it is PATH.part, beside PATH.journal; when the last tile is in it becomes PATH.
The journal's first line says what the matrix is of, every further line names a finished tile. A
tile's numbers are on the disk before its line is written, so that a line can be believed.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.lib.format import open_memmap

from overparam._errors import expect

try:
    import fcntl
except ImportError:  # Windows: nothing then keeps two processes from one file
    fcntl = None

Tile = tuple[int, int]


class GramFile:
    """The file, open for writing by this process alone.

    Args:
        path: Where the finished matrix will be, ending in .npy.
        identity: What the matrix is of, as words to show and digests to compare.
        shape: Of the array.
        dtype: Of its numbers.
        where: The public call this is for, for error messages.

    Raises:
        ValueError: If the files at `path` are of something else, or of unknown origin.
        OSError: If another process writes to them, or the disk is too small.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, str],
        shape: Sequence[int],
        dtype: np.dtype,
        where: str,
    ) -> None:
        self.path, self.part = path, path.with_name(path.name + ".part")
        self.identity, self.shape, self.dtype = dict(identity), tuple(shape), dtype
        journal = journal_of(path)
        expect(
            journal.exists() or not (path.exists() or self.part.exists()),
            where,
            "a file that does not exist yet, or one that this function began",
            f"{path.name} without its journal {journal.name}",
            hint="choose another path, or remove the file.",
        )
        fresh = not journal.exists()
        self._journal = journal.open("a+b")
        try:
            self._lock(where)
            self.finished = self._read(where)
            self._array = None if path.exists() else self._allocate()
        except BaseException:
            self._journal.close()
            if fresh:
                journal.unlink(missing_ok=True)
            raise

    def __enter__(self) -> "GramFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._array = None
        self._journal.close()

    @property
    def complete(self) -> bool:
        """Whether the finished matrix stands at its path."""
        return self.path.exists()

    def write(self, tile: Tile, parts: Sequence[tuple[tuple[slice, slice], np.ndarray]]) -> None:
        """Put the numbers of one tile in their places, and only then note that it is done."""
        assert self._array is not None
        for place, numbers in parts:
            self._array[place] = numbers
        self._array.flush()  # waits for the disk
        self._append({"tile": list(tile)})
        self.finished.add(tile)

    def finish(self) -> None:
        """Give the complete matrix its name."""
        self._array = None
        os.replace(self.part, self.path)
        _sync_folder(self.path.parent)

    def _lock(self, where: str) -> None:
        """Hold the journal for this process; the system lets go when the process ends."""
        if fcntl is None:
            return
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held = True
        else:
            held = False
        expect(
            not held,
            where,
            "a file that no other process writes to",
            f"{self.path.name}, which one is writing to",
            hint="wait for it, or end it: what it finished is kept.",
            error=OSError,
        )

    def _read(self, where: str) -> set[Tile]:
        """Finished tiles; the first line is compared, or written if there is none."""
        lines = _whole_lines(self._journal)
        if not lines:
            # Killed between making the journal and its first line: nothing was kept.
            self.part.unlink(missing_ok=True)
            self._append({"identity": self.identity})
            _sync_folder(self.path.parent)
            return set()
        stored = lines[0].get("identity", {})
        changed = [key for key, value in self.identity.items() if stored.get(key) != value]
        expect(
            not changed,
            where,
            "the " + " and ".join(changed) + f" that {self.path.name} was begun with",
            "another: "
            + "; ".join(f"{k} {self.identity[k]}, not {stored.get(k)}" for k in changed),
            hint=f"choose another path, or remove {self.path.name}* to begin again.",
        )
        return {(int(line["tile"][0]), int(line["tile"][1])) for line in lines[1:]}

    def _allocate(self) -> np.memmap:
        """The growing array, its whole space reserved: a full disk is an error now, not a crash."""
        if self.part.exists() and self.finished:
            return open_memmap(self.part, mode="r+")
        array = open_memmap(self.part, mode="w+", dtype=self.dtype, shape=self.shape)
        try:
            if hasattr(os, "posix_fallocate"):
                with self.part.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, array.offset + array.nbytes)
            array.flush()
            _sync_folder(self.part.parent)
        except OSError:
            self.part.unlink(missing_ok=True)
            raise
        return array

    def _append(self, entry: dict) -> None:
        """One line, on the disk when this returns."""
        self._journal.write(json.dumps(entry).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())


def journal_of(path: Path) -> Path:
    """The journal's place."""
    return path.with_name(path.name + ".journal")


def stored_identity(path: Path) -> dict[str, str]:
    """What the matrix at `path` was begun with; empty if it was not begun."""
    with suppress(FileNotFoundError, IndexError), journal_of(path).open("r+b") as journal:
        return _whole_lines(journal)[0].get("identity", {})
    return {}


def _whole_lines(journal: IO[bytes]) -> list[dict]:
    """All entries; a last line that was cut off is cut away."""
    journal.seek(0)
    text = journal.read()
    end = text.rfind(b"\n") + 1
    if end < len(text):
        journal.truncate(end)
    journal.seek(0, os.SEEK_END)
    return [json.loads(line) for line in text[:end].splitlines()]


def _sync_folder(folder: Path) -> None:
    """Names in a folder are on the disk only after this."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
