"""The words of this call, for a page to say how to repeat it."""

import shlex
from collections.abc import Sequence

_words: list[str] = []


def keep(words: Sequence[str]) -> None:
    """These are the words of this call.

    A name may hold bytes that are no text; the page and the JSON show them escaped.
    """
    _words[:] = [word.encode("utf-8", "backslashreplace").decode() for word in words]


def as_typed() -> str:
    """The command line of this call."""
    return shlex.join(["overparam", *_words])
