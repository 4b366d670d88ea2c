"""Public calls, checked at the door: arguments against their annotations, results for NaN.

An annotation already says what a function takes. `checked` holds callers to it, so that a wrong
argument gets one error that names it, and no function has to spell the same checks out again. What
an annotation cannot say (a range, two arguments that belong together) stays with the function, and
so does the last word on types: what it can compute with is not refused.
"""

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, overload

import numpy as np
import torch
from jaxtyping import AbstractArray
from torch import Tensor, nn

from overparam._errors import complaint, expect
from overparam._model import unusable
from overparam._numbers import described, is_integer, is_number, n_bad
from overparam._types import Inputs, Range
from overparam.errors import NumericalError, OverparamError

Result = Literal["finite", "not NaN", "anything"]
F = TypeVar("F", bound=Callable[..., Any])


class Problem(NamedTuple):
    """What is wrong with an argument."""

    expected: str
    got: str
    error: type[Exception] = TypeError
    hint: str = ""
    at_once: bool = False
    tolerable: bool = False


Check = Callable[[Any], Problem | None]


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
            checks.update(_checks(signature))
        wrong, tolerable = _complaint(name, signature, checks, args, kwargs)
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


def _complaint(
    name: str, signature: inspect.Signature, checks: dict[str, Check], args: Any, kwargs: Any
) -> tuple[Exception | None, bool]:
    """The error that the arguments call for, if any, and whether the function may ignore it."""
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        wanted = f"arguments ({', '.join(p for p in signature.parameters if p != 'self')})"
        came = str(error).removeprefix("got ")  # as Python words an unknown name
        return complaint(f"{name}(...)", wanted, came, error=TypeError), False
    lengths: dict[str, tuple[int, str]] = {}
    for label, value in bound.items():
        problem = checks[label](value)
        annotation = _array(signature.parameters[label].annotation)
        if problem is None and annotation and value is not None:
            problem = _other_length(label, annotation, value, lengths)
        if problem:
            where = f"{name}({label}=...)"
            wrong = complaint(where, problem.expected, problem.got, problem.hint, problem.error)
            if problem.at_once:
                raise wrong
            return wrong, problem.tolerable or problem.error is TypeError
    return None, False


def _other_length(
    label: str, annotation: Any, value: Any, lengths: dict[str, tuple[int, str]]
) -> Problem | None:
    """What is wrong unless axes of one name have one length over all arguments of the call."""
    names, shape = annotation.dim_str.replace("#", "").split(), tuple(value.shape)
    stars = [i for i, axis in enumerate(names) if axis.startswith("*")]
    if stars:  # only what stands before and behind the axes of any number
        behind = len(names) - stars[0] - 1
        shape = shape[: stars[0]] + shape[len(shape) - behind :]
        names = names[: stars[0]] + names[stars[0] + 1 :]
    for axis, length in zip(names, shape, strict=True):
        if not axis.isidentifier():
            continue
        known, by = lengths.setdefault(axis, (length, label))
        if known != length:
            words = "a square matrix" if by == label else f"{axis} = {known}, as in {by},"
            expected = f"{words} in the shape ({annotation.dim_str.strip()})"
            return Problem(expected, str(tuple(value.shape)), ValueError)
    return None


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


def _checks(signature: inspect.Signature) -> dict[str, Check]:
    checks = {}
    for name, parameter in signature.parameters.items():
        check = _fine
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            default = parameter.default
            finite = not (isinstance(default, float) and not math.isfinite(default))
            check = _check(parameter.annotation, finite)
            if default is not parameter.empty:
                check = _or_default(check, default)
        checks[name] = check
    return checks


def _fine(value: Any) -> Problem | None:
    return None


def _or_default(check: Check, default: Any) -> Check:
    return lambda value: None if value is default else check(value)


def _array(annotation: Any) -> Any:
    """The jaxtyping annotation of an array, alone or beside None, or nothing."""
    options = [a for a in typing.get_args(annotation) if a is not types.NoneType]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType) and len(options) == 1:
        annotation = options[0]
    return annotation if inspect.isclass(annotation) and _is_array(annotation) else None


def _is_array(annotation: Any) -> bool:
    return issubclass(annotation, AbstractArray)


def _check(annotation: Any, finite: bool = True) -> Check:
    """A function that finds what is wrong with a value of the annotated type."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation == Inputs:
        return _check_inputs
    if origin is Annotated:
        return functools.partial(_check_range, _check(args[0], finite), args[1])
    if origin is Literal:
        return functools.partial(_check_choice, args)
    if origin in (typing.Union, types.UnionType):
        return functools.partial(_check_union, [_check(a, finite) for a in args])
    if origin is tuple and args and args[-1] is not Ellipsis:
        return functools.partial(_check_tuple, [_check(a) for a in args])
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return functools.partial(_check_mapping, *[_check(a) for a in args])
    if origin in _SEQUENCES:
        return functools.partial(_check_sequence, _check(args[0]))
    if annotation is Callable or origin in (Callable, typing.get_origin(Callable[[], None])):
        return _check_callable
    if not inspect.isclass(annotation) or annotation in (Any, inspect.Parameter.empty):
        return _fine  # Any, names in quotes, type variables
    if annotation in _SIMPLE:
        return functools.partial(_SIMPLE[annotation], finite)
    if _is_array(annotation):
        return functools.partial(_check_array, annotation)
    if getattr(annotation, "_is_protocol", False):
        return _fine
    if issubclass(annotation, nn.Module):
        return functools.partial(_check_model, annotation)
    return functools.partial(_check_instance, annotation)


def _check_number(finite: bool, value: Any) -> Problem | None:
    if not is_number(value):
        return Problem("a finite number" if finite else "a number", described(value))
    try:
        number = float(value.detach() if isinstance(value, Tensor) else value)
    except OverflowError:
        number = math.inf
    if finite and not math.isfinite(number):
        infinite = not math.isnan(number)
        return Problem("a finite number", described(value), ValueError, tolerable=infinite)
    return None


def _check_integer(finite: bool, value: Any) -> Problem | None:
    if not is_integer(value):
        return Problem("an integer", described(value))
    if abs(int(value)) >= 2**63:  # the largest that torch and numpy hold
        return Problem("an integer below 2⁶³", "one of more bits", ValueError, at_once=True)
    return None


def _check_range(check: Check, wanted: Any, value: Any) -> Problem | None:
    if not isinstance(wanted, Range):
        return check(value)
    problem = check(value)
    if problem is None and not wanted.holds(value):
        problem = Problem("", described(value), ValueError)
    return problem._replace(expected=wanted.words) if problem else None


def _check_flag(finite: bool, value: Any) -> Problem | None:
    good = isinstance(value, (bool, np.bool_))
    return None if good else Problem("True or False", described(value))


def _check_tensor(finite: bool, value: Any) -> Problem | None:
    if not isinstance(value, Tensor):
        hint = "torch.as_tensor makes one of an array."
        # At once: `.double()` and the like, harmless for tensors, would change a module.
        return Problem(
            "a tensor", described(value), hint=hint, at_once=isinstance(value, nn.Module)
        )
    return _numbers(value)


def _check_ndarray(finite: bool, value: Any) -> Problem | None:
    if not isinstance(value, np.ndarray):
        return Problem("a numpy array", described(value), hint="numpy.asarray makes one.")
    return _numbers(value)


_SIMPLE: dict[Any, Callable[[bool, Any], Problem | None]] = {
    float: _check_number,
    int: _check_integer,
    bool: _check_flag,
    Tensor: _check_tensor,
    np.ndarray: _check_ndarray,
}
_SEQUENCES = (
    typing.get_origin(typing.Sequence[int]),
    list,
    tuple,
)


def _numbers(value: Tensor | np.ndarray) -> Problem | None:
    """What keeps the values of an array from being computed with."""
    if isinstance(value, Tensor):
        size, unreal = value.numel(), value.is_complex()
        if value.device.type == "meta" or value.layout != torch.strided:
            layout = "on no device (meta)" if value.is_meta else f"of layout {value.layout}"
            return Problem("a dense tensor with values", f"one {layout}", ValueError)
    else:
        size, unreal = value.size, value.dtype.kind not in "fiub"
    if unreal:
        return Problem("real numbers", f"the dtype {value.dtype}")
    if size == 0:
        came = f"the shape {tuple(value.shape)}"
        return Problem("at least one number", came, ValueError, tolerable=True)
    if bad := n_bad(value):
        came = f"{bad} of {size} that are NaN or infinite"
        hint = "impute or drop the rows that hold them."
        return Problem("finite numbers", came, ValueError, hint)
    return None


def _check_array(annotation: Any, value: Any) -> Problem | None:
    is_tensor = annotation.array_type is Tensor
    problem = (_check_tensor if is_tensor else _check_ndarray)(True, value)
    if problem:
        return problem
    kind = {"Float": "floating-point numbers", "Int": "integers", "Bool": "booleans"}.get(
        annotation.__name__.split("[")[0], "numbers"
    )
    if str(value.dtype).removeprefix("torch.") not in annotation.dtypes:
        hint = "x.float() makes them." if is_tensor and kind.startswith("float") else ""
        return Problem(kind, f"the dtype {value.dtype}", hint=hint)
    axes = annotation.dim_str.replace("#", "").split()
    least = sum(not axis.startswith("*") for axis in axes)
    if value.ndim < least or (value.ndim > least and least == len(axes)):
        shape = f"an array of shape ({', '.join(axes)})" if axes else "a single number"
        return Problem(shape, f"the shape {tuple(value.shape)}", ValueError)
    return None


def _check_inputs(value: Any) -> Problem | None:
    known = isinstance(value, (Tensor, tuple, Mapping))
    if not known:
        hint = "torch.as_tensor makes one of an array."
        return Problem("a tensor, or a tuple or mapping of tensors", described(value), hint=hint)
    members = (
        [value]
        if isinstance(value, Tensor)
        else list(value.values() if isinstance(value, Mapping) else value)
    )
    if not members:
        return Problem("at least one tensor", "none", ValueError)
    if not isinstance(value, Tensor):
        strange = [m for m in members if not isinstance(m, Tensor)]
        if strange:
            came = f"{described(strange[0])} among them"
            return Problem("a tensor, or a tuple or mapping of tensors", came)
    if any(m.ndim == 0 for m in members):
        return Problem("a batch axis", "a tensor without axes", ValueError)
    if any(len(m) == 0 for m in members):
        return Problem("at least one example", "an empty batch", ValueError)
    return next((p for m in members if (p := _numbers(m))), None)


def _check_choice(choices: tuple[Any, ...], value: Any) -> Problem | None:
    if isinstance(value, type(choices[0])) and value in choices:
        return None
    wanted = " or ".join(map(repr, choices))
    return Problem(wanted, described(value), ValueError)


def _check_union(checks: list[Check], value: Any) -> Problem | None:
    problems = []
    for check in checks:
        problem = check(value)
        if problem is None:
            return None
        problems.append(problem)
    for problem in problems:  # of the right type: that is what was meant
        if problem.error is not TypeError:
            return problem
    expected = [p.expected for p in problems]
    expected.sort(key=lambda words: words == "None")
    return problems[0]._replace(expected=" or ".join(dict.fromkeys(expected)))


def _check_tuple(checks: list[Check], value: Any) -> Problem | None:
    if not isinstance(value, (tuple, list)) or len(value) != len(checks):
        return Problem(f"{len(checks)} values", described(value))
    found = (check(member) for check, member in zip(checks, value, strict=True))
    return next((p for p in found if p), None)


def _check_sequence(check: Check, value: Any) -> Problem | None:
    plain = (Tensor, np.ndarray)
    if isinstance(value, Tensor) and (value.is_meta or value.layout != torch.strided):
        return _numbers(value)
    if isinstance(value, plain) and value.ndim == 1:
        value = value.tolist()
    elif isinstance(value, (str, bytes, Mapping, *plain)) or not hasattr(value, "__len__"):
        return Problem("a sequence", described(value))
    for member in value:
        if problem := check(member):
            return problem._replace(expected=f"a sequence, each of them {problem.expected}")
    return None


def _check_mapping(key: Check, member: Check, value: Any) -> Problem | None:
    if not isinstance(value, Mapping):
        return Problem("a mapping", described(value))
    found = (key(k) or member(v) for k, v in value.items())
    return next((p for p in found if p), None)


def _check_callable(value: Any) -> Problem | None:
    return None if callable(value) else Problem("a function", described(value))


def _check_model(kind: type, value: Any) -> Problem | None:
    if not isinstance(value, kind):
        return Problem(f"a torch.nn.{kind.__name__}", described(value))
    if wrong := unusable(value):
        expected, got, hint = wrong
        # A call would give a model without shapes its shapes: it must not come to that.
        return Problem(expected, got, ValueError, hint, at_once="finite" not in expected)
    return None


def _check_instance(kind: type, value: Any) -> Problem | None:
    if isinstance(value, kind):
        return None
    if kind is types.NoneType:
        return Problem("None", described(value))
    names = {str: "a text"}
    return Problem(names.get(kind, f"a {kind.__name__}"), described(value))
