"""A user's table as a data frame of predictors and a target, checked and described."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from overparam._errors import expect
from overparam.datasets.dataset import ClassType, Dataset, Task
from overparam.datasets.files import resolve
from overparam.datasets.tables import ColumnsLeftOut
from overparam.tables.reader import Reader

# More classes than this are taken for a mistake: a name of the row, or a quantity in bins.
MOST_CLASSES = 50
FEWEST_ROWS = 20


@dataclass(frozen=True, eq=False)
class Table:
    """Predictors and target of a table.

    Attributes:
        name: What it is called in reports.
        target: Name of the target.
        task: "classification" or "regression".
        x: Predictors: float64 columns with NaN where a number is missing, and categorical ones,
            whose missing entries are a level of their own.
        y: Class codes, or float64 numbers.
        class_names: Name of each code; empty for a regression.
        left_out: Columns that say nothing about another row, with the reason.
        reader: What all columns but the target were taken for.
        class_type: What the names of classes are of: "words", "numbers" or "booleans".
        task_was_set: Whether the task was asked for, and not told by the target.
    """

    name: str
    target: str
    task: Task
    x: pd.DataFrame
    y: np.ndarray
    class_names: tuple[str, ...]
    left_out: dict[str, str]
    reader: Reader = field(default_factory=lambda: Reader(()))
    class_type: ClassType = "words"
    task_was_set: bool = False


def read(
    source: str | os.PathLike[str],
    target: str | None = None,
    *,
    task: Task | None = None,
    columns: Mapping[str, str] | None = None,
) -> Table:
    """The table of a file, or of a named data set; see `overparam.datasets.load_file`.

    All rows count, those of a test part included: cross-validation splits them itself.

    Args:
        source: A file of a table, also as FILE:TARGET, an `.npz`, or a name such as
            ``"diabetes"``.
        target: The column to predict; `None` means a column called target, label, class or y.
        task: Overrides what the target suggests.
        columns: What columns are to be taken for; see `overparam.tables.Reader.learn`.

    Raises:
        ValueError: If it is no table, has fewer than 20 rows or more than 50 classes, or no
            column tells rows apart; and as `load_file`.
        FileNotFoundError: If there is no such file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ColumnsLeftOut)  # a statement of the fit says it
        data = resolve(source, target, task=task, columns=columns)
    where = f"fit({os.fspath(source)!r})"
    expect(
        data.kind == "table",
        where,
        "a table",
        f"{data.kind}",
        hint="`overparam diagnose` trains networks on images and text.",
    )
    expect(
        data.task == "regression" or len(data.class_names) <= MOST_CLASSES,
        where,
        f"at most {MOST_CLASSES} classes in the target {data.target_name!r}",
        len(data.class_names),
        hint="for a quantity in whole numbers say --task regression.",
    )
    x = np.concatenate([data.x_train, data.x_test]).astype(np.float64)
    y = np.concatenate([data.y_train, data.y_test])
    expect(len(x) >= FEWEST_ROWS, where, f"at least {FEWEST_ROWS} rows", len(x))
    expect(y.ndim == 1, where, "one target", f"{y.shape[-1]} of them")
    frame = _frame(data, x)
    reader = data.reader or Reader.learn(frame, where=where)
    expect(
        reader.used,
        where,
        f"a column besides the target {data.target_name!r} that tells rows apart",
        f"none; left out: {', '.join(reader.left_out)}",
    )
    if data.reader is None:
        frame = reader.frame(reader.read(frame, where=where))
    return Table(
        data.name,
        data.target_name or "target",
        data.task,
        frame,
        y.astype(np.int64 if data.task == "classification" else np.float64),
        data.class_names,
        reader.left_out,
        reader,
        data.class_type,
        task is not None,
    )


def _frame(data: Dataset, x: np.ndarray) -> pd.DataFrame:
    """Columns with their names, level codes as categories."""
    names = data.feature_names or tuple(f"x{i}" for i in range(x.shape[1]))
    levels = data.levels or ((),) * x.shape[1]
    columns = {}
    for i, (name, known) in enumerate(zip(names, levels, strict=True)):
        if known:
            codes = np.where(np.isnan(x[:, i]), -1, x[:, i]).astype(int)
            columns[name] = pd.Categorical.from_codes(codes, categories=list(known))
        else:
            columns[name] = x[:, i]
    return pd.DataFrame(columns)
