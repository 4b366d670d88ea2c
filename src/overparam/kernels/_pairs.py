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
        if distance and len(z):
            mean = z.mean(0)
            z = z - mean
            x = z if self.same else x - mean
        mapped = apply_metric(x, feature_matrix)
        if not distance:
            self.left, self.right = mapped, z
            self.smallest = -float("inf")
            return
        left = (mapped * x).sum(1)
        right = left if self.same else (apply_metric(z, feature_matrix) * z).sum(1)
        one = torch.ones_like
        self.left = torch.cat([-2 * mapped, left[:, None], one(left)[:, None]], 1)
        self.right = torch.cat([z, one(right)[:, None], right[:, None]], 1)
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
        n, step = len(self.left), TILE
        memory = self.left.new_empty(min(n, step) ** 2)
        slices = [slice(start, min(start + step, n)) for start in range(0, n, step)]
        for i, rows in enumerate(slices):
            for columns in slices[: i + 1]:
                shape = rows.stop - rows.start, columns.stop - columns.start
                out = memory[: shape[0] * shape[1]].view(shape)
                yield rows, columns, self.block(rows, columns, coinciding=coinciding, out=out)

    def blocks(self, *, coinciding: float = 0.0) -> Iterator[tuple[slice, Tensor]]:
        """Every block of rows with its place, each in the memory of the one before."""
        memory = None
        for rows in self.row_slices():
            size = rows.stop - rows.start
            if memory is None:
                memory = self.left.new_empty(size, len(self.right))
            yield rows, self.block(rows, coinciding=coinciding, out=memory[:size])


def apply_metric(x: Tensor, feature_matrix: Tensor | None) -> Tensor:
    """The rows of x times M."""
    if feature_matrix is None:
        return x
    return x * feature_matrix if feature_matrix.ndim == 1 else x @ feature_matrix
