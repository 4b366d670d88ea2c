"""Rows that keep their cluster for certain, by a product in single precision.

It takes half the time of one in double precision, and how wrong it is at most is known. A row whose
own score is larger than all others by more than that keeps its label; of the rest, which are few
where few labels change, scores are formed in double precision.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

# Scores that a thread holds at once, 1 MiB, and the rows of one product: the longest calls of
# which what they read and write stays in a core's cache. Between two calls threads wait for each
# other.
_HELD = 2**18
_ROWS = 512


class Settled:
    """Which rows may change their label.

    Args:
        x: Rows minus m, ``(n, ≥ d)``; columns beyond d are ignored.
        scale: Of the d columns, powers of 2, by which they are divided: single precision has not
            the range of double.
        k: Planes.
        threads: Among which the rows are divided; BLAS is to take one.

    Cost:
        A copy of the rows in single precision, and 2 n k (d + 1) flops in it a call.
    """

    def __init__(self, x: np.ndarray, scale: np.ndarray, k: int, threads: int) -> None:
        n, d = len(x), len(scale)
        rows = min(_ROWS, max(_HELD // k, 16))
        self._n, self._scale, self._step = n, scale, max(_HELD // (k * rows), 1)
        # A block of rows after the other, each turned; a last row of ones, for the offsets.
        self._x = np.zeros((-(-n // rows), d + 1, rows), dtype=np.float32)
        self._x[:, d] = 1.0
        self._lengths = np.zeros((len(self._x), rows), dtype=np.float32)
        inverse = 1 / scale
        with np.errstate(over="ignore"):  # a row that is infinite here is looked at
            for i, block in enumerate(self._x):
                part = (x[i * rows : (i + 1) * rows, :d] * inverse).astype(np.float32)
                block[:d, : len(part)] = part.T
                self._lengths[i, : len(part)] = np.einsum("ij,ij->i", part, part)
        np.sqrt(self._lengths, out=self._lengths)
        self._labels = np.zeros(self._lengths.shape, dtype=np.int32)
        self._keeps = np.empty(self._lengths.shape, dtype=bool)
        # Where a row's scores begin, those of a few blocks lying together.
        at = np.arange(self._step)[:, None] * (k * rows) + np.arange(rows)
        self._first = at.astype(np.intp)
        self._buffers = [
            (
                np.empty((self._step, k, rows), dtype=np.float32),
                np.empty((2, self._step, rows), dtype=np.float32),
                np.empty((self._step, rows), dtype=np.intp),
            )
            for _ in range(threads)
        ]
        groups = -(-len(self._x) // self._step)
        edges = np.linspace(0, groups, threads + 1).astype(int) * self._step
        self._edges = np.minimum(edges, len(self._x)).tolist()
        self._pool = ThreadPoolExecutor(max(threads - 1, 1))  # which starts none for nothing

    def others(self, slopes: np.ndarray, offsets: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Places of the rows of which ⟨x, slope_j⟩ − offset_j may be largest for another j."""
        d = len(self._scale)
        lines = np.column_stack([slopes * self._scale, -offsets])
        largest = np.abs(lines).max()
        lines /= largest if 0 < largest < np.inf else 1.0
        # Two roundings of every term's factors, one of it and d of the sum are at most
        # (d + 3) ε/2 Σ |terms| of a score, and twice that of a difference; as much again for
        # products of roundings, for the handicap and for scores in double precision. The last is
        # for numbers whose squares single precision does not hold.
        far = 2 * (d + 4) * float(np.finfo(np.float32).eps)
        steepest = np.sqrt(np.square(lines[:, :d]).sum(1).max())
        handicap = far * steepest, far * np.abs(lines[:, d]).max() + 1e-18
        self._labels.ravel()[: self._n] = labels
        given = lines.astype(np.float32), handicap
        first, *rest = zip(self._buffers, self._edges[:-1], self._edges[1:], strict=True)
        running = [self._pool.submit(self._look, *given, *other) for other in rest]
        self._look(*given, *first)
        for other in running:
            other.result()
        return np.flatnonzero(~self._keeps.ravel()[: self._n])

    def _look(
        self, lines: np.ndarray, handicap: tuple[float, float], buffers: tuple, start: int, end: int
    ) -> None:
        """Mark the rows of some blocks that keep their label."""
        rows = self._x.shape[2]
        slope, least = map(np.float32, handicap)
        with np.errstate(all="ignore"):  # what is not a number keeps no label
            for i in range(start, end, self._step):
                part = slice(i, min(i + self._step, end))
                size = part.stop - i
                scores, (own, high), at = (
                    buffers[0][:size], buffers[1][:, :size], buffers[2][:size]
                )  # fmt: skip
                np.matmul(lines, self._x[part], out=scores)
                np.multiply(self._labels[part], rows, out=at, dtype=np.intp)
                at += self._first[:size]
                flat = scores.ravel()
                flat.take(at, out=own, mode="clip")
                np.multiply(self._lengths[part], slope, out=high)
                high += least
                own -= high
                flat[at] = own
                np.maximum.reduce(scores, axis=1, out=high)
                np.less_equal(high, own, out=self._keeps[part])
