"""Conjugate gradients for kernel systems, preconditioned by a few of their own columns."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._switches import full_precision

# Columns of the preconditioner as a multiple of √n: its cost stays below that of the products.
COLUMNS = 5


@full_precision()
def conjugate_gradients(
    matrix: Float[Tensor, "n n"],
    targets: Float[Tensor, "n c"],
    ridge: Float[Tensor, "n"],
    *,
    tolerance: float = 1e-4,
    max_iterations: int = 100,
    seed: int = 0,
) -> tuple[Float[Tensor, "n c"], float]:
    """Solution of (K + diag(ridge)) α = Y by preconditioned conjugate gradients.

    The preconditioner replaces K by its Nyström approximation C A⁻¹ Cᵀ from 5√n random columns
    C, A their own rows, and what that leaves out by its mean diagonal:

        P = B Bᵀ + diag(ridge) + mean(diag(K − B Bᵀ)) I,     B = C A^{-1/2}

    Kernels whose spectrum is a few large values and a flat tail, as those of distances are in
    more than a few dimensions, then take tens of products.

    Args:
        matrix: K, symmetric positive semi-definite; not changed.
        targets: Y; every column has its own iteration, all share the products.
        ridge: > 0.
        tolerance: Largest residual of a column, relative to that column.
        max_iterations: After which it is given up.
        seed: Of the columns drawn.

    Returns:
        α, and the largest residual reached, as the recurrence has it.

    Cost:
        2 n² c flops an iteration, 75 n² once; n (5√n + 4c) numbers.

    Example:
        >>> x = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> solution, _ = conjugate_gradients(x, torch.tensor([[4.0], [4.0]]), torch.ones(2))
        >>> solution.round(decimals=3)
        tensor([[1.],
                [1.]])

    References:
        Frangella, Tropp, Udell (2023), arXiv:2110.02820: preconditioning by a Nyström
        approximation. The mean of the diagonal in place of the last eigenvalue is ours.
    """
    rows = drawn_columns(len(matrix), seed).to(matrix.device)
    # Symmetric: rows are contiguous, columns are not.
    solve = preconditioner(matrix[rows], rows, matrix.diagonal(), ridge)
    return preconditioned_iterations(
        lambda vectors: matrix @ vectors, solve, targets, ridge, tolerance, max_iterations
    )


def preconditioned_iterations(
    product: Callable[[Tensor], Tensor],
    solve: Callable[[Tensor], Tensor],
    targets: Float[Tensor, "n c"],
    ridge: Float[Tensor, "n"],
    tolerance: float,
    max_iterations: int,
    gained: Callable[[float], bool] = lambda share: False,
) -> tuple[Float[Tensor, "n c"], float]:
    """What `conjugate_gradients` does, of a matrix that is known by its products.

    Args:
        product: v ↦ K v.
        solve: v ↦ P⁻¹ v.
        targets: Y.
        ridge: > 0.
        tolerance: Largest residual.
        max_iterations: Most products.
        gained: Called after each with what it lowered ½ αᵀ(K + diag(ridge))α − αᵀY by, as a share
            of what all have, of the output where that is most; says whether to stop.
    """
    scale = targets.norm(dim=0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    solution, residual = torch.zeros_like(targets), targets.clone()
    changed = solve(residual)
    direction = changed.clone()
    moved = torch.linalg.vecdot(residual, changed, dim=0)
    error = float((residual.norm(dim=0) / scale).max())
    lowered = torch.zeros_like(moved)
    for _ in range(max_iterations):
        if not error > tolerance:
            break
        image = torch.addcmul(product(direction), ridge[:, None], direction)
        curvature = torch.linalg.vecdot(direction, image, dim=0)
        # A column that has converged to 0 stays there.
        step = torch.where(curvature > 0, moved / curvature, 0)
        gain = step * moved
        lowered += gain
        solution.addcmul_(direction, step)
        residual.addcmul_(image, step, value=-1)
        error = float((residual.norm(dim=0) / scale).max())
        changed = solve(residual)
        after = torch.linalg.vecdot(residual, changed, dim=0)
        ratio = torch.where(moved > 0, after / moved, 0)
        direction = torch.addcmul(changed, direction, ratio)
        moved = after
        if gained(float(torch.where(lowered > 0, gain / lowered, 0).max())):
            break
    return solution, error if math.isfinite(error) else math.inf


def drawn_columns(n: int, seed: int, most: int | None = None) -> Tensor:
    """Those the preconditioner is made of, 5√n at random."""
    draw = torch.Generator().manual_seed(seed)
    rank = min(n, int(COLUMNS * math.sqrt(n)))
    return torch.randperm(n, generator=draw)[: rank if most is None else min(rank, most)]


def preconditioner(
    columns: Float[Tensor, "rank n"],
    rows: Tensor,
    diagonal: Float[Tensor, "n"],
    ridge: Float[Tensor, "n"],
) -> Callable[[Tensor], Tensor]:
    """The function v ↦ P⁻¹ v.

    Args:
        columns: Some of K, one a row.
        rows: Which.
        diagonal: Of K.
        ridge: > 0.
    """
    inner = columns[:, rows].double()
    inner.diagonal().add_(1e-6 * inner.diagonal().mean())
    factor = torch.linalg.cholesky_ex(inner).L.to(columns.dtype)
    half = torch.linalg.solve_triangular(factor, columns, upper=False)
    del columns
    left_out = (diagonal - torch.linalg.vector_norm(half, dim=0) ** 2).clamp_min(0).mean()
    shift = ridge + left_out
    # P⁻¹ = S − WᵀW with S = 1/shift, W = C⁻¹ Bᵀ S and C Cᵀ = I + Bᵀ S B.
    half /= shift.sqrt()
    core = (half @ half.T).double()
    core.diagonal().add_(1)
    core = torch.linalg.cholesky_ex(core).L.to(half.dtype)
    half /= shift.sqrt()
    correction = torch.linalg.solve_triangular(core, half, upper=False)
    del half
    inverse = 1 / shift[:, None]

    def solve(vectors: Tensor) -> Tensor:
        return torch.addcmul(-(correction.T @ (correction @ vectors)), inverse, vectors)

    return solve
