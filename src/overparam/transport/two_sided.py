"""Two-sided Wasserstein Procrustes as an estimator of two views."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from overparam._as_before import or_as_before
from overparam._errors import expect
from overparam.transport.couplings import exact_coupling, expect_pairs_fit
from overparam.transport.procrustes import ProcrustesOptions, best_alignment
from overparam.transport.scatter import squared_distances
from overparam.transport.settings import column_names, expect_columns, expect_squares
from overparam.transport.views import read_start, read_views


class TwoSidedProcrustes(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Match the rows of two tables that share no column and no order.

    An estimator of two views in the form of `sklearn.cross_decomposition`, except that which row
    goes with which is not known, and found: both views are projected to a shared space in which
    an optimal coupling of them costs least. Numbers of rows and columns may differ.

    It finds what shape alone tells: clouds that are symmetric have several answers, and where the
    first couplings by Gromov–Wasserstein are near chance so is the end.

    Args:
        n_components: Dimensions d of the shared space; None is the lesser number of columns.
        constraint: "whiten" for features that are stretched or do not matter, "orthogonal" for
            noise that is alike in all directions; see `two_sided_wasserstein_procrustes`.
        reg: Entropic regularisation in units of the first median cost; 0 for exact couplings.
        reg_anneal: Where reg starts from, halved every round.
        init: "gw", "lowrank", "random", a coupling ``(n, m)`` or a pair (P, Q). "gw" learns the
            projections on 300 rows of each first where a view has more than 3000.
        eps: What whitening adds, relative to the largest variance.
        max_iter: Rounds, at most.
        tol: Change of the coupling, relative to its largest entry, at which it has settled.
        n_init: Starts of "gw" and "random", of which the best is kept.
        random_state: Draws starts, and the 300 rows; None is 0.

    Attributes:
        x_rotations_: P, shape ``(p, d)``.
        y_rotations_: Q, shape ``(q, d)``.
        x_mean_: What X is less before it is projected.
        y_mean_: The same of y.
        coupling_: T, shape ``(n, m)``, of mass 1.
        objective_path_: After every half of a round.
        scale_: By which projected X is to be multiplied to be nearest to its partners.
        n_iter_: Rounds.
        converged_: Whether the coupling settled.
        n_features_in_: p.

    Raises:
        ValueError: From `fit` and `transform`: settings out of range, NaN, rows that are all
            alike, more dimensions than columns.
        MemoryError: If n·m numbers do not fit four times.
        ImportError: If POT is not installed.

    Cost:
        n = m = 150, p = 13, with three starts: 0.3 s, of n = m = 500 5 s; of n = m = 4000,
        p = 9, 5 to 20 s.

    Example:
        ::

            model = TwoSidedProcrustes(3).fit(X, Y)
            partners = model.match()

    Source:
        See `two_sided_wasserstein_procrustes`.
    """

    x_rotations_: np.ndarray
    y_rotations_: np.ndarray
    coupling_: np.ndarray

    def __init__(
        self,
        n_components: int | None = None,
        *,
        constraint: str = "whiten",
        reg: float = 0.0,
        reg_anneal: float | None = None,
        init: Any = "gw",
        eps: float = 1e-3,
        max_iter: int = 60,
        tol: float = 1e-7,
        n_init: int = 3,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.constraint = constraint
        self.reg = reg
        self.reg_anneal = reg_anneal
        self.init = init
        self.eps = eps
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    @or_as_before
    def fit(self, X: Any, y: Any) -> "TwoSidedProcrustes":
        """Find the coupling and the projections.

        Args:
            X: First view, shape ``(n, p)``.
            y: Second view, ``(m, q)``, or ``(m,)`` for one column.
        """
        name = type(self).__name__
        options = self._options()
        checked: Any = validate_data
        X = checked(self, X, dtype=np.float64, ensure_min_samples=2)
        views = read_views(X, _second(self, y), (None, None), f"{name}.fit", "Xy")
        start = read_start(
            self.init, self.n_components, self.n_init, self.random_state, views, name
        )
        found = best_alignment(views, start, options, f"{name}.fit")
        self._y_names = column_names(y)
        self.x_rotations_, self.y_rotations_ = found.x_rotations, found.y_rotations
        self.x_mean_, self.y_mean_ = found.x_mean, found.y_mean
        self.coupling_, self.objective_path_ = found.coupling, found.objective_path
        self.scale_, self.n_iter_, self.converged_ = found.scale, found.n_iter, found.converged
        return self

    def transform(self, X: Any, y: Any = None) -> Any:
        """Rows in the shared space, ``(n, d)``; with y, a pair of those of both views."""
        check_is_fitted(self)
        x = self._first(X, "transform") @ self.x_rotations_
        if y is None:
            return x
        return x, self._second(y, "transform") @ self.y_rotations_

    def match(self) -> np.ndarray:
        """Of each row of X, the place of the row of y that most of its mass goes to, ``(n,)``.

        With equal numbers of rows, equal weights and reg = 0 that is one to one.
        """
        check_is_fitted(self)
        return self.coupling_.argmax(1)

    def score(self, X: Any, y: Any) -> float:
        """Minus the objective of these views, coupled anew and projected as fitted.

        Of the views that were fitted it is minus the last of `objective_path_` where reg = 0.
        """
        check_is_fitted(self)
        x, y = self._first(X, "score"), self._second(y, "score")
        where = f"{type(self).__name__}.score"
        expect_pairs_fit(len(x), len(y), where)
        u, v = x @ self.x_rotations_, y @ self.y_rotations_
        a, b = np.full(len(u), 1 / len(u)), np.full(len(v), 1 / len(v))
        coupling = exact_coupling(a, b, squared_distances(u, v), where)
        shared = float((u * (coupling @ v)).sum())
        level = 2.0 * self.x_rotations_.shape[1] if self.constraint == "whiten" else 0.0
        return 2 * shared - level

    @property
    def _n_features_out(self) -> int:
        return self.x_rotations_.shape[1]

    def _options(self) -> ProcrustesOptions:
        options = ProcrustesOptions(
            self.constraint, self.reg, self.reg_anneal, self.eps, self.max_iter, self.tol
        )
        options.expect(type(self).__name__)
        return options

    def _first(self, X: Any, method: str) -> np.ndarray:
        checked: Any = validate_data
        rows = checked(self, X, reset=False, dtype=np.float64)
        expect_squares(rows, f"{type(self).__name__}.{method}(X=...)")
        return rows - self.x_mean_

    def _second(self, y: Any, method: str) -> np.ndarray:
        rows, where = _second(self, y), f"{type(self).__name__}.{method}(y=...)"
        expect(
            rows.shape[1] == len(self.y_mean_), where,
            f"a table of {len(self.y_mean_)} columns", f"shape {rows.shape}",
        )  # fmt: skip
        expect_columns(y, getattr(self, "_y_names", None), where, "the view fitted")
        expect_squares(rows, where)
        return rows - self.y_mean_


def _second(estimator: Any, y: Any) -> np.ndarray:
    """The second view as a table; one column may come without its axis."""
    expect(
        y is not None, f"{type(estimator).__name__}(y=...)", "a second view", None,
        "it requires y to be passed, but the target y is None.",
    )  # fmt: skip
    rows = check_array(y, dtype="float64", ensure_2d=False, input_name="y")
    return rows[:, None] if rows.ndim == 1 else rows
