"""What a monitor measures that is not told: the probes of this folder that say so of themselves."""

import pkgutil
from importlib import import_module
from pathlib import Path

from overparam.dynamics.probes.probe import Probe


def default_probes() -> list[Probe]:
    """The probes a `Monitor` uses unless told otherwise, new ones each time.

    A file that is there is found, so that a new probe is entered in no list.
    """
    found = pkgutil.iter_modules([str(Path(__file__).parent)])
    modules = [import_module(f"{__package__}.{file.name}") for file in found]
    kinds = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Probe)
        if value.__module__ == module.__name__ and value.by_default
    ]
    return [kind() for kind in sorted(kinds, key=lambda kind: kind.by_default)]
