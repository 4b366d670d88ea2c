"""A matrix on disk that is filled tile by tile and survives being killed at any moment.

While it grows it is PATH.part, beside PATH.journal; when the last tile is in it becomes PATH.
The journal's first line says what the matrix is of, every further line names a finished tile and
the digest of its numbers. A tile's numbers are on the disk before its line is written, and are
read again and compared before they are believed: files are also cut, copied over and removed.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy
from tqdm import tqdm

from overparam._errors import expect
from overparam._files import sync_folder
from overparam.tangents.engine.grid import Grid, Tile

try:
    import fcntl
except ImportError:  # Windows: nothing then keeps two processes from one file
    fcntl = None

_BEGINNING = b'{"identity": '


class GramFile:
    """The file, open for writing by this process alone.

    Args:
        path: Where the finished matrix will be, ending in .npy.
        identity: What the matrix is of, as words to show and digests to compare.
        grid: Its tiles.
        shape: Of the array.
        dtype: Of its numbers.
        where: The public call this is for, for error messages.
        progress: Show a bar on stderr while finished tiles are read again.

    Attributes:
        finished: Tiles that stand on the disk as they were computed.
        complete: Whether the finished matrix stands at its path.

    Raises:
        ValueError: If the files at `path` are of something else, of unknown origin, or no longer
            what was written; nothing is changed then.
        OSError: If another process writes to them, or the disk is too small.

    Cost:
        What was finished before is read once.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, str],
        grid: Grid,
        shape: Sequence[int],
        dtype: np.dtype,
        where: str,
        *,
        progress: bool = True,
    ) -> None:
        self.path, self.part = path, path.with_name(path.name + ".part")
        self.identity, self.grid = dict(identity), grid
        self.shape, self.dtype = tuple(shape), dtype
        self._where, self._progress = where, progress
        journal = journal_of(path)
        for file in (path, self.part, journal):
            expect(
                file.is_file() or not os.path.lexists(file),
                where,
                "files, or nothing yet, at the path and beside it",
                f"{file.name}, which is something else",
                hint="choose another path.",
            )
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
            self._lock()
            digests = self._read()
            self.complete = path.exists()
            self._array: np.memmap | None = None
            if self.complete:
                self._expect_whole(digests)
                self.finished = set(grid.tiles())
            else:
                self._array, self.finished = self._growing(digests)
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

    def write(self, tile: Tile, numbers: np.ndarray) -> None:
        """Put the numbers of one tile in their places, and only then note that it is done."""
        assert self._array is not None
        numbers = np.ascontiguousarray(numbers, dtype=self.dtype)
        for place in self.grid.places(self._array, tile):
            place[...] = numbers
        self._array.flush()  # waits for the disk
        self._append({"tile": list(tile), "sha256": _digest(numbers)})
        self.finished.add(tile)

    def finish(self) -> None:
        """Give the complete matrix its name."""
        self._array = None
        os.replace(self.part, self.path)
        sync_folder(self.path.parent)
        self.complete = True

    def _lock(self) -> None:
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
            self._where,
            "a file that no other process writes to",
            f"{self.path.name}, which one is writing to",
            hint="wait for it, or end it: what it finished is kept.",
            error=OSError,
        )

    def _read(self) -> dict[Tile, str]:
        """Digests of finished tiles; the first line is compared, or written if there is none.

        A line that says nothing counts as a tile that is not finished.
        """
        self._journal.seek(0)
        text = self._journal.read()
        end = text.rfind(b"\n") + 1
        first, *lines = text[:end].split(b"\n")
        stored = _identity(first)
        # Killed between making the journal and its first line: nothing was kept.
        begun = end > 0 or self.path.exists() or text[: len(_BEGINNING)] != _BEGINNING[: len(text)]
        expect(
            stored is not None or not begun,
            self._where,
            f"a journal that says what {self.path.name} is of",
            f"{journal_of(self.path).name}, which does not begin so",
            hint=f"choose another path, or remove {self.path.name}* to begin again.",
        )
        if stored is None:
            self._journal.truncate(0)
            self.part.unlink(missing_ok=True)
            self._append({"identity": self.identity})
            sync_folder(self.path.parent)
            return {}
        changed = [key for key, value in self.identity.items() if stored.get(key) != value]
        expect(
            not changed,
            self._where,
            "the " + " and ".join(changed) + f" that {self.path.name} was begun with",
            "another: "
            + "; ".join(f"{k} {self.identity[k]}, not {stored.get(k)}" for k in changed),
            hint=f"choose another path, or remove {self.path.name}* to begin again.",
        )
        if end < len(text):
            self._journal.truncate(end)
        self._journal.seek(0, os.SEEK_END)
        found = filter(None, map(_tile, lines))
        return {tile: digest for tile, digest in found if tile in self.grid}

    def _growing(self, digests: dict[Tile, str]) -> tuple[np.memmap, set[Tile]]:
        """The growing array with the tiles that are on the disk, its whole space reserved.

        A full disk is an error now, not a crash later.
        """
        offset = self._offset(self.part) if digests else None
        if offset is not None:
            # What was cut off is room again; its tiles will not match.
            _reserve(self.part, offset + self._bytes)
            array = self._mapped(self.part, "r+", offset)
            return array, set(self._verified(array, digests))
        array = npy.open_memmap(self.part, mode="w+", dtype=self.dtype, shape=self.shape)
        try:
            _reserve(self.part, array.offset + self._bytes)
            array.flush()
            sync_folder(self.part.parent)
        except OSError:
            self.part.unlink(missing_ok=True)
            raise
        return array, set()

    def _expect_whole(self, digests: dict[Tile, str]) -> None:
        """Raise unless the finished file is, to the bit, what was written."""
        every = sum(1 for _ in self.grid.tiles())
        offset = self._offset(self.path)
        if offset is None or self.path.stat().st_size != offset + self._bytes:
            problem = f"no array of {self.shape} numbers of type {self.dtype}, or part of one"
        elif not digests:
            problem = "one that nothing vouches for: its journal, of an earlier version or cut, "
            problem += "holds no digests"
        else:
            array = self._mapped(self.path, "r", offset)
            known = set(self._verified(array, digests))
            lost = [tile for tile in self.grid.tiles() if tile not in known]
            problem = lost and f"one that differs in {len(lost)} of {every} tiles, as {lost[0]}"
        expect(
            not problem,
            self._where,
            f"{self.path.name} to be what this function wrote",
            problem,
            hint=f"choose another path, or remove {self.path.name} to compute it again; named "
            f"{self.part.name}, only what differs is computed.",
        )

    @property
    def _bytes(self) -> int:
        """Of the numbers."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def _offset(self, path: Path) -> int | None:
        """Where a file's numbers begin, if it says that they are an array of this kind."""
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        with suppress(FileNotFoundError), path.open("rb") as file:
            try:
                header = readers[npy.read_magic(file)](file)
            except OSError:
                raise
            except Exception:  # NumPy reads it as a literal, which fails in as many ways
                return None
            return file.tell() if header == (self.shape, False, self.dtype) else None
        return None

    def _mapped(self, path: Path, mode: Any, offset: int) -> np.memmap:
        return np.memmap(path, self.dtype, mode, offset, self.shape)

    def _verified(self, array: np.memmap, digests: dict[Tile, str]) -> Iterator[Tile]:
        """Tiles whose numbers have their digest wherever they stand."""
        with tqdm(
            total=len(digests), unit="tile", desc=f"checking {self.path.name}", file=sys.stderr,
            leave=False, delay=1, disable=None if self._progress else True,
        ) as bar:  # fmt: skip
            for tile, digest in digests.items():
                if all(_digest(place) == digest for place in self.grid.places(array, tile)):
                    yield tile
                bar.update()

    def _append(self, entry: dict) -> None:
        """One line, on the disk when this returns."""
        self._journal.write(json.dumps(entry).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())


def journal_of(path: Path) -> Path:
    """The journal's place."""
    return path.with_name(path.name + ".journal")


def stored_tile(path: Path) -> int:
    """Examples on a tile's side that the matrix at `path` was begun with; 0 if none is known."""
    journal = journal_of(path)
    if not journal.is_file():
        return 0
    with journal.open("rb") as file:
        tile = (_identity(file.readline()) or {}).get("tile", "")
    return int(tile) if tile.isdecimal() and len(tile) < 10 else 0


def _identity(line: bytes) -> dict[str, str] | None:
    """What the journal's first line says, if it is one."""
    entry = _json(line)
    found = entry.get("identity") if isinstance(entry, dict) else None
    known = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    return found if known else None


def _tile(line: bytes) -> tuple[Tile, str] | None:
    """The tile and the digest that a line of the journal names."""
    match _json(line):
        case {"tile": [int(i), int(j)], "sha256": str(digest)}:
            return (i, j), digest
    return None


def _json(line: bytes) -> Any:
    """The value a line holds, `None` if it is none."""
    with suppress(ValueError, RecursionError):
        return json.loads(line)
    return None


def _digest(numbers: np.ndarray) -> str:
    """Of every bit, in C order."""
    return hashlib.sha256(np.ascontiguousarray(numbers).data).hexdigest()


def _reserve(path: Path, size: int) -> None:
    """Make a file as long as it has to be, with room for all of it."""
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        file.truncate(size)
