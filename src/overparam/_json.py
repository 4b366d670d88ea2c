"""Plain data as strict JSON, and what can stand in it."""

import hashlib
import json
import math
from typing import Any


def strict(value: Any) -> Any:
    """`value` with NaN and infinities as `None`, and arrays and their numbers as Python's.

    Raises:
        TypeError: For anything that JSON has no form for.

    Example:
        >>> strict({"loss": [1, float("nan")], "widths": (8, 16)})
        {'loss': [1, None], 'widths': [8, 16]}
    """
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy and PyTorch
        return strict(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"JSON has no form for a {type(value).__name__}: {value!r:.80}")


def to_json(document: Any) -> str:
    """Strict JSON text, readable, with a newline at the end; it can be written as UTF-8."""
    text = json.dumps(strict(document), allow_nan=False, ensure_ascii=False, indent=1) + "\n"
    # A name of a file may hold halves of letters, which JSON can only spell as escapes.
    return text.encode("utf-8", "backslashreplace").decode()


def json_digest(document: Any) -> str:
    """A hash of all that a document of plain data says, whatever the order of its keys.

    Example:
        >>> json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def is_json_text(value: Any) -> bool:
    r"""Whether it is text that UTF-8 has a form for: half a pair of surrogates has none.

    Example:
        >>> is_json_text("é"), is_json_text("\ud800"), is_json_text(1)
        (True, False, False)
    """
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


def is_json_number(value: Any) -> bool:
    """Whether it is a finite number that a float can hold; True and False are none.

    Example:
        >>> is_json_number(0.5), is_json_number(10**400), is_json_number(True)
        (True, False, False)
    """
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**1023
    return isinstance(value, float) and math.isfinite(value)
