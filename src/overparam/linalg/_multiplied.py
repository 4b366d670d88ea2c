"""What the algorithms need of an operator, and calls from before there were operators."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from overparam._deprecated import deprecated
from overparam._devices import of_operator
from overparam._errors import expect
from overparam._numbers import described
from overparam._types import Matvec

F = TypeVar("F", bound=Callable[..., Any])


@runtime_checkable
class Multiplied(Protocol):
    """A symmetric matrix that is known by its products, as `SymmetricOperator` is."""

    @property
    def size(self) -> int: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def psd(self) -> bool: ...
    def _matvec(self, v: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class _Products:
    """A function that multiplies, with what it does not say itself."""

    _matvec: Matvec
    size: int
    dtype: torch.dtype
    device: torch.device
    psd: bool = False


def takes_operator(function: F) -> F:
    """Check the first argument, and take `(matvec, size, …, dtype, device)` in its place too."""
    name = function.__name__

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else kwargs.get("operator")
        old = "matvec" in kwargs or (callable(first) and not isinstance(first, torch.nn.Module))
        if old and not hasattr(first, "_matvec"):
            deprecated(f"{name}(matvec, size, …)", f"{name}(operator, …)")
            args, kwargs = _as_operator(name, args, kwargs)
            first = args[0]
        if args or "operator" in kwargs:
            expect(
                hasattr(first, "_matvec"), f"{name}(operator=...)", "a symmetric operator",
                described(first), error=TypeError,
                hint="linalg.MatrixOperator makes one of a matrix, FunctionOperator of a function.",
            )  # fmt: skip
        return function(*args, **kwargs)

    return call  # pyright: ignore[reportReturnType]


def _as_operator(
    name: str, given: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as they are today, an operator in the place of four."""
    args, kwargs = list(given), dict(kwargs)
    matvec = args.pop(0) if args else kwargs.pop("matvec")
    start = kwargs.get("v0")
    if name == "power_iteration":  # which never took a size
        start = args[0] if args else start
        size = start.numel() if isinstance(start, Tensor) else 1
    else:
        size = args.pop(0) if args else kwargs.pop("size", None)
    good = isinstance(size, int) and not isinstance(size, bool) and size >= 1
    expect(good, f"{name}(size=...)", "an order ≥ 1", size)
    expect(callable(matvec), f"{name}(matvec=...)", "a function", described(matvec))
    device, dtype = of_operator(matvec)
    if isinstance(start, Tensor) and start.is_floating_point():
        device, dtype = start.device, start.dtype
    dtype = kwargs.pop("dtype", None) or dtype
    device = torch.device(kwargs.pop("device", None) or device)
    return (_Products(matvec, size, dtype, device), *args), kwargs
