"""Two sets of points to be matched, and where a search for their matching starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_random_state

from overparam._errors import complaint, expect, unknown
from overparam._numbers import described
from overparam.transport.settings import expect_squares, expect_whole

KINDS = ("gw", "lowrank", "random")


@dataclass(frozen=True, eq=False)
class Views:
    """Both sets, less their weighted means, without rows of no weight.

    Attributes:
        x: Shape ``(n, p)``.
        y: Shape ``(m, q)``.
        a: Weights of the rows of x, > 0, of sum 1.
        b: Weights of the rows of y.
        x_mean: Weighted mean of x as it was given.
        y_mean: The same of y.
        kept: Which of the rows that were given have a weight, for each set.
    """

    x: np.ndarray
    y: np.ndarray
    a: np.ndarray
    b: np.ndarray
    x_mean: np.ndarray
    y_mean: np.ndarray
    kept: tuple[np.ndarray, np.ndarray]

    def whole(self, coupling: np.ndarray) -> np.ndarray:
        """The coupling with the rows and columns of no weight, of zeros."""
        if all(part.all() for part in self.kept):
            return coupling
        full = np.zeros([len(part) for part in self.kept])
        full[np.ix_(*self.kept)] = coupling
        return full

    def some(self, n: int, seed: int) -> "Views":
        """At most n rows of each set, centred anew.

        Of rows in a random order those are taken on which n marks fall that are equally far apart
        along the sum of their weights. One that several fall on is kept once, with their weight;
        of equal weights it is a draw without replacement.
        """
        draw = np.random.default_rng(seed)
        parts: list[np.ndarray] = []
        shares, means, kept = [], [], []
        for rows, weights, mean in ((self.x, self.a, self.x_mean), (self.y, self.b, self.y_mean)):
            if len(rows) > n:
                order = draw.permutation(len(rows))
                marks = (np.arange(n) + draw.uniform()) / n
                at = np.searchsorted(np.cumsum(weights[order]), marks).clip(0, len(rows) - 1)
                chosen, counts = np.unique(order[at], return_counts=True)
                rows, weights = rows[chosen], counts / n
            middle = weights @ rows
            parts.append(rows - middle)
            shares.append(weights)
            means.append(mean + middle)
            kept.append(np.ones(len(rows), dtype=bool))
        return Views(*parts, *shares, *means, kept=(kept[0], kept[1]))


def read_views(
    x: Any, y: Any, weights: Sequence[np.ndarray | None], where: str, names: str = "XY"
) -> Views:
    """Both sets as float64, checked and centred."""
    parts: list[np.ndarray] = []
    means, kept, shares = [], [], []
    for name, given, weight in zip(names, (x, y), weights, strict=True):
        call = f"{where}({name}=...)"
        rows = check_array(given, dtype="float64", ensure_min_samples=2, input_name=name)
        expect_squares(rows, call)
        weight = np.ones(len(rows)) if weight is None else weight
        expect(len(weight) == len(rows), call, f"{len(weight)} rows, as weights", len(rows))
        weight = weight / weight.sum()
        present = weight > 0
        rows, weight = rows[present], weight[present]
        mean = weight @ rows
        rows = rows - mean
        spread = np.abs(rows).max(initial=0)
        # What is smaller has no square, or is rounding of the mean.
        least = max(1e-150, 1e-12 * np.abs(mean).max(initial=0))
        expect(
            len(rows) > 1 and spread > least, call, "rows that differ", "rows that are all alike"
        )
        parts.append(rows)
        means.append(mean)
        kept.append(present)
        shares.append(weight)
    return Views(*parts, *shares, *means, kept=(kept[0], kept[1]))


def read_weights(a: Any, b: Any, arrays: Sequence[Any], where: str) -> list[np.ndarray | None]:
    """Weights of both sets, None for equal ones."""
    found: list[np.ndarray | None] = []
    for name, given, rows in zip("ab", (a, b), arrays, strict=True):
        if given is None:
            found.append(None)
            continue
        call, words = f"{where}({name}=...)", "a weight ≥ 0 for each row, some above 0"
        try:
            weight = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError) as problem:
            raise complaint(call, words, described(given)) from problem
        right = weight.shape == np.shape(rows)[:1] and np.isfinite(weight).all()
        right = right and (weight >= 0).all() and 0 < weight.sum() < np.inf
        expect(right, call, words, described(given))
        found.append(weight)
    return found


@dataclass(frozen=True, eq=False)
class Start:
    """Where the turns begin.

    Attributes:
        kind: "gw", "lowrank", "random", "coupling" or "pair".
        d: Directions.
        n_init: Starts of "gw".
        seed: Of the start of low rank, and of the rows of many that are drawn.
        coupling: Between the rows that have a weight.
        pairs: Projections of both sets.
    """

    kind: str
    d: int
    n_init: int = 1
    seed: int = 0
    coupling: Any = None
    pairs: Sequence[tuple[np.ndarray, np.ndarray]] = ()


def read_start(
    init: Any, n_components: Any, n_init: Any, random_state: Any, views: Views, where: str
) -> Start:
    """What `init` says, checked."""
    p, q = views.x.shape[1], views.y.shape[1]
    words = f"a number of directions from 1 to {min(p, q)}, the lesser of {p} and {q} columns"
    expect_whole(f"{where}(n_components=...)", words, n_components, 1, none=True)
    d = min(p, q) if n_components is None else int(n_components)
    expect(d <= min(p, q), f"{where}(n_components=...)", words, d)
    expect_whole(f"{where}(n_init=...)", "a number of starts ≥ 1", n_init, 1)
    try:
        # None is 0, so that NumPy's own generator stays as it is.
        draw = check_random_state(0 if random_state is None else random_state)
    except ValueError as problem:
        wanted = "None, a whole number from 0 to 2**32 - 1 or a RandomState"
        raise complaint(f"{where}(random_state=...)", wanted, described(random_state)) from problem
    call = f"{where}(init=...)"
    if isinstance(init, str):
        if init not in KINDS:
            unknown(call, "a start", init, KINDS)
        seed = int(draw.randint(2**31))
        pairs = [(draw.normal(size=(p, d)), draw.normal(size=(q, d))) for _ in range(n_init)]
        drawn = [tuple(np.linalg.qr(part)[0] for part in pair) for pair in pairs]
        return Start(init, d, n_init, seed, pairs=drawn if init == "random" else ())  # pyright: ignore
    shapes = (len(views.kept[0]), len(views.kept[1]))
    words = (
        f"one of {', '.join(KINDS)}, a coupling of shape {shapes} or a pair of arrays of shapes "
        f"{(p, d)} and {(q, d)}"
    )
    try:
        if isinstance(init, tuple) and len(init) == 2:
            pair = tuple(np.asarray(part, dtype=np.float64) for part in init)
            right = [part.shape for part in pair] == [(p, d), (q, d)]
            expect(right and all(np.isfinite(part).all() for part in pair), call, words, "others")
            return Start("pair", d, pairs=[(pair[0], pair[1])])
        coupling = np.asarray(init, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise complaint(call, words, described(init)) from problem
    expect(coupling.shape == shapes, call, words, described(init))
    least, total = coupling.min(initial=np.inf), coupling.sum()
    expect(
        least >= 0 and 0 < total < np.inf,
        call, "a coupling of finite numbers ≥ 0, one of them positive",
        f"a smallest of {least:g} and a sum of {total:g}",
    )  # fmt: skip
    return Start("coupling", d, coupling=coupling[np.ix_(*views.kept)] / coupling.sum())
