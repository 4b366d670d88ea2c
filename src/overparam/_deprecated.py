"""Names and signatures that go: they work for one more version, and say what replaces them."""

import functools
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

from overparam._errors import expect

GOES = "0.3"
F = TypeVar("F", bound=Callable[..., Any])

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
    "overparam.studies._catalogue": ("claims.catalogue",),
    "overparam.studies._claims": ("claims.claim",),
    "overparam.studies._figures": ("claims.figures",),
    "overparam.studies._headers": ("claims.header",),
    "overparam.studies._run": ("claims.run",),
    "overparam.studies._statistics": ("claims.statistics",),
    "overparam.studies._study": ("claims.study",),
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
    if sys._getframe(stacklevel - 1).f_code.co_name == "_handle_fromlist":
        return  # `from package import name` asks whether it is there, and then for it
    warnings.warn(
        f"`{old}` is now `{new}`; the old form works until {GOES}.",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


def renamed(**names: str) -> Callable[[F], F]:
    """Decorate a function, or a constructor, of which arguments have new names: old = new.

    The old ones work as keywords, each with a warning; signatures and pages show the new ones
    alone. It stands outside of `checked`, which then sees the new ones too. An argument that
    comes under both names is refused.

    Example:
        >>> @renamed(steps="max_steps")
        ... def train(max_steps):
        ...     return max_steps
        >>> train(max_steps=3)
        3
    """

    def decorate(function: Any) -> Any:
        if isinstance(function, type):
            function.__init__ = decorate(function.__init__)  # type: ignore[misc]
            return function
        place = function.__qualname__.removesuffix(".__init__")

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            for old, new in names.items():
                if old in kwargs:
                    expect(
                        new not in kwargs,
                        f"{place}({new}=...)",
                        "one value",
                        f"another as {old}=..., which is its old name",
                        error=TypeError,
                    )
                    deprecated(f"{place}({old}=...)", f"{place}({new}=...)")
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        wrapper.renamed = {**getattr(function, "renamed", {}), **names}  # type: ignore[attr-defined]
        return wrapper

    return decorate


def old_names(module: str, **places: str) -> Callable[[str], Any]:
    """`__getattr__` of a module, for what it had under another name, or has handed on.

    Args:
        module: Its `__name__`.
        places: For each old name the full name of what it is now.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        deprecated(f"{module}.{name}", places[name])
        place, _, new = places[name].rpartition(".")
        return getattr(import_module(place), new)

    return get


class OldName:
    """An attribute under its old name: what it was is read and written under the new one.

    A pickle that has it under the old one is read too.

    Example:
        >>> class Run:
        ...     def __init__(self):
        ...         self.max_steps = 3
        ...     steps = OldName("max_steps")
    """

    def __init__(self, new: str) -> None:
        self.new = new

    def __set_name__(self, owner: type, old: str) -> None:
        self.owner, self.old = owner.__qualname__, old
        owner.__setstate__ = _under_new_names  # type: ignore[attr-defined]

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        self._warn()
        return getattr(instance, self.new)

    def __set__(self, instance: Any, value: Any) -> None:
        self._warn()
        setattr(instance, self.new, value)

    def _warn(self) -> None:
        deprecated(f"{self.owner}.{self.old}", f"{self.owner}.{self.new}", stacklevel=4)


def _under_new_names(self: Any, state: Any) -> None:
    """`__setstate__` of an object whose attributes had other names when it was pickled."""
    own, slots = state if isinstance(state, tuple) else (state, None)
    for name, value in (own or {}).items():
        there = getattr(type(self), name, None)
        vars(self)[there.new if isinstance(there, OldName) else name] = value
    for name, value in (slots or {}).items():  # of a subclass that has some
        setattr(self, name, value)


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
