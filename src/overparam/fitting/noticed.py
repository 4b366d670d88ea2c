"""What random folds hide: time, groups, rows that stand twice, and columns that know the answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from overparam.fitting.folds import Splits, by_groups, in_time_order
from overparam.fitting.measures import measured, metric_of
from overparam.fitting.shuffling import targets
from overparam.fitting.table import Table

OTHER_FOLDS = 3
# A group has two rows at least in the mean, and so many groups that half can be left out.
FEWEST_GROUPS, ROWS_A_GROUP = 6, 2.0
# Share of a column's variance that lies within groups, up to which it is the groups'.
WITHIN = 0.05
LEAK = 0.99
MOST_TRIED, MOST_ROWS, MOST_NUMBERS = 100, 2000, 2e7


@dataclass(frozen=True)
class Twins:
    """Rows whose predictors are another row's.

    Attributes:
        rows: Tested rows of which a copy was trained on.
        same_target: Those of them whose target is the copy's too.
        score: Of the other rows, by the models of the same folds; NaN if they are too few.
    """

    rows: int
    same_target: int
    score: float


def twins(table: Table, splits: Splits, outputs: tuple[np.ndarray, ...]) -> Twins:
    """Rows that stand in training and test part of a fold.

    Args:
        table: The data.
        splits: The folds.
        outputs: What was predicted in each.
    """
    names = hash_pandas_object(table.x, index=False).to_numpy()  # pyright: ignore
    whole = hash_pandas_object(table.x.assign(target=table.y), index=False).to_numpy()  # pyright: ignore
    copies, same, scores, weights = 0, 0, [], []
    for (train, test), said in zip(splits, outputs, strict=True):
        copied = np.isin(names[test], names[train])
        copies += int(copied.sum())
        same += int(np.isin(whole[test], whole[train]).sum())
        y = table.y[test][~copied]
        if len(y) >= 5 and len(np.unique(y)) > 1:
            scores.append(measured(table, y, said[~copied])[metric_of(table)])
            weights.append(len(y))
    return Twins(copies, same, float(np.average(scores, weights=weights)) if scores else np.nan)


@dataclass(frozen=True)
class OtherFolds:
    """The score of our model on folds that the table calls for.

    Attributes:
        kind: "time" or "group".
        column: By which they are.
        is_named: Whether a name of groups is in the table; else rows are one if all of `within`
            is equal.
        within: Columns that do not vary within a group.
        score: The mean over these folds.
        of_guess: That of a guess.
        at_random: The mean over folds of the same sizes drawn at random; NaN if those are ours.
    """

    kind: str
    column: str
    is_named: bool
    within: tuple[str, ...]
    score: float
    of_guess: float
    at_random: float = np.nan


def in_time(
    table: Table, score: Callable[[Table, Splits], tuple[float, float]]
) -> OtherFolds | None:
    """The score in order of the first column of dates; None if there is none that has an order.

    Args:
        table: The data.
        score: Ours and a guess's on folds.
    """
    dates = [c.name for c in table.reader.used if c.kind == "date" and c.unit == "days since 1970"]
    for name in dates:
        times = table.x[name].to_numpy()
        if np.isfinite(times).all() and len(np.unique(times)) > 2 * (OTHER_FOLDS + 1):
            splits = in_time_order(times, OTHER_FOLDS)
            if _learnable(table, splits):
                # The first parts have few rows to learn from, in whatever order.
                mixed = np.random.default_rng(0).permutation(times)
                alike = score(table, in_time_order(mixed, OTHER_FOLDS))[0]
                return OtherFolds("time", name, True, (), *score(table, splits), alike)
    return None


def in_groups(
    table: Table, score: Callable[[Table, Splits], tuple[float, float]], seed: int
) -> OtherFolds | None:
    """The score when groups are left out whole; None if nothing looks like groups.

    Rows are groups by a column, or by one that is the same in several rows and different between
    most others, if another column does not vary within them.
    """
    found = _groups(table)
    if found is None:
        return None
    name, codes, within, named = found
    fewer = table
    if named and table.x.shape[1] > 1:  # a name says nothing of other groups
        fewer = Table(**{**vars(table), "x": table.x.drop(columns=[name])})
    splits = by_groups(
        table.y, codes, min(5, len(np.unique(codes))), seed, classify=table.is_classification
    )
    if not _learnable(table, splits):
        return None
    return OtherFolds("group", name, named, within, *score(fewer, splits))


def _learnable(table: Table, splits: Splits) -> bool:
    return not table.is_classification or all(
        len(np.unique(table.y[part])) > 1 for pair in splits for part in pair
    )


def _groups(table: Table) -> tuple[str, np.ndarray, tuple[str, ...], bool] | None:
    """Name and codes of groups, the columns that do not vary within, and if it is a name."""
    best = None
    # Pairs of columns are looked at: of very many the first ones do.
    columns: dict[Any, pd.Series] = dict(list(table.x.items())[:MOST_TRIED])
    coded = {name: _codes(values) for name, values in columns.items()}
    for name, codes in coded.items():
        number = int(codes.max()) + 1
        if number < FEWEST_GROUPS or len(codes) < ROWS_A_GROUP * number:
            continue
        # A column of few values is told by groups that are hardly more than its values.
        within = tuple(
            str(other)
            for other, values in coded.items()
            if other != name
            and 2 * (int(values.max()) + 1) > min(number, FEWEST_GROUPS)
            and _varies_within(columns[other], values, codes) < WITHIN
        )
        numeric = table.x[name].dtype == np.float64
        named = not numeric or bool((table.x[name] == table.x[name].round()).all())
        if within and (best is None or (named, len(within)) > (best[3], len(best[2]))):
            best = (str(name), codes, within, named)
    return best


def _codes(values: pd.Series) -> np.ndarray:
    codes = pd.factorize(values, use_na_sentinel=False)[0]
    return np.asarray(codes)


def _varies_within(values: pd.Series, codes: np.ndarray, groups: np.ndarray) -> float:
    """Share of a column's variance that lies within groups; of a category's Gini index."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        levels = int(codes.max()) + 1
        if levels * len(codes) > MOST_NUMBERS:
            return 1.0
        indicators = np.eye(levels)[codes]
    else:
        filled = values.fillna(values.median()).to_numpy(np.float64)
        indicators = filled[:, None]
    total = indicators.var(0).sum()
    counts = np.bincount(groups)
    sums = np.zeros((len(counts), indicators.shape[1]))
    np.add.at(sums, groups, indicators)
    apart = indicators - (sums / counts[:, None])[groups]
    # Of a group of m rows the mean takes 1/m of what varies.
    freedom = max(len(groups) - len(counts), 1) / len(groups)
    return float((apart**2).mean(0).sum() / freedom / total) if total > 0 else 1.0


@dataclass(frozen=True)
class Leak:
    """A column that alone gives nearly the whole answer.

    Attributes:
        column: Its name.
        score: R² of rows not seen from this column alone, or the area under the ROC curve.
        by: "a straight line" or "steps".
    """

    column: str
    score: float
    by: str


def leak(table: Table, best: float, first: list[str]) -> Leak | None:
    """The column that tells the target by itself, by a straight line or by a tree.

    Args:
        table: The data.
        best: The score of the best of all models; below .99 only straight lines are tried, for
            they cost nothing.
        first: The columns that are tried where there are over a hundred.

    Cost:
        Two cross-validations a column on 2000 rows at most, of models of one column.
    """
    names = list(table.x.columns)
    if len(names) < 2:
        return None
    names = names if len(names) <= MOST_TRIED else first[:MOST_TRIED]
    rows = np.random.default_rng(0).permutation(len(table.y))[:MOST_ROWS]
    wanted = targets(table)[rows]
    found = []
    for name in names:
        values = table.x[name].iloc[rows]
        if isinstance(values.dtype, pd.CategoricalDtype):
            column = values.cat.codes.to_numpy(np.float64)[:, None]
        else:
            column = values.fillna(values.median()).to_numpy(np.float64)[:, None]
            straight = _alone(make_pipeline(StandardScaler(), RidgeCV()), column, wanted, table)
            found.append(Leak(str(name), straight, "a straight line"))
        if best >= LEAK:
            tree = DecisionTreeRegressor(min_samples_leaf=3, random_state=0)
            found.append(Leak(str(name), _alone(tree, column, wanted, table), "steps"))
    worst = max(found, key=lambda one: one.score, default=None)
    return worst if worst is not None and worst.score >= LEAK else None


def _alone(model: Any, column: np.ndarray, wanted: np.ndarray, table: Table) -> float:
    said = np.asarray(cross_val_predict(model, column, wanted, cv=3)).reshape(wanted.shape)
    if not table.is_classification:
        error, total = ((wanted - said) ** 2).sum(), ((wanted - wanted.mean(0)) ** 2).sum()
        return float(1 - error / total) if total > 0 else 0.0
    known = [c for c in range(wanted.shape[1]) if 0 < wanted[:, c].sum() < len(wanted)]
    if not known:
        return 0.0
    return float(np.mean([roc_auc_score(wanted[:, c], said[:, c]) for c in known]))
