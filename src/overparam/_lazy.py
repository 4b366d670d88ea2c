"""Packages whose names load what defines them when they are first used, and not before."""

import ast
import copyreg
import random
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import lazy_loader

from overparam._deprecated import deprecated


def attach(
    package: str,
    file: str,
    moved: Mapping[str, str] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package, from the stub beside its `__init__`.

    The stub, `__init__.pyi`, imports each name from the file that defines it. Type checkers and
    editors read the same lines, so a name is stated once. A name that a submodule has too is
    always what the stub says, whichever of the two was imported first. With `EAGER_IMPORT=1`
    in the environment everything is loaded at once.

    Args:
        package: The package's `__name__`.
        file: Its `__file__`.
        moved: Names that it had, and the package that has each by now.
        renamed: Names that it had, and what each is called in it by now.

    Example:
        >>> from overparam import optim
        >>> optim.stability.__module__, optim.mass.__name__
        ('overparam.optim.stability', 'overparam.optim.mass')
    """
    from_stub, _, names = lazy_loader.attach_stub(package, file)
    kind = type(sys.modules[package])
    if kind is not ModuleType:  # It keeps functions from being hidden by their modules.
        copyreg.pickle(kind, _by_name)

    def get(name: str) -> Any:
        if name in names:
            before = random.getstate()  # some packages draw from it when they are loaded
            try:
                return from_stub(name)
            finally:
                random.setstate(before)
        if moved and name in moved:
            deprecated(f"{package}.{name}", f"{moved[name]}.{name}")
            return getattr(import_module(moved[name]), name)
        if renamed and name in renamed:
            deprecated(f"{package}.{name}", f"{package}.{renamed[name]}")
            return from_stub(renamed[name])
        submodule = _submodule(package, name)
        if submodule is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return submodule

    def listed() -> list[str]:
        """What a prompt completes: what is offered, and not what a module needs for itself."""
        known = {name for name in vars(sys.modules[package]) if name.startswith("__")}
        return sorted(known.union(names))

    return get, listed, _public(f"{file}i")


def _public(stub: str) -> list[str]:
    """The stub's `__all__`."""
    with open(stub, encoding="utf-8") as file:
        lines = ast.parse(file.read()).body
    (names,) = (
        line.value
        for line in lines
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__all__"
    )
    return ast.literal_eval(names)


def _submodule(package: str, name: str) -> ModuleType | None:
    """A module of a package: an attribute too, whether or not something has imported it."""
    full = f"{package}.{name}"
    try:
        return None if name.startswith("__") else import_module(full)
    except ModuleNotFoundError as error:
        if error.name == full:
            return None
        raise


def _by_name(module: ModuleType) -> tuple[Callable[[str], ModuleType], tuple[str]]:
    """How to pickle a module: by its name, as cloudpickle does with all others."""
    return import_module, (module.__name__,)
