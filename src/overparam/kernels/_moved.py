"""Where names of this package went: under the old ones they are found until 0.3, with a warning."""

import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

HOME = "overparam.kernels.modular"
# Public names that the package itself offered.
NAMES = (
    "ModularTask",
    "QuadraticNetwork",
    "circulant",
    "circulant_deviation",
    "circulant_kind",
    "discrete_log_order",
    "enforce_circulance",
    "fourier_multiplication",
    "modular_arithmetic",
    "nearest_circulant",
    "operand_block",
    "operand_order",
    "operation_table",
    "quadratic_agop",
    "quadratic_agop_trace",
    "random_circulant_features",
)
# Files that are gone, and those that have what was in them.
FILES = {
    "circulant": ("circulance", "operand_features"),
    "fourier_multiplication": ("fourier",),
    "modular_arithmetic": ("arithmetic",),
    "quadratic_network": ("quadratic_network",),
}


class Gone(ModuleType):
    """A file that is gone; pickles and imports still name it."""

    def __getattr__(self, name: str) -> Any:
        for file in FILES[self.__name__.rpartition(".")[2]] if name[:2] != "__" else ():
            found = vars(import_module(f"{HOME}.{file}"))
            if name in found:
                place = HOME if name in NAMES else f"{HOME}.{file}"
                _warn(f"{self.__name__}.{name}", f"{place}.{name}")
                return found[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def of_package(name: str) -> Any:
    """The package's `__getattr__`."""
    if name not in NAMES:
        raise AttributeError(f"module 'overparam.kernels' has no attribute {name!r}")
    _warn(f"overparam.kernels.{name}", f"{HOME}.{name}")
    return getattr(import_module(HOME), name)


def _warn(old: str, new: str) -> None:
    words = f"`{old}` is now `{new}`; the old path works until 0.3."
    warnings.warn(words, DeprecationWarning, stacklevel=3)


# No files: importing one would set it as the package's attribute of its name, and three of them
# have the name of a function.
for _file in FILES:
    _name = f"overparam.kernels.{_file}"
    sys.modules[_name] = Gone(_name)
