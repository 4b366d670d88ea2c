"""What the signature of a function says of its arguments."""

import functools
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import AbstractArray
from torch import Tensor, nn

from overparam._errors import complaint
from overparam._types import Inputs
from overparam._values import (
    Check,
    Problem,
    check_array,
    check_callable,
    check_choice,
    check_flag,
    check_inputs,
    check_instance,
    check_integer,
    check_mapping,
    check_model,
    check_ndarray,
    check_number,
    check_range,
    check_sequence,
    check_tensor,
    check_tuple,
    check_union,
)

_SIMPLE: dict[Any, Callable[[bool, Any], Problem | None]] = {
    float: check_number,
    int: check_integer,
    bool: check_flag,
    Tensor: check_tensor,
    np.ndarray: check_ndarray,
}
_INPUTS = typing.get_args(Inputs)
_SEQUENCES = (
    typing.get_origin(typing.Sequence[int]),
    list,
    tuple,
)


def checks_of(signature: inspect.Signature) -> dict[str, Check]:
    """For each argument, what finds something wrong with it."""
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
    if tuple(a for a in args if a is not types.NoneType) == _INPUTS:  # with None it is flat
        return _or_default(check_inputs, None) if types.NoneType in args else check_inputs
    if origin is Annotated:
        return functools.partial(check_range, _check(args[0], finite), args[1])
    if origin is Literal:
        return functools.partial(check_choice, args)
    if origin in (typing.Union, types.UnionType):
        return functools.partial(check_union, [_check(a, finite) for a in args])
    if origin is tuple and args and args[-1] is not Ellipsis:
        return functools.partial(check_tuple, [_check(a) for a in args])
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return functools.partial(check_mapping, *[_check(a) for a in args])
    if origin in _SEQUENCES:
        return functools.partial(check_sequence, _check(args[0]))
    if annotation is Callable or origin in (Callable, typing.get_origin(Callable[[], None])):
        return check_callable
    if not inspect.isclass(annotation) or annotation in (Any, inspect.Parameter.empty):
        return _fine  # Any, names in quotes, type variables
    if annotation in _SIMPLE:
        return functools.partial(_SIMPLE[annotation], finite)
    if _is_array(annotation):
        return functools.partial(check_array, annotation)
    if getattr(annotation, "_is_protocol", False):
        return _fine
    if issubclass(annotation, nn.Module):
        return functools.partial(check_model, annotation)
    return functools.partial(check_instance, annotation)


def complaint_about(
    name: str, signature: inspect.Signature, checks: dict[str, Check], args: Any, kwargs: Any
) -> tuple[Exception | None, bool]:
    """The error that the arguments call for, if any, and whether the function may ignore it."""
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        wanted = f"arguments ({', '.join(p for p in signature.parameters if p != 'self')})"
        came = str(error).removeprefix("got ")  # as Python words an unknown name
        came = re.sub(r"missing a required .*argument: ", "none for ", came)
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
