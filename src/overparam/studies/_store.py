"""Finished cells in one SQLite file."""

import hashlib
import json
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overparam._errors import expect

# Marks a file as ours in SQLite's header ("ovpc"), so that no other program's is written to.
_APPLICATION = 0x6F767063
_LAYOUT = 1
_TABLE = """CREATE TABLE cells (
    key TEXT PRIMARY KEY, study TEXT, parameters TEXT, seed INTEGER, torch TEXT,
    result TEXT NOT NULL, seconds REAL NOT NULL, stored TEXT DEFAULT CURRENT_TIMESTAMP)"""


@dataclass(frozen=True)
class Stored:
    """A finished cell: what it returned, and how long it took."""

    result: dict[str, Any]
    seconds: float


def default_store() -> Path:
    """``$OVERPARAM_CACHE/cells.sqlite``, or that file in the user's cache folder."""
    chosen = os.environ.get("OVERPARAM_CACHE")
    if chosen:
        return Path(chosen) / "cells.sqlite"
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "overparam" / "cells.sqlite"


class CellStore:
    """A file of finished cells, each written in a transaction of its own.

    What was stored survives `kill -9` and a power failure. Only one process writes, the one
    that runs the study; two runs on one file wait for each other's transactions.

    Args:
        path: The file, created if absent; `None` means `default_store()`.

    Raises:
        ValueError: If the file is there and is not a store, or a damaged one. It is left as
            it was.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else default_store()
        if path is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._expect_file()
        with self._connection() as connection:
            ours = connection.execute("PRAGMA application_id").fetchone()[0]
            layout = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            self._expect((ours, layout) == (_APPLICATION, _LAYOUT) or tables == 0)
            if tables == 0:
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute(_TABLE.replace("TABLE", "TABLE IF NOT EXISTS", 1))
                    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {_LAYOUT}")

    def get(self, key: Mapping[str, Any]) -> Stored | None:
        """The cell with that key, or `None`."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT result, seconds FROM cells WHERE key = ?", (_digest(key),)
            ).fetchone()
        return None if row is None else Stored(json.loads(row[0]), row[1])

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
                "INSERT OR REPLACE INTO cells (key, study, parameters, seed, torch, result, "
                "seconds) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [_digest(key), *described, result, seconds],
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as connection:
                yield connection
        except sqlite3.DatabaseError as problem:
            self._expect(False, str(problem))

    def _expect_file(self) -> None:
        expect(
            self.path.parent.is_dir() and not self.path.is_dir(),
            "study run --store FILE",
            "a file in a folder that exists",
            self.path,
        )

    def _expect(self, condition: bool, problem: str = "a database of another program") -> None:
        expect(
            condition,
            "study run --store FILE",
            "a store of finished cells or a new file",
            f"{self.path} ({problem})",
            hint="name another file, or remove this one to compute its cells again.",
        )


def _digest(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
