"""Where a study's numbers come from."""

import platform
import sys
from importlib import metadata
from typing import Any

from overparam._json import to_json as to_json


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
