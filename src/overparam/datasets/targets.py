"""Whether a target is a class or a quantity, and the codes of its classes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from overparam._errors import expect
from overparam.datasets.dataset import ClassType, Task
from overparam.tables.cells import Cells, cells
from overparam.tables.column import LEFT_OUT, Column, expect_chosen
from overparam.tables.kinds import learn_column
from overparam.tables.levels import learn_levels, name_of
from overparam.tables.reading import distinct, read_column

# Whole numbers with at most this many different values are taken for classes.
_FEW = 20


@dataclass(frozen=True, eq=False)
class Target:
    """A target column read: `values` are codes of `class_names`, or floats without them.

    `class_type` says what the names are of: numbers, true and false, or words.
    """

    values: np.ndarray
    task: Task
    class_names: tuple[str, ...]
    class_type: ClassType = "words"


def read_target(
    column: pd.Series, where: str, task: Task | None = None, kind: str | None = None
) -> Target:
    """The target as classes or as a quantity.

    The rule: names, booleans and categories are classes; whole numbers are classes if they
    take at most 20 different values or are exactly 0…K-1; everything else is a quantity. Text is
    read as the columns of a table are: numbers, dates and words by what they mean.

    Args:
        column: One value per row.
        where: The public call this is for, for the error message.
        task: Overrides the rule.
        kind: What the column is to be taken for, as `overparam.tables.Reader.learn` takes it.

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
    values, names, class_type = _read(column, where, kind)
    missing = np.isnan(values)
    expect(
        not missing.all(),
        where,
        f"values in the target {name!r}",
        "only missing ones",
        hint="name another column as the target.",
    )
    expect(
        not missing.any(),
        where,
        f"a target for every row in {name!r}",
        f"{int(missing.sum())} of {len(column)} missing",
        hint="drop the rows without a target first.",
    )
    infinite = bool(np.isinf(values).any())
    expect(not infinite, where, f"finite numbers in the target {name!r}", "infinite ones")
    found = np.unique(values)
    expect(
        len(found) > 1,
        where,
        f"at least two different values in the target {name!r}",
        f"{names[int(found[0])] if names else _number_name(found[0])} in every row",
        hint="a constant target leaves nothing to learn; name another column.",
    )
    task = task or ("classification" if names or _is_class(found) else "regression")
    if task == "regression":
        expect(
            not names,
            where,
            f"numbers in the target {name!r} of a regression",
            f"{names[int(values[0])] if names else ''!r}",
            hint="leave `task` out, or ask for a classification.",
        )
        _expect_no_counter(found, len(column), name, where)
        # Squares of smaller differences are zero in double precision: no score tells them apart.
        spread = float(np.ptp(values))
        expect(
            spread > 1e-150, where, f"differences above 1e-150 in the target {name!r}",
            f"{spread:.3g}", hint="multiply it by a constant.",
        )  # fmt: skip
        return Target(values, "regression", ())
    expect(
        3 * len(found) <= len(column),
        where,
        f"at least three rows per class in the target {name!r}",
        f"{len(found)} classes in {len(column)} rows",
        hint="a name or number of the row is no class; name another column as the target.",
    )
    codes = np.searchsorted(found, values)
    if names:
        names = tuple(names[int(place)] for place in found)
    else:
        names, class_type = tuple(map(_number_name, found)), "numbers"
    return Target(codes.astype(np.int64), "classification", names, class_type)


def _read(
    column: pd.Series, where: str, kind: str | None
) -> tuple[np.ndarray, tuple[str, ...], ClassType]:
    """Numbers, or positions among names, NaN where one is missing; and what the names are of."""
    setting = expect_chosen(None if kind is None else {str(column.name): kind}, [str(column.name)],
                            where).get(str(column.name))  # fmt: skip
    column = column.rename(str(column.name))
    learned = learn_column(column, where, setting, keep=True)
    found = cells(column, where)
    if learned.kind in LEFT_OUT:
        learned = learn_column(column, where, {"kind": "category"})
    if learned.is_number and found.type == "numbers" and learned.kind != "date":
        return found.numbers, (), "numbers"  # as they are, infinite ones for the caller to name
    words = learned.kind == "yes/no" and not _are_numbers(found)
    if words:
        values, codes = distinct(found)
        levels, _ = learn_levels(values, np.bincount(codes[codes >= 0]), merge=True)
        learned = Column(learned.name, "category", levels=levels)
    read = read_column(learned, column, where).values
    if learned.is_number:
        return read, (), "numbers"
    booleans = {name.casefold() for name in learned.levels} == {"true", "false"}
    values = np.where(read < 0, np.nan, read)
    return values, learned.levels, "booleans" if booleans else "words"


def _are_numbers(found: Cells) -> bool:
    """Whether what stands for yes and no is 1 and 0."""
    if found.type != "values":
        return found.type == "numbers"
    return all(not isinstance(v, bool) and name_of(v) in ("0", "1") for v in found.values)


def _number_name(value: float) -> str:
    return str(int(value)) if value == round(value) else str(float(value))


def _is_class(distinct: np.ndarray) -> bool:
    """The rule of `read_target`, from the sorted different numbers."""
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
