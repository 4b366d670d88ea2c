"""K-means with a Bregman divergence, from a few rows at a time."""

from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context

from overparam._as_before import or_as_before
from overparam._errors import expect
from overparam.clustering._clusterer import BregmanClusterer, drawing_from, expect_enough
from overparam.clustering._constraints import BREGMAN, COUNT, K_MEANS, SHARE, Whole
from overparam.clustering._gemm import Products
from overparam.clustering._geometry import BregmanGeometry, expect_finite
from overparam.clustering._rows import Rows
from overparam.clustering.k_means import starts, warn_if_fewer
from overparam.clustering.named import Divergence


class MiniBatchBregmanKMeans(BregmanClusterer):
    """`BregmanKMeans` from batches: every centre is the mean of all rows it was ever given.

    That is the best centre of those rows whatever the divergence, as for squared distances.

    Args:
        n_clusters: k.
        divergence: As for `BregmanKMeans`.
        side: As for `BregmanKMeans`.
        init: As for `BregmanKMeans`; drawn from `init_size` rows.
        max_iter: Most passes of `fit` over as many rows as there are.
        batch_size: Rows of a batch.
        tol: `fit` ends when the centres move by at most this share of the mean divergence of a
            row from the mean, over d; 0: not for that reason.
        max_no_improvement: Batches without a lower running inertia after which `fit` ends; None:
            not for that reason.
        init_size: Rows that the start is drawn from; None: three batches, at least 3 k.
        n_init: Starts that are tried on `init_size` rows; "auto" is 1 with k-means++ or an
            array, else 3.
        reassignment_ratio: Centres that were given less than this share of what the fullest was
            given start anew, at rows of the batch drawn ∝ their divergence.
        smoothing: As for `BregmanKMeans`.
        random_state: Of starts and batches; None is 0.

    Attributes:
        cluster_centers_: ``(k, d)``.
        counts_: Weight that every centre was given.
        labels_: Nearest centre of every row of `fit`, or of the last batch.
        inertia_: Σᵢ wᵢ D of those rows.
        n_steps_: Batches seen.
        n_iter_: Passes, counted up.
        divergence_: The divergence used.
        n_features_in_, feature_names_in_: As in scikit-learn.

    Cost:
        2 b k d flops a batch of b rows.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).gamma(20.0, [[1.0], [10.0]], size=(2, 2000))
        >>> model = MiniBatchBregmanKMeans(2, divergence="itakura_saito").fit(x.reshape(-1, 1))
        >>> np.sort(model.cluster_centers_.ravel()).round(-1).tolist()
        [20.0, 200.0]

    References:
        Sculley (2010), WWW: squared distances.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **K_MEANS,
        **BREGMAN,
        "batch_size": [COUNT],
        "max_no_improvement": [Whole(0), None],
        "init_size": [COUNT, None],
        "reassignment_ratio": [SHARE],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        divergence: Divergence = "euclidean",
        side: str = "right",
        init: Any = "k-means++",
        max_iter: int = 100,
        batch_size: int = 1024,
        tol: float = 0.0,
        max_no_improvement: int | None = 10,
        init_size: int | None = None,
        n_init: int | str = "auto",
        reassignment_ratio: float = 0.01,
        smoothing: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.divergence = divergence
        self.side = side
        self.init = init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.init_size = init_size
        self.n_init = n_init
        self.reassignment_ratio = reassignment_ratio
        self.smoothing = smoothing
        self.random_state = random_state

    @or_as_before
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "MiniBatchBregmanKMeans":
        """Cluster from batches drawn with replacement.

        Args:
            X: Rows, ``(n, d)``: dense, or sparse where 0 is in the domain.
            y: Ignored.
            sample_weight: ≥ 0; batches are drawn by it.

        Returns:
            The estimator; as it was before, if it raises.
        """
        vars(self).pop("cluster_centers_", None)
        name = type(self).__name__
        rows = self._rows(X, sample_weight, "fit")
        expect_enough(rows, self.n_clusters, name)
        draw = drawing_from(self.random_state)
        spread = self._begin(X, rows, draw)
        shares = rows.weights / rows.weights.sum()
        size = min(self.batch_size, len(rows))
        steps = max(self.max_iter * len(rows) // size, 1)
        tol = self.tol * spread / rows.n_columns
        running, lowest, since = None, np.inf, 0
        keep = min(2 * size / (len(rows) + 1), 1.0) if size < len(rows) else 1.0
        for _ in range(steps):
            batch = rows
            if size < len(rows):
                batch = Rows(rows.x[_drawn(shares, size, draw)], np.ones(size))
            inertia, moved = self._take(batch, draw)
            running = inertia if running is None else running + keep * (inertia - running)
            since = 0 if running < lowest else since + 1
            lowest = min(lowest, running)
            idle = self.max_no_improvement
            if (tol > 0 and moved <= tol) or (idle is not None and since >= idle):
                break
        self._draw = draw
        self.n_iter_ = -(-self.n_steps_ * size // len(rows))
        self._label(rows)
        warn_if_fewer(self.labels_, self.n_clusters, name)
        return self

    @or_as_before
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: Any = None
    ) -> "MiniBatchBregmanKMeans":
        """Take one batch in; the first also gives the start.

        Args:
            X: Rows, ``(b, d)``.
            y: Ignored.
            sample_weight: ≥ 0.
        """
        rows = self._rows(X, sample_weight, "partial_fit")
        if hasattr(self, "cluster_centers_"):
            draw = self._draw
        else:
            expect_enough(rows, self.n_clusters, type(self).__name__)
            draw = drawing_from(self.random_state)
            self._begin(X, rows, draw)
        self._take(rows, draw)
        self._draw, self.n_iter_ = draw, self.n_steps_
        self._label(rows)
        return self

    def _begin(self, X: Any, rows: Rows, draw: np.random.RandomState) -> float:
        """Centres to start from, given nothing yet; the mean divergence of rows from the mean."""
        k, name = self.n_clusters, type(self).__name__
        size = self.init_size or 3 * max(self.batch_size, k)
        few = rows
        if len(rows) > max(size, k):
            few = rows.at(np.sort(draw.permutation(len(rows))[: max(size, k)]))
            if not few.weights.sum():
                few = rows
        self._reference = few.mean()
        geometry = BregmanGeometry(self._worked(), self._reference)
        base = geometry.base(few)
        expect_finite(base, f"{name}.fit(X=...)")
        count = starts(self.n_init, self.init)
        best, lowest = None, np.inf
        for _ in range(min(count, 3) if self.n_init == "auto" else count):
            found = self._start(X, few, base, geometry, draw)
            if count == 1:
                best = found
                break
            labels = Products(few, self._reference).labels(geometry.planes(found))
            inertia = float(geometry.own(few, found, labels) @ few.weights)
            if best is None or inertia < lowest:
                best, lowest = found, inertia
        assert best is not None
        self._means, self.counts_ = best, np.zeros(k)
        self._mean, self._seen, self._since, self.n_steps_ = self._reference, 0.0, 0, 0
        self.cluster_centers_ = self._outward(best)
        return float(base @ few.weights / few.weights.sum())

    def _take(self, batch: Rows, draw: np.random.RandomState) -> tuple[float, float]:
        """One batch into the means; its mean divergence before, and how far the centres moved."""
        geometry = BregmanGeometry(self._worked(), self._reference)
        old = self._inward(self.cluster_centers_)
        step = Products(batch, self._reference).step(geometry.planes(old))
        own = geometry.own(batch, old, step.labels)
        expect(
            not np.isnan(own).any(), f"{type(self).__name__}.partial_fit(X=...)",
            "rows whose divergence from the centres is a number", "NaN",
            hint="divide by a constant.",
        )  # fmt: skip
        counts = self.counts_ + step.weights
        safe = np.where(counts > 0, counts, 1.0)[:, None]
        sums = step.sums + step.weights[:, None] * self._reference
        means = self._means + (sums - step.weights[:, None] * self._means) / safe
        weight = batch.weights.sum()
        if weight:
            self._seen += weight
            self._mean = self._mean + (batch.mean() - self._mean) * (weight / self._seen)
        self.n_steps_ += 1
        means, counts = self._renewed(means, counts, batch, own, draw, geometry)
        share = (counts / np.maximum(counts + self.smoothing, 1e-300))[:, None]
        new = np.where(counts[:, None] > 0, self._mean + share * (means - self._mean), means)
        new = np.clip(new, *geometry.divergence.domain)
        self._means, self.counts_ = means, counts
        self.cluster_centers_ = self._outward(new)
        finite = np.where(np.isfinite(own), own, 0.0)
        return float(finite @ batch.weights) / max(weight, 1e-300), geometry.moved(new, old)

    def _renewed(
        self, means: np.ndarray, counts: np.ndarray, batch: Rows, own: np.ndarray,
        draw: np.random.RandomState, geometry: BregmanGeometry,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Centres that are given next to nothing, at rows that are far from theirs."""
        few = np.flatnonzero(counts < self.reassignment_ratio * counts.max())
        # As often as every centre can have been given ten rows since the last time.
        self._since += len(batch)
        due = self._since >= 10 * len(counts) or counts.min() == 0
        masses = np.where(np.isfinite(own), own, 0.0) * batch.weights
        if not len(few) or not due or np.count_nonzero(masses) < len(few):
            return means, counts
        self._since = 0
        places = draw.choice(len(batch), len(few), replace=False, p=masses / masses.sum())
        means, counts = means.copy(), counts.copy()
        means[few] = geometry.seeds(batch.dense(places))
        # Enough that the next batches do not find them empty at once.
        others = np.delete(counts, few)
        counts[few] = others.min() if len(others) else 0.0
        return means, counts

    def _label(self, rows: Rows) -> None:
        """Labels and inertia of rows at the centres reached."""
        geometry, centres = self._fitted()
        self.labels_ = Products(rows, geometry.reference).labels(geometry.planes(centres))
        own = geometry.own(rows, centres, self.labels_)
        used = rows.weights > 0
        self.inertia_ = float(own[used] @ rows.weights[used])


def _drawn(shares: np.ndarray, size: int, draw: np.random.RandomState) -> np.ndarray:
    """Places drawn with replacement, in ascending order."""
    places = np.searchsorted(np.cumsum(shares), np.sort(draw.uniform(size=size)), "right")
    return np.minimum(places, len(shares) - 1)
