"""Data sets in tables with named columns (`.csv`, `.parquet`, a data frame)."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from overparam._errors import expect, unknown
from overparam._files import expect_readable
from overparam.datasets.dataset import Dataset, Task, held_out
from overparam.datasets.table_files import FRAMES, as_numbers
from overparam.datasets.targets import read_target

# Why a column is left out.
LEFT_OUT_FOR = "empty, a numbering of the rows, or text that differs in most rows"
_USUAL_TARGETS = ("target", "label", "class", "y")
# A text column of which at least this share reads as numbers is a numerical one with typos.
_MOSTLY_NUMBERS = 0.9


def read_table(
    path: Path, where: str, *, target: str | None, task: Task | None, seed: int
) -> Dataset:
    """The data set in a `.csv` or `.parquet` file; `load_file` says how it is read."""
    return from_frame(
        FRAMES[path.suffix.lower()](path, where),
        path.stem,
        where,
        target=target,
        task=task,
        seed=seed,
    )


def read_frame(path: Path) -> pd.DataFrame:
    """The rows of a `.csv` or `.parquet` file as they stand, without a target.

    Raises:
        ValueError: If it cannot be read, or has another suffix.
        FileNotFoundError: If there is no such file.
    """
    where = f"read_frame({str(path)!r})"
    reader = FRAMES.get(path.suffix.lower())
    expected = f"a file ending in {' or '.join(FRAMES)}"
    expect(reader is not None, where, expected, path.suffix or "none")
    expect_readable(path, where)
    assert reader is not None
    return reader(path, where).rename(columns=str)


class ColumnsLeftOut(UserWarning):
    """Columns of a table were left out."""


def from_frame(
    frame: pd.DataFrame, name: str, where: str, *, target: str | None, task: Task | None, seed: int
) -> Dataset:
    """A data frame as a data set: names to codes, a seeded fifth of the rows for testing.

    Empty columns, a numbering of the rows and text that differs in most rows say nothing
    about another row: they are left out, with one warning that names them.
    """
    frame = frame.rename(columns=str)
    expect(
        frame.columns.is_unique, where, "columns of different names",
        f"{frame.columns[frame.columns.duplicated()][:1].tolist()[:1]} twice",
    )  # fmt: skip
    expect(len(frame) > 0, where, "at least one row", "a table without rows")
    target = _target_column(frame, target, where)
    series = {str(column): values for column, values in frame.items()}
    read = read_target(series.pop(target), where, task)
    columns: dict[str, np.ndarray] = {}
    levels: list[tuple[str, ...]] = []
    left_out: list[str] = []
    for column, values in series.items():
        coded = _coded(values, where)
        if coded is None:
            left_out.append(column)
        else:
            columns[column] = coded[0]
            levels.append(coded[1])
    expect(
        columns,
        where,
        f"a column besides the target {target!r} that tells rows apart",
        f"{', '.join(left_out) or 'no other column'}",
    )
    if left_out:
        words = f"{where}: left out {', '.join(left_out)} ({LEFT_OUT_FOR})."
        warnings.warn(words, ColumnsLeftOut, stacklevel=2)
    x = np.column_stack(list(columns.values()))
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
        feature_names=tuple(columns),
        levels=tuple(levels),
        target_name=target,
        left_out=tuple(left_out),
    )


def _target_column(frame: pd.DataFrame, target: str | None, where: str) -> str:
    """The target's name: the one asked for, or the one with a usual name."""
    columns = list(frame.columns)
    if target is not None:
        if target not in columns:
            unknown(where, "a target column", target, columns)
        return target
    usual = [column for column in columns if column.lower() in _USUAL_TARGETS]
    expect(
        len(usual) == 1,
        where,
        "a target column, as in 'table.csv:price'",
        f"none; the columns are {', '.join(columns[:12])}{', …' if len(columns) > 12 else ''}",
        hint=f"without a name, a column called {', '.join(_USUAL_TARGETS)} is taken.",
    )
    return usual[0]


def _coded(column: pd.Series, where: str) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """A column as floats with its level names (none if numerical), or `None` to leave it out."""
    if column.isna().all():
        return None
    if pd.api.types.is_datetime64_any_dtype(column):
        days = (column.dt.tz_localize(None) - pd.Timestamp(0)) / pd.Timedelta(days=1)
        return days.to_numpy(np.float64), ()
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(np.float64, na_value=np.nan)
        expect(
            not np.isinf(values).any(),
            where,
            f"finite numbers or empty fields in column {column.name!r}",
            f"{int(np.isinf(values).sum())} infinite ones",
        )
        counter = str(column.name).startswith("Unnamed") and (np.diff(values) == 1).all()
        return None if counter else (values, ())
    present = column.dropna()
    expect(
        present.map(lambda value: isinstance(value, str | bool | int | float)).all(),
        where,
        f"numbers, names or dates in column {column.name!r}",
        f"a {type(present.iloc[0]).__name__}",
    )
    text = present.astype(str)
    _expect_unmixed(text, where)
    names = np.sort(text.unique().astype(object))
    if len(names) > 1 and 2 * len(names) > len(text):
        return None
    codes = np.full(len(column), np.nan)
    codes[column.notna().to_numpy()] = np.searchsorted(names, text.to_numpy(object))
    return codes, tuple(names)


def _expect_unmixed(text: pd.Series, where: str) -> None:
    """Raise for a column of numbers in which some entries are something else."""
    numbers = ~np.isnan(as_numbers(text))
    odd = text.to_numpy(object)[~numbers]
    expect(
        not _MOSTLY_NUMBERS <= numbers.mean() < 1,
        where,
        f"numbers or names in column {text.name!r}",
        f"{int(numbers.sum())} numbers and {len(odd)} other entries such as "
        f"{odd[0] if len(odd) else ''!r}",
        hint="leave a missing number empty, and write decimals with a point.",
    )
