"""Whether a target is a class or a quantity, and the codes of its classes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from overparam._errors import expect
from overparam.datasets.dataset import Task

# Whole numbers with at most this many different values are taken for classes.
_FEW = 20


@dataclass(frozen=True, eq=False)
class Target:
    """A target column read: `values` are codes of `class_names`, or floats without them."""

    values: np.ndarray
    task: Task
    class_names: tuple[str, ...]


def read_target(column: pd.Series, where: str, task: Task | None = None) -> Target:
    """The target as classes or as a quantity.

    The rule: names, booleans and categories are classes; whole numbers are classes if they
    take at most 20 different values or are exactly 0…K-1; everything else is a quantity.

    Args:
        column: One value per row.
        where: The public call this is for, for the error message.
        task: Overrides the rule.

    Raises:
        ValueError: If values are missing, infinite or all equal, if a quantity holds names,
            or if there are fewer than three rows per class: then it is no class but a name
            of the row.

    Example:
        >>> read_target(pd.Series(["yes", "no", "no", "yes", "no", "no"]), "load").class_names
        ('no', 'yes')
        >>> read_target(pd.Series([1.5, 2.25, 7.0]), "load").task
        'regression'
    """
    name = str(column.name)
    expect(
        not column.isna().all(),
        where,
        f"values in the target {name!r}",
        "only missing ones",
        hint="name another column as the target.",
    )
    expect(
        not column.isna().any(),
        where,
        f"a target for every row in {name!r}",
        f"{int(column.isna().sum())} of {len(column)} missing",
        hint="drop the rows without a target first.",
    )
    numerical = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numerical:
        expect(
            np.isfinite(column.to_numpy(np.float64)).all(),
            where,
            f"finite numbers in the target {name!r}",
            "infinite ones",
        )
    distinct = np.sort(np.asarray(column.astype(str if not numerical else float).unique()))
    expect(
        len(distinct) > 1,
        where,
        f"at least two different values in the target {name!r}",
        f"{column.iloc[0]!s} in every row",
        hint="a constant target leaves nothing to learn; name another column.",
    )
    task = task or ("classification" if _is_class(distinct) else "regression")
    if task == "regression":
        expect(
            numerical,
            where,
            f"numbers in the target {name!r} of a regression",
            f"{column.iloc[0]!r}",
            hint="leave `task` out, or ask for a classification.",
        )
        _expect_no_counter(distinct, len(column), name, where)
        return Target(column.to_numpy(np.float64), "regression", ())
    expect(
        3 * len(distinct) <= len(column),
        where,
        f"at least three rows per class in the target {name!r}",
        f"{len(distinct)} classes in {len(column)} rows",
        hint="a name or number of the row is no class; name another column as the target.",
    )
    values = column.to_numpy(np.float64) if numerical else column.astype(str).to_numpy()
    codes = np.searchsorted(distinct, np.asarray(values, dtype=distinct.dtype))
    names = tuple(
        str(int(value)) if numerical and value == round(value) else str(value) for value in distinct
    )
    return Target(codes.astype(np.int64), "classification", names)


def _is_class(distinct: np.ndarray) -> bool:
    """The rule of `read_target`, from the sorted different values."""
    if not np.issubdtype(distinct.dtype, np.number):
        return True
    whole = bool((distinct == np.round(distinct)).all())
    return whole and (
        len(distinct) <= _FEW or bool((distinct == np.arange(len(distinct), dtype=float)).all())
    )


def _expect_no_counter(distinct: np.ndarray, n: int, name: str, where: str) -> None:
    """Raise for a target that numbers the rows: n different, consecutive whole numbers."""
    counter = len(distinct) == n and n > _FEW and bool((np.diff(distinct) == 1).all())
    expect(
        not counter,
        where,
        f"a quantity in the target {name!r}",
        f"a number of the row: every whole number from {distinct[0]:g} to {distinct[-1]:g} once",
        hint="name another column as the target.",
    )
