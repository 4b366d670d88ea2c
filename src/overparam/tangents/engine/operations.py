"""Rules: how one operation turns the gradient of its output into per-example gradients.

An operation acts on *rows*, the leading axes of its output flattened; each row belongs to one
example. A `Layout` says which: rows run over (before, examples, after), so that tokens in
batch-first order are (1, n, T) and in time-first order (T, n, 1). With δ the gradient of one
output of the network with respect to the operation's output, every rule gives

    ∂f(x_i)/∂w = Σ_{rows of i} (something linear in δ's row).
"""

from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


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
    """One node of the autograd graph, seen from the parameter at one of its inputs."""

    rows: int

    def __init__(self, node: Any, position: int, shape: torch.Size) -> None:
        self.node, self.position, self.shape = node, position, shape
        self.output = tuple(node._input_metadata[0].shape)

    def layouts(self, n: int) -> list[Layout]:
        """Every way n examples can be spread over the rows, the usual ones first."""
        if n == 0 or self.rows == 0 or self.rows % n:
            return []
        t = self.rows // n
        befores = [1, t, *(k for k in range(2, t) if t % k == 0)] if t > 1 else [1]
        return [Layout(before, t // before) for before in befores]

    @property
    def width(self) -> int:
        """O: how many numbers the parameter gives for a row, or for a place of a convolution."""
        return self.output[-1]

    def by_row(self, delta: Tensor) -> Tensor:
        """The output's gradient with one leading axis, that of the rows."""
        return delta.reshape(self.rows, -1)

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """Per-example gradients, (examples, *shape of what stands at the input)."""
        raise NotImplementedError

    def data(self) -> Tensor | None:
        """What the rows of the input hold, if that was kept."""
        return None


class Linear(Operation):
    """Y = X W, with W of shape (I, O), as `Linear` computes it with a transposed weight."""

    positions = {"MmBackward0": (1,), "AddmmBackward0": (2,)}  # noqa: RUF012

    def __init__(self, node: Any, position: int, shape: torch.Size) -> None:
        super().__init__(node, position, shape)
        self.rows = self.output[0]
        self.alpha = float(getattr(node, "_saved_alpha", 1))

    @cached_property
    def input(self) -> Tensor:
        """X, (rows, I)."""
        node = self.node
        x = node._saved_self if name_of(node) == "MmBackward0" else node._saved_mat1
        return x.detach()

    def data(self) -> Tensor:
        """X."""
        return self.input

    def left(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ by example, (examples, rows of one, O)."""
        return layout.split(delta)

    def right(self, layout: Layout) -> Tensor:
        """X by example, (examples, rows of one, I)."""
        x = layout.split(self.input)
        return x if self.alpha == 1 else x * self.alpha

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """Σ_t x_t δ_tᵀ, (examples, I, O)."""
        return self.right(layout).to(delta.dtype).transpose(1, 2) @ self.left(delta, layout)


class Convolution(Operation):
    """A convolution or transposed convolution in any number of dimensions, with groups."""

    positions = {"ConvolutionBackward0": (1,)}  # noqa: RUF012

    def __init__(self, node: Any, position: int, shape: torch.Size) -> None:
        super().__init__(node, position, shape)
        self.rows = self.output[0]
        self.groups, self.turned = int(node._saved_groups), bool(node._saved_transposed)

    def data(self) -> Tensor:
        """The input, (rows, values)."""
        return self.node._saved_input.detach().reshape(self.rows, -1)

    def _windows(self, x: Tensor, counts: tuple[int, ...] | None = None) -> Tensor:
        """Patches of x the kernel meets, a view: (rows, channels, *kernel, *places)."""
        node, kernel = self.node, self.shape[2:]
        margins = [m for pad in reversed(node._saved_padding) for m in (int(pad), int(pad))]
        x = F.pad(x, margins) if any(margins) else x
        for axis, (size, stride, dilation) in enumerate(
            zip(kernel, node._saved_stride, node._saved_dilation, strict=True)
        ):
            x = x.unfold(2 + axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
            if counts is not None:
                x = x.narrow(2 + axis, 0, counts[axis])
        d = len(kernel)
        return x.permute((0, 1, *range(2 + d, 2 + 2 * d), *range(2, 2 + d)))

    @property
    def windows(self) -> Tensor:
        """The unfolded input of a plain convolution, a view: (rows, channels, *kernel, *places)."""
        return self._windows(self.node._saved_input.detach())

    @cached_property
    def patches(self) -> Tensor:
        """The same, laid out: (rows, I, places)."""
        return self.windows.flatten(1, len(self.shape) - 1).flatten(2)

    @property
    def width(self) -> int:
        """O: the output's channels, or a transposed convolution's input's."""
        return self.shape[0]

    @property
    def places(self) -> int:
        """Positions at which the kernel is applied to one row."""
        if self.turned:
            return prod(self.node._saved_input.shape[2:])
        return prod(self.output[2:])

    def left(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ by example, (examples, places, O); one row an example."""
        return delta.flatten(2).transpose(1, 2)

    def right(self, layout: Layout) -> Tensor:
        """Patches by example, (examples, places, I); one row an example."""
        return self.patches.transpose(1, 2)

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """Σ_places δ ⊗ patch, (examples, *kernel shape)."""
        if self.turned:
            x = self.node._saved_input.detach().to(delta.dtype)
            spread = self._windows(delta, tuple(x.shape[2:]))
            spread = spread.flatten(1, len(self.shape) - 1).flatten(2)
            left, right = x.flatten(2), spread
        else:
            left, right = delta.flatten(2), self.patches.to(delta.dtype)
        grouped = [t.unflatten(1, (self.groups, -1)).flatten(0, 1) for t in (left, right)]
        rows = (grouped[0] @ grouped[1].transpose(1, 2)).reshape(self.rows, *self.shape)
        if layout == (1, 1):
            return rows
        return layout.split(rows).sum(1)


class Lookup(Operation):
    """Rows of a table picked by index: an embedding."""

    positions = {"EmbeddingBackward0": (0,)}  # noqa: RUF012

    def __init__(self, node: Any, position: int, shape: torch.Size) -> None:
        super().__init__(node, position, shape)
        self.rows = prod(self.output[:-1])
        padding = int(node._saved_padding_idx)
        self.padding = padding - 2**64 if padding >= 2**63 else padding

    @cached_property
    def index(self) -> Tensor:
        """The row of the table each row of the output is."""
        return self.node._saved_indices.detach().reshape(-1)

    def data(self) -> Tensor:
        """The index, as a matrix of one column."""
        return self.index[:, None]

    def left(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ by example, zero where the padding stands."""
        rows = self.by_row(delta)
        if self.padding >= 0:
            rows = rows * (self.index != self.padding).to(rows.dtype)[:, None]
        return layout.split(rows)

    def right(self, layout: Layout) -> Tensor:
        """The index by example, (examples, rows of one)."""
        return layout.split(self.index)

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ added up over equal indices, (examples, entries, width)."""
        left, index = self.left(delta, layout), self.right(layout)
        n, entries = len(left), self.shape[0]
        place = index + torch.arange(n, device=index.device)[:, None] * entries
        result = left.new_zeros(n * entries, left.shape[-1])
        return result.index_add_(0, place.flatten(), left.flatten(0, 1)).view(n, *self.shape)


class Elementwise(Operation):
    """Y = … + factor ∘ w with w broadcast: biases, gains of norm layers, sums and products."""

    positions = {  # noqa: RUF012
        "AddBackward0": (0, 1),
        "SubBackward0": (0, 1),
        "MulBackward0": (0, 1),
        "AddmmBackward0": (0,),
        "ConvolutionBackward0": (2,),
        "NativeLayerNormBackward0": (1, 2),
        "NativeGroupNormBackward0": (1, 2),
        "NativeBatchNormBackward0": (1, 2),
        "PreluKernelBackward0": (1,),
    }

    def __init__(self, node: Any, position: int, shape: torch.Size) -> None:
        super().__init__(node, position, shape)
        name, axes = name_of(node), len(self.output)
        if name in ("ConvolutionBackward0", "NativeGroupNormBackward0", "NativeBatchNormBackward0"):
            shape = torch.Size((1, *shape, *[1] * (axes - 2)))
        self.aligned = (1,) * (axes - len(shape)) + tuple(shape)
        self.lead = next((k for k, size in enumerate(self.aligned) if size != 1), axes)
        self.rows = prod(self.output[: self.lead])

    @cached_property
    def factor(self) -> Tensor | float:
        """What the parameter is multiplied with, of the output's shape, or a number."""
        node, position = self.node, self.position
        match name_of(node):
            case "MulBackward0":
                factor = node._saved_other if position == 0 else node._saved_self
                return factor.detach().expand(self.output)
            case "PreluKernelBackward0":
                return node._saved_self.detach().clamp(max=0)
            case "SubBackward0" if position == 1:
                return -float(node._saved_alpha)
            case "AddBackward0" if position == 1:
                return float(node._saved_alpha)
            case "AddmmBackward0":
                return float(node._saved_beta)
            case str(name) if name.startswith("Native") and position == 1:
                return _normalised(node, name)
        return 1.0

    def data(self) -> Tensor | None:
        """The factor by row, if it is a tensor."""
        return self.factor.reshape(self.rows, -1) if isinstance(self.factor, Tensor) else None

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ ∘ factor added up over whatever the parameter is broadcast along."""
        if isinstance(self.factor, Tensor) or self.factor != 1:
            delta = delta * self.factor
        parts = layout.split(delta.reshape(self.rows, *self.output[self.lead :]))
        sizes = self.aligned[self.lead :]
        axes = [1, *(2 + k for k, size in enumerate(sizes) if size == 1)]
        if parts.shape[1] == 1 and len(axes) == 1:
            return parts.reshape(len(parts), *self.shape)
        return parts.sum(axes).reshape(len(parts), *self.shape)


def name_of(node: Any) -> str:
    """The node's name without a namespace."""
    return node.name().rsplit("::", 1)[-1]


def _normalised(node: Any, name: str) -> Tensor:
    """The input of a norm layer after normalisation, before gain and bias."""
    x = node._saved_input.detach()
    if name == "NativeLayerNormBackward0":
        return (x - node._saved_result1) * node._saved_result2
    if name == "NativeGroupNormBackward0":
        groups = x.reshape(len(x), int(node._saved_group), -1)
        mean, rstd = node._saved_result1[..., None], node._saved_result2[..., None]
        return ((groups - mean) * rstd).reshape(x.shape)
    shape = (1, -1, *[1] * (x.ndim - 2))
    rstd = (node._saved_running_var + node._saved_eps).rsqrt()
    return (x - node._saved_running_mean.view(shape)) * rstd.view(shape)


OPERATIONS: dict[tuple[str, int], type[Operation]] = {
    (name, position): rule
    for rule in (Linear, Convolution, Lookup, Elementwise)
    for name, positions in rule.positions.items()
    for position in positions
}
