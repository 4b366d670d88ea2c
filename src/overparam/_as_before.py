"""Methods that change their object wholly or not at all."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

F = TypeVar("F", bound=Callable[..., Any])


def or_as_before(method: F) -> F:
    """Decorate a method whose errors leave the object as it was, or as unfitted as it was.

    What the method changes it must bind anew: an attribute that is written in place, other than
    a generator of random numbers, is not brought back. An interrupt from the keyboard is no
    error, and what was reached by then is kept.

    Cost: one copy of the table of attributes.

    Example:
        >>> class Sums:
        ...     total = 0.0
        ...     @or_as_before
        ...     def add(self, number):
        ...         self.total += 1
        ...         self.total += number
        >>> sums = Sums()
        >>> sums.add("one")
        Traceback (most recent call last):
        TypeError: unsupported operand type(s) for +=: 'float' and 'str'
        >>> sums.total
        0.0
    """

    @functools.wraps(method)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(self))
        draws = {k: v.get_state() for k, v in before.items() if isinstance(v, torch.Generator)}
        try:
            return method(self, *args, **kwargs)
        except Exception:
            vars(self).clear()
            vars(self).update(before)
            for name, drawn in draws.items():
                before[name].set_state(drawn)
            raise

    return wrapper  # type: ignore[return-value]
