"""Processes that joblib starts: they end with this one, and their death is told in words."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from typing import Any

import joblib
from joblib.parallel import LokyBackend, get_active_backend

from overparam._errors import expect

# Seconds between two looks at whether the parent lives.
_INTERVAL = 0.5


def parallel(n_jobs: int | None, **options: Any) -> Any:
    """A `joblib.Parallel` whose processes end soon after this one, even if that is killed.

    joblib's own wait for work for five minutes more, with everything they inherited, such as
    the pipe that a caller reads to its end. Ctrl+C, which a terminal sends to all of them, is
    for this one. Back ends other than joblib's default, and a user's own ``initializer``, are
    left alone.

    Args:
        n_jobs: As for joblib.
        options: Others of `joblib.Parallel`.
    """
    backend, _ = get_active_backend()
    own = getattr(backend, "backend_kwargs", {})
    if type(backend) is LokyBackend and "initializer" not in own:
        options |= {"initializer": end_with, "initargs": (os.getpid(),)}
        options["backend"] = _Undisturbed(
            nesting_level=backend.nesting_level,
            inner_max_num_threads=backend.inner_max_num_threads,
            **own,
        )
    return joblib.Parallel(n_jobs=n_jobs, **options)


def results(tasks: Callable[[], Iterable[Any]], n_jobs: int | None, where: str) -> list[Any]:
    """What all tasks return, in their order; if a worker is killed, all are given out once more.

    Args:
        tasks: Makes them, of `joblib.delayed`.
        n_jobs: As for joblib.
        where: The public call or option this is for.

    Raises:
        ChildProcessError: If a worker is killed the second time too.
    """
    with suppress(BrokenExecutor):
        return list(parallel(n_jobs)(tasks()))
    with told_of_the_dead(where):
        return list(parallel(n_jobs)(tasks()))


@contextmanager
def told_of_the_dead(where: str) -> Iterator[None]:
    """Say in our words that a worker was killed.

    Raises:
        ChildProcessError: Instead of what joblib raises.
    """
    problem = ""
    try:
        yield
    except BrokenExecutor as error:
        problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    expect(
        not problem,
        where,
        "workers that live until they are done",
        problem,
        hint="if the system killed them for want of memory, take fewer jobs.",
        error=ChildProcessError,
    )


class _Undisturbed(LokyBackend):
    """Workers that do not hear Ctrl+C: each that is starting would print where it was."""

    def configure(self, *arguments: Any, **options: Any) -> int:
        """Begin a loop, for which there may be workers too few."""
        with _deaf():
            return super().configure(*arguments, **options)

    def submit(self, *arguments: Any, **options: Any) -> Any:
        """Hand one task over, and start workers if there are none."""
        with _deaf():
            return super().submit(*arguments, **options)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes and threads that are started within have SIGINT blocked for good, as this has."""
    if os.name == "nt":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with(parent: int) -> None:
    """In a worker: end when the process that started it does.

    Args:
        parent: Its number, as this process was told: it may be gone already.
    """
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    # Linux can send a signal at a parent's death, but takes the thread that started the worker
    # for the parent, which may end long before the process.
    if os.name == "nt":
        import psutil

        with suppress(psutil.Error):
            psutil.Process(parent).wait()
    else:
        while os.getppid() == parent:
            time.sleep(_INTERVAL)
    os._exit(1)
