"""Packages that only an extra brings: imported where they are needed, named where they are not."""

from importlib import import_module
from typing import Any

from overparam._errors import complaint


def absent(where: str, package: str, extra: str) -> Exception:
    """The error for a package that is not there.

    Example:
        >>> raise absent("tune(...)", "optuna", "search")
        Traceback (most recent call last):
        overparam.errors.MissingPackage: `tune(...)` expected the package optuna, got none.
        Hint: pip install 'overparam[search]'
    """
    hint = f"pip install 'overparam[{extra}]'"
    return complaint(where, f"the package {package}", "none", hint, ImportError)


def needed(where: str, package: str, extra: str, module: str = "") -> Any:
    """A module of an extra.

    Args:
        where: The call as the user would type it.
        package: The name it is installed by.
        extra: The extra of this library that brings it.
        module: The name it is imported by, if that is another.

    Raises:
        MissingPackage: If it cannot be imported; the message names the extra.
    """
    try:
        return import_module(module or package)
    except ImportError as problem:
        raise absent(where, package, extra) from problem
