"""Gradients of all outputs of a network at once, by a sweep of its autograd graph.

Autograd takes one gradient of the outputs at a time, so that the C outputs of a network cost C
sweeps, each of which reads every saved activation again and works on small tensors. Where every
operation between the outputs and the parameters has a rule here, one sweep carries the
gradients of all of them: as tensors (C, *shape of the operation's result), whose memory may be
ordered example by example, which is how convolutions and the contraction of their gradients
want them. Nothing here decides that a rule is right: `_plan` compares the sweep with autograd.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor

from overparam.tangents.engine.operations import name_of


@dataclass(frozen=True)
class Step:
    """From the result of an operation to one of its inputs, for K functionals."""

    node: Any
    position: int  # of the input
    gradient: Tensor  # (K, *result), perhaps with axes split in two
    shape: torch.Size  # of the input
    room: Callable[..., Tensor]  # memory of a shape, the same at every sweep
    spare: bool = False  # whether nobody else needs the gradient, so that it may be overwritten

    @property
    def result(self) -> torch.Size:
        """Shape of the operation's result."""
        return torch.Size(self.node._input_metadata[0].shape)

    def whole(self) -> Tensor:
        """The gradient in the shape of the result."""
        return self.gradient.reshape(len(self.gradient), *self.result)


Rule: TypeAlias = Callable[[Step], Tensor | None]
"""Gradients of the input, (K, *input); `None` where the rule does not know the case."""


class Sweep:
    """Sweeps of graphs that one model makes of batches, which may share memory.

    What a sweep returns is valid until the next one.
    """

    def __init__(self) -> None:
        self._rooms: dict[tuple[int, int], Tensor] = {}

    def __call__(
        self, outputs: Tensor, functionals: Tensor, wanted: Iterable[Any]
    ) -> dict[Any, Tensor] | None:
        """Gradients of functionals of the outputs with respect to the results of operations.

        Args:
            outputs: (n, C), the result of a forward pass.
            functionals: (K, n, C), weights of the outputs. Where they are a view in which every
                example has the same, work on them is done once until examples differ.
            wanted: The nodes whose first result is meant.

        Returns:
            (K, *result) by node, without the nodes that no output depends on; `None` if some
            operation in between has no rule.
        """
        k, wanted = len(functionals), set(wanted)
        order = _order(outputs.grad_fn, wanted)
        if order is None:
            return None
        pending: dict[Any, Tensor] = {outputs.grad_fn: functionals}
        needed, found, spare = set(order), {}, set()
        for place, node in enumerate(order):
            gradient = pending.pop(node)
            if node in wanted:
                found[node] = gradient.reshape(k, *node._input_metadata[0].shape)
            name = name_of(node)
            sources = [(p, s) for p, (s, _) in enumerate(node.next_functions) if s in needed]
            alone = node in spare and node not in wanted and len(sources) == 1
            for position, source in sources:
                shape = torch.Size(source._input_metadata[0].shape)
                room = partial(self._room, (place, position), gradient)
                passed = RULES[name](Step(node, position, gradient, shape, room, alone))
                if passed is None:
                    return None
                if source in pending:
                    passed = pending[source].reshape(k, *shape) + passed.reshape(k, *shape)
                elif name in _FRESH and passed.stride(1) != 0:
                    spare.add(source)
                pending[source] = passed
        return found

    def _room(self, key: tuple[int, int], like: Tensor, *shape: int) -> Tensor:
        """Memory that is touched for the first time costs more than what is written to it."""
        kept = self._rooms.get(key)
        if kept is None or len(kept) < shape[0] or kept.shape[1:] != shape[1:]:
            kept = self._rooms[key] = like.new_empty(shape)
        return kept[: shape[0]]


def every_output(outputs: Tensor) -> Tensor:
    """The functionals that pick each output in turn, of all examples: (C, n, C), a view."""
    n, c = outputs.shape
    return torch.eye(c, dtype=outputs.dtype, device=outputs.device)[:, None].expand(c, n, c)


def _order(root: Any, wanted: set[Any]) -> list[Any] | None:
    """Nodes on the way from the outputs to what is wanted, consumers first.

    `None` if one of them has no rule, or passes on another result than its first.
    """
    leads: dict[Any, bool] = {}  # whether something wanted lies behind a node
    order: list[Any] = []
    stack = [(root, False)] if root is not None else []
    while stack:
        node, finished = stack.pop()
        if node in leads:
            continue
        sources = [(source, result) for source, result in node.next_functions if source]
        if not finished:
            stack.append((node, True))
            stack.extend((source, False) for source, _ in sources if source not in leads)
            continue
        ahead = [result for source, result in sources if leads[source]]
        if ahead and (name_of(node) not in RULES or any(ahead)):
            return None
        leads[node] = bool(ahead) or node in wanted
        if leads[node]:
            order.append(node)
    return order[::-1]


def pays(outputs: Tensor, wanted: Iterable[Any]) -> bool:
    """Whether a sweep is likely to take less time than autograd.

    For several outputs it reads what was saved once, and a few rules are faster even for one.
    """
    order = _order(outputs.grad_fn, set(wanted)) or []
    return bool(order) and (outputs.shape[1] > 1 or any(name_of(n) in _FASTER for n in order))


def _by_example(gradient: Tensor) -> bool:
    """Whether memory runs over the functionals of the first example, then the second's."""
    return gradient.stride(1) > gradient.stride(0)


def _folded(gradient: Tensor) -> Tensor:
    """Functionals and examples as one axis, in the order of memory."""
    return (gradient.transpose(0, 1) if _by_example(gradient) else gradient).flatten(0, 1)


def _unfolded(rows: Tensor, like: Tensor) -> Tensor:
    """What was made of `_folded(like)`, with the two axes apart again."""
    k, n = like.shape[:2]
    if _by_example(like):
        return rows.unflatten(0, (n, k)).transpose(0, 1)
    return rows.unflatten(0, (k, n))


def _affine(step: Step) -> Tensor | None:
    """Y = α X W: δ to α δ Wᵀ."""
    if step.position != (1 if name_of(step.node) == "AddmmBackward0" else 0):
        return None
    gradient = step.whole()
    alike = gradient.stride(1) == 0
    gradient = gradient[:, :1].contiguous() if alike else gradient
    rows = _folded(gradient) @ step.node._saved_mat2.detach().mT
    alpha = getattr(step.node, "_saved_alpha", 1)
    passed = _unfolded(rows if alpha == 1 else rows * alpha, gradient)
    return passed.expand(-1, *step.shape) if alike else passed


def _convolution(step: Step) -> Tensor | None:
    """The adjoint convolution, with functionals and examples together as its batch."""
    if step.position != 0:
        return None
    node, gradient = step.node, step.whole()
    weight, turned, groups = node._saved_weight.detach(), node._saved_transposed, node._saved_groups
    stride, padding, dilation = node._saved_stride, node._saved_padding, node._saved_dilation
    kernel, axes = weight.shape[2:], range(2, weight.ndim)
    mirrored = [d * (k - 1) - p for p, d, k in zip(padding, dilation, kernel, strict=True)]
    if set(stride) == {1} and groups == 1 and not turned and min(mirrored) >= 0:
        # The convolution with the kernel mirrored, which is faster than one that is transposed.
        weight, turned = weight.flip(tuple(axes)).transpose(0, 1).contiguous(), True
        padding = mirrored
    # What a stride leaves out at the far end of the input.
    rest = [
        0 if turned else step.shape[a] - ((step.result[a] - 1) * s - 2 * p + d * (k - 1) + 1)
        for a, s, p, d, k in zip(axes, stride, padding, dilation, kernel, strict=True)
    ]
    rows = torch.convolution(
        _folded(gradient), weight, None, stride, padding, dilation, not turned, rest, groups
    )
    return _unfolded(rows, gradient)


def _elementwise(step: Step) -> Tensor | None:
    """δ to δ ∘ derivative, which autograd's own node tells when it is given ones."""
    if step.result != step.shape or getattr(step.node, "_saved_training", False):
        return None
    alone = len(step.gradient) == 1
    answer = step.node(step.whole()[0] if alone else step.gradient.new_ones(step.shape))
    derivative = (answer[step.position] if isinstance(answer, tuple) else answer).detach()
    if alone:
        return derivative[None]
    derivative = derivative.reshape(step.gradient.shape[1:])
    return torch.mul(step.gradient, derivative, out=_product_of(step)).view(-1, *step.shape)


def _rectified(step: Step) -> Tensor:
    """δ where the result is positive, in one pass over memory."""
    result = step.node._saved_result.detach().reshape(step.gradient.shape[1:])
    out = _product_of(step)
    torch.ops.aten.threshold_backward.grad_input(step.gradient, result, 0, grad_input=out)
    return out.view(-1, *step.shape)


def _product_of(step: Step) -> Tensor:
    """Memory for the gradient times something: its own if nobody else needs it."""
    k, n, *rest = step.gradient.shape
    if step.spare:
        return step.gradient
    if len(step.shape) == 2:
        return step.gradient.new_empty(k, n, *rest)
    return step.room(n, k, *rest).transpose(0, 1)


def _product(step: Step) -> Tensor | None:
    """Y = X ∘ Z or X / Z; by a number, without a tensor of its copies."""
    other = step.node._saved_other if step.position == 0 else None
    if other is None or other.numel() != 1 or step.result != step.shape:
        return _elementwise(step)
    factor = float(other) if name_of(step.node) == "MulBackward0" else 1 / float(other)
    if step.gradient.stride(1) == 0:
        return (step.gradient[:, :1] * factor).expand_as(step.gradient)
    return step.gradient * factor


def _sum(step: Step) -> Tensor | None:
    """Y = X + α Z, of one shape."""
    if step.result != step.shape:
        return None
    sign = -1 if name_of(step.node) == "SubBackward0" else 1
    factor = sign * getattr(step.node, "_saved_alpha", 1) if step.position else 1
    return step.gradient if factor == 1 else step.gradient * factor


def _reshaped(step: Step) -> Tensor:
    """The same numbers in another shape."""
    return step.gradient.reshape(len(step.gradient), *step.shape)


def _averaged(step: Step) -> Tensor:
    """A mean or a sum over axes: the same for all that was added up."""
    axes = sorted(_signed(axis) % len(step.shape) for axis in step.node._saved_dim)
    gradient = step.whole()
    if not step.node._saved_keepdim:
        for axis in axes:
            gradient = gradient.unsqueeze(1 + axis)
    if name_of(step.node) == "MeanBackward1":
        gradient = gradient / prod(step.shape[axis] for axis in axes)
    return gradient.expand(-1, *step.shape)


def _pooled(step: Step) -> Tensor | None:
    """Means of windows that tile the image: each window's number over its size."""
    node, (tall, wide) = step.node, step.node._saved_kernel_size
    tiled = (
        tuple(node._saved_stride) in ((), (tall, wide))
        and not any(node._saved_padding)
        and step.shape[-2] % tall == step.shape[-1] % wide == 0
        and node._saved_divisor_override is None
    )
    if not tiled:
        return None
    gradient = step.whole()
    # Along a row as a product of matrices, which is faster than a copy with gaps; down a column
    # as a view, for the next operation to read as it is.
    identity = torch.eye(gradient.shape[-1], dtype=gradient.dtype, device=gradient.device)
    rows = gradient @ (identity / (tall * wide)).repeat_interleave(wide, 1)
    return rows.unsqueeze(-2).expand(*rows.shape[:-1], tall, rows.shape[-1])


def _largest(step: Step) -> Tensor:
    """Maxima of windows: each number goes where its maximum was found."""
    places = step.node._saved_result1.flatten(2)
    gradient = step.whole().flatten(3)
    k, (n, o, *sizes) = len(gradient), step.shape
    passed = step.room(n, k, o, prod(sizes)).zero_().transpose(0, 1)
    return passed.scatter_add_(-1, places.expand_as(gradient), gradient).view(k, *step.shape)


def _signed(axis: int) -> int:
    """An axis that autograd keeps as an unsigned number."""
    return axis - 2**64 if axis >= 2**63 else axis


# Rules that return memory of their own, unless it is a view that is the same for all examples.
_FRESH = ("AddmmBackward0", "MmBackward0", "ConvolutionBackward0")
# Rules that beat autograd's own backward pass even for one functional.
_FASTER = ("AvgPool2DBackward0",)
_ELEMENTWISE = (
    "LeakyRelu", "Elu", "Gelu", "Silu", "Mish", "Softplus", "Tanh", "Sigmoid", "Hardtanh",
    "Hardswish", "Hardsigmoid", "LogSigmoid", "Erf", "Exp", "Sin", "Cos", "Abs", "Neg",
    "NativeBatchNorm",
)  # fmt: skip
RULES: dict[str, Rule] = {
    "AddmmBackward0": _affine,
    "MmBackward0": _affine,
    "ConvolutionBackward0": _convolution,
    "MulBackward0": _product,
    "DivBackward0": _product,
    "AddBackward0": _sum,
    "SubBackward0": _sum,
    "ViewBackward0": _reshaped,
    "UnsafeViewBackward0": _reshaped,
    "ReshapeAliasBackward0": _reshaped,
    "MeanBackward1": _averaged,
    "SumBackward1": _averaged,
    "ReluBackward0": _rectified,
    "AvgPool2DBackward0": _pooled,
    "MaxPool2DWithIndicesBackward0": _largest,
    **{f"{name}Backward0": _elementwise for name in _ELEMENTWISE},
}
