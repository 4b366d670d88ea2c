"""Public calls, checked at the door: arguments against their annotations, results for NaN.

An annotation already says what a function takes. `checked` holds callers to it, so that a wrong
argument gets one error that names it, and no function has to spell the same checks out again. What
an annotation cannot say (a range, two arguments that belong together) stays with the function, and
so does the last word on types: what it can compute with is not refused.

What a signature says is read in `_arguments.py`, and values are judged in `_values.py`.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, overload

import numpy as np
import torch
from torch import Tensor, nn

from overparam._arguments import checks_of, complaint_about
from overparam._errors import complaint, expect
from overparam._numbers import n_bad
from overparam._values import Check
from overparam.errors import NumericalError, OverparamError

Result = Literal["finite", "not NaN", "anything"]
F = TypeVar("F", bound=Callable[..., Any])


@overload
def checked(call: F, *, result: Result = "finite", first: bool = False) -> F: ...
@overload
def checked(
    call: None = None, *, result: Result = "finite", first: bool = False
) -> Callable[[F], F]: ...
def checked(call: Any = None, *, result: Result = "finite", first: bool = False) -> Any:
    """Decorate a public function, method or class (its constructor) with checks.

    A function that complains itself is heard before the annotation is: it knows more words for
    what it needs. One that gives a finite result of another type, of an infinite number or of
    none at all, may; NaN and shapes that do not fit are refused all the same.

    Raises from the call:
        TypeError: An argument of another type, or missing, or unknown.
        ValueError: An argument that is NaN, infinite (unless its default is) or empty, or of
            another shape than annotated; also whatever the functions of the user raise, or
            torch over them, with that as its cause.
        NumericalError: A result that is not finite, or arithmetic that broke down.

    Args:
        call: What is decorated.
        result: What the result may hold. ``"not NaN"`` lets infinities pass and ``"anything"``
            NaN too, in the arguments as well; the docstring of the function explains it.
        first: Refuse before the function is asked: for those that change what they are given.

    Cost: a few microseconds a call and one pass over the tensors that come and go.

    Example:
        >>> @checked
        ... def half(number: float) -> float:
        ...     return number / 2
        >>> half("1")
        Traceback (most recent call last):
        overparam.errors.InvalidType: `half(number=...)` expected a finite number, got '1'.
    """
    if call is None:
        return functools.partial(checked, result=result, first=first)
    if inspect.isclass(call):
        call.__init__ = _checked(call.__init__, call.__qualname__, "anything", first)
        return call
    name = call.__qualname__.removesuffix(".__init__")
    if name != call.__qualname__:
        return _checked(call, name, "anything", first)
    return _checked(call, name, result, first, unknown=result == "anything")


def _checked(
    function: Callable[..., Any], name: str, result: Result, first: bool, *, unknown: bool = False
) -> Callable[..., Any]:
    """The function with its checks; `unknown` numbers may be NaN on both sides."""
    signature = inspect.signature(function)
    checks: dict[str, Check] = {}

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return function(*args, **kwargs)
        if not checks:  # on the first call: importing stays fast
            checks.update(checks_of(signature))
        wrong, tolerable = complaint_about(name, signature, checks, args, kwargs)
        may = tolerable and (result == "finite" or isinstance(wrong, ValueError))
        refused = wrong if not (may or unknown) else None
        if refused and first:
            raise refused
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            ours = _ours(error, f"{name}(...)", wrong)
            if ours is error:
                raise
            raise ours from error
        if refused:
            raise refused
        if result != "anything":
            _expect_result(name, value, infinite=result == "not NaN")
        return value

    return wrapper


def _ours(error: Exception, where: str, wrong: Exception | None) -> Exception:
    """An error in the library's wording; itself if it has it, or is not for us to reword.

    Torch, numpy and Python complain about the user's model, loss or data. Errors of the system,
    of memory and of classes that the user defined pass as they are.
    """
    known = type(error).__module__.split(".")[0] in _KNOWN
    if not (isinstance(error, _FOREIGN) and known) or isinstance(error, _PASSING):
        return error
    if isinstance(error, OverparamError):
        return error
    if wrong:
        return wrong
    came = (str(error).strip() or "no message").splitlines()[0].rstrip(".")
    kind: type[Exception] = TypeError if isinstance(error, TypeError) else ValueError
    singular = (np.linalg.LinAlgError, torch.linalg.LinAlgError)  # pyright: ignore
    if isinstance(error, (ArithmeticError, *singular)):
        kind = NumericalError
    came = f"{type(error).__name__}: {came}"
    return complaint(where, "arguments that it can compute with", came, error=kind)


_KNOWN = {"builtins", "torch", "numpy", "scipy", "sklearn", "pandas"}
_FOREIGN = (
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    StopIteration,
)  # fmt: skip
_PASSING = (torch.OutOfMemoryError, RecursionError, NumericalError)


def _expect_result(name: str, value: Any, *, infinite: bool) -> None:
    bad = _bad(value, infinite)
    expect(
        not bad,
        f"{name}(...)",
        "a finite result" if not infinite else "a result without NaN",
        bad,
        hint="the inputs leave the range of their dtype, or are all zero, all equal or too few "
        "for what is asked.",
        error=NumericalError,
    )


def _bad(value: Any, infinite: bool, depth: int = 0) -> str:
    """Words for what is not finite in a result, empty if nothing is."""
    if isinstance(value, (Tensor, np.ndarray)):
        bad = n_bad(value, infinite=infinite)
        size = value.numel() if isinstance(value, Tensor) else value.size
        return f"{bad} of {size} numbers that are {_not(infinite)}" if bad else ""
    if isinstance(value, float):
        return str(value) if math.isnan(value) or (math.isinf(value) and not infinite) else ""
    if depth > 3:
        return ""
    if is_dataclass(value) and not isinstance(value, (type, nn.Module)):
        members = {f.name: getattr(value, f.name) for f in fields(value)}
    elif isinstance(value, Mapping):
        members = value
    elif isinstance(value, (tuple, list)):
        members = dict(enumerate(value))
    else:
        return ""
    for key, member in members.items():
        if bad := _bad(member, infinite, depth + 1):
            return f"{key}: {bad}" if depth == 0 else bad
    return ""


def _not(infinite: bool) -> str:
    return "NaN" if infinite else "NaN or infinite"
