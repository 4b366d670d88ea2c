"""Names and signatures that go: they work for one more version, and say what replaces them."""

import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

GOES = "0.3"

# Modules that are gone, and those that have what was in them.
_GONE = {
    "overparam.dynamics.agop": ("tangents.input_gradients",),
    "overparam.expansions.curvature": ("curvature.gauss_newton", "curvature.hessian"),
    "overparam.expansions.hessian": ("curvature.output_hessian",),
    "overparam.kernels.circulant": (
        "kernels.modular.circulance", "kernels.modular.operand_features",
    ),
    "overparam.kernels.fourier_multiplication": ("kernels.modular.fourier",),
    "overparam.kernels.modular_arithmetic": ("kernels.modular.arithmetic",),
    "overparam.kernels.quadratic_network": ("kernels.modular.quadratic_network",),
    "overparam.optim.model_constants": (
        "diagnosis.model_constants", "diagnosis.mass_for_model",
    ),
    "overparam.tangents.angles": ("tangents.infinite.angles",),
    "overparam.tangents.dual_activations": ("tangents.infinite.dual_activations",),
    "overparam.tangents.gaussian_process": ("tangents.infinite.gaussian_process",),
    "overparam.tangents.infinite_convolution": ("tangents.infinite.convolution",),
    "overparam.tangents.jacobian_smoothness": ("tangents.pl.jacobian_smoothness",),
    "overparam.tangents.pl_certificate": ("tangents.pl.certificate",),
    "overparam.tangents.pl_estimate": ("tangents.pl.estimate",),
    "overparam.tangents.pl_step_sizes": ("tangents.pl.step_sizes",),
    "overparam.tangents.pl_trace": ("tangents.pl.trace",),
}  # fmt: skip


def deprecated(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Warn whoever called the function that calls this one."""
    warnings.warn(
        f"`{old}` is now `{new}`; the old form works until {GOES}.",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


def moved(old: str, new: str) -> Any:
    """What a method became, with a warning to whoever called the method.

    It is found by its name, so that a class may name what stands above it.
    """
    deprecated(old, new, stacklevel=4)
    place, name = new.rsplit(".", 1)
    return getattr(import_module(place), name)


class Gone(ModuleType):
    """A module that is gone; imports and pickles still name it."""

    def __getattr__(self, name: str) -> Any:
        for place in _GONE[self.__name__] if name[:2] != "__" else ():
            found = vars(import_module(f"overparam.{place}"))
            if name in found:
                deprecated(f"{self.__name__}.{name}", f"overparam.{place}.{name}")
                return found[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def register() -> None:
    """Let the modules that are gone be imported.

    Not as files: an import would make them attributes of their packages, and some have the name
    of a function there.
    """
    for name in _GONE:
        sys.modules.setdefault(name, Gone(name))
