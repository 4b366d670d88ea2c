"""A Bregman step on scikit-learn's compiled step of k-means, with one more coordinate.

With u_j = σ S slope_j and t_j² = M − ‖u_j‖² + 2σ offset_j,

    ‖(S⁻¹(x − m), 0) − (u_j, t_j)‖² = ‖S⁻¹(x − m)‖² + M − 2σ (⟨x − m, slope_j⟩ − offset_j),

so that the nearest of the lifted centres is that of the least divergence, and the mean of the
lifted members is that of the members. S holds the spreads of the columns, as powers of 2; σ keeps
‖u‖² as small as the offsets, or their differences would be lost among its digits.

While few labels change, most rows are told to keep theirs in single precision, which is faster.
"""

import math
import os
from functools import cache
from itertools import cycle
from typing import Any

import numpy as np

from overparam.clustering._gemm import Products, Step
from overparam.clustering._geometry import Planes
from overparam.clustering._rows import Rows, parts
from overparam.clustering._running import RunningSums
from overparam.clustering._settled import Settled

# Of the mean divergence, which rounding may be before the exact way is taken.
_NOISE = 1e-3
# Python's threads, unlike the kernel's, wait for one another between calls; with more than two
# nobody has measured it. And calls have a cost.
_MOST_THREADS = 2
_FEWEST_ROWS = 8192
# The share of rows of which scores are formed once more at most, and the steps by the kernel after
# there were more: it may be that numbers in single precision do not tell the clusters apart.
_LOOKED_AT = 1 / 8
_REST = 16


@cache
def kernel() -> Any:
    """scikit-learn's step, or None where it is another function than the one known here.

    It is no public name, so it is tried: on four points and two centres.
    """
    try:
        from sklearn.cluster._k_means_lloyd import lloyd_iter_chunked_dense as step

        x = np.array([[0.0, 0], [2, 0], [8, 0], [8, 2]])
        centres, new = np.array([[0.0, 1], [8, 0]]), np.zeros((2, 2))
        weights, shift, labels = np.zeros(2), np.zeros(2), np.full(4, -1, np.int32)
        step(x, np.ones(4), centres, new, weights, labels, shift, 1)
    except Exception:  # whatever another version does with these arguments
        return None
    known = labels.tolist() == [0, 0, 1, 1] and new.tolist() == [[1, 0], [8, 1]]
    return step if known and weights.tolist() == [2, 2] else None


@cache
def _openmp_threads(environment: str | None) -> int:
    """As many threads as scikit-learn would take; asked once for each OMP_NUM_THREADS."""
    try:
        from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

        return int(_openmp_effective_n_threads())
    except Exception:
        return 1


class Lifted:
    """Steps of dense rows on the compiled kernel.

    Args:
        rows: Dense.
        reference: m of the planes.
        total: Σ w base, which the mean divergence is told by.
        isotropic: Whether slope_j is 2 (c_j − m), as for squared distances: then no coordinate
            is needed.

    Cost:
        One copy of the rows, and a step of scikit-learn's k-means in d + 1 dimensions. While few
        labels change, another copy in single precision and one product in it a step.
    """

    def __init__(
        self, rows: Rows, reference: np.ndarray, total: float, *, isotropic: bool = False
    ) -> None:
        n, d = len(rows), rows.n_columns
        self.exact = Products(rows, reference)
        self.is_precise, self._isotropic, self._total = True, isotropic, total
        self._single = rows.x.dtype == np.float32
        self._x = np.zeros((n, d if isotropic else d + 1), dtype=rows.x.dtype)
        self._scale = np.ones(d)
        for part in parts(n, d):
            self._x[part, :d] = rows.dense(part) - reference
        spreads = _spreads(self._x[:, :d], rows.weights)
        if not isotropic:
            self._scale = spreads
            for part in parts(n, d):
                self._x[part, :d] /= self._scale.astype(rows.x.dtype)
        self._threads = _openmp_threads(os.environ.get("OMP_NUM_THREADS"))
        # In single precision the whole sums are formed here, by one thread, from rows as they are.
        slow = self._single or n < _FEWEST_ROWS or self._threads > _MOST_THREADS
        self._rest = math.inf if slow else 0
        # What is settled in single precision makes up for what one thread follows.
        self._running = (
            RunningSums(rows, reference, spreads)
            if self._single
            else RunningSums(
                rows, reference, spreads, self._threads if slow else 1, near=self._x,
                scale=self._scale,
            )
        )  # fmt: skip
        self._weights = rows.weights.astype(rows.x.dtype)
        self._largest_weight = float(rows.weights.max())
        self._labels = cycle([np.empty(n, dtype=np.int32) for _ in range(2)])
        self._last: np.ndarray | None = None
        self._spreads = spreads / self._scale
        self._settled: Settled | None = None

    def step(self, planes: Planes) -> Step:
        """Labels and sums for some planes; exact ones where the kernel's would not be."""
        if not self.is_precise or planes.walls is not None:
            return self.exact.step(planes)
        labels = self._mostly_settled(planes)
        if labels is not None:
            step = self._running.follow(labels)
            if step is None:
                step = self._running.restart(self.exact.sums(labels, len(planes.slopes)))
            return step
        centres, noise = self._lift(planes)
        k, d = planes.slopes.shape
        new, weights, shift = np.zeros_like(centres), *np.zeros((2, k), centres.dtype)
        self._last = labels = next(self._labels)
        # Sums of many rows need more digits than single ones have.
        summing = not (self._single or self._running.is_calm)
        kernel()(
            self._x, self._weights, centres, new, weights, labels, shift, self._threads, summing
        )
        # The kernel moves an empty centre itself, by distances that mean nothing here.
        if summing and (weights.min() > self._largest_weight or len(np.unique(labels)) == k):
            sums = new[:, :d] * self._scale * weights[:, None]
            step = self._running.restart(Step(labels, sums, weights))
        else:
            step = self._running.follow(labels)
            if step is None:
                step = self._running.restart(self.exact.sums(labels, k))
        gain = (step.sums * planes.slopes).sum() - (step.weights * planes.offsets).sum()
        if noise * step.weights.sum() > _NOISE * (self._total - gain):
            self.is_precise = False
            return self.exact.step(planes)
        return step

    def _mostly_settled(self, planes: Planes) -> np.ndarray | None:
        """Labels, where few changed last and few may change now; else None."""
        self._rest -= 1
        before, k = self._last, len(planes.slopes)
        if not self._running.is_calm or before is None or self._rest >= 0:
            return None
        if self._settled is None:
            self._settled = Settled(self._x, self._spreads, k, self._threads)
        slopes, d = planes.slopes * self._scale, len(self._scale)
        places = self._settled.others(slopes, planes.offsets, before)
        if len(places) > _LOOKED_AT * len(before):
            self._running.is_calm, self._rest = False, _REST
            return None
        labels = next(self._labels)
        np.copyto(labels, before)
        x = self._x.take(places, axis=0)[:, :d]
        for part in parts(len(places), max(d, k)):
            labels[places[part]] = (x[part] @ slopes.T - planes.offsets).argmax(1)
        self._last = labels
        return labels

    def _lift(self, planes: Planes) -> tuple[np.ndarray, float]:
        """Lifted centres, and the rounding of a divergence that they lead to."""
        slopes = planes.slopes * self._scale
        squares = np.square(slopes).sum(1)
        steepest, highest = squares.max(), np.abs(planes.offsets).max()
        if self._isotropic:
            sigma = 0.5
        else:
            sigma = highest / steepest if highest > 0 and steepest > 0 else 1.0
        noise = float(np.finfo(self._x.dtype).eps * (sigma * steepest + highest))
        slopes *= sigma
        if self._isotropic:
            return np.ascontiguousarray(slopes, dtype=self._x.dtype), noise
        below = 2 * sigma * planes.offsets - sigma**2 * squares
        centres = np.empty((len(slopes), self._x.shape[1]), dtype=self._x.dtype)
        centres[:, :-1], centres[:, -1] = slopes, np.sqrt(below - below.min())
        return centres, noise


def _spreads(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Root mean squares of columns, rounded to powers of 2, by which division is exact."""
    squares = np.zeros(x.shape[1])
    for part in parts(len(x), x.shape[1]):
        squares += weights[part] @ np.square(x[part], dtype=np.float64)
    spreads = np.sqrt(squares / weights.sum())
    spreads = np.where((spreads > 1e-100) & (spreads < 1e100), spreads, 1.0)
    # Within what single precision holds as well.
    return np.exp2(np.clip(np.round(np.log2(spreads)), -100, 100))
