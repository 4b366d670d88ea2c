"""A file that one writer at a time appends to."""

import itertools
import os
import stat
import time
import weakref
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nobody is kept out
    fcntl = None

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
# A pipe that nobody empties costs the file, and does not stop a training.
_FLAGS |= getattr(os, "O_NONBLOCK", 0)
# Seconds between attempts: another may only be looking whether the file is free.
_PAUSES = (0.02, 0.1, 0.0)
# What happens in this process, in order.
_now = itertools.count().__next__


class InUse(OSError):
    """Another writer holds the file."""


class SoleWriter:
    """Append to a file, and keep others that append this way out.

    The file is held from the first bytes until `close`, until this object is gone, or until its
    process is, however it ends. Within a process, one that was made later takes the file over
    from one that has not written since, as when a cell of a notebook is run again. What is
    forked meanwhile holds nothing and cannot append. A file that is removed or replaced is made
    anew with the next bytes. Where the system has no locks, as on some network drives, nobody
    is kept out.

    Args:
        path: The file, absolute; links are followed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        self._made, self._used = _now(), -1
        self._lost = ""  # why it may not write any more

    def taken_elsewhere(self) -> bool:
        """Whether another process holds the file now."""
        handle = None
        try:
            status = os.stat(self.path)
            if stat.S_ISREG(status.st_mode) and not any(own.holds(status) for own in _HOLDING):
                handle = os.open(self.path, os.O_RDONLY)
                _lock(handle)
        except InUse:
            return True
        except OSError:
            return False  # what is wrong with it shows when it is written
        finally:
            if handle is not None:
                os.close(handle)
        return False

    def append(self, text: bytes, head: bytes) -> None:
        """Append lines, in one piece where the disk has room.

        Args:
            text: Whole lines.
            head: The line that comes before them in a file that is new.

        Raises:
            InUse: If another writer holds the file.
            OSError: If it cannot be written, another has taken it over, or this process was
                forked from the one that has begun to write.
        """
        if self._lost:
            raise OSError(self._lost)
        handle = self._open()
        self._used = _now()
        status = os.fstat(handle)
        if stat.S_ISREG(status.st_mode):
            if status.st_size:
                os.lseek(handle, status.st_size - 1, os.SEEK_SET)
                if os.read(handle, 1) != b"\n":
                    text = b"\n" + text  # what a killed run began to write
            elif not text.startswith(head):
                text = head + text
        while text:
            text = text[os.write(handle, text) :]

    def holds(self, status: os.stat_result) -> bool:
        """Whether this is the file that is held."""
        return self._handle is not None and os.path.samestat(os.fstat(self._handle), status)

    def close(self) -> None:
        """Let others append."""
        handle, self._handle = self._handle, None
        if handle is not None:
            _HOLDING.discard(self)
            if fcntl is not None:
                with suppress(OSError):  # explicitly: a process forked by other means may have it
                    fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)

    def _open(self) -> int:
        """The file at the path, held."""
        if self._handle is not None:
            with suppress(FileNotFoundError):
                if self.holds(os.stat(self.path)):
                    return self._handle
            self.close()
        handle = os.open(self.path, _FLAGS, 0o666)
        try:
            self._hold(handle)
        except InUse:
            os.close(handle)
            raise
        self._handle = handle
        _HOLDING.add(self)
        return handle

    def _hold(self, handle: int) -> None:
        """Keep others out of an open file."""
        status = os.fstat(handle)
        for other in [own for own in _HOLDING if own.holds(status)]:
            if other._used < self._made:
                other.close()
                other._lost = f"a monitor that was made later writes to {self.path}"
        for pause in _PAUSES:
            try:
                return _lock(handle)
            except InUse:
                time.sleep(pause)
        raise InUse(f"another monitor writes to {self.path}")

    def _forget(self) -> None:
        """In a forked process: what is inherited is closed, and stays locked for the other."""
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None
        self._lost = (
            f"{self.path} is written by the process that began it, not by one forked from it"
        )

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict:
        """A copy holds nothing."""
        return {**self.__dict__, "_handle": None}


# Of this process.
_HOLDING: weakref.WeakSet[SoleWriter] = weakref.WeakSet()


def _after_fork() -> None:
    for writer in list(_HOLDING):
        writer._forget()
    _HOLDING.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _lock(handle: int) -> None:
    """Hold an open file if nobody else does."""
    if fcntl is None or not stat.S_ISREG(os.fstat(handle).st_mode):
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse("another monitor writes to it") from None
    except OSError:
        pass  # a file system without locks
