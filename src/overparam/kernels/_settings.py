"""Settings of estimators: a table says what each may be, and is asked when they are fitted.

scikit-learn has such a table for itself, and no promise of it for others. It takes no kinds of
value but its own, counts True as the number 1 and an integer of any size as one that arrays hold,
and words its complaints itself, without the nearest name.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from overparam._errors import complaint, expect, unknown
from overparam._numbers import described, is_integer, is_number

# Complains about a value; the second argument says where it was given.
Setting = Callable[[Any, str], object]


def expect_settings(estimator: Any, settings: Mapping[str, Setting]) -> None:
    """Raise for the first setting of an estimator that is not what it may be."""
    for parameter, setting in settings.items():
        setting(getattr(estimator, parameter), f"{type(estimator).__name__}({parameter}=...)")


def value_that(
    words: str,
    holds: Callable[[Any], bool],
    hint: str = "",
    error: type[Exception] = ValueError,
) -> Setting:
    """What a condition holds for."""
    return lambda value, where: expect(holds(value), where, words, described(value), hint, error)


def number(words: str, holds: Callable[[float], bool], *names: str, none: bool = False) -> Setting:
    """A finite number of some range, one of a few names, or None."""

    def fits(value: Any) -> bool:
        if value is None:
            return none
        if isinstance(value, str):
            return value in names
        finite = is_number(value) and abs(value) <= sys.float_info.max
        return bool(finite and holds(value))

    return value_that(words, fits)


def whole(words: str, least: int) -> Setting:
    """A whole number, at least `least`."""
    return value_that(words, lambda value: is_integer(value) and least <= value < 2**63)


def choice(*names: str | None, other: Setting | None = None) -> Setting:
    """One of a few names, None if it is among them, or what `other` lets pass if it is no text."""
    known = [name for name in names if name is not None]
    neither = other or value_that(f"a choice out of {', '.join(known)}", lambda value: False)

    def look(value: Any, where: str) -> None:
        if isinstance(value, str):
            if value not in known:
                unknown(where, "a choice", value, known)
        elif value is not None or None not in names:
            neither(value, where)

    return look


def optional(setting: Setting) -> Setting:
    """None, or what the setting lets pass."""
    return lambda value, where: None if value is None else setting(value, where)


FLAG = value_that(
    "True or False", lambda value: isinstance(value, (bool, np.bool_)) or is_integer(value)
)
FUNCTION = value_that("a function, or None", lambda value: value is None or callable(value))


def source_of_randomness(value: Any, where: str) -> None:
    """What `drawing_from` takes."""
    try:
        drawing_from(value)
    except (TypeError, ValueError) as problem:
        words = "None, a whole number from 0 to 2**32 - 1 or a RandomState"
        raise complaint(where, words, described(value)) from problem


def drawing_from(random_state: Any) -> np.random.RandomState:
    """What an estimator draws from; None is 0, so that NumPy's own generator stays as it is."""
    return check_random_state(0 if random_state is None else random_state)
