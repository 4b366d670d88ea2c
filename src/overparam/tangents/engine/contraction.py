"""Kernels from factors: matrix products in tiles that stay in cache, one half if symmetric."""

import itertools
import math

import torch
from torch import Tensor

from overparam._errors import expect
from overparam.errors import NumericalError
from overparam.tangents.engine.factors import Factors

# Rows of a tile: large enough for a matrix product at full speed, small enough that what is
# done to the tile afterwards finds it in cache.
_SMALLEST, _LARGEST = 192, 512
# The same where the factors are much longer than a tile is wide.
_FORMED = 384
# Rows that a matrix product takes at once; other numbers of rows cost up to a third more.
_REGISTERS = 16


def tiling(outputs: int, n: int) -> tuple[list[slice], list[slice]]:
    """Slices of the outputs and of the examples that a tile takes."""
    rows = min(_LARGEST, max(_SMALLEST, outputs * n // 4))
    examples = _slices(n, min(n, rows), _REGISTERS)
    return _slices(outputs, max(1, rows // max(n, 1))), examples


def contract(out: Tensor, left: Factors, right: Factors, *, symmetric: bool) -> None:
    """Add ⟨∂f_c(x_i), ∂f_d(x_j)⟩ to out[c, i, d, j].

    Args:
        out: (K, n1, K, n2), may be a view.
        left: Factors of n1 examples.
        right: Factors of n2 examples.
        symmetric: Both are the same examples; half is computed and mirrored.
    """
    if left.pairs or left.dense is not None:
        _contract_by_output(out, left, right, symmetric=symmetric)
    if left.formed:
        _contract_by_example(out, left, right, symmetric=symmetric)


def _contract_by_output(out: Tensor, left: Factors, right: Factors, *, symmetric: bool) -> None:
    """Pairs and dense gradients, whose leading axis is that of the outputs."""
    k, n1, _, n2 = out.shape
    groups, rows = tiling(k, n1)
    columns = rows if symmetric else tiling(k, n2)[1]
    for a, i in enumerate(rows):
        for b, j in enumerate(columns):
            if symmetric and b < a:
                continue
            upper = symmetric and a == b
            _tile(out[:, i, :, j], left, right, (i, j), groups, upper=upper)
            if upper:
                _mirror_within(out[:, i, :, i], groups)
            elif symmetric:
                out[:, j, :, i] = out[:, i, :, j].permute(2, 3, 0, 1)


def _contract_by_example(out: Tensor, left: Factors, right: Factors, *, symmetric: bool) -> None:
    """Formed gradients, whose leading axis is that of the examples.

    They are far larger than what they are contracted to, so that each is read as few times as
    possible: tiles are large, and their sums are put in order afterwards.
    """
    k, n1, _, n2 = out.shape
    rows = _slices(n1, max(1, _FORMED // k), _step(k))
    for a, i in enumerate(rows):
        if symmetric:
            _square(out, left, i)
        for j in rows[a + 1 :] if symmetric else _slices(n2, max(1, _FORMED // k), _step(k)):
            _rectangle(out, left, right, i, j, mirror=symmetric)


def _square(out: Tensor, factors: Factors, i: slice) -> None:
    """Examples i against themselves: what is off the diagonal is computed once, twice over."""
    size, k = i.stop - i.start, out.shape[0]
    if size * k > _FORMED // 2 and size > 1:
        half = math.ceil(size / 2 / _step(k)) * _step(k)
        middle = i.start + (half if half < size else size // 2)
        first, second = slice(i.start, middle), slice(middle, i.stop)
        _square(out, factors, first)
        _square(out, factors, second)
        _rectangle(out, factors, factors, first, second, mirror=True)
        return
    total = _products(factors, factors, i, i)
    out[:, i, :, i] += _by_output((total + total.T) / 2, out, i, i)


def _rectangle(
    out: Tensor, left: Factors, right: Factors, i: slice, j: slice, *, mirror: bool
) -> None:
    """Examples i against others; `mirror` writes them in both places."""
    products = _by_output(_products(left, right, i, j), out, i, j)
    out[:, i, :, j] += products
    if mirror:
        out[:, j, :, i] += products.permute(2, 3, 0, 1)


def _products(left: Factors, right: Factors, i: slice, j: slice) -> Tensor:
    """Inner products of all outputs of examples i with those of examples j, (n_i K, n_j K)."""
    total: Tensor | None = None
    for first, second in zip(left.formed, right.formed, strict=True):
        x, y = first[i].flatten(0, 1), second[j].flatten(0, 1)
        total = x @ y.T if total is None else total.addmm_(x, y.T)
    assert total is not None
    return total


def _by_output(total: Tensor, out: Tensor, i: slice, j: slice) -> Tensor:
    """The same as (K, n_i, K, n_j)."""
    k = out.shape[0]
    return total.view(i.stop - i.start, k, j.stop - j.start, k).permute(1, 0, 3, 2)


def _tile(
    out: Tensor,
    left: Factors,
    right: Factors,
    at: tuple[slice, slice],
    groups: list[slice],
    *,
    upper: bool,
) -> None:
    """All outputs of some examples against others; `upper` leaves out what mirrors."""
    i, j = at
    inputs = [
        _gram_of_inputs(a[1][i], b[1][j]) if _single(a[0]) and _single(b[0]) else None
        for a, b in zip(left.pairs, right.pairs, strict=True)
    ]
    for p in range(len(groups)):
        for q in range(p if upper else 0, len(groups)):
            here = out[groups[p], :, groups[q]]
            for a, b, gram in zip(left.pairs, right.pairs, inputs, strict=True):
                if gram is not None:
                    _add_single(here, a[0][groups[p], i], b[0][groups[q], j], gram)
            if left.dense is not None and right.dense is not None:
                _add_dense(here, left.dense[groups[p], i], right.dense[groups[q], j])
    for a, b, gram in zip(left.pairs, right.pairs, inputs, strict=True):
        if gram is None:
            first, second = (a[0][:, i], a[1][i]), (b[0][:, j], b[1][j])
            _add_sequences(out, first, second, groups, upper=upper)


def _single(left: Tensor) -> bool:
    """Whether each example has one row."""
    return left.shape[2] == 1


def _gram_of_inputs(a: Tensor, b: Tensor) -> Tensor:
    """⟨right_it, right_js⟩ as (n1, T1, n2, T2); for indices, whether they are equal."""
    if not a.is_floating_point():
        return a[:, :, None, None] == b
    return (a.flatten(0, 1) @ b.flatten(0, 1).T).view(*a.shape[:2], *b.shape[:2])


def _add_single(out: Tensor, a: Tensor, b: Tensor, gram: Tensor) -> None:
    """Add ⟨left_ci, left_dj⟩ · gram[i, j]."""
    products = (a.flatten(0, 2) @ b.flatten(0, 2).T).view(out.shape)
    out.addcmul_(products, gram.view(1, out.shape[1], 1, out.shape[3]).to(out.dtype))


def _add_sequences(
    out: Tensor,
    a: tuple[Tensor, Tensor],
    b: tuple[Tensor, Tensor],
    groups: list[slice],
    *,
    upper: bool,
) -> None:
    """Add Σ_ts ⟨left_cit, left_djs⟩ · ⟨right_it, right_js⟩, some outputs and examples at a time.

    The products of inputs are the same for all outputs, hence the order of the loops.
    """
    (left, ids), (right, other) = a, b
    for i in _examples(left):
        for j in _examples(right):
            gram = _gram_of_inputs(ids[i], other[j])[None, :, :, None]
            for p, group in enumerate(groups):
                firsts = _outputs(left, i, group)
                seconds = [d for g in groups[p if upper else 0 :] for d in _outputs(right, j, g)]
                for c, d in itertools.product(firsts, seconds):
                    x, y = left[c, i], right[d, j]
                    products = x.flatten(0, 2) @ y.flatten(0, 2).T
                    products = products.view(*x.shape[:3], *y.shape[:3])
                    out[c, i, d, j] += products.mul_(gram).sum((2, 5))


def _examples(left: Tensor) -> list[slice]:
    """Examples whose rows together are about as many as a tile has."""
    return _slices(left.shape[1], max(1, 2 * _LARGEST // left.shape[2]))


def _outputs(left: Tensor, examples: slice, group: slice) -> list[slice]:
    """The outputs of a group, as many at a time as make such a number of rows."""
    rows = left.shape[2] * max(1, examples.stop - examples.start)
    parts = _slices(group.stop - group.start, max(1, 2 * _LARGEST // rows))
    return [slice(group.start + part.start, group.start + part.stop) for part in parts]


def _add_dense(out: Tensor, a: Tensor, b: Tensor) -> None:
    """Add ⟨gradient_ci, gradient_dj⟩."""
    if len(a) == len(b) == 1:
        out[0, :, 0].addmm_(a[0], b[0].T)
    else:
        out += (a.flatten(0, 1) @ b.flatten(0, 1).T).view(out.shape)


def _mirror_within(out: Tensor, groups: list[slice]) -> None:
    """Fill the outputs' lower half of one tile of examples, and make it exactly symmetric."""
    for p, first in enumerate(groups):
        diagonal = out[first, :, first]
        diagonal.copy_((diagonal + diagonal.permute(2, 3, 0, 1)) / 2)
        for second in groups[p + 1 :]:
            out[second, :, first] = out[first, :, second].permute(2, 3, 0, 1)


def squared_norms(factors: Factors) -> Tensor:
    """The diagonal, ‖∂f_c(x_i)‖² as (K, n), without the rest."""
    total: Tensor | float = 0.0
    for left, right in factors.pairs:
        inner = left @ left.transpose(-1, -2)
        gram = (
            right @ right.mT if right.is_floating_point() else right[:, :, None] == right[:, None]
        )
        total = total + (inner * gram).sum((-1, -2))
    for gradients in factors.formed:
        total = total + gradients.square().sum(-1).T
    if factors.dense is not None:
        total = total + factors.dense.square().sum(-1)
    assert isinstance(total, Tensor)
    return total


def _slices(n: int, size: int, step: int = 1) -> list[slice]:
    """Slices of nearly equal length, at most `size` long, all but the last a multiple of `step`.

    Rounding to the step may add less than one step to the length.
    """
    parts = max(1, math.ceil(n / max(size, 1)))
    each = max(1, math.ceil(n / parts / step)) * step
    return [slice(start, min(start + each, n)) for start in range(0, max(n, 1), each)]


def _step(outputs: int) -> int:
    """Examples whose rows fill the registers of a matrix product without remainder."""
    return _REGISTERS // math.gcd(_REGISTERS, outputs)


def expect_finite(kernel: Tensor, where: str, what: str) -> None:
    """Raise if one of the kernel's numbers is not finite; one pass if all are."""
    if bool(torch.isfinite(kernel.sum())):
        return
    bad = int((~torch.isfinite(kernel)).sum())
    expect(
        bad == 0,
        where,
        "a finite kernel",
        f"{bad} {what} that are NaN or infinite",
        hint="look for weights or activations that overflow; .double() has more room.",
        error=NumericalError,
    )
