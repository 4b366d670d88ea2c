"""Data sets in tables with named columns (`.csv`, `.parquet`, a data frame)."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from overparam._errors import expect, unknown
from overparam._user_line import user_level
from overparam.datasets.dataset import Dataset, Task, held_out
from overparam.datasets.targets import read_target
from overparam.tables.frames import as_frame, expect_distinct
from overparam.tables.odd_rows import expect_rows_alike
from overparam.tables.reader import Reader
from overparam.tables.table_files import read_table_file

_USUAL_TARGETS = ("target", "label", "class", "y")
# Columns that a warning names; the rest it counts.
_MOST_NAMED = 20


def read_table(
    path: Path,
    where: str,
    *,
    target: str | None,
    task: Task | None,
    seed: int,
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """The data set in a file of a table; `load_file` says how it is read."""
    frame = read_table_file(path, where=where)
    name = path.stem if path.suffix.lower() not in (".gz", ".bz2", ".xz") else Path(path.stem).stem
    return from_frame(frame, name, where, target=target, task=task, seed=seed, columns=columns)


def read_frame(path: Path) -> pd.DataFrame:
    """The rows of a file of a table as they stand, without a target.

    Raises:
        ValueError: If it cannot be read, or has another suffix.
        FileNotFoundError: If there is no such file.
    """
    where = f"read_frame({str(path)!r})"
    return as_frame(read_table_file(path, where=where), where)


class ColumnsLeftOut(UserWarning):
    """Columns of a table were left out."""


def from_frame(
    frame: pd.DataFrame,
    name: str,
    where: str,
    *,
    target: str | None,
    task: Task | None,
    seed: int,
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """A data frame as a data set: names to codes, a seeded fifth of the rows for testing.

    Columns that say nothing about another row are left out, with one warning that names them and
    the reason for each.

    Args:
        frame: The table.
        name: Of the data set.
        where: The public call this is for.
        target: The column to predict.
        task: Overrides what the target suggests.
        seed: Draws the rows for testing.
        columns: What columns are to be taken for; see `overparam.tables.Reader.learn`.
    """
    frame = as_frame(frame, where)
    expect_distinct(frame, where)
    expect(len(frame) > 0, where, "at least one row", "a table without rows")
    expect_rows_alike(frame, set(columns or {}), where)
    target = _target_column(frame, target, where)
    chosen = dict(columns or {})
    column = frame.iloc[:, list(frame.columns).index(target)]
    read = read_target(column, where, task, chosen.pop(target, None))
    reader = Reader.learn(frame.drop(columns=target), chosen, where=where)
    expect(
        reader.used,
        where,
        f"a column besides the target {target!r} that tells rows apart",
        _listed(reader.left_out) or "no other column",
    )
    if reader.left_out:
        words = f"{where}: left out {_listed(reader.left_out)}."
        warnings.warn(words, ColumnsLeftOut, stacklevel=user_level())
    rows = reader.read(frame, where=where)
    x = np.column_stack(
        [
            rows.columns[column.name]
            if column.is_number
            else np.where(rows.columns[column.name] < 0, np.nan, rows.columns[column.name])
            for column in reader.used
        ]
    )
    is_test = held_out(
        read.values, stratified=read.task == "classification", seed=seed, where=where
    )
    return Dataset(
        name=name,
        x_train=x[~is_test],
        y_train=read.values[~is_test],
        x_test=x[is_test],
        y_test=read.values[is_test],
        task=read.task,
        kind="table",
        class_names=read.class_names,
        feature_names=tuple(column.name for column in reader.used),
        levels=tuple(column.levels for column in reader.used),
        target_name=target,
        left_out=tuple(reader.left_out),
        reader=reader,
        class_type=read.class_type,
    )


def _listed(left_out: Mapping[str, str]) -> str:
    """Columns with the reason for each."""
    words = [f"{name} ({reason})" for name, reason in left_out.items()]
    more = f" and {len(words) - _MOST_NAMED} more" if len(words) > _MOST_NAMED else ""
    return ", ".join(words[:_MOST_NAMED]) + more


def _target_column(frame: pd.DataFrame, target: str | None, where: str) -> str:
    """The target's name: the one asked for, or the one with a usual name."""
    columns = list(frame.columns)
    if target is not None:
        alike = [name for name in columns if name.split() == target.split()]
        if target not in columns and len(alike) != 1:
            unknown(where, "a target column", target, columns)
        return target if target in columns else alike[0]
    usual = [column for column in columns if column.lower() in _USUAL_TARGETS]
    expect(
        len(usual) == 1,
        where,
        "a target column, as in 'table.csv:price'",
        f"none; the columns are {', '.join(columns[:12])}{', …' if len(columns) > 12 else ''}",
        hint=f"without a name, a column called {', '.join(_USUAL_TARGETS)} is taken.",
    )
    return usual[0]
