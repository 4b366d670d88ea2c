"""What is clustered: rows that were looked at, their weights, and ways to go through them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import _check_sample_weight, validate_data

from overparam._errors import complaint, expect
from overparam._numbers import described
from overparam.clustering.divergence import BregmanDivergence

# Numbers held at once while rows are gone through: 2 MiB, about what a core's cache holds.
_HELD = 2**18


@dataclass(frozen=True)
class Rows:
    """Rows, dense or in compressed rows, with a weight each."""

    x: Any
    weights: np.ndarray

    def __len__(self) -> int:
        return self.x.shape[0]

    @property
    def is_sparse(self) -> bool:
        """Whether only what is not 0 is stored."""
        return sparse.issparse(self.x)

    @property
    def n_columns(self) -> int:
        """Columns."""
        return self.x.shape[1]

    def at(self, places: Any) -> "Rows":
        """Some of the rows."""
        return Rows(self.x[places], self.weights[places])

    def dense(self, places: Any) -> np.ndarray:
        """Some of the rows in double precision, zeros and all."""
        part = self.x[places]
        return np.asarray(part.toarray() if self.is_sparse else part, dtype=np.float64)

    def mean(self) -> np.ndarray:
        """Weighted mean of the rows."""
        total = self.weights.sum()
        if self.is_sparse:
            return np.asarray(self.x.T @ (self.weights / total), dtype=np.float64).ravel()
        mean = np.zeros(self.n_columns)
        for part in parts(len(self), self.n_columns):
            mean += (self.weights[part] / total) @ self.dense(part)
        return mean


def parts(n: int, width: int) -> Iterator[slice]:
    """Slices of n rows, each so long that so many numbers a row stay in the cache."""
    size = min(max(_HELD // max(width, 1), 256), 8192)
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def read_rows(
    estimator: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    reset: bool,
    sparse_too: bool = True,
    method: str = "fit",
) -> Rows:
    """Rows as scikit-learn reads them, in single precision or double."""
    checked: Any = validate_data  # its annotations do not know what it returns
    x = checked(
        estimator, X, reset=reset, accept_sparse="csr" if sparse_too else False,
        dtype=[np.float64, np.float32], order="C", accept_large_sparse=False,
    )  # fmt: skip
    if sparse.issparse(x) and not x.has_canonical_format:
        x = x.copy()  # it may be the user's own
        x.sum_duplicates()
    if sample_weight is None:
        return Rows(x, np.ones(x.shape[0]))
    where = f"{type(estimator).__name__}.{method}(sample_weight=...)"
    try:
        weights = _check_sample_weight(sample_weight, x, dtype=np.float64)
    except TypeError as problem:
        raise complaint(where, "a real number for every row", described(sample_weight)) from problem
    expect(
        (weights >= 0).all() and weights.sum() > 0,
        where,
        "weights ≥ 0, one of them positive",
        f"a smallest of {weights.min():g} and a sum of {weights.sum():g}",
    )
    return Rows(x, weights)


def expect_inside(divergence: BregmanDivergence, x: Any, where: str) -> None:
    """Raise for rows outside of the domain, naming the first."""
    stored = x.data if sparse.issparse(x) else x
    expect(
        not sparse.issparse(x) or divergence.inside(np.zeros(1)).all(), where,
        f"dense rows for the divergence {divergence.name!r}", "sparse ones",
        hint=f"what they do not store is 0, which is not in {divergence.interval}.",
    )  # fmt: skip
    low, high = divergence.domain
    least, most = stored.min(initial=np.inf), stored.max(initial=-np.inf)
    if sparse.issparse(x) and x.nnz < x.shape[0] * x.shape[1]:
        least, most = min(least, 0), max(most, 0)
    ends = np.array([least, most])
    if divergence.inside(ends).all():
        return
    worst = ends[~divergence.inside(ends)][0]
    hint = "take another divergence, or rescale."
    if worst < 0 <= low:
        hint = f"Negative values in data have no such divergence: {hint}"
    if worst == low:
        hint = "add a small number to every entry, and know that you did."
    elif worst == high:
        hint = "take a small number off, and know that you did."
    place = ""
    if not sparse.issparse(x):
        row, column = np.argwhere(x == worst)[0]
        place = f" in row {row}, column {column}"
    expect(
        False, where, f"numbers in {divergence.interval} for the divergence {divergence.name!r}",
        f"{str(float(worst)).removesuffix('.0')}{place}", hint=hint,
    )  # fmt: skip
