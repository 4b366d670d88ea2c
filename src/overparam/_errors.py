"""The one place that words a complaint."""

import difflib
from collections.abc import Iterable
from typing import Any, NoReturn

from overparam.errors import (
    InvalidState,
    InvalidType,
    InvalidValue,
    MissingPackage,
    NotEnoughMemory,
)

# What is raised for a built-in class: it is ours as well.
_OURS: dict[type[Exception], type[Exception]] = {
    ValueError: InvalidValue,
    TypeError: InvalidType,
    RuntimeError: InvalidState,
    MemoryError: NotEnoughMemory,
    ImportError: MissingPackage,
}


class UsageError(Exception):
    """The command line was used wrongly; its message is one line, its exit status 2.

    Attributes:
        details: Lines to show below it, such as the traceback of the user's own code.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


def expect(
    condition: Any,
    where: str,
    expected: str,
    got: Any,
    hint: str = "",
    error: type[Exception] = ValueError,
) -> None:
    """Raise unless `condition` holds, in the wording every error of the library has.

    Args:
        condition: Anything with a truth value.
        where: The call as the user would type it, such as ``"MaSS(lr=...)"``.
        expected: What would have been right.
        got: What came instead, value included.
        hint: The next thing to try, as a sentence.
        error: The class to raise; `TypeError` for types, `NumericalError` for numbers
            that broke down. Of a built-in one it is the kind of ours.

    Example:
        >>> expect(False, "MaSS(lr=...)", "a positive number", -1, "use 0.1.")
        Traceback (most recent call last):
        overparam.errors.InvalidValue: `MaSS(lr=...)` expected a positive number, got -1.
        Hint: use 0.1.
    """
    if not condition:
        raise complaint(where, expected, got, hint, error)


def complaint(
    where: str, expected: str, got: Any, hint: str = "", error: type[Exception] = ValueError
) -> Exception:
    """The error that `expect` raises, for where it is raised later or from another."""
    kind = _OURS.get(error, error)
    return kind(f"`{where}` expected {expected}, got {got}." + (hint and f"\nHint: {hint}"))


def unknown(where: str, kind: str, name: str, choices: Iterable[str]) -> NoReturn:
    """Raise for a name that is not among the choices, offering the nearest.

    Example:
        >>> unknown("load('digit')", "one", "digit", ["digits"])
        Traceback (most recent call last):
        overparam.errors.InvalidValue: `load('digit')` expected one out of digits, got 'digit'.
        Hint: did you mean 'digits'?
    """
    choices = sorted(choices)
    near = [
        choice
        for choice in choices
        if name and (choice.lower().startswith(name.lower()) or sorted(choice) == sorted(name))
    ]
    nearest = near or difflib.get_close_matches(name, choices, n=1)
    hint = f"\nHint: did you mean {nearest[0]!r}?" if nearest else ""
    raise InvalidValue(
        f"`{where}` expected {kind} out of {', '.join(choices)}, got {name!r}.{hint}"
    )
