"""A study's result as strict JSON."""

import json
import math
import platform
import sys
from importlib import metadata
from typing import Any

import numpy as np


def environment(seconds: float, cell_seconds: float) -> dict[str, Any]:
    """Versions and platform that a study's numbers belong to.

    Args:
        seconds: Wall time of this run, reused cells excluded.
        cell_seconds: Time all cells took when they were computed, reused ones included.
    """
    versions = {name: metadata.version(name) for name in ("overparam", "torch", "numpy", "scipy")}
    return {
        **versions,
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "device": "cpu",
        "threads": 1,  # per cell, always: so the number of jobs changes no bit of a result
        "seconds": seconds,
        "cell_seconds": cell_seconds,
    }


def strict(value: Any) -> Any:
    """`value` with NaN and infinities as `None` and NumPy's numbers as Python's.

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
    if isinstance(value, np.generic):
        return strict(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"JSON has no form for a {type(value).__name__}: {value!r:.80}")


def to_json(document: Any) -> str:
    """Strict JSON text, readable, with a newline at the end."""
    return json.dumps(strict(document), allow_nan=False, ensure_ascii=False, indent=1) + "\n"
