"""What a kind of clustering means by near, by a centre, and by how far a centre moved.

Everything is relative to one fixed point m, the mean of the rows fitted: of the tangents of φ only
the difference to the tangent at m decides who is nearest, and it keeps its digits where the rows
are far from 0.
"""

from typing import NamedTuple, Protocol

import numpy as np

from overparam._errors import expect
from overparam.clustering._rows import Rows, parts
from overparam.clustering.divergence import BregmanDivergence


class Planes(NamedTuple):
    """D(x, c_j) = base(x) − (⟨x − m, slopes_j⟩ − offsets_j), infinite beyond a wall.

    Attributes:
        slopes: (k, d).
        offsets: (k,).
        walls: (k, d) or None; beyond wall j is x with ⟨x, walls_j⟩ > at_j.
        at: (k,) or None.
    """

    slopes: np.ndarray
    offsets: np.ndarray
    walls: np.ndarray | None = None
    at: np.ndarray | None = None


class Geometry(Protocol):
    """What the algorithms ask."""

    reference: np.ndarray

    def base(self, rows: Rows) -> np.ndarray:
        """What is added to all of a row's scores, (n,)."""
        ...

    def planes(self, centres: np.ndarray) -> Planes:
        """What decides which centre is nearest."""
        ...

    def centres(self, sums: np.ndarray, weights: np.ndarray, old: np.ndarray) -> np.ndarray:
        """Best centres of clusters with these sums of w (x − m); of empty ones the old."""
        ...

    def moved(self, new: np.ndarray, old: np.ndarray) -> float:
        """By how much the centres moved, in units of the divergence."""
        ...

    def seeds(self, rows: np.ndarray) -> np.ndarray:
        """Rows as centres to begin with."""
        ...

    def own(self, rows: Rows, centres: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Divergence of every row from the centre of its cluster, (n,)."""
        ...


class BregmanGeometry:
    """That of a Bregman divergence with the centre second.

    Args:
        divergence: D.
        reference: m, a point in the domain.
        smoothing: Weight of m in every cluster, beside its rows.
    """

    def __init__(
        self, divergence: BregmanDivergence, reference: np.ndarray, smoothing: float = 0.0
    ) -> None:
        self.divergence, self.reference, self.smoothing = divergence, reference, smoothing
        at = divergence.tangents(reference[None])
        self._slope, self._offset = at.slopes[0], float(at.offsets[0])

    @np.errstate(all="ignore")  # `expect_finite` looks at it
    def base(self, rows: Rows) -> np.ndarray:
        """D(x, m)."""
        phi = _values(self.divergence, rows)
        if rows.is_sparse:
            along = np.asarray(rows.x @ self._slope, dtype=np.float64)
        else:
            along = np.empty(len(rows))
            for part in parts(len(rows), rows.n_columns):
                along[part] = rows.dense(part) @ self._slope
        return np.maximum(phi - along + self._offset, 0.0)

    @np.errstate(all="ignore")
    def planes(self, centres: np.ndarray) -> Planes:
        """Tangents at the centres without that at m."""
        found = self.divergence.tangents(centres)
        slopes = found.slopes - self._slope
        offsets = found.offsets - self._offset - slopes @ self.reference
        return Planes(slopes, offsets, found.walls, found.at)

    def centres(self, sums: np.ndarray, weights: np.ndarray, old: np.ndarray) -> np.ndarray:
        """Means of the members and of m with its weight."""
        total = weights + self.smoothing
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self.reference + sums / total[:, None]
        means = np.where(weights[:, None] > 0, means, old)
        # A mean of numbers in an interval lies in it; its rounding may not.
        return np.clip(means, *self.divergence.domain)

    def moved(self, new: np.ndarray, old: np.ndarray) -> float:
        """Σ_j D(new_j, old_j): for squared distances Σ ‖shift‖²."""
        return float(self.divergence(new, old).sum())

    def seeds(self, rows: np.ndarray) -> np.ndarray:
        """The rows; those from which others are infinitely far, halfway to m."""
        with np.errstate(all="ignore"):
            steep = np.isinf(self.divergence.grad(rows)).any(axis=1, keepdims=True)
        return np.where(steep, (rows + self.reference) / 2, rows)

    def own(self, rows: Rows, centres: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """D(x, c) from its definition; of sparse rows from the planes, over what is stored."""
        if rows.is_sparse:
            return own_from_planes(rows, self.base(rows), self, centres, labels)
        found = np.empty(len(rows))
        for part in parts(len(rows), 4 * rows.n_columns):
            found[part] = self.divergence(rows.dense(part), centres[labels[part]])
        return found


class SphericalGeometry:
    """That of directions: 1 − ⟨x, c⟩ of unit vectors, whose best centre is the mean direction."""

    def __init__(self, n_columns: int) -> None:
        self.reference = np.zeros(n_columns)

    def base(self, rows: Rows) -> np.ndarray:
        """1."""
        return np.ones(len(rows))

    def planes(self, centres: np.ndarray) -> Planes:
        """The centres."""
        return Planes(centres, np.zeros(len(centres)))

    def centres(self, sums: np.ndarray, weights: np.ndarray, old: np.ndarray) -> np.ndarray:
        """Mean directions; where the members cancel, every direction is as good as the old."""
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        known = lengths > 1e-12 * np.maximum(weights[:, None], 1e-300)
        return np.where(known, sums / np.where(known, lengths, 1.0), old)

    def moved(self, new: np.ndarray, old: np.ndarray) -> float:
        """Σ_j 1 − ⟨new_j, old_j⟩."""
        return float(np.square(new - old).sum() / 2)

    def seeds(self, rows: np.ndarray) -> np.ndarray:
        """The rows."""
        return rows

    def own(self, rows: Rows, centres: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """½‖x − c‖², the same of unit vectors without its cancellation; 1 of the zero vector."""
        if rows.is_sparse:
            return own_from_planes(rows, self.base(rows), self, centres, labels)
        found = np.empty(len(rows))
        for part in parts(len(rows), 2 * rows.n_columns):
            x = rows.dense(part)
            found[part] = np.square(x - centres[labels[part]]).sum(1) / 2
            found[part][~x.any(1)] = 1.0
        return found


def own_from_planes(
    rows: Rows, base: np.ndarray, geometry: Geometry, centres: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Divergence of every sparse row from its centre, over the entries that are stored."""
    planes, x = geometry.planes(centres), rows.x
    row_of = np.repeat(np.arange(len(rows)), np.diff(x.indptr))

    def along(vectors: np.ndarray) -> np.ndarray:
        products = x.data * vectors[labels[row_of], x.indices]
        return np.bincount(row_of, products, minlength=len(rows))

    shifted = planes.offsets + planes.slopes @ geometry.reference
    found = np.maximum(base - along(planes.slopes) + shifted[labels], 0.0)
    if planes.walls is not None and planes.at is not None:
        found[along(planes.walls) > planes.at[labels]] = np.inf
    return found


def _values(divergence: BregmanDivergence, rows: Rows) -> np.ndarray:
    """φ of every row; of a sum of terms, over what is stored."""
    n, d = len(rows), rows.n_columns
    if rows.is_sparse:
        data = np.asarray(rows.x.data, dtype=np.float64)[:, None]
        zero = np.zeros((1, 1))
        terms, nothing = (_terms(divergence, column) for column in (data, zero))
        if terms is not None and nothing is not None:
            row_of = np.repeat(np.arange(n), np.diff(rows.x.indptr))
            more = (terms - nothing).ravel()
            return np.bincount(row_of, more, minlength=n) + d * float(nothing[0, 0])
    phi = np.empty(n)
    for part in parts(n, 4 * d):
        phi[part] = divergence.value(rows.dense(part))
    return phi


def _terms(divergence: BregmanDivergence, column: np.ndarray) -> np.ndarray | None:
    """φ of single numbers; None where it is no sum over them."""
    try:
        with np.errstate(all="ignore"):
            terms = divergence.phi(column)
    except Exception:  # a function of whole rows may fail at a single column as it likes
        return None
    return terms if terms.ndim == 2 else None


def expect_finite(base: np.ndarray, where: str) -> None:
    """Raise where φ of a row is beyond what numbers hold."""
    bad = ~np.isfinite(base)
    expect(
        not bad.any(), where, "rows whose divergence from their mean is a finite number",
        f"{int(bad.sum())} others, such as row {int(bad.argmax())}", hint="divide by a constant.",
    )  # fmt: skip
