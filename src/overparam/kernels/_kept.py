"""The kernel matrix of a round, kept from its solve for its gradients."""

from collections.abc import Callable, Iterator
from typing import Literal

from torch import Tensor

from overparam.kernels._pairs import TILE, lower_tiles
from overparam.kernels.functions import (
    SYMMETRIC_COLUMNS,
    FeatureMatrix,
    Kernel,
    PairKernel,
    symmetric_products,
)


class Kept(PairKernel):
    """A kernel that keeps its matrix of one set of points with themselves.

    The next matrix of theirs overwrites it, in memory that need not be asked for again, and
    slopes at those points are read off it instead of computed from the pairs. Whoever is given
    the matrix may change its diagonal and nothing else.

    Args:
        kernel: Whose values they are; may be replaced between rounds.
        points: The set, known by identity.

    Attributes:
        told: Called with "matrix" or "slopes", and the share of them that is computed.
    """

    def __init__(self, kernel: PairKernel, points: Tensor) -> None:
        self.kernel = kernel
        self.points = points
        self.distance = kernel.distance
        self._matrix: Tensor | None = None
        self._of: tuple[PairKernel, FeatureMatrix] | None = None
        self.told: Callable[[Literal["matrix", "slopes"], float], None] = lambda part, done: None

    @property
    def held(self) -> int:
        """Bytes kept."""
        return 0 if self._matrix is None else self._matrix.nbytes

    def values_(self, pairs: Tensor) -> Tensor:
        """As `PairKernel.values_`."""
        return self.kernel.values_(pairs)

    def slopes_(self, pairs: Tensor) -> Tensor:
        """As `PairKernel.slopes_`."""
        return self.kernel.slopes_(pairs)

    def matrix(
        self, x1: Tensor, x2: Tensor | None = None, feature_matrix: FeatureMatrix = None
    ) -> Tensor:
        """Kernel of every pair, as `Kernel.matrix`."""
        if x2 is not None or x1 is not self.points:
            return self.kernel.matrix(x1, x2, feature_matrix)
        if self._matrix is None:
            self._matrix = x1.new_empty(len(x1), len(x1))
        self._of = self.kernel, feature_matrix
        pairs = self.kernel.pairs(x1, None, feature_matrix)
        return self.kernel.fill(self._matrix, pairs, lambda done: self.told("matrix", done))

    def slope_products(
        self,
        x: Tensor | None,
        centres: Tensor,
        weighted: Tensor,
        feature_matrix: FeatureMatrix = None,
    ) -> Iterator[tuple[slice, Tensor]]:
        """As `PairKernel.slope_products`."""
        known = (
            x is None
            and centres is self.points
            and self._of is not None
            and self._of[0] is self.kernel
            and self._of[1] is feature_matrix
        )
        if not known or weighted.shape[1] > SYMMETRIC_COLUMNS:
            yield from self._watched(x, centres, weighted, feature_matrix)
            return
        yield from symmetric_products(self._slopes(), weighted)

    def _watched(
        self,
        x: Tensor | None,
        centres: Tensor,
        weighted: Tensor,
        feature_matrix: FeatureMatrix,
    ) -> Iterator[tuple[slice, Tensor]]:
        """The kernel's own products, block by block."""
        count = len(centres if x is None else x)
        for rows, block in self.kernel.slope_products(x, centres, weighted, feature_matrix):
            yield rows, block
            self.told("slopes", rows.stop / count)

    def _slopes(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Tiles of slopes, each in the memory of the one before."""
        assert self._matrix is not None
        memory = self._matrix.new_empty(min(len(self._matrix), TILE) ** 2)
        for rows, columns in lower_tiles(len(self._matrix)):
            values = self._matrix[rows, columns]
            tile = memory[: values.numel()].view(values.shape).copy_(values)
            if rows == columns:
                tile.diagonal().fill_(1)  # whatever ridge was added there
            self.kernel.slopes_of_values_(tile)
            yield rows, columns, tile
            if rows == columns:
                self.told("slopes", (rows.stop / len(self._matrix)) ** 2)


def kept(kernel: Kernel, points: Tensor) -> Kept | None:
    """`Kept`, for a kernel of distances whose slopes its values tell; None for another."""
    if not isinstance(kernel, PairKernel) or not kernel.distance:
        return None
    told = kernel.slopes_of_values_(points.new_full((1,), 0.5)) is not None
    return Kept(kernel, points) if told else None
