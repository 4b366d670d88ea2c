"""What the engine asks of an operation, and what those answer that say nothing else.

An operation is one node of the autograd graph, seen from one of its inputs. If a parameter
stands there, the operation tells what the gradients of the examples are; if activations do, it
carries gradients from its result to them. Both are a *rule*: one class in one file of `rules`.

An operation acts on *rows*, the leading axes of its output flattened; each row belongs to one
example. A `Layout` says which: rows run over (before, examples, after), so that tokens in
batch-first order are (1, n, T) and in time-first order (T, n, 1). With δ the gradient of one
output of the network with respect to the operation's output, every rule gives

    ∂f(x_i)/∂w = Σ_{rows of i} (something linear in δ's row).

Where that is Σ right ⊗ left, of smaller matrices, the two are the operation's *factors*.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from overparam.tangents.engine.step import Step

Places: TypeAlias = Mapping[str, tuple[int, ...]]
"""Inputs of nodes, by the nodes' names."""


class Layout(NamedTuple):
    """Rows of an operation as (before, examples, after)."""

    before: int
    after: int

    def split(self, rows: Tensor) -> Tensor:
        """(rows, …) as (examples, rows of one example, …)."""
        if self.before == 1:
            return rows.unflatten(0, (-1, self.after))
        rows = rows.unflatten(0, (self.before, -1, self.after)).transpose(0, 1)
        return rows.flatten(1, 2)


class Operation:
    """One node of the autograd graph, seen from one of its inputs."""

    parameters: ClassVar[Places] = {}  # where the rule knows what a parameter does
    activations: ClassVar[Places] = {}  # where it carries gradients on

    rows: int  # 0 if examples cannot be told apart here: the search goes on behind it

    def __init__(self, node: Any, position: int, shape: torch.Size) -> None:
        self.node, self.position, self.shape = node, position, shape
        self.output = tuple(node._input_metadata[0].shape)

    # Of a parameter: its gradients, and how they are checked.

    def layouts(self, n: int) -> list[Layout]:
        """Every way n examples can be spread over the rows, the usual ones first."""
        if n == 0 or self.rows == 0 or self.rows % n:
            return []
        t = self.rows // n
        befores = [1, t, *(k for k in range(2, t) if t % k == 0)] if t > 1 else [1]
        return [Layout(before, t // before) for before in befores]

    def by_row(self, delta: Tensor) -> Tensor:
        """The output's gradient with one leading axis, that of the rows."""
        return delta.reshape(self.rows, -1)

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """Per-example gradients, (examples, *shape of what stands at the input)."""
        raise NotImplementedError

    def gradients(self, deltas: Tensor, layout: Layout) -> Tensor | None:
        """The same of all outputs, (C, examples, …); `None` where that is no faster than each."""
        return None

    def data(self) -> Tensor | None:
        """What the rows of the input hold, if that was kept."""
        return None

    projects: ClassVar[bool] = False  # whether `projected` is there, which forms no gradient

    def projected(self, delta: Tensor, directions: Tensor, *, transposed: bool) -> Tensor:
        """The gradient (or its transpose), summed over all rows, times a matrix."""
        raise NotImplementedError

    @property
    def held(self) -> int:
        """Numbers held for the batch beside the output and its gradients."""
        return 0

    # Of a parameter with factors.

    def paired(self, layout: Layout, scale: float, *, transposed: bool) -> bool:
        """Whether the gradient of the parameter has factors.

        Args:
            layout: Of the rows.
            scale: The operation sees scale · parameter …
            transposed: … or its transpose.
        """
        return False

    def left(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ by example, (examples, rows of one, O)."""
        raise NotImplementedError

    def right(self, layout: Layout) -> Tensor:
        """What the parameter meets, (examples, rows of one, I), or indices without the I."""
        raise NotImplementedError

    left_is_delta: ClassVar[bool] = False  # in memory too, if rows are in the order of examples

    @property
    def width(self) -> int:
        """O, how many numbers the parameter gives for a row."""
        return self.output[-1]

    @property
    def inputs(self) -> int:
        """I, how many numbers a row of the right factor has."""
        return self.shape.numel() // self.width

    def length(self, layout: Layout) -> int:
        """Rows of one example that meet the parameter."""
        return layout.before * layout.after

    @property
    def forming(self) -> int:
        """Multiply-adds for what one row adds to a gradient that is formed."""
        return self.shape.numel()

    takes_bias: ClassVar[bool] = False  # as one more input, the same in every row

    @property
    def constant(self) -> float | None:
        """The number by which a bias is multiplied, of a parameter that is only added."""
        return None

    windowed: ClassVar[bool] = False  # whether gradients of all outputs are formed in one product

    @property
    def windows(self) -> Tensor:
        """The right factor as a view, (rows, *input, *places); an example is one row."""
        raise NotImplementedError

    # Of activations.

    fresh: ClassVar[bool] = False  # whether `passed` is memory of its own (or alike by expansion)
    faster: ClassVar[bool] = False  # whether it beats autograd's own pass even for one functional

    @classmethod
    def passed(cls, step: Step) -> Tensor | None:
        """Gradients of the input, (K, *input); `None` where the rule does not know the case."""
        raise NotImplementedError
