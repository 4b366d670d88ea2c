"""Which rows test and which train, and how sure a mean over such folds is."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from overparam._errors import expect
from overparam.fitting.table import Table

Splits = list[tuple[np.ndarray, np.ndarray]]


def folds(table: Table, number: int, seed: int, splitter: Any = None) -> Splits:
    """Training and test rows of each fold.

    Rows are drawn at random, classes in proportion; whole groups where the table has groups; and
    where it has times, every part is predicted from the rows before it, and rows of one time
    stay together.

    Args:
        table: The data.
        number: Of folds.
        seed: Of the draw.
        splitter: A splitter of scikit-learn, in place of all that.

    Raises:
        ValueError: If there are too few rows, groups or times, or a part holds one class only.
    """
    where = "fit(number_of_folds=...)"
    if splitter is not None:
        found = list(splitter.split(table.x, table.y, table.groups))
    elif table.times is not None:
        found = in_time_order(table.times, number)
    elif table.groups is not None:
        there = len(np.unique(table.groups))
        expect(
            there > 1, "fit(group=...)", "at least two groups, to predict one from the others",
            f"{there}", hint="name another column, or leave it out.",
        )  # fmt: skip
        expect(2 <= number <= there, where, f"a number from 2 to {there}, the groups", number)
        found = by_groups(table.y, table.groups, number, seed, classify=table.is_classification)
    else:
        rows = len(table.y)
        most = np.bincount(table.y).max() if table.is_classification else rows
        words = "the rows of the commonest class" if most < rows else "the number of rows"
        expect(2 <= number <= most, where, f"a number from 2 to {most}, {words}", number)
        kind = StratifiedKFold if table.is_classification else KFold
        with warnings.catch_warnings():  # that a class has fewer rows than folds is a statement
            warnings.simplefilter("ignore", UserWarning)
            made = kind(number, shuffle=True, random_state=seed)
            found = list(made.split(table.x, table.y))
    expect(len(found) > 1, where, "at least two folds", len(found))
    if table.is_classification:
        alone = next((i for i, (train, _) in enumerate(found) if _one_class(table.y[train])), None)
        expect(
            alone is None, where, "training rows of two classes at least in every fold",
            f"one class in fold {alone}", hint="try fewer folds.",
        )  # fmt: skip
    return found


def by_groups(
    y: np.ndarray, groups: np.ndarray, number: int, seed: int, *, classify: bool
) -> Splits:
    """Folds of whole groups; classes in proportion as far as groups allow."""
    kind = StratifiedGroupKFold if classify else GroupKFold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if classify:
            made: Any = kind(number, shuffle=True, random_state=seed)
            return list(made.split(np.zeros((len(y), 1)), y, groups))
        # Groups are drawn into folds here: the option of GroupKFold for it is younger than 1.4.
        order = np.random.default_rng(seed).permutation(np.unique(groups))
        place = {group: i for i, group in enumerate(order)}
        shuffled = np.array([place[group] for group in groups])
        return list(kind(number).split(np.zeros((len(y), 1)), y, shuffled))


def in_time_order(times: np.ndarray, number: int) -> Splits:
    """Parts of about n/(number + 1) rows, each but the first tested on all before it."""
    order = np.argsort(times, kind="stable")
    later = np.flatnonzero(np.diff(times[order]) > 0) + 1  # where a time begins
    expect(
        len(later) >= number, "fit(time=...)", f"at least {number + 1} different times",
        len(later) + 1,
    )  # fmt: skip
    wanted = np.linspace(0, len(times), number + 2)[1:-1]
    cuts = np.unique(later[np.searchsorted(later, wanted).clip(max=len(later) - 1)])
    ends = [*cuts[1:], len(times)]
    return [(order[:a], order[a:b]) for a, b in zip(cuts, ends, strict=True)]


def train_share(splits: Splits) -> float:
    """Test rows over training rows, the mean over folds."""
    return float(np.mean([len(test) / len(train) for train, test in splits]))


def corrected_interval(
    values: Sequence[float] | np.ndarray, ratio: float, level: float = 0.95
) -> tuple[float, float]:
    """An interval for the mean of what k folds measured, whose training rows overlap.

        mean ± t_{k−1} √((1/k + n_test/n_train) s²)

    Without the second term the folds would count as independent samples, and a difference of
    nothing would be found too often.

    Args:
        values: One a fold; those that are NaN do not count.
        ratio: n_test/n_train.
        level: Probability of the interval.

    Returns:
        Its ends; infinite if fewer than two folds have a value.

    Example:
        >>> low, high = corrected_interval([0.1, 0.2, 0.3, 0.2, 0.2], 0.25)
        >>> print(f"{low:.3f} {high:.3f}")
        0.068 0.332

    References:
        Nadeau and Bengio (2003), Machine Learning 52:239.
    """
    found = np.asarray(values, dtype=float)
    found = found[np.isfinite(found)]
    k = len(found)
    if k < 2:
        return -math.inf, math.inf
    error = math.sqrt((1 / k + ratio) * float(np.var(found, ddof=1)))
    half = float(student.ppf((1 + level) / 2, k - 1)) * error
    mean = float(found.mean())
    return mean - half, mean + half


def _one_class(y: np.ndarray) -> bool:
    return len(np.unique(y)) < 2
