"""Settings of estimators, which scikit-learn wants looked at when they are fitted."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from overparam._errors import expect, unknown
from overparam._numbers import described, is_integer, is_number


class Setting(NamedTuple):
    """What a setting may be, and words for it."""

    words: str
    holds: Callable[[Any], bool]
    names: tuple[str, ...] = ()


def number(words: str, holds: Callable[[float], bool], *names: str, none: bool = False) -> Setting:
    """A finite number of some range, one of a few names, or None."""

    def fits(value: Any) -> bool:
        if value is None:
            return none
        if not is_number(value) or not abs(value) < math.inf:
            return False
        return holds(value)

    return Setting(words, fits, names)


def whole(words: str, least: int) -> Setting:
    """A whole number, at least `least`."""
    return Setting(words, lambda value: is_integer(value) and least <= value < 2**63)


def choice(*names: str | None) -> Setting:
    """One of a few names; None may be among them."""
    known = tuple(name for name in names if name is not None)
    return Setting("a choice", lambda value: value is None and None in names, known)


FLAG = Setting(
    "True or False", lambda value: isinstance(value, (bool, np.bool_)) or is_integer(value)
)
FUNCTION = Setting("a function, or None", lambda value: value is None or callable(value))


def expect_settings(estimator: Any, settings: Mapping[str, Setting]) -> None:
    """Raise for the first setting of an estimator that is not what it may be."""
    kind = type(estimator).__name__
    for parameter, setting in settings.items():
        value, where = getattr(estimator, parameter), f"{kind}({parameter}=...)"
        if isinstance(value, str) and value in setting.names:
            continue
        if isinstance(value, str) and setting.words == "a choice":
            unknown(where, setting.words, value, setting.names)
        words = setting.words
        if words == "a choice":
            words = "a choice out of " + ", ".join(setting.names)
        expect(setting.holds(value), where, words, described(value))
