"""The end of a command that is asked to end: Ctrl+C, SIGTERM, a terminal that closes."""

import functools
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol, runtime_checkable

# Seconds after which the process ends in any case: an operation of torch, or whatever an
# interruption waits for, may take longer than whoever asks is going to wait.
_PATIENCE = 3.0

_REQUESTS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Request:
    """What the process has been asked.

    Attributes:
        signal: The signal that asked it to end, or `None`.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def status(self) -> int:
        """The exit status that says so to a shell."""
        return 0 if self.signal is None else 128 + self.signal


@runtime_checkable
class Main(Protocol):
    """A command line: takes words, or none if it is the whole program; gives an exit status."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run it."""
        ...


def ends_when_asked(main: Main) -> Main:
    """A command line that SIGTERM and SIGHUP end as Ctrl+C does, with status 128 + signal.

    The first request raises `KeyboardInterrupt`, so that what has to be put away is; further
    ones, which schedulers send along with the first, change nothing. A line on stderr says why
    it ended. Within seconds the process is gone in any case. Signals that are ignored, as under
    `nohup`, or handled by someone else stay so, and so do all where the call is not in the main
    thread.

    Args:
        main: The command line. After a call with words the handlers are those of before.
    """

    @functools.wraps(main)
    def ending(arguments: Sequence[str] | None = None) -> int:
        with _heard(for_good=arguments is None) as request:
            try:
                status = main(arguments)
            except KeyboardInterrupt:
                status = 130
        status = request.status or status
        if request.signal or status == 130:
            with suppress(OSError, ValueError):  # a terminal that is gone
                print(_why(request.signal or signal.SIGINT), file=sys.stderr, flush=True)
        return status

    return ending


@contextmanager
def _heard(*, for_good: bool) -> Iterator[Request]:
    """Turn requests to end into one `KeyboardInterrupt`, and see to it that it ends something."""
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    usual = (signal.SIG_DFL, signal.default_int_handler)
    filters = warnings.filters[:]
    before = {number: signal.getsignal(number) for number in _REQUESTS}
    before = {number: handler for number, handler in before.items() if handler in usual}

    def hear(number: int, frame: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        if for_good and _imports(frame):
            _end(number)
        warnings.simplefilter("ignore")  # work that is broken off is told of in one line
        request.signal = signal.Signals(number)
        raise KeyboardInterrupt

    over = threading.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    # Python runs a handler between two of its own instructions; this is told at once.
    told = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_enforce, args=(reader, set(before), over), daemon=True).start()
    try:
        for number in before:
            signal.signal(number, hear)
        yield request
    finally:
        if not (for_good and request.signal):
            over.set()
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(told)
            writer.close()
            warnings.filters[:] = filters  # pyright: ignore[reportIndexIssue]


def _enforce(reader: socket.socket, requests: set[int], over: threading.Event) -> None:
    """End the process some seconds after a request, unless that is over by then."""
    with reader:
        while numbers := reader.recv(1):
            if numbers[0] in requests:
                if not over.wait(_PATIENCE):
                    _end(numbers[0])
                return


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported.

    Those that are compiled abort the process when an exception meets them half way, or catch it
    and go on without a part of themselves.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _end(number: int) -> None:
    """End the process here and now, with what was printed."""
    with suppress(Exception):
        sys.stdout.flush()
    with suppress(OSError):
        os.write(2, f"{_why(number)}\n".encode())
    os._exit(128 + number)


def _why(number: int) -> str:
    """The line that says why it ended."""
    asked = signal.Signals(number)
    return f"overparam: {'interrupted' if asked == signal.SIGINT else f'ended by {asked.name}'}."
