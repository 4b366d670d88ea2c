"""What a command writes: files, of which it is known beforehand that they can be; tables."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from overparam._errors import UsageError

# Forms of files that are no text, by their names: what is written as text is none of them.
_NO_TEXT = {".parquet", ".pq", ".feather", ".arrow", ".xlsx", ".xlsm", ".xls", ".npz", ".zip",
            ".gz", ".bz2", ".xz"}  # fmt: skip


def expect_files(read: Sequence[object] = (), **files: Path | None) -> None:
    """Raise unless each option's file can be written, before anything is computed.

    Args:
        read: What the command reads, which its results do not take the place of.
        files: By the name of their option.
    """
    from overparam._files import expect_writable

    written: dict[str, str] = {}
    for option, file in files.items():
        if file is None:
            continue
        expect_folder(file)
        expect_writable(file, f"--{option}")
        if file.suffix.lower() in _NO_TEXT:
            raise UsageError(f"--{option} writes text, which {file.name} would not be by its name.")
        place = os.path.realpath(file)
        for source in read:
            if any(place == os.path.realpath(part) for part in _places(source)):
                raise UsageError(f"--{option} must be another file than {file}, which is read.")
        if place in written and not file.is_char_device():
            raise UsageError(f"--{written[place]} and --{option} must be different files.")
        written[place] = option


def _places(source: object) -> Iterator[str]:
    """The files that a source may be: itself, and what stands before a colon in it."""
    name = str(source)
    yield name
    if ":" in name:
        yield name.rpartition(":")[0]
    if os.path.isdir(name):
        yield from (os.path.join(name, entry) for entry in os.listdir(name))


def expect_folder(path: Path) -> None:
    """Raise unless there is a folder to write into."""
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write {path.name} into.")


def json_files(json: Path | None, names: Sequence[str]) -> list[Path | None]:
    """Where each study's JSON goes, checked before anything is computed."""
    if json is None:
        return [None] * len(names)
    if len(names) > 1 and not json.is_dir():
        raise UsageError(f"--json must be a folder that exists for several studies, not {json}.")
    files = [json / f"{name}.json" for name in names] if json.is_dir() else [json]
    for file in files:
        expect_files(json=file)
    return [*files]


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table in a terminal; lines with tabs between the cells anywhere else."""
    cells = [[str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=any(columns), padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
