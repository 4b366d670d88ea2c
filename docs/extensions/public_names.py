"""Which names the library offers, and where each of them is described."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import overparam

# Modules that are doors of their own, beside the packages; each of `integrations` is one, too.
MODULES = (
    "overparam.dynamics.record_file",
    "overparam.errors",
    "overparam.federated.flower",
    "overparam.tangents.infinite.gaussian_process",
)
TOOLS = "overparam.integrations"
# Files of this folder are found by being there; nobody imports from them.
PAPERS = "overparam.studies."


def doors() -> list[str]:
    """Every package that offers names, those at the top first, the front door last."""
    found = pkgutil.walk_packages(overparam.__path__, "overparam.", onerror=lambda name: None)
    public = [m for m in found if "._" not in m.name and not m.name.startswith(PAPERS)]
    packages = [module.name for module in public if module.ispkg]
    packages = [name for name in packages if getattr(importlib.import_module(name), "__all__", [])]
    tools = [module.name for module in public if module.name.startswith(TOOLS + ".")]
    return [*sorted([*packages, *MODULES, *tools], key=lambda n: (n.count("."), n)), "overparam"]


def opened(door: str) -> ModuleType | ImportError:
    """The module, or why it is not there: the tool it is for is missing."""
    try:
        return importlib.import_module(door)
    except ImportError as absent:
        if not door.startswith(TOOLS):
            raise
        return absent


def offered(module: ModuleType) -> list[str]:
    """The names of `__all__`; of a module without it, the public ones that it defines."""
    if names := getattr(module, "__all__", None):
        return sorted(set(names))
    defined = vars(module).items()
    return sorted(
        name
        for name, value in defined
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    )


def described() -> Iterator[tuple[str, dict[str, str]]]:
    """For each door its names, each with the full name under which it is described.

    What two doors offer is described at the first.
    """
    homes: dict[int, str] = {}
    for door in doors():
        module = opened(door)
        names: dict[str, str] = {}
        for name in [] if isinstance(module, ImportError) else offered(module):
            value = getattr(module, name)
            if inspect.ismodule(value):
                names[name] = value.__name__
                continue
            # Small constants can be one object without being one thing.
            known = homes.get(id(value)) if callable(value) else None
            names[name] = known or f"{door}.{name}"
            homes.setdefault(id(value), names[name])
        yield door, names
