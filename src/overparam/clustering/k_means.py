"""K-means with a Bregman divergence."""

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import StrOptions
from threadpoolctl import ThreadpoolController

from overparam._as_before import or_as_before
from overparam._devices import expect_device
from overparam._errors import expect
from overparam._user_line import user_level
from overparam.clustering._clusterer import BregmanClusterer, drawing_from, expect_enough
from overparam.clustering._constraints import BREGMAN, K_MEANS
from overparam.clustering._gemm import Products
from overparam.clustering._geometry import BregmanGeometry, Geometry, expect_finite
from overparam.clustering._lifted import Lifted, kernel
from overparam.clustering._lloyd import Clustering, Engine, lloyd
from overparam.clustering._rows import Rows
from overparam.clustering.named import SIMPLE, Divergence


class BregmanKMeans(BregmanClusterer):
    """K-means in which near is what a Bregman divergence says.

        minimise  Σᵢ wᵢ D(xᵢ, c_{l(i)})  over labels l and centres c

    These are the divergences for which the mean of a cluster is its best centre, so that
    Lloyd's iteration stays what it is: every step lowers the sum. Which one suits is a question
    of the noise (see `named_divergence`): squared distances for normal, "kl" for counts,
    "itakura_saito" for numbers whose spread grows with their size. With "euclidean" and the same
    start, labels, centres and iterations are those of scikit-learn's `KMeans`.

    Args:
        n_clusters: k.
        divergence: A name, a pair such as ``("power", 3)``, or a `BregmanDivergence`, which is
            tried on some rows first.
        side: The argument of D that the centre is: ``"right"``, D(x, c), whose centres are
            means, or ``"left"``, D(c, x), whose centres are ∇φ⁻¹ of the mean of ∇φ(x): for
            "kl" geometric means, for "itakura_saito" harmonic ones. Dense rows only.
        init: ``"k-means++"`` with the divergence in place of squared distances, ``"random"``
            rows, centres of shape ``(k, d)``, or a function of ``(X, k, random_state)``.
        n_init: Starts, of which the lowest inertia counts; "auto" is 1 with k-means++ or an
            array, else 10.
        max_iter: Most iterations of a start.
        tol: Iterating ends when Σ_j D(new c_j, old c_j) is at most this share of the mean
            divergence of a row from the mean, over d; 0: when no label changes.
        smoothing: Weight of the mean of all rows in every centre, as if so many rows lay there.
            It keeps centres of counts and of yes and no off the ends of the domain, where any
            row that does not lie there too is infinitely far; 0 leaves them there.
        algorithm: ``"lifted"``: scikit-learn's compiled step with one more coordinate, a copy of
            the rows, and while few labels change a product in single precision, of which only
            what its rounding leaves open is formed in double; ``"gemm"``: NumPy's product;
            ``"auto"``: the first where it can be used. The labels are the same.
        device: Such as ``"cuda"``, for the steps; None is the CPU. Dense rows only.
        random_state: Of the starts; None is 0, and leaves NumPy's own generator as it was.

    Attributes:
        cluster_centers_: ``(k, d)``.
        labels_: Nearest centre of every row.
        inertia_: Σᵢ wᵢ D at the end, without smoothing.
        n_iter_: Iterations of the start that counts.
        divergence_: The divergence used.
        n_features_in_, feature_names_in_: As in scikit-learn.

    Raises from `fit`, `predict`, `transform` and `score`:
        ValueError: Rows outside of the domain of the divergence, NaN, another number of columns,
            fewer rows than clusters, a parameter that cannot be.

    Cost:
        An iteration is at most one of scikit-learn's k-means, 2 n k d flops; of double precision
        on one or two threads less, while few labels change. Memory is linear in n.

    Example:
        Three groups of counts, each more spread than the one before:

        >>> import numpy as np
        >>> x = np.random.default_rng(0).poisson([[5.0], [40.0], [200.0]], size=(3, 50))
        >>> model = BregmanKMeans(3, divergence="kl").fit(x.reshape(-1, 1))
        >>> np.bincount(model.labels_).tolist()
        [50, 50, 50]

    References:
        Banerjee, Merugu, Dhillon, Ghosh (2005), Journal of Machine Learning Research 6:1705:
        the iteration. That it is a matrix product, and k-means of a lifted codebook, is Nielsen,
        Boissonnat and Nock's power diagram (2010), Discrete & Computational Geometry 44:281.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **K_MEANS,
        **BREGMAN,
        "algorithm": [StrOptions({"auto", "lifted", "gemm"})],
        "device": [str, None],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        divergence: Divergence = "euclidean",
        side: str = "right",
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        smoothing: float = 0.0,
        algorithm: str = "auto",
        device: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.divergence = divergence
        self.side = side
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.smoothing = smoothing
        self.algorithm = algorithm
        self.device = device
        self.random_state = random_state

    @or_as_before
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "BregmanKMeans":
        """Cluster.

        Args:
            X: Rows, ``(n, d)``: dense, or sparse where 0 is in the domain.
            y: Ignored.
            sample_weight: ≥ 0; a weight of 2 is a row that occurs twice.

        Returns:
            The estimator; as it was before, if it raises.
        """
        name = type(self).__name__
        rows = self._rows(X, sample_weight, "fit")
        expect_enough(rows, self.n_clusters, name)
        with ExitStack() as stack:
            if self._is_lifted(rows):
                # The kernel's threads would each start those of a product, and those of a product
                # before it keep a processor busy for a while after it, waiting for the next.
                stack.enter_context(_libraries().limit(limits=1, user_api="blas"))
            self._reference = rows.mean()
            geometry = BregmanGeometry(self._worked(), self._reference, self.smoothing)
            base = geometry.base(rows)
            expect_finite(base, f"{name}.fit(X=...)")
            total = float(base @ rows.weights)
            expect(np.isfinite(total), f"{name}.fit(X=...)", "rows whose sum is finite", total)
            tol = self.tol * total / (rows.weights.sum() * rows.n_columns)
            draw = drawing_from(self.random_state)
            engine = self._engine(rows, geometry, total)
            best = best_of(
                lambda: lloyd(
                    rows, geometry, engine, self._start(X, rows, base, geometry, draw),
                    max_iter=self.max_iter, tol=tol,
                ),
                starts(self.n_init, self.init),
            )  # fmt: skip
        self.cluster_centers_ = self._outward(best.centres)
        self.labels_, self.inertia_, self.n_iter_ = best.labels, best.inertia, best.n_iter
        warn_if_fewer(best.labels, self.n_clusters, name)
        return self

    def _is_lifted(self, rows: Rows) -> bool:
        """Whether the compiled kernel computes the steps."""
        plain = self.algorithm == "gemm" or rows.is_sparse or self.device is not None
        return not plain and kernel() is not None

    def _engine(self, rows: Rows, geometry: Geometry, total: float) -> Engine:
        """What computes the steps."""
        name = type(self).__name__
        if self.device is not None:
            expect_device(self.device, f"{name}(device=...)")
            expect(not rows.is_sparse, f"{name}(device=...)", "None for sparse rows", self.device)
            from overparam.clustering._on_device import OnDevice

            return OnDevice(rows, geometry.reference, self.device)
        expect(
            self.algorithm != "lifted" or not rows.is_sparse,
            f"{name}(algorithm=...)", "'auto' or 'gemm' for sparse rows", "'lifted'",
        )  # fmt: skip
        if not self._is_lifted(rows):
            return Products(rows, geometry.reference)
        isotropic = self.divergence_.name == "euclidean" and self.divergence_ in SIMPLE.values()
        return Lifted(rows, geometry.reference, total, isotropic=isotropic and self.side == "right")


@cache
def _libraries() -> ThreadpoolController:
    """The libraries that have threads; to look for them takes longer than a small fit."""
    return ThreadpoolController()


def starts(n_init: int | str, init: Any) -> int:
    """How many starts are made; centres that are given are all the same."""
    given = not isinstance(init, str) and not callable(init)
    if given:
        return 1
    if isinstance(n_init, str):
        return 1 if isinstance(init, str) and init == "k-means++" else 10
    return n_init


def best_of(start: Callable[[], Clustering], count: int) -> Clustering:
    """The start of the lowest inertia, the first of equals."""
    best = start()
    for _ in range(count - 1):
        other = start()
        if other.inertia < best.inertia:
            best = other
    return best


def warn_if_fewer(labels: np.ndarray, k: int, name: str) -> None:
    """Say when some clusters stayed empty."""
    found = len(np.unique(labels))
    if found < k:
        warnings.warn(
            f"{name} found {found} clusters and not {k}: there are no more different rows, or "
            "none that would lower the inertia.",
            ConvergenceWarning,
            stacklevel=user_level(),
        )
