"""Who is nearest, as one matrix product; in double precision, whatever the rows are in."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csc_array

from overparam.clustering._geometry import Planes
from overparam.clustering._rows import Rows, parts

_FAR = 1e300  # a score below all that planes give


class Step(NamedTuple):
    """Labels, and of every cluster Σ w (x − m), (k, d), and Σ w, (k,)."""

    labels: np.ndarray
    sums: np.ndarray
    weights: np.ndarray


class Products:
    """Steps of rows by products of their own size with the slopes, a few rows at a time.

    Args:
        rows: Dense or sparse.
        reference: m of the planes.

    Cost:
        2 n k d flops a step and 2 MiB, beside the labels.
    """

    def __init__(self, rows: Rows, reference: np.ndarray) -> None:
        self.rows, self.reference = rows, reference

    def step(self, planes: Planes) -> Step:
        """Labels and sums for some planes."""
        k, d = planes.slopes.shape
        labels = np.empty(len(self.rows), dtype=np.int32)
        sums, weights = np.zeros((k, d)), np.zeros(k)
        for part, x, scores in self._scores(planes):
            labels[part] = scores.argmax(1)
            self._add(part, x, labels[part], sums, weights)
        if self.rows.is_sparse:
            sums -= weights[:, None] * self.reference
        return Step(labels, sums, weights)

    def sums(self, labels: np.ndarray, k: int) -> Step:
        """Sums for labels that are known."""
        sums, weights = np.zeros((k, self.rows.n_columns)), np.zeros(k)
        for part in parts(len(self.rows), self.rows.n_columns):
            x = self.rows.dense(part) - self.reference
            self._add(part, x, labels[part], sums, weights)
        return Step(labels, sums, weights)

    def _add(
        self, part: slice, x: Any, labels: np.ndarray, sums: np.ndarray, weights: np.ndarray
    ) -> None:
        """Add some rows to the sums of their clusters."""
        k, w = len(weights), self.rows.weights[part]
        members = csc_array((w, labels, np.arange(len(w) + 1)), shape=(k, len(w)))
        found = members @ x
        sums += found.toarray() if sparse.issparse(x) else found
        weights += np.bincount(labels, w, minlength=k)

    def labels(self, planes: Planes) -> np.ndarray:
        """Labels alone."""
        labels = np.empty(len(self.rows), dtype=np.int32)
        for part, _, scores in self._scores(planes):
            labels[part] = scores.argmax(1)
        return labels

    def divergences(self, planes: Planes, base: np.ndarray) -> np.ndarray:
        """All divergences, (n, k), infinite beyond walls."""
        found = np.empty((len(self.rows), len(planes.slopes)))
        for part, _, scores in self._scores(planes):
            found[part] = np.maximum(base[part, None] - scores, 0.0)
        if planes.walls is not None:
            found[found >= _FAR / 2] = np.inf
        return found

    def _scores(self, planes: Planes) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Rows, those minus m if they are dense, and ⟨x − m, slopes⟩ − offsets of them.

        The scores are overwritten by the next.
        """
        slopes, shift = np.ascontiguousarray(planes.slopes.T), -planes.offsets
        if self.rows.is_sparse:
            shift = shift - planes.slopes @ self.reference
        held = np.empty((0, len(shift)))
        for part in parts(len(self.rows), max(planes.slopes.shape)):
            if self.rows.is_sparse:
                raw = x = self.rows.x[part].astype(np.float64)
                scores = x @ slopes
            else:
                raw = self.rows.dense(part)
                x = raw - self.reference
                if not len(held):  # the first part is the longest
                    held = np.empty((len(x), len(shift)))
                scores = np.matmul(x, slopes, out=held[: len(x)])
            scores += shift
            if planes.walls is not None:
                self._behind_walls(scores, raw, planes)
            yield part, x, scores

    @staticmethod
    def _behind_walls(scores: np.ndarray, x: np.ndarray, planes: Planes) -> None:
        """Scores of infinite divergences: below all others, and lower the further behind."""
        assert planes.walls is not None
        behind = x @ planes.walls.T - planes.at
        far = behind > 0
        behind = behind[far]
        scores[far] = -_FAR * (1 + behind / (1 + behind))
