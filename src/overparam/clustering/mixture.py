"""Soft clustering: mixtures of the noise that a Bregman divergence stands for."""

import warnings
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from overparam._as_before import or_as_before
from overparam._errors import expect
from overparam._user_line import user_level
from overparam.clustering._clusterer import drawing_from, expect_enough
from overparam.clustering._constraints import COUNT, DIVERGENCE, NOT_NEGATIVE, POSITIVE
from overparam.clustering._gemm import Products
from overparam.clustering._geometry import BregmanGeometry, expect_finite
from overparam.clustering._lloyd import lloyd
from overparam.clustering._rows import Rows, expect_inside, read_rows
from overparam.clustering._seeding import at_random, plus_plus
from overparam.clustering.divergence import BregmanDivergence
from overparam.clustering.named import Divergence, named_divergence

_HARD = 30  # iterations of k-means that the responsibilities start from


class _State(NamedTuple):
    """Shares of the components, their means, and the dispersion."""

    shares: np.ndarray
    means: np.ndarray
    dispersion: float


class BregmanMixture(DensityMixin, BaseEstimator):
    """A mixture whose components lie around their means as a Bregman divergence says.

        p(x) = Σ_j π_j exp(−D(x, μ_j) / τ) · (2πτ)^(−d/2) · √det ∇²φ(x)

    Every regular exponential family is of the first form with its own divergence: squared
    distances are normal noise of variance τ/2, "kl" Poisson at τ = 1, "itakura_saito" gamma of
    shape 1/τ, "logistic" Bernoulli at τ = 1. The last factors are the saddle point's: exact for
    normal noise, to a constant near 1 for gamma, and for counts where they are large. They do
    not matter for the memberships, and make likelihoods of different divergences comparable: the
    divergence with the higher `score` on rows held out fits the noise better.

    Args:
        n_components: k.
        divergence: As for `BregmanKMeans`.
        dispersion: τ > 0, or ``"auto"``: estimated, the same for all components. For counts and
            for yes and no it is 1.
        smoothing: Weight of the mean of all rows in every mean.
        init_params: ``"kmeans"``: the clusters of `BregmanKMeans`; ``"k-means++"``: its seeds;
            ``"random_from_data"``: rows.
        n_init: Starts, of which the highest likelihood counts.
        max_iter: Most iterations of a start.
        tol: Iterating ends when the mean log-likelihood rises by less.
        random_state: Of the starts; None is 0.

    Attributes:
        weights_: π, shape ``(k,)``.
        means_: μ, shape ``(k, d)``.
        dispersion_: τ.
        lower_bound_: Mean log-likelihood of the rows fitted, without ½ log det ∇²φ(x), which no
            parameter changes.
        converged_: Whether it settled within `max_iter`.
        n_iter_: Iterations of the start that counts.
        divergence_: The divergence used.
        n_features_in_, feature_names_in_: As in scikit-learn.

    Cost:
        4 n k d flops an iteration, and n k numbers.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).gamma(8.0, [[1.0], [10.0]], size=(2, 200)).reshape(-1, 1)
        >>> model = BregmanMixture(2, divergence="itakura_saito").fit(x)
        >>> round(float(1 / model.dispersion_))  # the shape
        8

    References:
        Banerjee, Merugu, Dhillon, Ghosh (2005), Journal of Machine Learning Research 6:1705:
        families, divergences and the iteration. Jørgensen (1987), Journal of the Royal
        Statistical Society B 49:127: the dispersion and the saddle point.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [COUNT],
        "divergence": DIVERGENCE,
        "dispersion": [StrOptions({"auto"}), POSITIVE],
        "smoothing": [NOT_NEGATIVE],
        "init_params": [StrOptions({"kmeans", "k-means++", "random_from_data"})],
        "n_init": [COUNT],
        "max_iter": [COUNT],
        "tol": [NOT_NEGATIVE],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        divergence: Divergence = "euclidean",
        dispersion: float | str = "auto",
        smoothing: float = 0.0,
        init_params: str = "kmeans",
        n_init: int = 1,
        max_iter: int = 100,
        tol: float = 1e-3,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.divergence = divergence
        self.dispersion = dispersion
        self.smoothing = smoothing
        self.init_params = init_params
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @or_as_before
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "BregmanMixture":
        """Fit by expectation and maximisation.

        Args:
            X: Rows, ``(n, d)``, dense.
            y: Ignored.
            sample_weight: ≥ 0; a weight of 2 is a row that occurs twice.

        Returns:
            The estimator; as it was before, if it raises.

        Raises:
            ValueError: As `BregmanKMeans.fit`, and rows that are all on the means, of which no
                dispersion can be estimated.
        """
        name = type(self).__name__
        self.divergence_ = named_divergence(self.divergence)
        rows = self._rows(X, sample_weight, "fit")
        if isinstance(self.divergence, BregmanDivergence):
            self.divergence.check(rows.dense(slice(None, None, max(len(rows) // 64, 1))))
        expect_enough(rows, self.n_components, name)
        self._reference = rows.mean()
        geometry = BregmanGeometry(self.divergence_, self._reference, self.smoothing)
        base = geometry.base(rows)
        expect_finite(base, f"{name}.fit(X=...)")
        self._floor = self._least_dispersion(
            len(rows), float(base @ rows.weights / rows.weights.sum())
        )
        draw = drawing_from(self.random_state)
        best: tuple[float, _State, int, bool] | None = None
        for _ in range(self.n_init):
            found = self._climb(rows, base, geometry, draw)
            if best is None or found[0] > best[0]:
                best = found
        assert best is not None
        self.lower_bound_, state, self.n_iter_, self.converged_ = best
        self.weights_, self.means_, self.dispersion_ = state
        if not self.converged_:
            warnings.warn(
                f"{name} did not settle within {self.max_iter} iterations: raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=user_level(),
            )
        return self

    def _least_dispersion(self, n: int, spread: float) -> float:
        """Below which a dispersion is rounding: rows would all be on the means."""
        if self.dispersion != "auto":
            return 0.0
        # The distance of one row from its mean is rounding, which may be 0 or not.
        expect(
            n > 1 and spread > 0, f"{type(self).__name__}.fit(X=...)", "rows that differ",
            "equal ones" if n > 1 else "one sample", hint="pass a number for dispersion.",
        )  # fmt: skip
        return 1e-12 * spread

    def _climb(
        self, rows: Rows, base: np.ndarray, geometry: BregmanGeometry, draw: np.random.RandomState
    ) -> tuple[float, _State, int, bool]:
        """Iterations from one start: bound, state, their number, and whether it settled."""
        members = self._start(rows, base, geometry, draw)
        products = Products(rows, self._reference)
        means = np.tile(self._reference, (self.n_components, 1))
        before, now, n_iter = -np.inf, -np.inf, 0
        while n_iter < self.max_iter:
            n_iter += 1
            shares, means = self._maximised(rows, members, geometry, means)
            divergences = products.divergences(geometry.planes(means), base)
            dispersion = self._dispersed(rows, members, divergences)
            state = _State(shares, means, dispersion)
            members, bound = self._expected(state, divergences, rows.n_columns)
            before, now = now, float(bound @ rows.weights / rows.weights.sum())
            if now - before < self.tol:
                break
        return now, state, n_iter, now - before < self.tol  # max_iter is at least 1

    def _start(
        self, rows: Rows, base: np.ndarray, geometry: BregmanGeometry, draw: np.random.RandomState
    ) -> np.ndarray:
        """Memberships to begin with, (n, k)."""
        seeds = (
            at_random(rows, geometry, self.n_components, draw)
            if self.init_params == "random_from_data"
            else plus_plus(rows, base, geometry, self.n_components, draw)
        )
        products = Products(rows, self._reference)
        labels = products.labels(geometry.planes(seeds))
        if self.init_params == "kmeans":
            labels = lloyd(rows, geometry, products, seeds, max_iter=_HARD, tol=0.0).labels
        members = np.zeros((len(rows), self.n_components))
        members[np.arange(len(rows)), labels] = 1.0
        return members

    def _maximised(
        self, rows: Rows, members: np.ndarray, geometry: BregmanGeometry, means: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shares and means of memberships; without any, a mean stays where it was."""
        weighted = members * rows.weights[:, None]
        totals = weighted.sum(0)
        sums = weighted.T @ rows.x - totals[:, None] * self._reference
        return totals / totals.sum(), geometry.centres(sums, totals, means)

    def _dispersed(self, rows: Rows, members: np.ndarray, divergences: np.ndarray) -> float:
        """The dispersion that memberships and divergences make most likely."""
        if not isinstance(self.dispersion, str):
            return float(self.dispersion)
        spent = np.where(members > 0, members * divergences, 0.0)
        total = float(rows.weights @ spent.sum(1))
        return max(2 * total / (rows.weights.sum() * rows.n_columns), self._floor)

    def _expected(
        self, state: _State, divergences: np.ndarray, d: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Memberships, and log-likelihoods without that part of them which is the same."""
        with np.errstate(divide="ignore"):
            joint = np.log(state.shares) - divergences / state.dispersion
        bound = np.asarray(logsumexp(joint, axis=1))
        nowhere = np.isneginf(bound)
        members = np.exp(joint - np.where(nowhere, 0.0, bound)[:, None])
        members[nowhere] = state.shares  # as likely under none, it tells nothing
        return members, bound - d / 2 * np.log(2 * np.pi * state.dispersion)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Memberships, shape ``(n, k)``; of rows that no component allows, the shares."""
        return self._told(X, "predict_proba")[0]

    def predict(self, X: Any) -> np.ndarray:
        """The most probable component of every row, shape ``(n,)``."""
        return self._told(X, "predict")[0].argmax(1)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """`predict` after `fit`."""
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def score_samples(self, X: Any) -> np.ndarray:
        """Logarithm of p(x) of every row, shape ``(n,)``.

        Raises:
            ValueError: Rows on an end of the domain where φ bends infinitely, as "kl" at 0: the
                density is infinite there, and `lower_bound_` goes without.
        """
        _, bound, rows = self._told(X, "score_samples")
        bend = np.concatenate([
            self.divergence_.log_det_hessian(rows.dense(slice(start, start + 1024)))
            for start in range(0, len(rows), 1024)
        ])  # fmt: skip
        bad = ~np.isfinite(bend)
        expect(
            not bad.any(), f"{type(self).__name__}.score_samples(X=...)",
            f"rows inside of the domain of the divergence {self.divergence_.name!r}",
            f"{int(bad.sum())} on its end, such as row {int(bad.argmax())}",
            hint="the density is infinite there; compare lower_bound_, or add a small number.",
        )  # fmt: skip
        return bound + bend / 2

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def _told(self, X: Any, method: str) -> tuple[np.ndarray, np.ndarray, Rows]:
        check_is_fitted(self)
        rows = self._rows(X, None, method)
        geometry = BregmanGeometry(self.divergence_, self._reference)
        base = geometry.base(rows)
        expect_finite(base, f"{type(self).__name__}.{method}(X=...)")
        divergences = Products(rows, self._reference).divergences(
            geometry.planes(self.means_), base
        )
        state = _State(self.weights_, self.means_, self.dispersion_)
        return *self._expected(state, divergences, rows.n_columns), rows

    def _rows(self, X: Any, sample_weight: Any, method: str) -> Rows:
        rows = read_rows(
            self, X, sample_weight, reset=method == "fit", sparse_too=False, method=method
        )
        expect_inside(self.divergence_, rows.x, f"{type(self).__name__}.{method}(X=...)")
        return rows
