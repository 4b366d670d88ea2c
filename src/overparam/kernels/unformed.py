"""Kernel ridge regression whose matrix does not fit: its products, formed a tile at a time."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._memory import part_of
from overparam._switches import full_precision
from overparam._threads import compute_on, threads_kept
from overparam.kernels._pairs import TILE, lower_tiles
from overparam.kernels.functions import FeatureMatrix, PairKernel
from overparam.kernels.preconditioned import (
    drawn_columns,
    preconditioned_iterations,
    preconditioner,
)

# Columns of the preconditioner at most, so that memory is linear in n, and copies of them.
MOST_COLUMNS, COPIES = 1000, 2.2
# Tiles after which progress is told, and residuals that count as solved.
TOLD, LARGEST = 50, 0.05


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
    tolerance: float = 1e-3,
    max_iterations: int = 40,
    seed: int = 0,
    inside: Callable[[float], None] = lambda done: None,
) -> Float[Tensor, "n c"] | None:
    """Coefficients of `fit_ridge` by `conjugate_gradients`, without n² numbers.

    Every product with the kernel matrix forms its tiles on and below the diagonal anew, so one is
    half the kernel values of an epoch of EigenPro; mostly about ten of them are enough.

    Args:
        kernel: A function of a distance or an inner product.
        x: Points.
        targets: Y.
        ridge: λ > 0.
        feature_matrix: M.
        weights: Of the points, > 0; λ/w is then the ridge of each.
        tolerance: Of what products have lowered the squared distance from the solution by, in the
            norm of the system: the share that one lowers it by when it is the last. Residuals,
            which rise and fall on the way, are then about a hundredth of the targets.
        max_iterations: Most products.
        seed: Of the preconditioner's columns.
        inside: Called with the share that is done, as far as that tells, many times a product.

    Returns:
        α; None where memory is too small for a preconditioner that helps, and where residuals are
        above a twentieth of the targets at the end.

    Cost:
        n²/2 kernel values and 2 n² c flops a product; 2 n r² flops once and 2.2 n r numbers in
        double precision, with r = min(5√n, 1000) or what fits.
    """
    n = len(x)
    word = COPIES * n * 8
    most = part_of(0.9, int(word * MOST_COLUMNS), x.device) // int(word)
    rows = drawn_columns(n, seed, most).to(x.device)
    if len(rows) < min(n, math.sqrt(n)):
        return None
    shift = torch.full_like(targets[:, 0], ridge) if weights is None else ridge / weights
    reached = _Reached(inside, tolerance)

    # It takes away all but a part in n of the largest eigenvalues: not in single precision.
    columns = kernel.matrix(x[rows], x, feature_matrix).double()
    reached.within(0.1)
    diagonal = kernel.diagonal(x, feature_matrix).double()
    inverse = preconditioner(columns, rows, diagonal, shift.double())
    del columns
    # A tile is too little work for several threads, which would wait for each other at each step.
    workers = torch.get_num_threads() if x.device.type == "cpu" else 1
    others = ThreadPoolExecutor(max(1, workers - 1), initializer=compute_on, initargs=(1,))
    ended, tiles = Event(), list(lower_tiles(n))

    def product(vectors: Tensor) -> Tensor:
        common = kernel, x, feature_matrix, vectors, ended
        parts = [
            others.submit(_product, *common, tiles[k::workers], lambda part: None)
            for k in range(1, workers)
        ]
        own = _product(*common, tiles[::workers], reached.within)
        return sum((part.result() for part in parts), own).to(vectors)

    with threads_kept(), others:
        compute_on(1)
        try:
            dual, residual = preconditioned_iterations(
                product, lambda vectors: inverse(vectors.double()).to(vectors),
                targets, shift, 0.0, max_iterations, reached.after,
            )  # fmt: skip
        finally:  # an interrupt waits for no tile but those begun
            ended.set()
    return dual if residual <= LARGEST else None


def _product(
    kernel: PairKernel,
    x: Tensor,
    feature_matrix: FeatureMatrix,
    vectors: Tensor,
    ended: Event,
    tiles: list[tuple[slice, slice]],
    told: Callable[[float], None],
) -> Tensor:
    """What some tiles of the kernel matrix, and their mirror images, add to its product.

    Sums of as many terms as there are rows nearly cancel: they are in double precision.
    """
    pairs = kernel.pairs(x, None, feature_matrix)
    memory = x.new_empty(min(len(x), TILE) ** 2)
    sums = torch.zeros_like(vectors, dtype=torch.float64)
    for place, (rows, columns) in enumerate(tiles, 1):
        if ended.is_set():
            break
        shape = rows.stop - rows.start, columns.stop - columns.start
        tile = memory[: shape[0] * shape[1]].view(shape)
        kernel.values_(pairs.block(rows, columns, out=tile))
        sums[rows] += tile @ vectors[columns]
        if rows != columns:
            sums[columns] += tile.T @ vectors[rows]
        if place % TOLD == 0:
            told(place / len(tiles))
    return sums


class _Reached:
    """What share of the way to the tolerance products have come, and never less than before."""

    def __init__(self, inside: Callable[[float], None], tolerance: float) -> None:
        self.inside, self.tolerance = inside, tolerance
        self.products, self.shown, self.done, self.step = 0, 0.0, 0.0, 0.1

    def after(self, gain: float) -> bool:
        """A product that gained such a share; whether that is little enough."""
        self.products += 1
        ended = gain <= self.tolerance
        if 0 < gain < 1 or ended:
            come = 1.0 if ended else math.log(gain) / math.log(self.tolerance)
            self.done = max(self.done, min(1.0, come))
        self.step = self.done / self.products
        self.within(0.0)
        return ended

    def within(self, part: float) -> None:
        """A part of the next, which may bring as much as those before did in the mean."""
        self.shown = max(self.shown, min(1.0, self.done + self.step * part))
        self.inside(self.shown)
