"""Processes that are forked, killed after a while, and leave nothing behind."""

import math
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

import psutil

Report = Callable[[str], None]
# Seconds until workers are gone that may still import torch when their parent is killed.
PATIENCE = 100.0


def child(work: Callable[[Report], None], seconds: float | None) -> tuple[list[str], bool]:
    """Run `work` in a process that is killed after so many seconds.

    Returns:
        What it reported, and whether it had ended.
    """
    others = shared()
    with tempfile.TemporaryFile() as reports, tempfile.TemporaryFile() as said:
        pid, status = forked(work, seconds, reports.fileno(), said.fileno())
        reports.seek(0)
        said.seek(0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
            raise AssertionError(f"the work raised: {said.read().decode()}")
        lines = reports.read().decode().splitlines()
    expect_nothing_of(pid, others)
    return lines, not os.WIFSIGNALED(status)


def forked(
    work: Callable[[Report], None], seconds: float | None, reports: int, said: int
) -> tuple[int, int]:
    """The number and the end of a process that writes its reports and words into two files."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setsid()  # by which its workers are known when it is gone
            quiet = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1):
                os.dup2(quiet, stream)
            os.dup2(said, 2)
            work(lambda line: os.write(reports, f"{line}\n".encode()) and None)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    try:
        end = math.inf if seconds is None else time.monotonic() + seconds
        while time.monotonic() < end:
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone:
                return pid, status
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)
    except BaseException:  # this process is asked to end
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise


def expect_nothing_of(pid: int, others: set[str]) -> None:
    """Raise if a process that is gone leaves workers, or semaphores and arrays in memory.

    Args:
        pid: Its number, which others may have had before.
        others: What was in shared memory before it.
    """
    end = time.monotonic() + PATIENCE
    marks = (f"loky-{pid}-", f"joblib_memmapping_folder_{pid}_")
    while True:
        left = [name for name in shared() - others if any(mark in name for mark in marks)]
        if not (left := left + workers_of(pid)):
            return
        assert time.monotonic() < end, f"left behind: {', '.join(left)}"
        time.sleep(0.05)


def workers_of(pid: int) -> list[str]:
    """Processes that it, or they, started."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        with suppress(ProcessLookupError, psutil.Error):
            if os.getsid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.info["cmdline"] or [])[:100])
    return found


def shared() -> set[str]:
    """Names in shared memory."""
    with suppress(FileNotFoundError):
        return set(os.listdir("/dev/shm"))
    return set()


def measured(work: Callable[[Report], None]) -> float:
    """Seconds that it takes, undisturbed."""
    start = time.perf_counter()
    child(work, None)
    return time.perf_counter() - start
