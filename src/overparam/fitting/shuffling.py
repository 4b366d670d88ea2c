"""How much worse predictions of rows not seen become without a column, and without two at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from overparam.fitting.folds import Splits, corrected_interval, train_share
from overparam.fitting.scores import aligned_outputs
from overparam.fitting.table import Table

LEVEL = 0.9
# Multiplications that one fold may take, about a second or two, and rows it takes at least.
WORK, FEWEST = 2e10, 30
CELL = 1000  # those that take as long as a cell of a frame that is made and read
SHUFFLES, PAIRED, BLOCK = 3, 6, 4000
# Of the chance that one of the pairs of an additive target is called an interaction.
CHANCE, LEAST_SHARE = 0.01, 0.02


@dataclass(frozen=True)
class Importances:
    """Shares of the columns in what the columns tell.

    Attributes:
        names: Of the columns.
        value: Shares, which sum to 1; about 0, on either side, for a column that tells nothing.
            Empty if together they tell nothing.
        low: Lower ends of intervals of 90 %.
        high: Upper ends.
        told: The part of the variance that is lost when a column is shuffled, summed.
    """

    names: list[str]
    value: list[float]
    low: list[float]
    high: list[float]
    told: float


def importances(
    table: Table, models: Sequence[Any], splits: Splits, *, seed: int = 0
) -> Importances:
    """Half the rise of the squared error of rows not seen when a column is shuffled among them.

        v_k = mean_i ½ ‖t_i − f(x_i with column k of another row)‖² − ½ ‖t_i − f(x_i)‖²
        share_k = Σ_folds v_k / Σ_folds Σ_j v_j

    t is the target, or the indicator of the class and f its probabilities. Of an additive target
    that is learned perfectly, v_k is the variance of column k's part, whether k is a number or a
    category. A column that has nothing to do with the target is worth 0 on average, however
    many levels it has: what a model made of it is as wrong before as after. The interval is for
    tables drawn anew: a jackknife over the folds' models of share_k's linear part, with the spread
    of the test rows.

    Args:
        table: The data.
        models: Fitted in each fold.
        splits: The folds.
        seed: Of the shuffles.

    Cost:
        Up to three predictions of each test row a column, fewer where they would take long.
    """
    names = list(table.x.columns)
    rises = [
        _rises(table, model, train, test, np.random.default_rng((seed, fold)))
        for fold, (model, (train, test)) in enumerate(zip(models, splits, strict=True))
    ]
    worth = np.array([fold.mean(0) for fold in rises])
    totals = worth.sum(1)
    told = float(totals.mean())
    ratio = train_share(splits)
    if not told > 0 or corrected_interval(totals, ratio, LEVEL)[0] <= 0:
        return Importances(names, [], [], [], told)
    shares = worth.mean(0) / told
    linear = [(fold - shares * fold.sum(1, keepdims=True)) / told for fold in rises]
    half = student.ppf((1 + LEVEL) / 2, len(rises) - 1) * _error(linear, ratio)
    low, high = shares - half, shares + half
    return Importances(names, shares.tolist(), low.tolist(), high.tolist(), told)


def _error(parts: list[np.ndarray], ratio: float) -> np.ndarray:
    """Standard error of the mean over folds of each column of parts, of all rows anew.

    What folds differ by is their test rows and their models. Test rows are independent, and their
    part is known from within folds; what is left is a jackknife's, whose models share all rows
    but a fold, so that they differ far less than models of new rows would.
    """
    k = len(parts)
    between = np.var([part.mean(0) for part in parts], axis=0, ddof=1)
    within = np.mean([part.var(0, ddof=1) / len(part) for part in parts], axis=0)
    of_models = (between - within).clip(min=0)
    return np.sqrt(np.maximum((k - 1) ** 2 / k * of_models + within / k, (1 / k + ratio) * between))


def _rises(
    table: Table, model: Any, train: np.ndarray, test: np.ndarray, draw: np.random.Generator
) -> np.ndarray:
    """What v is of every row and column in one fold, as a part of the target's variance."""
    x, wanted = table.x.iloc[test], targets(table)[test]
    columns = [[k] for k in range(x.shape[1])]
    rows, shuffles = _affordable(table, len(train), len(test), len(columns), draw)
    x, wanted = x.iloc[rows], wanted[rows]
    before = np.sum((wanted - _said(table, model, x)) ** 2, 1)
    rises = np.zeros((len(x), len(columns)))
    for _ in range(shuffles):
        said = shuffled(table, model, x, columns, _moved(len(x), draw))
        for place, one in enumerate(said):
            rises[:, place] += np.sum((wanted - one) ** 2, 1) - before
    return rises / 2 / shuffles / targets(table).var(0).sum()


@dataclass(frozen=True)
class Interaction:
    """Two columns that act together: their effects do not add up.

    Attributes:
        names: Of the columns.
        share: Of the target's variance that only both together tell.
        z: That, in standard errors over rows.
        bar: The z above which it is found.
    """

    names: tuple[str, str]
    share: float
    z: float
    bar: float


def interactions(
    table: Table, models: Sequence[Any], splits: Splits, first: Sequence[int], *, seed: int = 0
) -> list[Interaction]:
    """Pairs among the first columns whose mixed differences tell something of rows not seen.

        D = f(x) − f(x, a of x′) − f(x, b of x′) + f(x, a and b of x′),     x′ another row
        share = mean [(t − f(x)) D̄ + D D″] / Var t,     D̄ the mean of D over some x′

    D D″ is the mean product over two different x′. D is what a mixed second derivative is for
    numbers, and exists for categories too. It is 0 for
    a model that adds up. What a model of an additive target has in its place is noise, which
    tells nothing of new rows; so share is 0 on average if a and b vary independently.

    Args:
        table: The data.
        models: Fitted in each fold.
        splits: The folds.
        first: Positions of columns, the most important first; the first six are paired.
        seed: Of the rows x′.

    Returns:
        The pairs found, the largest share first: with z above what one of all pairs of an
        additive target reaches with probability 1 %, and a share of 2 % or more.
    """
    first = list(first)[:PAIRED]
    pairs = list(combinations(range(len(first)), 2))
    if not pairs:
        return []
    sets = [[first[i]] for i in range(len(first))] + [[first[i], first[j]] for i, j in pairs]
    variance = targets(table).var(0).sum()
    told, bound = [], []
    for fold, (model, (train, test)) in enumerate(zip(models, splits, strict=True)):
        draw = np.random.default_rng((seed, 1, fold))
        x, wanted = table.x.iloc[test], targets(table)[test]
        rows, shuffles = _affordable(table, len(train), len(test), len(sets), draw)
        x, wanted = x.iloc[rows], wanted[rows]
        here = _said(table, model, x)
        mixed = np.zeros((len(pairs), *here.shape))
        squares = np.zeros_like(mixed)
        shuffles = max(2, shuffles)
        for _ in range(shuffles):
            said = shuffled(table, model, x, sets, _moved(len(x), draw))
            for place, (i, j) in enumerate(pairs):
                one = here - said[i] - said[j] + said[len(first) + place]
                mixed[place] += one
                squares[place] += one**2
        # A square of one D would add what it varies by with x′.
        products = (mixed**2 - squares) / (shuffles * (shuffles - 1))
        bound.append(_bound(table)[test][rows])
        told.append(np.sum((wanted - here) * mixed / shuffles + products, 2) / variance)
    values, together = np.concatenate(told, 1), np.concatenate(bound)
    means = values.mean(1)
    # Rows that belong together tell as much as their sum.
    codes = np.unique(together, return_inverse=True)[1]
    sums = np.array([np.bincount(codes, row) for row in values - means[:, None]])
    errors = np.sqrt((sums**2).sum(1)) / values.shape[1]
    bar = float(norm.ppf(1 - CHANCE / len(pairs)))
    names = [str(name) for name in table.x.columns]
    found = [
        Interaction((names[first[i]], names[first[j]]), float(mean), float(mean / error), bar)
        for (i, j), mean, error in zip(pairs, means, errors, strict=True)
        if mean >= LEAST_SHARE and mean > bar * error
    ]
    return sorted(found, key=lambda pair: -pair.share)


def _bound(table: Table) -> np.ndarray:
    """Which rows are not independent of each other: groups, or a twentieth of the time."""
    if table.groups is not None:
        return table.groups
    place = np.arange(len(table.y))
    if table.times is None:
        return place
    ranks = np.empty(len(place), dtype=int)
    ranks[np.argsort(table.times, kind="stable")] = place
    return ranks * 20 // len(place)


def targets(table: Table) -> np.ndarray:
    """What is predicted, (n, 1), or an indicator a class."""
    return np.eye(len(table.class_names))[table.y] if table.is_classification else table.y[:, None]


def shuffled(
    table: Table, model: Any, x: pd.DataFrame, sets: Sequence[Sequence[int]], moved: np.ndarray
) -> list[np.ndarray]:
    """Predictions for each set of columns, which are taken from other rows together.

    Args:
        table: Whose classes they are of.
        model: Predicts.
        x: Rows.
        sets: Positions of columns.
        moved: For each row the one whose values it takes.
    """
    n, stay = len(x), np.arange(len(x))
    said: list[np.ndarray] = []
    step = max(1, BLOCK // n)
    for start in range(0, len(sets), step):
        part = sets[start : start + step]
        places = {k for columns in part for k in columns}
        here = np.tile(stay, len(part))
        made = {}
        for k, name in enumerate(x.columns):
            if k in places:
                from_rows = np.concatenate([moved if k in columns else stay for columns in part])
            else:
                from_rows = here
            made[name] = x[name].array.take(from_rows)
        outputs = _said(table, model, pd.DataFrame(made))
        said += np.split(outputs, len(part))
    return said


def _said(table: Table, model: Any, x: pd.DataFrame) -> np.ndarray:
    return aligned_outputs(table, model, x)


def _moved(n: int, draw: np.random.Generator) -> np.ndarray:
    """For each row another one: a permutation without a fixed place, if there are two rows."""
    order = draw.permutation(n)
    moved = np.empty(n, dtype=int)
    moved[order] = np.roll(order, 1)
    return moved


def _affordable(
    table: Table, train: int, test: int, sets: int, draw: np.random.Generator
) -> tuple[np.ndarray, int]:
    """The rows that are shuffled, and how often, within the work of a fold."""
    width = sum(
        len(values.cat.categories) if isinstance(values.dtype, pd.CategoricalDtype) else 1
        for _, values in table.x.items()
    )
    once = float(train + CELL) * width * sets
    rows = int(min(test, max(FEWEST, WORK / once)))
    shuffles = int(min(SHUFFLES, max(1, WORK / (once * rows))))
    return draw.permutation(test)[:rows], shuffles
