"""What is wrong with a value: one function for each kind that an argument can be of."""

import math
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from overparam._batch import leaves, tensors
from overparam._model import unusable
from overparam._numbers import described, is_integer, is_number, n_bad
from overparam._types import Range


class Problem(NamedTuple):
    """What is wrong with an argument."""

    expected: str
    got: str
    error: type[Exception] = TypeError
    hint: str = ""
    at_once: bool = False
    tolerable: bool = False


Check = Callable[[Any], Problem | None]


def check_number(finite: bool, value: Any) -> Problem | None:
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


def check_integer(finite: bool, value: Any) -> Problem | None:
    if not is_integer(value):
        return Problem("an integer", described(value))
    if abs(int(value)) >= 2**63:  # the largest that torch and numpy hold
        return Problem("an integer below 2⁶³", "one of more bits", ValueError, at_once=True)
    return None


def check_range(check: Check, wanted: Any, value: Any) -> Problem | None:
    if not isinstance(wanted, Range):
        return check(value)
    problem = check(value)
    if problem is None and not wanted.holds(value):
        problem = Problem("", described(value), ValueError)
    return problem._replace(expected=wanted.words) if problem else None


def check_flag(finite: bool, value: Any) -> Problem | None:
    good = isinstance(value, (bool, np.bool_))
    return None if good else Problem("True or False", described(value))


def check_tensor(finite: bool, value: Any) -> Problem | None:
    if not isinstance(value, Tensor):
        hint = "torch.as_tensor makes one of an array."
        # At once: `.double()` and the like, harmless for tensors, would change a module.
        return Problem(
            "a tensor", described(value), hint=hint, at_once=isinstance(value, nn.Module)
        )
    return _numbers(value)


def check_ndarray(finite: bool, value: Any) -> Problem | None:
    if not isinstance(value, np.ndarray):
        return Problem("a numpy array", described(value), hint="numpy.asarray makes one.")
    return _numbers(value)


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


def check_array(annotation: Any, value: Any) -> Problem | None:
    is_tensor = annotation.array_type is Tensor
    problem = (check_tensor if is_tensor else check_ndarray)(True, value)
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


def check_inputs(value: Any) -> Problem | None:
    words = "a tensor, or a tuple or mapping of tensors"
    strange = [member for _, member in leaves(value) if isinstance(member, (np.ndarray, str))]
    members = tensors(value)
    if strange or not members:
        if isinstance(value, (tuple, Mapping)) and not value:
            return Problem("at least one tensor", "none", ValueError)
        inside = isinstance(value, (tuple, Mapping)) and any(True for _ in leaves(value))
        first = strange[0] if strange else next((member for _, member in leaves(value)), value)
        came = f"{described(first)} among them" if inside else described(value)
        return Problem(words, came, hint="" if inside else "torch.as_tensor makes one of an array.")
    if all(m.ndim == 0 for m in members):
        return Problem("a batch axis", "a tensor without axes", ValueError)
    if any(m.ndim and len(m) == 0 for m in members):
        return Problem("at least one example", "an empty batch", ValueError)
    return next((p for m in members if (p := _numbers(m))), None)


def check_choice(choices: tuple[Any, ...], value: Any) -> Problem | None:
    if isinstance(value, type(choices[0])) and value in choices:
        return None
    wanted = " or ".join(map(repr, choices))
    return Problem(wanted, described(value), ValueError)


def check_union(checks: list[Check], value: Any) -> Problem | None:
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


def check_tuple(checks: list[Check], value: Any) -> Problem | None:
    if not isinstance(value, (tuple, list)) or len(value) != len(checks):
        return Problem(f"{len(checks)} values", described(value))
    found = (check(member) for check, member in zip(checks, value, strict=True))
    return next((p for p in found if p), None)


def check_sequence(check: Check, value: Any) -> Problem | None:
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


def check_mapping(key: Check, member: Check, value: Any) -> Problem | None:
    if not isinstance(value, Mapping):
        return Problem("a mapping", described(value))
    found = (key(k) or member(v) for k, v in value.items())
    return next((p for p in found if p), None)


def check_callable(value: Any) -> Problem | None:
    return None if callable(value) else Problem("a function", described(value))


def check_model(kind: type, value: Any) -> Problem | None:
    if not isinstance(value, kind):
        return Problem(f"a torch.nn.{kind.__name__}", described(value))
    if wrong := unusable(value):
        expected, got, hint = wrong
        # A call would give a model without shapes its shapes: it must not come to that.
        return Problem(expected, got, ValueError, hint, at_once="finite" not in expected)
    return None


def check_instance(kind: type, value: Any) -> Problem | None:
    if isinstance(value, kind):
        return None
    if kind is types.NoneType:
        return Problem("None", described(value))
    names = {str: "a text"}
    return Problem(names.get(kind, f"a {kind.__name__}"), described(value))
