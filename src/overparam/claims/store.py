"""Finished cells in one SQLite file."""

import json
import math
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overparam._cache import cache_folder
from overparam._errors import expect
from overparam._json import json_digest

# Marks a file as ours in SQLite's header ("ovpc"), so that no other program's is written to.
_APPLICATION = 0x6F767063
_LAYOUT = 1
_TABLE = """CREATE TABLE cells (
    key TEXT PRIMARY KEY, study TEXT, parameters TEXT, seed INTEGER, torch TEXT,
    result TEXT NOT NULL, seconds REAL NOT NULL, stored TEXT DEFAULT CURRENT_TIMESTAMP)"""


_COLUMNS = "key, study, parameters, seed, torch, result, seconds"
_WHERE = "study run --store FILE"
_PLACES = "name a file by --store, or a folder by OVERPARAM_CACHE."
_ANOTHER = "name another file; this one is left as it is."
# What SQLite says of the machine rather than of the file: what was expected, and what helps. The
# cells that are in the file are in none of these cases lost.
_TROUBLES = {
    sqlite3.SQLITE_FULL: (
        "a disk with room for another cell",
        "free some space and run it again: the cells in the file are kept.",
    ),
    sqlite3.SQLITE_BUSY: (
        "a store that no other run is writing to for a whole minute",
        "wait for the other run, and run it again: what that stored is not computed twice.",
    ),
    sqlite3.SQLITE_IOERR: (
        "a disk that can be read and written",
        "look at the disk, whether it is full, gone or broken, and run it again.",
    ),
    sqlite3.SQLITE_READONLY: (
        "a store that can be written to",
        "change the permissions of the file and its folder, or name another file.",
    ),
}
_TROUBLES[sqlite3.SQLITE_LOCKED] = _TROUBLES[sqlite3.SQLITE_BUSY]
for _code in (sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH):
    _TROUBLES[_code] = _TROUBLES[sqlite3.SQLITE_READONLY]


@dataclass(frozen=True)
class Stored:
    """A finished cell: what it returned, and how long it took."""

    result: dict[str, Any]
    seconds: float


def default_store() -> Path:
    """``$OVERPARAM_CACHE/cells.sqlite``, or that file in the user's cache folder.

    Raises:
        ValueError: If nothing says where that is; it is never the working directory.
    """
    return cache_folder(_WHERE, _PLACES) / "cells.sqlite"


class CellStore:
    """A file of finished cells, each written in a transaction of its own.

    What was stored survives `kill -9` and a power failure. Only one process writes, the one
    that runs the study; two runs on one file wait for each other's transactions.

    Args:
        path: The file, created if absent; `None` means `default_store()`.

    Raises:
        ValueError: If the file is there and is not a store, or a damaged one. It is left as
            it was.
        OSError: If the machine does not let it be read: permissions, the disk, another process.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else default_store()
        if path is None:
            self._make_folder()
        self._expect_file()
        with self._connection() as connection:
            # Tables first: another run may make the store meanwhile, marks and table at once.
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            ours = connection.execute("PRAGMA application_id").fetchone()[0]
            layout = connection.execute("PRAGMA user_version").fetchone()[0]
            if tables == 0 and ours in (0, _APPLICATION):
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute(_TABLE.replace("TABLE", "TABLE IF NOT EXISTS", 1))
                    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {_LAYOUT}")
            else:
                self._expect(ours == _APPLICATION, "a database of another program")
                self._expect(layout == _LAYOUT, f"a store of layout {layout}, not {_LAYOUT}")
            connection.execute(f"SELECT {_COLUMNS} FROM cells LIMIT 0")

    def get(self, key: Mapping[str, Any]) -> Stored | None:
        """The cell with that key, or `None` if there is none, or a damaged one."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT CAST(result AS BLOB), seconds FROM cells WHERE key = ?", (json_digest(key),)
            ).fetchone()
        return None if row is None else _stored(*row)

    def expect_writable(self) -> None:
        """Raise unless cells can be stored; asked before any is computed.

        Raises:
            OSError: If the file or its folder may not be written to, or the disk is full.
        """
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA user_version = {_LAYOUT}")

    def put(self, key: Mapping[str, Any], result: str, seconds: float) -> None:
        """Store a finished cell at once.

        Args:
            key: ``{"study", "parameters", "seed", "torch", …}``; all of it counts.
            result: What the cell returned, as JSON text (Python's, in which NaN is a word).
            seconds: How long it took.
        """
        described = [key["study"], json.dumps(key["parameters"]), key["seed"], key["torch"]]
        with self._connection() as connection, connection:
            connection.execute(
                f"INSERT OR REPLACE INTO cells ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [json_digest(key), *described, result, seconds],
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        problem, code = "", 0
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as connection:
                yield connection
        except sqlite3.Error as error:
            # The lower byte is the kind of error, what is above it says more.
            problem, code = str(error), getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _TROUBLES:
            expected, hint = _TROUBLES[code]
            expect(False, _WHERE, expected, f"{self.path} ({problem})", hint, OSError)
        self._expect(not problem, problem)

    def _make_folder(self) -> None:
        problem = ""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = error.strerror or str(error)
        expect(
            not problem,
            _WHERE,
            "a cache folder that can be made",
            f"{self.path.parent} ({problem})",
            hint=_PLACES,
            error=OSError,
        )

    def _expect_file(self) -> None:
        """Raise for what SQLite would wait for, or not call by its name."""
        expected = "a file in a folder that exists"
        parent = self.path.parent
        expect(parent.is_dir(), _WHERE, expected, f"{self.path}: there is no folder {parent}")
        if self.path.exists():
            kind = _kind(self.path.stat().st_mode)
            expect(kind == "a file", _WHERE, expected, f"{self.path}, {kind}")

    def _expect(self, condition: bool, problem: str) -> None:
        expect(
            condition,
            _WHERE,
            "a store of finished cells or a new file",
            f"{self.path} ({problem})",
            hint=_ANOTHER,
        )


def _stored(result: Any, seconds: Any) -> Stored | None:
    """A row's cell; a row that holds none is computed again."""
    known = isinstance(seconds, (int, float)) and math.isfinite(seconds) and seconds >= 0
    try:
        found = json.loads(result) if isinstance(result, bytes) else None
    except (ValueError, RecursionError):
        return None
    return Stored(found, seconds) if known and isinstance(found, dict) else None


def _kind(mode: int) -> str:
    """What stands at a path, in words."""
    kinds = {
        stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something else")
