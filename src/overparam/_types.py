"""Names for the shapes of data that every layer hands on."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from torch import Tensor

Params: TypeAlias = dict[str, Tensor]
"""Parameters by name, as in `model.named_parameters()`."""

Inputs: TypeAlias = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]
"""A batch of inputs: one tensor, or several that the model takes as arguments or keywords;
the first axis of each is the batch axis."""

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""`loss(outputs, targets)` of a batch, a scalar. Its reduction (mean, sum, with or without
one half) is whatever the callable does; nothing in the library assumes one."""

Matvec: TypeAlias = Callable[[Tensor], Tensor]
"""Multiplication of a vector by a symmetric matrix that is never formed."""
