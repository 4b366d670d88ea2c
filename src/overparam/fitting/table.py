"""A user's table as a data frame of predictors and a target, checked and described."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from overparam._errors import expect, unknown
from overparam._numbers import described
from overparam.datasets.dataset import ClassType, Dataset, Task
from overparam.datasets.files import resolve
from overparam.datasets.tables import ColumnsLeftOut
from overparam.fitting.target import (
    SCALES,
    Scale,
    ScaleName,
    TargetKind,
    kind_of_quantity,
    kind_of_whole_numbers,
    scale_of,
)
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
        y: Class codes, or float64 numbers on the target's scale.
        class_names: Name of each code; empty for a regression.
        left_out: Columns that say nothing about another row, with the reason.
        reader: What all columns but the target were taken for.
        class_type: What the names of classes are of: "words", "numbers" or "booleans".
        task_was_set: Whether the task was asked for, and not told by the target.
        kind: What the target is.
        kind_reason: How that shows, where values alone do not tell it.
        scale: On which a quantity is learned.
        scale_was_set: Whether that was asked for.
        times: Of the rows, by which folds are in order; `None` if they are not.
        groups: Of the rows, which folds keep whole; `None` if there are none.
        ordered_by: The name of the times' column, or of the groups'.
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
    kind: TargetKind = "quantity"
    kind_reason: str = ""
    scale: Scale = field(default_factory=Scale)
    scale_was_set: bool = False
    times: np.ndarray | None = None
    groups: np.ndarray | None = None
    ordered_by: str = ""

    @property
    def is_classification(self) -> bool:
        """Whether classes are predicted."""
        return self.task == "classification"

    @property
    def learned(self) -> str:
        """What is learned, such as "log price"."""
        return self.scale.of(self.target)


def read(
    source: str | os.PathLike[str],
    target: str | None = None,
    *,
    task: Task | None = None,
    columns: Mapping[str, str] | None = None,
    time: str | None = None,
    group: str | None = None,
    scale: ScaleName | None = None,
) -> Table:
    """The table of a file, or of a named data set; see `overparam.datasets.load_file`.

    All rows count, those of a test part included: cross-validation splits them itself.

    Args:
        source: A file of a table, also as FILE:TARGET, an `.npz`, or a name such as
            ``"diabetes"``.
        target: The column to predict; `None` means a column called target, label, class or y.
        task: Overrides what the target suggests.
        columns: What columns are to be taken for; see `overparam.tables.Reader.learn`.
        time: A column of dates or numbers by which folds are to be in order; it stays a
            predictor.
        group: A column whose values name what rows belong together; it is no predictor.
        scale: "linear", "log" or "sqrt", on which a quantity is learned; `None` is what the
            target suggests.

    Raises:
        ValueError: If it is no table, has fewer than 20 rows or more than 50 classes, or no
            column tells rows apart; if there is no such column of times or groups, or the target
            has no such scale; and as `load_file`.
        FileNotFoundError: If there is no such file.
    """
    expect(
        isinstance(source, (str, os.PathLike)), "fit(source=...)",
        "a file of a table, or the name of a data set", described(source),
        hint="data.to_csv writes a data frame; RFMRegressor and RFMClassifier take one.",
        error=TypeError,
    )  # fmt: skip
    where = f"fit({os.fspath(source)!r})"
    expect(time is None or group is None, where, "folds by time or by group", "both")
    if scale not in (None, *SCALES):
        unknown("fit(scale=...)", "a scale", str(scale), SCALES)
    chosen = dict(columns or {})
    if group is not None:
        chosen |= {group: "category"}  # whatever its values are, they are names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ColumnsLeftOut)  # a statement of the fit says it
        data = resolve(source, target, task=task, columns=chosen or None, where=where)
    expect(
        data.kind == "table",
        where,
        "a table",
        f"{data.kind}",
        hint="`overparam diagnose` trains networks on images and text.",
    )
    by_codes = data.class_type == "numbers" and task is None and len(data.class_names) > 2
    expect(
        data.task == "regression" or by_codes or len(data.class_names) <= MOST_CLASSES,
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
    frame, reader, times, groups = _arranged(frame, reader, time, group, where)
    kind, why = "class", ""
    if data.task == "regression":
        kind = kind_of_quantity(y)
    elif by_codes:
        values = np.array(list(map(float, data.class_names)))[y]
        if len(data.class_names) > MOST_CLASSES:
            kind = kind_of_quantity(values)
        elif (values == np.round(values)).all():
            kind, why = kind_of_whole_numbers(frame, values)
        y = y if kind == "class" else values
    quantity = kind != "class"
    made = Scale(scale or (scale_of(y, kind) if quantity else "linear"))
    lowest = float(np.min(y)) if quantity else 0.0
    fitting = quantity and (lowest > 0 or (made.name == "sqrt" and lowest == 0))
    expect(
        made.name == "linear" or fitting,
        "fit(scale=...)",
        "a quantity above 0" if made.name == "log" else "a quantity of at least 0",
        f"one from {lowest:.4g}" if quantity else "classes",
    )
    return Table(
        name=data.name,
        target=data.target_name or "target",
        task="regression" if quantity else "classification",
        x=frame,
        y=made.forward(y.astype(np.float64)) if quantity else y.astype(np.int64),
        class_names=() if quantity else data.class_names,
        left_out=reader.left_out,
        reader=reader,
        class_type=data.class_type,
        task_was_set=task is not None,
        kind=kind,
        kind_reason=why,
        scale=made,
        scale_was_set=scale is not None,
        times=times,
        groups=groups,
        ordered_by=time or group or "",
    )


def _arranged(
    frame: pd.DataFrame, reader: Reader, time: str | None, group: str | None, where: str
) -> tuple[pd.DataFrame, Reader, np.ndarray | None, np.ndarray | None]:
    """The predictors, their reader, and the times or groups of the rows."""
    wanted = time or group
    if wanted is None:
        return frame, reader, None, None
    reason = reader.left_out.get(wanted, "")
    expect(
        wanted in frame, f"{where[:-1]}, {'time' if time else 'group'}=...)",
        f"a column out of {', '.join(map(str, frame))}",
        f"{wanted!r}" + (f", which is left out: {reason}" if reason else ""),
        hint=f"--column {wanted}=date or =number takes it all the same." if reason else "",
    )  # fmt: skip
    values = pd.Series(frame[wanted])
    gaps = int(np.count_nonzero(values.isna()))
    expect(
        gaps == 0, where, f"a value in every row of {wanted!r}",
        f"{gaps} empty fields",
    )  # fmt: skip
    if time:
        words = "dates or numbers that folds can be in order of"
        known = not isinstance(values.dtype, pd.CategoricalDtype)
        expect(known, where, words, f"{time!r}, a category")
        return frame, reader, values.to_numpy(np.float64), None
    names = values.cat.codes.to_numpy()
    kept = tuple(
        replace(column, kind="identifier", reason="names the groups of the folds")
        if column.name == group
        else column
        for column in reader.columns
    )
    expect(frame.shape[1] > 1, where, f"a column besides {group!r} that tells rows apart", "none")
    return frame.drop(columns=[group]), Reader(kept), None, names


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
