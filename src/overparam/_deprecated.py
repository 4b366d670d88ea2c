"""Names and signatures that go: they work for one more version, and say what replaces them."""

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
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


class _Elsewhere(MetaPathFinder, Loader):
    """Imports of a module by the name it had: it is the module of today, and a warning."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in self.names else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        deprecated(spec.name, self.names[spec.name])
        module = import_module(self.names[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run; the import put the old name's description into it."""
        state = module.__spec__ and module.__spec__.loader_state
        module.__spec__ = state or module.__spec__


def moved_modules(names: Mapping[str, str]) -> None:
    """Let modules be imported by the names they had."""
    sys.meta_path.append(_Elsewhere(names))
