"""A few numbers of every layer, which stand for all of them."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

# Numbers of a layer, and of a network, that are looked at. Relative deviations of their root
# mean square from that of the layer are about 1/√(2 · 256): 4 %.
_OF_LAYER, _OF_NETWORK, _LEAST = 256, 8192, 16


class Sample:
    """Which numbers of some tensors are taken: evenly spread, as many as `counts` says.

    Args:
        tensors: One for each layer; others of the same shapes may be read later.

    Attributes:
        counts: Numbers taken of each.
        weights: How many numbers of the tensor each of those stands for.
        long: Which tensors have more numbers than are taken.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        most = max(min(_OF_LAYER, _OF_NETWORK // max(len(tensors), 1)), _LEAST)
        self.counts = [min(t.numel(), most) for t in tensors]
        # Odd, so that a stride does not stay in the same columns of a matrix.
        self.strides = [
            stride - (stride % 2 == 0) if (stride := t.numel() // max(n, 1)) > 1 else 1
            for t, n in zip(tensors, self.counts, strict=True)
        ]
        self.weights = np.array(
            [t.numel() / max(n, 1) for t, n in zip(tensors, self.counts, strict=True)]
        )
        self.long = [i for i, t in enumerate(tensors) if t.numel() > self.counts[i]]
        self._places = [((n,), (k,)) for n, k in zip(self.counts, self.strides, strict=True)]
        self._starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(int)

    def views(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Their numbers, in the tensors' own memory where it is without gaps."""
        return [
            (t.detach() if t.requires_grad else t).as_strided(*place)
            if t.is_contiguous()
            else _spread(t.detach(), *place)
            for t, place in zip(tensors, self._places, strict=True)
        ]

    def layered(self, values: np.ndarray) -> np.ndarray:
        """Sums over each layer of the last axis, for the whole layers."""
        return np.add.reduceat(values, self._starts, axis=-1) * self.weights

    def differ(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Of which layers a number is another; NaN is equal to NaN."""
        unequal = (one != other) & ~(np.isnan(one) & np.isnan(other))
        return self.somewhere(unequal)

    def somewhere(self, flags: np.ndarray) -> np.ndarray:
        """Of which layers one is true."""
        return np.logical_or.reduceat(flags, self._starts, axis=-1)


def _spread(tensor: Tensor, count: tuple[int], stride: tuple[int]) -> Tensor:
    if _without_gaps(tensor):  # transposed, or with its channels last
        return tensor.as_strided(count, stride)
    return tensor.reshape(-1)[:: stride[0]][: count[0]]


def _without_gaps(tensor: Tensor) -> bool:
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True
