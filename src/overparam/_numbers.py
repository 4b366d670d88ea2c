"""What counts as a number, and words for what does not."""

import numbers
import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor


def is_number(value: Any) -> bool:
    """Whether a value is one real number: of Python, numpy, or a tensor without axes."""
    if isinstance(value, Tensor):
        return value.ndim == 0 and not (value.is_complex() or value.is_meta)
    return isinstance(value, numbers.Real)


def is_integer(value: Any) -> bool:
    """Whether a value is one integer that Python takes as an index; True and False are not."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, Tensor) and value.is_meta):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, Tensor) or value.dtype != torch.bool


def n_bad(values: Tensor | np.ndarray, *, infinite: bool = False) -> int:
    """How many numbers are NaN, or infinite unless those are allowed; none if there are none.

    Cost: one sum; only where that is not finite, a look at each.
    """
    if isinstance(values, Tensor):
        if not values.is_floating_point() and not values.is_complex():
            return 0
        values = values.detach()
        if bool(torch.isfinite(values.sum())):
            return 0
        bad = torch.isnan(values) if infinite else ~torch.isfinite(values)
        return int(bad.sum())
    if values.dtype.kind not in "fc":
        return 0
    bad = np.isnan(values) if infinite else ~np.isfinite(values)
    return int(bad.sum())


def described(value: Any) -> str:
    """A value in a few words, for an error message."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, np.ndarray):
        return f"a numpy array of shape {value.shape} and {value.dtype}"
    if value is None or isinstance(value, (bool, numbers.Number, str)):
        words = repr(value) if not _is_long(value) else "an integer of very many digits"
        return words if len(words) <= 60 else f"{words[:57]}..."
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a {type(value).__name__}"


def _is_long(value: Any) -> bool:
    return isinstance(value, int) and value.bit_length() > 4000
