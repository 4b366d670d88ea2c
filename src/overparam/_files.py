"""Files that are whole or not there: written aside, brought to the disk, renamed."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from overparam._errors import expect

Name = str | os.PathLike[str]
# Enough that a disk without a free block cannot take it.
_SAMPLE = b"\0" * 8192


@contextmanager
def replacing(path: Name, *, binary: bool = False) -> Iterator[IO[Any]]:
    r"""A file to write to, which takes the place of `path` when the block ends well.

    Until then what stood at `path` stands there, whatever happens: an exception, a full disk,
    `kill -9`, a power failure. A link is followed. A pipe or a device, such as /dev/stdout, has
    nothing to keep and is written to directly.

    Args:
        path: The file; its folder exists.
        binary: Bytes; otherwise text, in UTF-8 and with ``\n`` as it is.

    Raises:
        OSError: If the file cannot be written; nothing is left beside it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "numbers.txt")
        >>> with replacing(path) as file:
        ...     _ = file.write("1 2 3")
        ...     path.exists()
        False
        >>> path.read_text()
        '1 2 3'
    """
    target = Path(os.path.realpath(path))
    how: dict[str, Any] = {} if binary else {"encoding": "utf-8", "newline": ""}
    if _is_stream(target):
        with open(path, "wb" if binary else "w", **how) as file:
            yield file
        return
    aside, handle = _open_aside(target)
    try:
        with open(handle, "wb" if binary else "w", **how) as file:
            yield file
            file.flush()
            with suppress(FileNotFoundError):
                os.chmod(aside, stat.S_IMODE(target.stat().st_mode))
            os.fsync(file.fileno())
        os.replace(aside, target)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = os.fspath(path)  # a write that fails does not say what was written
        raise
    sync_folder(target.parent)


def write_whole(path: Name, content: str | bytes) -> Path:
    """Write `content` to a file, which is afterwards the new one or, after an error, the old.

    Returns:
        `path`.

    Raises:
        OSError: As `replacing`.
    """
    with replacing(path, binary=isinstance(content, bytes)) as file:
        file.write(content)
    return Path(path)


def expect_writable(path: Name, where: str) -> None:
    """Raise unless a file can be written at `path`; asked before the work is done.

    A small file is written beside it and removed, which also tells of a file system that is
    read-only or full.

    Args:
        path: Where a file is going to be.
        where: The public call or option this is for.

    Raises:
        ValueError: If there is no such folder.
        OSError: If `path` is a folder itself, or the system does not let it be written.
    """
    target = Path(os.path.realpath(path))
    expect(
        os.path.isdir(target.parent),
        where,
        "a file in a folder that exists",
        f"{os.fspath(path)!r}: there is no folder {str(target.parent)!r}",
        hint="make the folder first.",
    )
    expect(
        not os.path.isdir(target),
        where,
        "the name of a file",
        f"{os.fspath(path)!r}, a folder",
        error=IsADirectoryError,
    )
    problem = ""
    try:
        if _is_stream(target):
            expect(os.access(path, os.W_OK), where, "a stream that can be written to", path)
            return
        with suppress(FileNotFoundError):
            os.stat(target)  # whose name may be longer than a name can be
        aside, handle = _open_aside(target)
        try:
            with open(handle, "wb") as file:
                file.write(_SAMPLE)
                file.flush()
                os.fsync(file.fileno())
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        problem = error.strerror or str(error)
    expect(
        not problem,
        where,
        "a file that can be written",
        f"{os.fspath(path)!r}: {problem}",
        hint="choose a folder one may write to, on a disk with room.",
        error=OSError,
    )


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; a file's own bytes are not its name."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some file systems of networks cannot; the rename itself has been done
    finally:
        os.close(handle)


def _open_aside(target: Path) -> tuple[Path, int]:
    """A new file beside the target, with the permissions any new file of the user's gets."""
    while True:
        # Long names are cut: the whole must stay below the 255 bytes that systems allow.
        start = target.name.encode()[:200].decode(errors="ignore")
        aside = target.with_name(f".{start}.{secrets.token_hex(4)}.part")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with suppress(FileExistsError):
            return aside, os.open(aside, flags | getattr(os, "O_CLOEXEC", 0), 0o666)


def _is_stream(target: Path) -> bool:
    """Whether something is there that is neither a file nor a folder."""
    # os.path and not Path, which raises where a folder above may not be entered
    return os.path.exists(target) and not (os.path.isfile(target) or os.path.isdir(target))


def expect_readable(path: Name, where: str, most: int | None = None) -> None:
    """Raise unless a file stands at `path`, of at most so many bytes; it is not opened.

    To open a pipe is to wait until somebody writes to it, and a device may have no end.

    Args:
        path: What is going to be read.
        where: The public call or option this is for.
        most: Bytes; `None` is any number.

    Raises:
        FileNotFoundError: If nothing is there.
        ValueError: If it is a folder, a pipe, a socket or a device, or larger.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a name may hold a NUL
        hint = f"relative paths start at {os.getcwd()}."
        got = f"{os.fspath(path)!r}, where there is none"
        expect(False, where, "a file", got, hint, FileNotFoundError)
    else:
        kinds = {
            stat.S_ISDIR: "a directory",
            stat.S_ISFIFO: "a pipe",
            stat.S_ISSOCK: "a socket",
            stat.S_ISCHR: "a device",
            stat.S_ISBLK: "a device",
        }
        kind = next((word for test, word in kinds.items() if test(found.st_mode)), "")
        hint = "write it to a file first." if kind in ("a pipe", "a device") else ""
        expect(not kind, where, "a file", f"{os.fspath(path)!r}, {kind}", hint)
        expect(
            most is None or found.st_size <= most,
            where,
            f"a file of at most {(most or 0) / 2**20:,.0f} MiB",
            f"{os.fspath(path)!r} of {found.st_size / 2**20:,.0f} MiB",
        )
