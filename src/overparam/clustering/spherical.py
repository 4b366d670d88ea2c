"""K-means of directions."""

from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import _fit_context

from overparam._as_before import or_as_before
from overparam._errors import expect
from overparam.clustering._clusterer import (
    Clusterer,
    called,
    drawing_from,
    expect_enough,
    given_centres,
)
from overparam.clustering._constraints import K_MEANS
from overparam.clustering._gemm import Products
from overparam.clustering._geometry import Geometry, SphericalGeometry
from overparam.clustering._lloyd import lloyd
from overparam.clustering._rows import Rows, parts, read_rows
from overparam.clustering._seeding import at_random, plus_plus
from overparam.clustering.k_means import best_of, starts, warn_if_fewer


class SphericalKMeans(Clusterer):
    """K-means by cosine: rows count by their direction, centres are mean directions.

        minimise  Σᵢ wᵢ (1 − ⟨xᵢ, c_{l(i)}⟩ / ‖xᵢ‖)  over labels and unit vectors c

    For texts and embeddings. It is no Bregman divergence of the rows, but one of the unit
    vectors, half the squared distance, with centres that are unit vectors too. A row of length 0
    has no direction: it is as far from all centres, and counts for none.

    Args:
        n_clusters: k.
        init: ``"k-means++"``, ``"random"`` rows, directions of shape ``(k, d)``, or a function
            of ``(X, k, random_state)``.
        n_init: Starts, of which the lowest inertia counts; "auto" is 1 with k-means++ or an
            array, else 10.
        max_iter: Most iterations of a start.
        tol: Iterating ends when the centres moved by at most this share of the mean inertia
            around one direction, over d; 0: when no label changes.
        random_state: Of the starts; None is 0.

    Attributes:
        cluster_centers_: Unit vectors, ``(k, d)``.
        labels_: Nearest centre of every row.
        inertia_: Σᵢ wᵢ (1 − cos) at the end.
        n_iter_: Iterations of the start that counts.
        n_features_in_, feature_names_in_: As in scikit-learn.

    Cost:
        2 n k d flops an iteration, or 2 k for every stored number of sparse rows; one copy.

    Example:
        >>> import numpy as np
        >>> angles = np.repeat([0.0, 1.0, 2.0], 20) + np.random.default_rng(0).normal(0, 0.1, 60)
        >>> lengths = np.random.default_rng(1).exponential(size=(60, 1)) + 0.1
        >>> rows = lengths * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        >>> np.bincount(SphericalKMeans(3).fit(rows).labels_).tolist()
        [20, 20, 20]

    References:
        Dhillon, Modha (2001), Machine Learning 42:143.
    """

    n_features_in_: int
    _parameter_constraints: ClassVar[dict[str, Any]] = K_MEANS

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @or_as_before
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "SphericalKMeans":
        """Cluster.

        Args:
            X: Rows, ``(n, d)``, dense or sparse.
            y: Ignored.
            sample_weight: ≥ 0; a weight of 2 is a row that occurs twice.

        Returns:
            The estimator; as it was before, if it raises.
        """
        name = type(self).__name__
        rows = self._rows(X, sample_weight, "fit")
        expect_enough(rows, self.n_clusters, name)
        geometry = SphericalGeometry(rows.n_columns)
        base, draw = geometry.base(rows), drawing_from(self.random_state)
        total = rows.weights.sum()
        spread = total * (1 - float(np.linalg.norm(rows.mean())))
        engine = Products(rows, geometry.reference)

        def start() -> np.ndarray:
            if isinstance(self.init, str):
                if self.init == "random":
                    return at_random(rows, geometry, self.n_clusters, draw)
                return plus_plus(rows, base, geometry, self.n_clusters, draw)
            where = f"{name}(init=...)"
            init = called(self.init, X, self.n_clusters, draw, where)
            given = given_centres(init, self.n_clusters, rows.n_columns, where)
            directions, known = _directions(given)
            expect(known.all(), where, "centres with a direction", "one of length 0")
            return directions

        tol = self.tol * spread / (total * rows.n_columns)
        best = best_of(
            lambda: lloyd(rows, geometry, engine, start(), max_iter=self.max_iter, tol=tol),
            starts(self.n_init, self.init),
        )
        self.cluster_centers_, self.labels_ = best.centres, best.labels
        self.inertia_, self.n_iter_ = best.inertia, best.n_iter
        warn_if_fewer(best.labels, self.n_clusters, name)
        return self

    def _rows(self, X: Any, sample_weight: Any, method: str) -> Rows:
        rows = read_rows(self, X, sample_weight, reset=method == "fit", method=method)
        x, known = _directions(rows.x)
        weights = np.where(known, rows.weights, 0.0)
        expect(
            method in ("predict", "transform") or weights.sum() > 0,
            f"{type(self).__name__}.{method}(X=...)", "rows with a direction", "none of length > 0",
        )  # fmt: skip
        return Rows(x, weights)

    def _fitted(self) -> tuple[Geometry, np.ndarray]:
        return SphericalGeometry(self.n_features_in_), self.cluster_centers_


def _directions(x: Any) -> tuple[Any, np.ndarray]:
    """Rows over their lengths, in double precision, and which have one."""
    x = x.astype(np.float64)
    # Over the largest entry first: squares of large numbers overflow, of small ones vanish.
    largest = abs(x).max(axis=1)
    largest = largest.toarray().ravel() if sparse.issparse(largest) else largest
    known = largest > 0
    largest = np.where(known, largest, 1.0)
    if sparse.issparse(x):
        of = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
        x.data /= largest[of]
        lengths = np.sqrt(np.bincount(of, np.square(x.data), minlength=x.shape[0]))
        x.data /= np.where(known, lengths, 1.0)[of]
        return x, known
    for part in parts(*x.shape):
        x[part] /= largest[part, None]
        lengths = np.linalg.norm(x[part], axis=1)
        x[part] /= np.where(known[part], lengths, 1.0)[:, None]
    return x, known
