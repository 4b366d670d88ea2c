"""Where a monitor's numbers go as they are measured."""

import math
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from overparam._errors import expect


@runtime_checkable
class ScalarWriter(Protocol):
    """What is needed of TensorBoard's `SummaryWriter`."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> object:
        """Write one number."""
        ...


SinkFunction = Callable[[dict[str, float], int], object]
Sink = SinkFunction | ScalarWriter


def as_function(sink: Sink) -> SinkFunction:
    """A sink as `sink(numbers, step)`, whatever kind it is.

    Raises:
        TypeError: If it is neither callable nor has `add_scalar`.

    Example:
        >>> as_function(print)({"loss": 1.0}, 3)
        {'loss': 1.0} 3
    """
    add_scalar = getattr(sink, "add_scalar", None)
    if add_scalar is not None:

        def write(numbers: Mapping[str, float], step: int) -> None:
            for name, value in numbers.items():
                if not math.isnan(value):
                    add_scalar(name, value, step)

        return write
    expect(
        callable(sink),
        "Monitor(sink=...)",
        "a function of (numbers, step) or an object with add_scalar",
        type(sink).__name__,
        error=TypeError,
    )
    return sink  # pyright: ignore[reportReturnType]


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """The numbers that are neither NaN nor infinite: many tools fail on others.

    Example:
        >>> finite({"sharpness": 3.0, "sharpness_limit": math.inf})
        {'sharpness': 3.0}
    """
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
