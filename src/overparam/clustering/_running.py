"""Sums of clusters while few rows change theirs: those are taken off here and added there."""

from typing import Any

import numpy as np
from scipy.sparse import csc_array

from overparam.clustering._gemm import Step
from overparam.clustering._rows import Rows, parts

# What a row that is followed costs, in rows of a sum that one thread forms whole: it is looked up
# out of order, copied, and multiplied by a sparse matrix.
_COST = 16
# That are followed, at most: each rounds a sum once, where one formed whole is rounded as often as
# a cluster has rows.
_STEPS = 64
_FAR = 64.0  # spreads


class RunningSums:
    """Steps for labels that are nearly those of the step before.

    What is taken off a sum leaves its rounding there. So sums are formed whole when less than half
    is left of the most that a cluster weighed, when a row changes that is further than 64 spreads
    from m, and after 64 steps: in between, a centre is right to some spreads times ε.

    Args:
        rows: Dense.
        reference: m.
        spreads: Of the columns.
        near: The rows minus m, over `scale`, where a step has just read them: what a cache still
            holds is looked up faster. Columns beyond those of the rows are ignored. By default
            they are formed from `rows`.
        scale: Of the columns of `near`, powers of 2.
        threads: That a sum formed whole is divided among; what is followed is not. The more, the
            fewer rows are followed: at most n / (16 threads).

    Attributes:
        is_calm: Whether so few labels changed last that the next sums are likely to be followed.

    Cost:
        n comparisons and 4 d operations for every row that changed.
    """

    def __init__(
        self,
        rows: Rows,
        reference: np.ndarray,
        spreads: np.ndarray,
        threads: int = 1,
        *,
        near: np.ndarray | None = None,
        scale: float | np.ndarray = 1.0,
    ) -> None:
        n, d = len(rows), rows.n_columns
        self.is_calm = False
        self._rows, self._reference = rows, reference
        self._near, self._scale = near, scale
        self._lightest = rows.weights[rows.weights > 0].min() / 2
        self._labels: np.ndarray | None = None
        self._few = few = n // (_COST * threads)
        self._differ, self._left = np.empty(n, dtype=bool), 0
        # Kept from step to step: to make them costs as much as to fill them.
        self._terms = np.zeros((few, d if near is None else near.shape[1]))
        self._are_ones = bool((rows.weights == 1).all())
        self._ends = np.arange(0, 2 * few + 1, 2, dtype=np.int32)
        self._moves: Any = None
        for part in parts(n, d):
            apart = np.abs(rows.dense(part) - reference)
            self._differ[part] = (apart > _FAR * spreads).any(axis=1)
        self._far = np.flatnonzero(self._differ)

    def restart(self, whole: Step) -> Step:
        """Go on from sums that were formed whole."""
        before, self._labels = self._labels, whole.labels
        self.is_calm = before is not None and self._changed(before, whole.labels) <= self._few
        self._sums, self._weights = whole.sums, whole.weights
        if self._moves is None and self._few:
            signs = np.tile([1.0, -1.0], self._few)
            clusters = np.zeros(len(signs), dtype=np.int32)
            shape = len(whole.weights), self._few
            self._moves = csc_array((signs, clusters, self._ends.copy()), shape=shape)
        # What holds no weight may not be followed: rounding would be all that is left of it.
        self._least = np.maximum(whole.weights / 2, self._lightest)
        self._left = _STEPS
        return whole

    def follow(self, labels: np.ndarray) -> Step | None:
        """The step of these labels; None where it has to be formed whole."""
        before, self._left = self._labels, self._left - 1
        if before is None or self._left < 0:
            return None
        n_changed = self._changed(before, labels)
        self.is_calm = n_changed <= self._few and self._left > 0
        if n_changed > self._few or self._differ[self._far].any():
            return None
        self._labels = labels
        if not n_changed:
            return Step(labels, self._sums, self._weights)
        sums, weights = self._moved(before, labels, n_changed)
        self._sums = self._sums + sums[:, : len(self._reference)] * self._scale
        self._weights = weights = self._weights + weights
        if (weights < self._least).any():
            return None
        np.maximum(self._least, weights / 2, out=self._least)
        return Step(labels, self._sums, weights)

    def _moved(
        self, before: np.ndarray, labels: np.ndarray, n_changed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the rows that are marked add to sums, over the scale, and to weights."""
        at = np.flatnonzero(self._differ)
        terms = self._terms[:n_changed]
        if self._near is None:
            np.subtract(self._rows.x.take(at, axis=0), self._reference, out=terms)
        else:
            self._near.take(at, axis=0, out=terms, mode="clip")
        come, gone = labels.take(at), before.take(at)
        if self._are_ones:
            w = None
        else:
            w = self._rows.weights.take(at)
            terms *= w[:, None]
        moves = self._moves
        moves.indices[: 2 * n_changed : 2] = come
        moves.indices[1 : 2 * n_changed : 2] = gone
        # The columns beyond hold nothing.
        np.minimum(self._ends, 2 * n_changed, out=moves.indptr)
        k = len(self._weights)
        return moves @ self._terms, np.bincount(come, w, k) - np.bincount(gone, w, k)

    def _changed(self, before: np.ndarray, labels: np.ndarray) -> int:
        """How many labels differ, which are marked."""
        return int(np.count_nonzero(np.not_equal(before, labels, out=self._differ)))
