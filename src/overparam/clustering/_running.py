"""Sums of clusters while few rows change theirs: those are taken off here and added there."""

import numpy as np
from scipy.sparse import csc_array

from overparam.clustering._gemm import Step
from overparam.clustering._rows import Rows, parts

# What a row that is followed costs, in rows of a sum that one thread forms whole: it is looked up
# out of order, copied, and multiplied by a sparse matrix.
_COST = 16
_STEPS = 16  # that are followed, at most
_FAR = 64.0  # spreads


class RunningSums:
    """Steps for labels that are nearly those of the step before.

    What is taken off a sum leaves its rounding there. So sums are formed whole when less than half
    is left of the most that a cluster weighed, when a row changes that is further than 64 spreads
    from m, and every sixteenth time: in between, a centre is right to some spreads times ε.

    Args:
        rows: Dense.
        reference: m.
        spreads: Of the columns.
        threads: That a sum formed whole is divided among; what is followed is not. The more, the
            fewer rows are followed: at most n / (16 threads).

    Attributes:
        is_calm: Whether so few labels changed last that the next sums are likely to be followed.

    Cost:
        n comparisons and 4 d operations for every row that changed.
    """

    def __init__(
        self, rows: Rows, reference: np.ndarray, spreads: np.ndarray, threads: int = 1
    ) -> None:
        n, d = len(rows), rows.n_columns
        self.is_calm = False
        self._rows, self._reference = rows, reference
        self._equal = rows.weights[0] if (rows.weights == rows.weights[0]).all() else None
        self._lightest = rows.weights[rows.weights > 0].min() / 2
        self._labels: np.ndarray | None = None
        self._few = n // (_COST * threads)
        self._differ, self._left = np.empty(n, dtype=bool), 0
        self._signs = np.tile([1.0, -1.0], self._few)
        self._ends = np.arange(0, 2 * self._few + 1, 2, dtype=np.int32)
        for part in parts(n, d):
            apart = np.abs(rows.dense(part) - reference)
            self._differ[part] = (apart > _FAR * spreads).any(axis=1)
        self._far = np.flatnonzero(self._differ)

    def restart(self, whole: Step) -> Step:
        """Go on from sums that were formed whole."""
        before, self._labels = self._labels, whole.labels
        self.is_calm = before is not None and len(self._changed(before, whole.labels)) <= self._few
        self._totals = np.column_stack([whole.sums, whole.weights])
        # What holds no weight may not be followed: rounding would be all that is left of it.
        self._least = np.maximum(whole.weights / 2, self._lightest)
        self._left = _STEPS
        return whole

    def follow(self, labels: np.ndarray) -> Step | None:
        """The step of these labels; None where it has to be formed whole."""
        before, self._left = self._labels, self._left - 1
        if before is None or self._left < 0:
            return None
        at = self._changed(before, labels)
        self.is_calm = len(at) <= self._few and self._left > 0
        if len(at) > self._few or self._differ[self._far].any():
            return None
        self._labels = labels
        if not len(at):
            return Step(labels, self._totals[:, :-1], self._totals[:, -1])
        d = self._rows.n_columns
        terms = np.empty((len(at), d + 1))
        np.subtract(self._rows.x.take(at, axis=0), self._reference, out=terms[:, :d])
        terms[:, d] = 1.0
        terms *= self._rows.weights[at, None] if self._equal is None else self._equal
        clusters = np.empty((len(at), 2), dtype=np.int32)
        clusters[:, 0], clusters[:, 1] = labels.take(at), before.take(at)
        entries = self._signs[: 2 * len(at)], clusters.ravel(), self._ends[: len(at) + 1]
        self._totals = self._totals + csc_array(entries, (len(self._least), len(at))) @ terms
        weights = self._totals[:, d]
        if (weights < self._least).any():
            return None
        np.maximum(self._least, weights / 2, out=self._least)
        return Step(labels, self._totals[:, :d], weights)

    def _changed(self, before: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Places of the labels that differ."""
        return np.flatnonzero(np.not_equal(before, labels, out=self._differ))
