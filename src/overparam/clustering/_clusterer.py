"""What fitted clusterings tell of rows: labels, divergences, a score."""

from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from overparam._errors import complaint, expect
from overparam.clustering._gemm import Products
from overparam.clustering._geometry import BregmanGeometry, Geometry, expect_finite
from overparam.clustering._rows import Rows, expect_inside, read_rows
from overparam.clustering._seeding import at_random, plus_plus
from overparam.clustering.divergence import BregmanDivergence
from overparam.clustering.named import Divergence, named_divergence

_CHECKED = 64  # rows that a divergence of one's own is tried on


class Clusterer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Methods of a fitted clustering; `BregmanKMeans` describes them."""

    cluster_centers_: np.ndarray
    labels_: np.ndarray

    def _rows(self, X: Any, sample_weight: Any, method: str) -> Rows:
        """Rows in the coordinates that the geometry is of; learned by "fit" and "partial_fit"."""
        raise NotImplementedError

    def _fitted(self) -> tuple[Geometry, np.ndarray]:
        """The geometry and the centres in its coordinates."""
        raise NotImplementedError

    def _ready(self, X: Any, sample_weight: Any, method: str) -> tuple[Rows, Geometry, np.ndarray]:
        check_is_fitted(self)
        return self._rows(X, sample_weight, method), *self._fitted()

    def predict(self, X: Any) -> np.ndarray:
        """The nearest cluster of every row, shape ``(n,)``.

        A row that is infinitely far from all centres goes to the one it is least behind.
        """
        rows, geometry, centres = self._ready(X, None, "predict")
        return Products(rows, geometry.reference).labels(geometry.planes(centres))

    def transform(self, X: Any) -> np.ndarray:
        """Divergences of the rows from all centres, shape ``(n, n_clusters)``, or infinity."""
        rows, geometry, centres = self._ready(X, None, "transform")
        base = geometry.base(rows)
        expect_finite(base, f"{type(self).__name__}.transform(X=...)")
        return Products(rows, geometry.reference).divergences(geometry.planes(centres), base)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the sum of the divergences from the nearest centres."""
        rows, geometry, centres = self._ready(X, sample_weight, "score")
        labels = Products(rows, geometry.reference).labels(geometry.planes(centres))
        own = geometry.own(rows, centres, labels)
        used = rows.weights > 0
        return -float(own[used] @ rows.weights[used])

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """`labels_` after `fit`."""
        fitted: Any = self
        return fitted.fit(X, sample_weight=sample_weight).labels_

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """`transform` after `fit`."""
        fitted: Any = self
        return fitted.fit(X, sample_weight=sample_weight).transform(X)

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class BregmanClusterer(Clusterer):
    """The part that knows divergences and sides."""

    n_clusters: int
    init: Any
    divergence: Divergence
    side: str
    smoothing: float
    divergence_: BregmanDivergence
    _reference: np.ndarray

    def _rows(self, X: Any, sample_weight: Any, method: str) -> Rows:
        learns = method in ("fit", "partial_fit")
        fresh = learns and not (method == "partial_fit" and hasattr(self, "cluster_centers_"))
        divergence = named_divergence(self.divergence) if fresh else self.divergence_
        rows = read_rows(
            self, X, sample_weight, reset=fresh, sparse_too=self.side == "right", method=method
        )
        expect_inside(divergence, rows.x, f"{type(self).__name__}.{method}(X=...)")
        if fresh and isinstance(self.divergence, BregmanDivergence):
            divergence.check(rows.dense(slice(None, None, max(len(rows) // _CHECKED, 1))))
        self.divergence_ = divergence
        if self.side == "right":
            return rows
        # D(c, x) is the dual divergence of the slopes, whose best centre is their mean.
        with np.errstate(all="ignore"):
            slopes = np.asarray(divergence.grad(rows.dense(slice(None))), dtype=np.float64)
        bad = ~np.isfinite(slopes).all(1)
        expect(
            not bad.any(), f"{type(self).__name__}.{method}(X=...)",
            "rows at which φ has a finite slope, as the centres are on the left",
            f"{int(bad.sum())} others, such as row {int(bad.argmax())}",
            hint='take side="right", or keep off the ends of the domain.',
        )  # fmt: skip
        return Rows(slopes, rows.weights)

    def _worked(self) -> BregmanDivergence:
        """The divergence whose second argument is the centre."""
        return self.divergence_ if self.side == "right" else self.divergence_.dual()

    def _inward(self, centres: np.ndarray) -> np.ndarray:
        """Centres in the coordinates of the geometry."""
        return centres if self.side == "right" else self.divergence_.grad(centres)

    def _outward(self, centres: np.ndarray) -> np.ndarray:
        """And back."""
        if self.side == "right":
            return centres
        assert self.divergence_.grad_inv is not None
        return self.divergence_.grad_inv(centres)

    def _fitted(self) -> tuple[Geometry, np.ndarray]:
        centres = self._inward(self.cluster_centers_)
        return BregmanGeometry(self._worked(), self._reference), centres

    def _start(
        self, X: Any, rows: Rows, base: np.ndarray, geometry: Geometry, draw: np.random.RandomState
    ) -> np.ndarray:
        """Centres to begin with, in the coordinates of the geometry."""
        if isinstance(self.init, str):
            if self.init == "random":
                return at_random(rows, geometry, self.n_clusters, draw)
            return plus_plus(rows, base, geometry, self.n_clusters, draw)
        where = f"{type(self).__name__}(init=...)"
        init = called(self.init, X, self.n_clusters, draw, where)
        return self._given(init, self.n_clusters, rows.n_columns, where)

    def _given(self, init: Any, k: int, n_columns: int, where: str) -> np.ndarray:
        """Centres that somebody gave, in the coordinates of the geometry."""
        centres = given_centres(init, k, n_columns, where)
        expect_inside(self.divergence_, centres, where)
        return np.asarray(self._inward(centres), dtype=np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        named = isinstance(self.divergence, str | tuple)
        try:
            low = named_divergence(self.divergence).domain[0] if named else -np.inf
        except (ValueError, TypeError):  # it is refused where it is used
            low = -np.inf
        tags.input_tags.positive_only = low >= 0
        tags.input_tags.sparse = self.side == "right"
        return tags


def called(init: Any, X: Any, k: int, draw: np.random.RandomState, where: str) -> Any:
    """What a function of somebody's gives for centres; anything else is handed through."""
    if not callable(init):
        return init
    try:
        return init(X, k, random_state=draw)
    except Exception as problem:
        words = "a function of (X, n_clusters, random_state=...) that gives centres"
        raise complaint(where, words, f"one that raised {problem!r}") from problem


def given_centres(init: Any, k: int, n_columns: int, where: str) -> np.ndarray:
    """An array of centres in double precision."""
    try:
        centres = np.array(init, dtype=np.float64)
    except (TypeError, ValueError):
        centres = np.empty(0)
    expect(
        centres.shape == (k, n_columns) and np.isfinite(centres).all(), where,
        f"finite centres of shape {(k, n_columns)}", f"an array of shape {np.shape(centres)}"
        if centres.shape != (k, n_columns) else "NaN or infinity among them",
    )  # fmt: skip
    return centres


def drawing_from(random_state: Any) -> np.random.RandomState:
    """What an estimator draws from; None is 0, so that NumPy's own generator stays as it is."""
    return check_random_state(0 if random_state is None else random_state)


def expect_enough(rows: Rows, k: int, name: str) -> None:
    """Raise for fewer rows than clusters."""
    expect(
        len(rows) >= k, f"{name}(n_clusters=...)", f"at most as many clusters as rows, {len(rows)}",
        k,
    )  # fmt: skip
