"""Rows that keep their cluster for certain, by a product in single precision.

It takes half the time of one in double precision, and how wrong it is at most is known. A row whose
own score is larger than all others by more than that keeps its label; of the rest, which are few
where few labels change, scores are formed in double precision.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

# Scores that a thread holds at once, 2 MiB, and the rows of one product. Between two calls threads
# wait for each other, so calls are long, as long as a cache near the core holds what they write.
_HELD = 2**19
_ROWS = 512
_FILLED = 2**16  # numbers that are turned at once


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
        self._n, self._scale, blocks = n, scale, -(-n // rows)
        # Blocks that are looked at together, so few that no thread waits long for the last.
        self._step = max(min(_HELD // (k * rows), blocks // (4 * threads)), 1)
        # A block of rows after the other, each turned; a last row of ones, for the offsets.
        self._x = np.empty((blocks, d + 1, rows), dtype=np.float32)
        self._lengths = np.empty((len(self._x), rows), dtype=np.float32)
        self._labels = np.zeros(self._lengths.shape, dtype=np.int32)
        self._keeps = np.empty(self._lengths.shape, dtype=bool)
        # Where a row's scores begin, those of a few blocks lying together.
        self._first = np.arange(self._step)[:, None] * (k * rows) + np.arange(rows)
        single, shape = np.float32, (self._step, rows)
        self._buffers = [
            (
                np.empty((self._step, k, rows), single),
                np.empty(shape, single),
                np.empty(shape, single),
                np.empty(shape, np.intp),
            )
            for _ in range(threads)
        ]
        self._pool = ThreadPoolExecutor(max(threads - 1, 1))  # which starts none for nothing
        self._by_all(self._fill, max(_FILLED // (rows * d), 1), x)

    def _by_all(self, work: Callable[..., None], size: int, *given: Any) -> None:
        """Have the threads do some work on so many blocks after so many.

        Each takes the next when it is done: those of the kernel stay for some ms after a step and
        keep one of ours from its processor.
        """
        blocks = len(self._x)
        left = deque(slice(i, min(i + size, blocks)) for i in range(0, blocks, size))

        def some(buffers: tuple[np.ndarray, ...]) -> None:
            with np.errstate(all="ignore"):  # what is no number is looked at
                while left:
                    try:
                        part = left.popleft()
                    except IndexError:  # another thread took the last
                        return
                    work(part, buffers, *given)

        running = [self._pool.submit(some, buffers) for buffers in self._buffers[1:]]
        some(self._buffers[0])
        for other in running:
            other.result()

    def _fill(self, part: slice, _: Any, x: np.ndarray) -> None:
        """Copy the rows of some blocks."""
        rows, d = self._x.shape[2], len(self._scale)
        some = x[part.start * rows : part.stop * rows, :d]
        if (self._scale != 1).any():
            some = some / self._scale
        found = np.zeros((part.stop - part.start, rows, d), dtype=np.float32)
        found.reshape(-1, d)[: len(some)] = some
        self._x[part, :d] = found.transpose(0, 2, 1)
        self._x[part, d] = 1.0
        self._lengths[part] = np.sqrt(np.einsum("abi,abi->ab", found, found))

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
        handicap = np.array([far * steepest, far * np.abs(lines[:, d]).max() + 1e-18], np.float32)
        self._labels.ravel()[: self._n] = labels
        self._by_all(self._look, self._step, lines.astype(np.float32), *handicap)
        return np.flatnonzero(~self._keeps.ravel()[: self._n])

    def _look(
        self,
        part: slice,
        buffers: tuple[np.ndarray, ...],
        lines: np.ndarray,
        slope: np.float32,
        least: np.float32,
    ) -> None:
        """Mark the rows of some blocks that keep their label."""
        scores, own, high, at = (buffer[: part.stop - part.start] for buffer in buffers)
        np.matmul(lines, self._x[part], out=scores)
        np.multiply(self._labels[part], self._x.shape[2], out=at, dtype=np.intp)
        at += self._first[: len(at)]
        flat = scores.ravel()
        flat.take(at, out=own, mode="clip")
        np.multiply(self._lengths[part], slope, out=high)
        high += least
        own -= high
        flat[at] = own
        np.maximum.reduce(scores, axis=1, out=high)
        np.less_equal(high, own, out=self._keeps[part])
