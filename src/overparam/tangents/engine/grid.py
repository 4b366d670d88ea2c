"""How a kernel matrix is cut into tiles, and where each tile's numbers stand."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

Tile = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """Which examples each tile pairs.

    Attributes:
        rows: The first axis in pieces.
        columns: The second.
        symmetric: Whether a tile below the diagonal is that above it, transposed.
    """

    rows: list[slice]
    columns: list[slice]
    symmetric: bool

    def __contains__(self, tile: Tile) -> bool:
        i, j = tile
        return 0 <= i < len(self.rows) and (i if self.symmetric else 0) <= j < len(self.columns)

    def tiles(self) -> Iterator[Tile]:
        """Every tile to compute, back and forth, so that a row begins where the last one ended."""
        for i in range(len(self.rows)):
            columns = range(i if self.symmetric else 0, len(self.columns))
            for j in columns if i % 2 == 0 else reversed(columns):
                yield i, j

    def places(self, array: np.ndarray, tile: Tile) -> list[np.ndarray]:
        """Where a tile stands in the matrix: once or twice, each a view laid out as the tile."""
        rows, columns = self.rows[tile[0]], self.columns[tile[1]]
        found = [array[rows, columns]]
        if self.symmetric and tile[0] != tile[1]:
            found.append(array[columns, rows].transpose((1, 0, 3, 2)[: array.ndim]))
        return found
