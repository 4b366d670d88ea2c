"""Distances and inner products of two sets of points, block by block, from one product each."""

from collections.abc import Iterator

import torch
from torch import Tensor

# Numbers in a block: small enough to stay in a core's cache over the passes made on it.
BLOCK = 1 << 18
TILE = 512


class Pairs:
    """The number ‖xᵢ − zⱼ‖²_M (or xᵢᵀ M zⱼ) of every pair, delivered in blocks of rows.

    Squared distances come from a single matrix product of rows (−2Mx, xᵀMx, 1) and
    (z, 1, zᵀMz), about the mean of z so that little cancels. They are exact to rounding of the
    *norms*: what is not above `smallest` cannot be told from 0, and is delivered as
    `coinciding`, and so is every point's distance from itself.

    Args:
        x: Points, one a row.
        z: Others; None means `x`, whose pairs with themselves are then known to coincide.
        feature_matrix: M: None for the identity, a vector for a diagonal, or a matrix.
        distance: Squared distances; else inner products.
    """

    def __init__(
        self, x: Tensor, z: Tensor | None, feature_matrix: Tensor | None, distance: bool
    ) -> None:
        self.same = z is None
        z = x if z is None else z
        self.distance = distance
        if not distance:
            self.left, self.right = apply_metric(x, feature_matrix), z
            self.smallest = -float("inf")
            return
        d = z.shape[1]
        mean = z.mean(0) if len(z) else z.new_zeros(d)
        self.left, self.right = x.new_ones(len(x), d + 2), z.new_ones(len(z), d + 2)
        centred = torch.sub(z, mean, out=self.right[:, :d])
        if self.same:
            mapped = apply_metric(centred, feature_matrix, out=self.left[:, :d])
            left = right = torch.linalg.vecdot(mapped, centred)
        else:
            shifted = x - mean
            mapped = apply_metric(shifted, feature_matrix, out=self.left[:, :d])
            left = torch.linalg.vecdot(mapped, shifted)
            right = torch.linalg.vecdot(apply_metric(centred, feature_matrix), centred)
        mapped.mul_(-2)
        self.left[:, d], self.right[:, d + 1] = left, right
        largest = max(float(left.max()) if len(left) else 0.0, float(right.max()), 0.0)
        self.smallest = 8 * torch.finfo(x.dtype).eps * largest

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.left), len(self.right)

    def row_slices(self) -> Iterator[slice]:
        """The rows of every block, in order."""
        step = max(16, BLOCK // max(1, len(self.right)))
        for start in range(0, len(self.left), step):
            yield slice(start, min(start + step, len(self.left)))

    def block(
        self,
        rows: slice,
        columns: slice = slice(None),
        *,
        coinciding: float = 0.0,
        out: Tensor | None = None,
    ) -> Tensor:
        """One block, to be overwritten by whoever asked for it."""
        block = torch.mm(self.left[rows], self.right[columns].T, out=out)
        if self.distance:
            torch.threshold_(block, self.smallest, coinciding)
            if self.same:
                own = rows.start - (columns.start or 0)
                if own < block.shape[1]:
                    block.diagonal(own).fill_(coinciding)
        return block

    def tiles(self, *, coinciding: float = 0.0) -> Iterator[tuple[slice, slice, Tensor]]:
        """The square blocks on and below the diagonal, for points paired with themselves."""
        assert self.same
        memory = self.left.new_empty(min(len(self.left), TILE) ** 2)
        for rows, columns in lower_tiles(len(self.left)):
            shape = rows.stop - rows.start, columns.stop - columns.start
            out = memory[: shape[0] * shape[1]].view(shape)
            yield rows, columns, self.block(rows, columns, coinciding=coinciding, out=out)

    def rectangles(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Every block of at most `TILE` rows with its place, each in the memory of the one before.

        Of many columns, a block of whole rows would be a few rows, made of more than fits a cache.
        """
        n, m = self.shape
        height = min(n, TILE)
        width = min(m, BLOCK // max(1, height))
        memory = self.left.new_empty(height * width)
        for start in range(0, n, TILE):
            rows = slice(start, min(start + TILE, n))
            for first in range(0, m, width):
                columns = slice(first, min(first + width, m))
                shape = rows.stop - rows.start, columns.stop - columns.start
                out = memory[: shape[0] * shape[1]].view(shape)
                yield rows, columns, self.block(rows, columns, out=out)

    def blocks(self, *, coinciding: float = 0.0) -> Iterator[tuple[slice, Tensor]]:
        """Every block of rows with its place, each in the memory of the one before."""
        memory = None
        for rows in self.row_slices():
            size = rows.stop - rows.start
            if memory is None:
                memory = self.left.new_empty(size, len(self.right))
            yield rows, self.block(rows, coinciding=coinciding, out=memory[:size])


def lower_tiles(n: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the square blocks on and below the diagonal of an n × n matrix."""
    slices = [slice(start, min(start + TILE, n)) for start in range(0, n, TILE)]
    for i, rows in enumerate(slices):
        for columns in slices[: i + 1]:
            yield rows, columns


def apply_metric(x: Tensor, feature_matrix: Tensor | None, *, out: Tensor | None = None) -> Tensor:
    """The rows of x times M, written into `out` if there is one."""
    if feature_matrix is None:
        return x if out is None else out.copy_(x)
    product = torch.mul if feature_matrix.ndim == 1 else torch.mm
    return product(x, feature_matrix, out=out)
