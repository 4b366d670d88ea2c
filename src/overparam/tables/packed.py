"""Compressed files of tables, opened by what they declare and never beyond what fits."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from overparam._errors import expect
from overparam._memory import GIB, expect_room

# A table is held as bytes, as text and as columns.
COPIES = 3
# Measured data do not shrink so far; what does is made to fill a memory.
_MOST_GROWTH = 100
_BLOCK = 2**20
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError,
           NotImplementedError, ValueError)  # fmt: skip

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""What opens a file that holds one other, by its suffix."""


def unpack(path: Path, where: str, suffix: str = "") -> bytes:
    """What a file compressed by one of `OPENERS` holds; `suffix` is its own by default.

    Raises:
        ValueError: If it is damaged, or grows as only a bomb does.
        MemoryError: If it would not fit into memory.
    """
    stored, suffix = path.stat().st_size, suffix or path.suffix.lower()
    if suffix == ".gz" and stored > 8:
        with path.open("rb") as file:
            file.seek(-4, io.SEEK_END)
            _expect_growth(int.from_bytes(file.read(), "little"), stored, where)
    content, problem = bytearray(), ""
    try:
        with OPENERS[suffix](path) as file:
            while block := file.read(_BLOCK):
                content += block
                _expect_growth(len(content), stored, where)
                room(COPIES * len(content), where)
    except _DAMAGE as error:
        if str(error).startswith("`"):
            raise
        problem = str(error) or type(error).__name__
    expect(not problem, where, f"a file compressed as {suffix}",
           f"one that cannot be read ({problem})")  # fmt: skip
    return bytes(content)


def only_member(path: Path, where: str, suffixes: tuple[str, ...]) -> tuple[str, bytes]:
    """Name and bytes of the one table in a zip archive.

    Raises:
        ValueError: If it is damaged, holds none or several tables, or grows as a bomb does.
        MemoryError: If it would not fit into memory.
    """
    problem, content, names, name = "", b"", [], ""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                member
                for member in archive.infolist()
                if not member.is_dir()
                and not member.filename.startswith("__MACOSX/")
                and not Path(member.filename).name.startswith(".")
            ]
            names = [member.filename for member in members]
            tables = [m for m in members if m.filename.lower().endswith(suffixes)]
            tables = tables or members[: len(members) == 1]
            if len(tables) == 1:
                name = tables[0].filename
                content = member_bytes(archive, tables[0], path.stat().st_size, where)
    except _DAMAGE as error:
        if str(error).startswith("`"):
            raise
        problem = str(error) or type(error).__name__
    expect(not problem, where, "a zip archive", f"one that cannot be read ({problem})")
    expect(name, where, "a zip archive of one table",
           f"one of {', '.join(names[:5]) or 'nothing'}",
           hint="unpack it, and name the table.")  # fmt: skip
    return name, content


def member_bytes(archive: zipfile.ZipFile, member: Any, stored: int, where: str) -> bytes:
    """A member's bytes, if it is no larger than it says and that fits."""
    _expect_growth(member.file_size, stored, where)
    room(COPIES * member.file_size, where)
    with archive.open(member) as file:
        return file.read(member.file_size)


def expect_plain_archive(path: Path, where: str) -> None:
    """Raise for a zip archive, as a workbook is, that is damaged or would not fit."""
    problem, size = "", 0
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except _DAMAGE as error:
        problem = str(error) or type(error).__name__
    expect(not problem, where, "a workbook (.xlsx)", f"one that cannot be read ({problem})")
    _expect_growth(size, path.stat().st_size, where)
    room(COPIES * size, where)


def room(needed: int, where: str) -> None:
    """Raise if a table of so many bytes does not fit into memory."""
    expect_room(needed, None, where, "take a part of its rows or columns.", "a table")


def _expect_growth(size: int, stored: int, where: str) -> None:
    expect(
        size <= max(GIB, _MOST_GROWTH * stored),
        where,
        "a table",
        f"{stored / 2**20:.1f} MiB that would grow to {size / GIB:.1f} GiB",
        hint="unpack it first, if it is one.",
    )
