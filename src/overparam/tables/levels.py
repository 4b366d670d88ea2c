"""Names of a category's levels: one for every way in which a value may be written."""

import datetime
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from overparam.tables.yes_no import truth

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_CODE = re.compile(r"[+-]?0\d+|\d{16,}", re.ASCII)
# Words whose letters differ in case are one level if they are words; codes such as Aa are not.
_WORD = 3


def name_of(value: Any) -> str:
    """What a level is called, whatever type it has.

    Example:
        >>> [name_of(value) for value in (1, 1.0, "1.0", "01", True, "red")]
        ['1', '1', '1', '01', 'True', 'red']
    """
    if isinstance(value, str):
        if _NUMBER.fullmatch(value) and not _CODE.fullmatch(value):
            return _number(float(value))
        return value
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return _number(float(value))
    if isinstance(value, datetime.datetime):
        at_midnight = value.time() == datetime.time() and value.tzinfo is None
        return value.date().isoformat() if at_midnight else value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def learn_levels(
    values: Sequence[Any], counts: np.ndarray, *, merge: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Levels in order, and those of them that stand for spellings of one word.

    Args:
        values: Distinct.
        counts: How often each stands.
        merge: Whether words that differ only in the case of letters are one.

    Example:
        >>> learn_levels(["yes", "Yes", "10", 2.0], np.array([3, 1, 1, 1]), merge=True)
        (('2', '10', 'yes'), ('yes',))
    """
    total: dict[str, int] = {}
    for value, count in zip(values, counts, strict=True):
        name = name_of(value)
        total[name] = total.get(name, 0) + int(count)
    spelled: dict[str, list[str]] = {}
    for name in total:
        spelled.setdefault(name.casefold(), []).append(name)
    levels, merged = [], []
    for folded, names in spelled.items():
        if merge and len(names) > 1 and all(_is_word(name, folded) for name in names):
            levels.append(max(names, key=lambda name: (total[name], name)))
            merged.append(levels[-1])
        else:
            levels += names
    return tuple(sorted(levels, key=_order)), tuple(sorted(merged))


def match_levels(levels: Sequence[str], values: Sequence[Any]) -> np.ndarray:
    """The position of each value's level, -1 for one that was not there.

    A name counts first; then one that differs only in case, or in zeros before a number, or
    another word for yes or no, if it can only be one level.
    """
    exact = {name: place for place, name in enumerate(levels)}
    folded = _single((name.casefold(), place) for name, place in exact.items())
    numbers = _single(
        (float(name), place) for name, place in exact.items() if _NUMBER.fullmatch(name)
    )
    truths = [truth(name) for name in levels]
    answers = (
        _single(zip(truths, range(len(levels)), strict=True))
        if levels and not np.isnan(truths).any()
        else {}
    )
    found = np.full(len(values), -1)
    for i, value in enumerate(values):
        name = name_of(value)
        place = exact.get(name, folded.get(name.casefold(), -1))
        if place < 0 and _NUMBER.fullmatch(name):
            place = numbers.get(float(name), -1)
        if place < 0:
            place = answers.get(truth(value), -1)
        found[i] = place
    return found


def _single(pairs: Any) -> dict[Any, int]:
    """Those keys that have one place only."""
    places: dict[Any, int] = {}
    twice = set()
    for key, place in pairs:
        twice.update({key} if key in places else ())
        places[key] = place
    return {key: place for key, place in places.items() if key not in twice}


def _is_word(name: str, folded: str) -> bool:
    letters = sum(letter.isalpha() for letter in name)
    forms = {folded, name.upper(), name.lower(), name.capitalize(), name.title()}
    return letters >= _WORD and name in forms


def _order(name: str) -> tuple[bool, float, str]:
    """Numbers by size, then words."""
    number = bool(_NUMBER.fullmatch(name))
    return not number, float(name) if number else 0.0, name
