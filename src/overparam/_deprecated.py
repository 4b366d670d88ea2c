"""Names and signatures that go: they work for one more version, and say what replaces them."""

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

GOES = "0.3"


def deprecated(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Warn whoever called the function that calls this one."""
    warnings.warn(
        f"{old} is now {new}; the old form works until {GOES}.",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


def moved(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` for public names that are defined elsewhere by now.

    Args:
        module: The module that had them.
        names: The module that has each.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        deprecated(f"{module}.{name}", f"{names[name]}.{name}")
        return getattr(import_module(names[name]), name)

    return find
