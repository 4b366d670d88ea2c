"""Kernel ridge regression whose matrix does not fit: its products, formed a tile at a time."""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._memory import part_of
from overparam._switches import full_precision
from overparam.kernels.functions import FeatureMatrix, PairKernel, symmetric_products
from overparam.kernels.preconditioned import (
    drawn_columns,
    preconditioned_iterations,
    preconditioner,
)

# Columns of the preconditioner at most, so that memory is linear in n, and copies of them.
MOST_COLUMNS, COPIES = 2000, 2.2


@checked
@full_precision()
def fit_unformed(
    kernel: PairKernel,
    x: Float[Tensor, "n d"],
    targets: Float[Tensor, "n c"],
    *,
    ridge: float,
    feature_matrix: FeatureMatrix = None,
    weights: Float[Tensor, "n"] | None = None,
    tolerance: float = 3e-3,
    max_iterations: int = 50,
    seed: int = 0,
    inside: Callable[[float], None] = lambda done: None,
) -> Float[Tensor, "n c"] | None:
    """Coefficients of `fit_ridge` by `conjugate_gradients`, without n² numbers.

    Every product with the kernel matrix forms its tiles on and below the diagonal anew, so one is
    half the kernel values of an epoch of EigenPro; mostly ten to twenty of them are enough.

    Args:
        kernel: A function of a distance or an inner product.
        x: Points.
        targets: Y.
        ridge: λ > 0.
        feature_matrix: M.
        weights: Of the points, > 0; λ/w is then the ridge of each.
        tolerance: Largest residual, relative to the targets; 3·10⁻³ of them is below their noise.
        max_iterations: After which it is given up.
        seed: Of the preconditioner's columns.
        inside: Called with the share that is done, as far as residuals tell, many times a product.

    Returns:
        α; None where memory is too small for a preconditioner that helps, and where the residual
        is still above ten times the tolerance at the end.

    Cost:
        n²/2 kernel values and 2 n² c flops a product; 2 n r² flops once and 2.2 n r numbers, with
        r = min(5√n, 2000) or what fits.
    """
    n = len(x)
    word = COPIES * n * x.element_size()
    most = part_of(0.9, int(word * MOST_COLUMNS), x.device) // int(word)
    rows = drawn_columns(n, seed, most).to(x.device)
    if len(rows) < min(n, math.sqrt(n)):
        return None
    shift = torch.full_like(targets[:, 0], ridge) if weights is None else ridge / weights
    reached = _Reached(inside, tolerance)

    def product(vectors: Tensor) -> Tensor:
        tiles = _tiles(kernel, x, feature_matrix, reached)
        return torch.cat([part for _, part in symmetric_products(tiles, vectors)])

    solve = preconditioner(
        kernel.matrix(x[rows], x, feature_matrix), rows, kernel.diagonal(x, feature_matrix), shift
    )
    dual, residual = preconditioned_iterations(
        product, solve, targets, shift, tolerance, max_iterations, reached.after
    )
    return dual if residual <= 10 * tolerance else None


def _tiles(
    kernel: PairKernel, x: Tensor, feature_matrix: FeatureMatrix, reached: "_Reached"
) -> Iterator[tuple[slice, slice, Tensor]]:
    """The kernel of the points with themselves, on and below the diagonal."""
    for rows, columns, tile in kernel.pairs(x, None, feature_matrix).tiles():
        yield rows, columns, kernel.values_(tile)
        if rows == columns:
            reached.within((rows.stop / len(x)) ** 2)


class _Reached:
    """What share of the way to the tolerance residuals have come, and never less than before."""

    def __init__(self, inside: Callable[[float], None], tolerance: float) -> None:
        self.inside, self.tolerance = inside, tolerance
        self.products, self.shown, self.done, self.step = 0, 0.0, 0.0, 0.1

    def after(self, residual: float) -> None:
        """A product, that left so much."""
        self.products += 1
        if 0 < residual < 1:
            self.done = max(self.done, min(1.0, math.log(residual) / math.log(self.tolerance)))
        self.step = self.done / self.products
        self.within(0.0)

    def within(self, part: float) -> None:
        """A part of the next, which may bring as much as those before did in the mean."""
        self.shown = max(self.shown, min(1.0, self.done + self.step * part))
        self.inside(self.shown)
