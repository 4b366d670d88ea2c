"""One line of a record: plain values that whoever draws them can trust, or nothing."""

import json
import math
from collections.abc import Mapping
from typing import Any

# A larger number has left every scale, and counts as not finite; a smaller one counts as zero.
# Ratios of two, and the span of such ratios, stay below 1e300.
_LARGEST, _SMALLEST = 1e75, 1e-75
# Up to here a page's script counts steps exactly.
_LAST_STEP = 2**53 - 1
_LAST_PROCESS = 2**31 - 1
_LONGEST_NAME, _LONGEST_TEXT = 100, 500
_MOST_PLACES = 100
_MEASURED = (
    "peak_ratio", "steps_to_recover", "ratio_before", "top_share", "sharpness_before",
    "sharpness_after",
)  # fmt: skip


def read_line(line: bytes) -> dict[str, Any] | None:
    """What a line says, in one of five forms; an empty one if it says nothing known.

    Returns:
        ``{"begin": step, ...}`` with the facts of the run that are as they should be,
        ``{"steps": [...], "columns": {name: [number or None, ...]}}`` (of losses or of what was
        measured at one step; `None` is not finite), ``{"event": {...}}``, ``{"rising": {...}}``
        or ``{"end": step}``. `None` if the line is no JSON object, or holds anything that has
        no place where it stands.

    Example:
        >>> read_line(b'{"step": 3, "sharpness": 2.5, "lr": Infinity}')
        {'steps': [3], 'columns': {'sharpness': [2.5], 'lr': [None]}}
        >>> read_line(b'{"step": 3, "sharpness": "2.5"}')
    """
    try:
        entry = json.loads(line.decode())
        if not isinstance(entry, dict):
            return None
        return next((read(entry) for key, read in _FORMS.items() if key in entry), {})
    except (ValueError, RecursionError):  # an integer of too many digits is a ValueError too
        return None


def _begin(entry: Mapping) -> dict[str, Any]:
    names = {key: entry.get(key) for key in ("host", "model", "optimizer")}
    return {
        "begin": _step(entry["begin"]),
        "pid": _count(entry.get("pid"), _LAST_PROCESS),
        "parameters": _count(entry.get("parameters"), _LAST_STEP),
        **{key: _text(name) if isinstance(name, str) else None for key, name in names.items()},
    }


def _losses(entry: Mapping) -> dict[str, Any]:
    steps = _steps(entry["steps"])
    columns = {}
    for name in ("loss", "lr"):
        if entry.get(name) is not None:
            columns[name] = _numbers(entry[name])
            if len(columns[name]) != len(steps):
                raise ValueError("not as many values as steps")
    return {"steps": steps, "columns": columns}


def _measured(entry: Mapping) -> dict[str, Any]:
    columns = {
        _text(name, _LONGEST_NAME): [_number(value)]
        for name, value in entry.items()
        if name != "step"
    }
    return {"steps": [_step(entry["step"])], "columns": columns}


def _event(event: Any) -> dict[str, Any]:
    if not isinstance(event, dict):
        raise ValueError("no event")
    ids, reason = event.get("ids"), event.get("reason")
    # Earlier versions wrote neither cause nor outcome, nor where it began.
    places = {name: event[name] for name in ("layers", "groups") if name in event}
    return {
        "step": _step(event.get("step")),
        "kind": _text(event.get("kind", "unexplained"), _LONGEST_NAME),
        **{
            name: _text(event[name], _LONGEST_NAME)
            for name in ("cause", "outcome")
            if name in event
        },
        **{
            name: [_text(place, _LONGEST_NAME) for place in _listed(listed)[:_MOST_PLACES]]
            for name, listed in places.items()
        },
        "reason": None if reason is None else _text(reason),
        **{name: _number(event.get(name)) for name in _MEASURED},
        "ids": None if ids is None else [_id(item) for item in _listed(ids)],
    }


def _rising(event: Any) -> dict[str, Any] | None:
    return None if event is None else _event(event)


# By the key that tells them, in the order in which keys are looked for.
_FORMS = {
    "begin": _begin,
    "steps": _losses,
    "event": lambda entry: {"event": _event(entry["event"])},
    "rising": lambda entry: {"rising": _rising(entry["rising"])},
    "end": lambda entry: {"end": _step(entry["end"])},
    "step": _measured,
}


def _count(value: Any, most: int) -> int | None:
    # A bool is an int to isinstance.
    return value if type(value) is int and 0 <= value <= most else None


def _step(value: Any) -> int:
    step = _count(value, _LAST_STEP)
    if step is None:
        raise ValueError("no step")
    return step


def _steps(values: Any) -> list[int]:
    if not set(map(type, _listed(values))) <= {int}:
        raise ValueError("no steps")
    if values and not _between(0, values, _LAST_STEP):
        raise ValueError("no steps")
    return values


def _numbers(values: Any) -> list[float | None]:
    """As `_number` does, without looking at each where none can need it."""
    plain = bool(_listed(values)) and set(map(type, values)) <= {int, float}
    if plain and _between(_SMALLEST, values, _LARGEST) and math.isfinite(sum(values)):
        return values
    return [_number(value) for value in values]


def _between(low: float, values: list, high: float) -> bool:
    """Of numbers; NaN that is not the first escapes it."""
    return low <= min(values) and max(values) <= high


def _id(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**64:
        raise ValueError("no number of an example")
    return value


def _number(value: Any) -> float | None:
    """A number of a size that can be computed with; `None` for one that is not finite."""
    if value is None:
        return None
    if type(value) is not float and type(value) is not int:
        raise ValueError("no number")
    if not -_LARGEST <= value <= _LARGEST:
        return None
    return value if value >= _SMALLEST or value <= -_SMALLEST else 0.0


def _listed(value: Any) -> list:
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _text(value: Any, longest: int = _LONGEST_TEXT) -> str:
    """Text without the halves of characters that JSON can spell and UTF-8 cannot."""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value[:longest].encode(errors="replace").decode()
