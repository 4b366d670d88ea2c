"""Two-sided Wasserstein Procrustes: which point is which, across spaces of different features."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from overparam._errors import expect
from overparam.transport.couplings import (
    entropic_coupling,
    exact_coupling,
    expect_pairs_fit,
    import_pot,
    typical,
)
from overparam.transport.gromov import MANY, SOME, gromov_couplings, low_rank_covariance
from overparam.transport.scatter import squared_distances
from overparam.transport.settings import expect_number, expect_whole
from overparam.transport.views import Start, Views, read_start, read_views, read_weights


@dataclass(frozen=True, eq=False)
class ProcrustesResult:
    """A coupling and two projections; arrays of the kind that was given.

    Attributes:
        x_rotations: P, shape ``(p, d)``; unique up to what P Qᵀ leaves open.
        y_rotations: Q, shape ``(q, d)``.
        x_mean: What X is less before it is projected.
        y_mean: The same of Y.
        coupling: T, shape ``(n, m)``, of mass 1.
        objective_path: After every half of a round; it never rises where reg = 0.
        scale: By which projected X has to be multiplied to be nearest to its partners.
        converged: Whether the coupling stayed as it was in the last round.
    """

    x_rotations: Any
    y_rotations: Any
    x_mean: Any
    y_mean: Any
    coupling: Any
    objective_path: list[float]
    scale: float
    converged: bool

    @property
    def n_iter(self) -> int:
        """Rounds."""
        return len(self.objective_path) // 2


def two_sided_wasserstein_procrustes(
    X: Any,
    Y: Any,
    n_components: int | None = None,
    *,
    a: Any = None,
    b: Any = None,
    constraint: str = "whiten",
    reg: float = 0.0,
    reg_anneal: float | None = None,
    init: Any = "gw",
    eps: float = 1e-3,
    max_iter: int = 60,
    tol: float = 1e-7,
    n_init: int = 3,
    random_state: Any = None,
) -> ProcrustesResult:
    """Couple two sets of points by projections of both that are learned with the coupling.

    Minimises Σ T_ij ‖Pᵀx_i − Qᵀy_j‖² over couplings T and projections P, Q to d dimensions, both
    sets centred, by turns, each half exactly. Of several starts the best end is kept. What keeps
    P = Q = 0 from being the answer is the constraint:

    - "whiten": Pᵀ(Σ_x + e_x I)P = I, and Q alike, with e = eps·λ_max: as canonical correlations.
      The objective has e_x‖P‖² + e_y‖Q‖² added, and is 2d − 2 Σ s_k, singular values of
      (Σ_x + e_x I)^(-½) XᵀTY (Σ_y + e_y I)^(-½). For features that are stretched or do not
      matter.
    - "orthogonal": PᵀP = QᵀQ = I, maximising tr(PᵀXᵀTYQ), of which the objective is −2 times the
      value: as partial least squares. For noise that is alike in all directions. With
      p = q = d it is one-sided Wasserstein Procrustes with the rotation P Qᵀ.

    The start decides most: projections at random end near chance.

    Args:
        X: Shape ``(n, p)``, finite; an array of any of POT's backends, computed by NumPy.
        Y: Shape ``(m, q)``.
        n_components: d; None is min(p, q).
        a: Weights of the rows of X, ≥ 0; None for equal ones. They are divided by their sum.
        b: Weights of the rows of Y.
        constraint: "whiten" or "orthogonal".
        reg: Entropic regularisation in units of the first median cost; 0 for exact couplings.
        reg_anneal: Where reg starts from, halved every round; the objective may rise until it is
            down.
        init: "gw", Gromov–Wasserstein couplings; above 3000 rows in a set, the pair (P, Q) that
            300 rows of each end with, drawn with their weights; "lowrank", a coupling of low
            rank, weak (`x.py bench transport many`); "random", projections at random, weak; a
            coupling ``(n, m)``; or a pair (P, Q).
        eps: What whitening adds, relative to the largest variance; > 0 where d may exceed the
            rank.
        max_iter: Rounds, at most.
        tol: The last round is one in which no entry of T changes by more than tol times the
            largest.
        n_init: Starts of "gw" and "random".
        random_state: Draws "random" starts, those of low rank and the 300 rows; None is 0.

    Raises:
        ValueError: Settings out of range, NaN, rows that are all alike, d above p or q.
        MemoryError: If n·m numbers do not fit four times, or distances within the sets.
        ImportError: If POT is not installed.

    Cost:
        n = m = 150, p = 13, with three starts: 0.3 s, of n = m = 500 5 s, mostly of the starts.
        n = m = 4000, p = 9: 1 s of the start, and 1 to 2 s and O(nm) memory for each of 2 to 8
        rounds.

    Example:
        ::

            found = two_sided_wasserstein_procrustes(X, Y, 3)
            partners = found.coupling.argmax(1)

    Source:
        After Jin, Liu and Xia, "Two-sided Wasserstein Procrustes analysis", IJCAI 2021,
        doi 10.24963/ijcai.2021/484: the joint problem and the cyclic updates; constraints and
        starts are our own.
    """
    where = "two_sided_wasserstein_procrustes"
    ot = import_pot(f"{where}(...)")
    given = [np.asarray(v) if isinstance(v, (list, tuple)) else v for v in (X, Y)]
    try:
        nx = ot.backend.get_backend(*given)
    except (ValueError, TypeError):  # a data frame, or what read_views complains about
        nx, arrays = None, given
    else:
        arrays = [nx.to_numpy(v) for v in given]
    options = ProcrustesOptions(constraint, reg, reg_anneal, eps, max_iter, tol)
    options.expect(where)
    views = read_views(arrays[0], arrays[1], read_weights(a, b, arrays, where), where)
    start = read_start(init, n_components, n_init, random_state, views, where)
    result = best_alignment(views, start, options, where)
    if nx is None or nx.__name__ == "numpy":
        return result
    names = ("x_rotations", "y_rotations", "x_mean", "y_mean", "coupling")
    return replace(
        result,
        **{
            name: nx.from_numpy(np.ascontiguousarray(getattr(result, name)), type_as=X)
            for name in names
        },
    )


@dataclass(frozen=True)
class ProcrustesOptions:
    """How the turns are taken; `two_sided_wasserstein_procrustes` describes each."""

    constraint: str = "whiten"
    reg: float = 0.0
    reg_anneal: float | None = None
    eps: float = 1e-3
    max_iter: int = 60
    tol: float = 1e-7

    def expect(self, where: str) -> None:
        """Raise for the first that is out of range."""
        names = ("whiten", "orthogonal")
        expect(
            isinstance(self.constraint, str) and self.constraint in names,
            f"{where}(constraint=...)", "'whiten' or 'orthogonal'", repr(self.constraint)[:60],
        )  # fmt: skip
        for name in ("reg", "eps", "tol"):
            value = getattr(self, name)
            expect_number(f"{where}({name}=...)", "a number ≥ 0", value, lambda v: v >= 0)
        if self.reg_anneal is not None:
            words = "a number above reg, which is above 0"
            expect_number(
                f"{where}(reg_anneal=...)", words, self.reg_anneal, lambda v: v >= self.reg > 0
            )
        expect_whole(f"{where}(max_iter=...)", "a number of rounds ≥ 1", self.max_iter, 1)


def best_alignment(
    views: Views, start: Start, options: ProcrustesOptions, where: str
) -> ProcrustesResult:
    """The end with the lowest objective, over all starts."""
    expect_pairs_fit(len(views.x), len(views.y), where)
    turns = Turns(views, start.d, options, where)
    results = [
        turns.from_covariance(covariance)
        for covariance in _covariances(views, start, options, where)
    ]
    best = min(results, key=lambda result: result.objective_path[-1])
    return replace(best, coupling=views.whole(best.coupling))


def _covariances(
    views: Views, start: Start, options: ProcrustesOptions, where: str
) -> Iterator[np.ndarray]:
    """XᵀTY of each start, which is all that the first projections need."""
    x, y = views.x, views.y
    if start.kind == "gw" and max(len(x), len(y)) > MANY:
        some = views.some(SOME, start.seed)
        if np.ptp(some.x, axis=0).any() and np.ptp(some.y, axis=0).any():
            found = best_alignment(some, start, options, where)
            start = replace(start, kind="pair", pairs=[(found.x_rotations, found.y_rotations)])
        else:  # the rows that were drawn are all alike
            start = replace(start, kind="lowrank")
    if start.kind == "coupling":
        yield x.T @ start.coupling @ y
    elif start.kind in ("pair", "random"):
        for p, q in start.pairs:
            cost = squared_distances(x @ p, y @ q)
            yield x.T @ exact_coupling(views.a, views.b, cost, where) @ y
    elif start.kind == "lowrank":
        yield low_rank_covariance(x, y, views.a, views.b, start.seed, where)
    else:
        for coupling in gromov_couplings(x, y, views.a, views.b, start.n_init, where):
            yield x.T @ coupling @ y


@dataclass(eq=False)
class Turns:
    """Both halves of a round."""

    views: Views
    d: int
    options: ProcrustesOptions
    where: str
    whitening: tuple[np.ndarray, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        eps = self.options.eps if self.options.constraint == "whiten" else None
        x, y = self.views.x, self.views.y
        self.whitening = (_whitening(x, self.views.a, eps), _whitening(y, self.views.b, eps))

    def projections(self, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """P, Q and the objective for XᵀTY, without the entropy."""
        left, right = self.whitening
        u, s, v = np.linalg.svd(left @ covariance @ right, full_matrices=False)
        level = 2.0 * self.d if self.options.constraint == "whiten" else 0.0
        return left @ u[:, : self.d], right @ v[: self.d].T, level - 2 * s[: self.d].sum()

    def objective(self, p: np.ndarray, q: np.ndarray, covariance: np.ndarray) -> float:
        """The objective for any P, Q that keep the constraint."""
        level = 2.0 * self.d if self.options.constraint == "whiten" else 0.0
        return level - 2 * float((p * (covariance @ q)).sum())

    def from_covariance(self, covariance: np.ndarray) -> ProcrustesResult:
        """Turns from the projections that fit a coupling with this XᵀTY."""
        x, y, a, b = self.views.x, self.views.y, self.views.a, self.views.b
        options, path = self.options, []
        before, unit, level, converged = None, None, options.reg_anneal or options.reg, False
        p, q, _ = self.projections(covariance)
        for _ in range(options.max_iter):
            cost = squared_distances(x @ p, y @ q)
            unit = typical(cost) if unit is None else unit
            if options.reg:
                coupling = entropic_coupling(a, b, cost, level * unit, self.where)
            else:
                coupling = exact_coupling(a, b, cost, self.where)
            penalty = options.reg * unit * _negative_entropy(coupling) if options.reg else 0.0
            covariance = x.T @ coupling @ y
            path.append(self.objective(p, q, covariance) + penalty)
            p, q, value = self.projections(covariance)
            path.append(float(value) + penalty)
            settled = before is not None and level == options.reg and (
                np.abs(coupling - before).max() <= options.tol * coupling.max()
            )  # fmt: skip
            if settled:
                converged = True
                break
            before, level = coupling, max(options.reg, level / 2)
        spread = np.square(x @ p).sum(1) @ a
        return ProcrustesResult(
            x_rotations=p,
            y_rotations=q,
            x_mean=self.views.x_mean,
            y_mean=self.views.y_mean,
            coupling=coupling,
            objective_path=path,
            scale=float((p * (covariance @ q)).sum() / spread) if spread > 0 else 1.0,
            converged=converged,
        )


def _negative_entropy(coupling: np.ndarray) -> float:
    positive = coupling[coupling > 0]
    return float(positive @ np.log(positive))


def _whitening(points: np.ndarray, weights: np.ndarray, eps: float | None) -> np.ndarray:
    """(Σ + e I)^(-½), or the identity without eps."""
    if eps is None:
        return np.eye(points.shape[1])
    values, vectors = np.linalg.eigh((points * weights[:, None]).T @ points)
    # Without eps, directions of no variance are left out rather than divided by nothing.
    least = max(eps, len(values) * np.finfo(np.float64).eps) * values[-1]
    raised = values + eps * values[-1]
    scales = np.where(raised >= least / 2, 1 / np.sqrt(np.maximum(raised, least / 2)), 0)
    assert math.isfinite(float(scales.max()))
    return vectors * scales @ vectors.T
