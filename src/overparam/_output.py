"""What a command writes: files, of which it is known beforehand that they can be; tables."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from overparam._errors import UsageError


def expect_files(**files: Path | None) -> None:
    """Raise unless each option's file can be written, before anything is computed."""
    from overparam._files import expect_writable

    for option, file in files.items():
        if file is not None:
            expect_folder(file)
            expect_writable(file, f"--{option}")


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
