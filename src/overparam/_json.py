"""Plain data as strict JSON."""

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
