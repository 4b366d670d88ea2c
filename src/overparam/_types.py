"""Names for the shapes of data that every layer hands on."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

from torch import Tensor, nn

Params: TypeAlias = dict[str, Tensor]
"""Parameters by name, as in `model.named_parameters()`."""


@runtime_checkable
class Fields(Protocol):
    """A data class, whose fields are gone through."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


@runtime_checkable
class GraphData(Protocol):
    """A graph's data, as of PyG."""

    def to_dict(self) -> Mapping[str, Any]:
        """Its attributes."""
        ...


Inputs: TypeAlias = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any] | Fields | GraphData
"""A batch of inputs: one tensor, or several that the model takes as arguments or keywords, nested
as they like; the first axis of each is the batch axis. See `overparam._batch`."""

Targets: TypeAlias = Inputs
"""What a loss compares outputs with, in the forms that inputs have."""

Batch: TypeAlias = tuple[Any, Any]
"""A pair (inputs, targets): what the model takes, or `forward` in its place, and what the loss
takes beside the outputs."""

Loss: TypeAlias = Callable[[Tensor, Any], Tensor]
"""`loss(outputs, targets)` of a batch, a scalar; targets are whatever it takes. Its reduction
(mean, sum, with or without one half) is whatever the callable does; nothing in the library
assumes one."""

Forward: TypeAlias = Callable[[nn.Module, Any], Tensor]
"""`forward(model, x)` that returns the tensor the loss takes, for a model that returns a tuple, a
dict or an object: ``lambda model, x: model(**x).logits``."""

Matvec: TypeAlias = Callable[[Tensor], Tensor]
"""Multiplication of a vector by a symmetric matrix that is never formed."""


class Range(NamedTuple):
    """A condition on a number, beside its type in an annotation; see `overparam._checked`."""

    words: str
    holds: Callable[[float], bool]


Positive: TypeAlias = Annotated[float, Range("a finite number > 0", lambda v: v > 0)]
NonNegative: TypeAlias = Annotated[float, Range("a finite number ≥ 0", lambda v: v >= 0)]
Share: TypeAlias = Annotated[float, Range("a number in [0, 1]", lambda v: 0 <= v <= 1)]
Fraction: TypeAlias = Annotated[float, Range("a number in (0, 1)", lambda v: 0 < v < 1)]
AtLeastOne: TypeAlias = Annotated[float, Range("a finite number ≥ 1", lambda v: v >= 1)]
Count: TypeAlias = Annotated[int, Range("an integer ≥ 1", lambda v: v >= 1)]
Natural: TypeAlias = Annotated[int, Range("an integer ≥ 0", lambda v: v >= 0)]
