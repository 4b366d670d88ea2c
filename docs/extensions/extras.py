"""Which extras are there."""

import importlib.util

# What is imported, where it has another name than the extra.
_IMPORTED = {"battery": "pybamm", "search": "optuna", "transport": "ot"}


def is_missing(extra: str) -> bool:
    """Whether what an extra brings is not installed."""
    return importlib.util.find_spec(_IMPORTED.get(extra, extra)) is None
