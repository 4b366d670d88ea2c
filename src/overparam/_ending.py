"""How a command ends: with a status, after an error with one line on stderr."""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from overparam._errors import UsageError
from overparam.errors import OverparamError

MISUSE, INTERRUPTED = 2, 130
# EX_SOFTWARE of sysexits.h.
MISTAKE = 70


def ended(run: Callable[[], int]) -> int:
    """The exit status of `run`, which returns its own or raises; raises nothing itself.

    What a user can mend is one line on stderr and status 2, and so is an output that cannot be
    written. An error nobody foresaw is a mistake of the library: a line that says so, its
    traceback below, and status 70.
    """
    if not _streams_ready():
        _say("standard output is closed; > /dev/null discards what is printed.")
        return MISUSE
    try:
        status = run()
    except BaseException as error:  # a specification may raise anything
        status = _status(error)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _divert(sys.stdout)
    except (OSError, ValueError) as error:
        _divert(sys.stdout)
        if status in (0, 1):
            status = MISUSE
            _say(f"standard output: {getattr(error, 'strerror', None) or error}.")
    return status


def complaint(error: BaseException) -> str | None:
    """What to tell the user, in a line, or `None` if the error is a mistake of the library."""
    text = " ".join(str(error).split())
    if isinstance(error, (UsageError, OSError, OverparamError)):
        return text or type(error).__name__
    if hasattr(error, "format_message"):  # the command line's own: option, argument, command
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "overparam"
        first = error.format_message().strip().partition("\n")[0]  # pyright: ignore
        return f"{first.rstrip('.')} (see '{path} --help')."
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"there is not enough memory ({text or 'no size is known'}); ask for less."
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the package {error.name} is not installed; pip install {error.name}."
    if isinstance(error, RecursionError):
        return f"something is nested too deeply ({text})."
    if isinstance(error, SystemExit):
        return f"the code that was run ended the program itself (SystemExit: {error.code})."
    return None


def _status(error: BaseException) -> int:
    """Say what there is to say of an error; the status it ends with."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED  # who asked for it is known, and said, above
    if isinstance(error, BrokenPipeError):
        return 0  # the reader, such as `head`, has seen enough
    if type(error).__name__ == "NoArgsIsHelpError":  # the help has been printed, unless it is here
        text = error.format_message().strip()  # pyright: ignore
        _say(text, prefix="")
        return MISUSE
    message = complaint(error)
    if message is not None:
        _say(message)
        _say(getattr(error, "details", ""), prefix="")
        return MISUSE
    what = traceback.format_exception_only(error)[-1].strip().partition("\n")[0]
    _say(f"a mistake in overparam, please report it with the lines below ({what}).")
    _say("".join(traceback.format_exception(error)), prefix="")
    return MISTAKE


def _streams_ready() -> bool:
    """Make both streams take any text; whether there is a standard output at all."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        # Or the next file that is opened would get the number of a standard stream.
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(handle)
    if sys.stderr is None:  # or what is meant for it would be printed among the results
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore
    return sys.stdout is not None


def _say(text: str, prefix: str = "overparam: ") -> None:
    """A line on stderr, if that can be written to."""
    try:
        if text:
            print(prefix + text.rstrip("\n"), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _divert(sys.stderr)


def _divert(stream: IO[str]) -> None:
    """Send what a stream still holds to nowhere: Python would complain once more at its end."""
    with suppress(OSError, ValueError):  # a stream of a test has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
