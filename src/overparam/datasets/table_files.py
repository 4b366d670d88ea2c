"""Tables in text and Parquet files as data frames, whole or not at all."""

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow.parquet

from overparam._errors import expect
from overparam._memory import expect_room
from overparam.errors import NotEnoughMemory

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


def read_csv(path: Path, where: str) -> pd.DataFrame:
    """A text table, its separator the most frequent of comma, semicolon and tab in line one.

    Raises:
        ValueError: If it is no text in UTF-8, its first line holds no names, or a row does not
            hold one field to each name.
        MemoryError: If it would not fit into memory.
    """
    _expect_room(path.stat().st_size, where)
    problem = ""
    frame = pd.DataFrame()
    try:
        with path.open(encoding="utf-8-sig") as file:
            separator = max(",;\t", key=file.readline().count)
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = _names_of_rows_alike(file, separator)
        # Fields beyond the names are empty; they must not make the first column an index.
        frame = pd.read_csv(
            path, sep=separator, encoding="utf-8-sig", low_memory=False, na_values=["?"],
            index_col=False,
        )  # fmt: skip
    except (OSError, UnicodeError, csv.Error, OverflowError) as error:
        problem = str(error)
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        problem = str(error)
    else:
        _expect_names(names, where)
    expect(
        not problem,
        where,
        "a table of comma-separated values in UTF-8",
        f"a file that cannot be read as one ({problem.strip().partition(chr(10))[0]})",
    )
    # Before pandas 3 one number beyond the range of a double turns its column into text.
    for name in frame.columns[frame.dtypes.map(pd.api.types.is_object_dtype)]:
        if all(_NUMBER.fullmatch(str(value)) for value in frame[name].dropna()):
            frame[name] = frame[name].astype(float)
    return frame


def read_parquet(path: Path, where: str) -> pd.DataFrame:
    """A Parquet file.

    Raises:
        ValueError: If it is none, or a damaged one.
        MemoryError: If it would not fit into memory.
    """
    problem = ""
    needed = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            found = file.metadata
            groups = [found.row_group(i).total_byte_size for i in range(found.num_row_groups)]
            needed = max(sum(groups), 8 * found.num_rows * found.num_columns)
    except Exception as error:  # of damaged bytes the reader raises anything
        problem = str(error) or type(error).__name__
    _expect_room(needed, where)
    frame = pd.DataFrame()
    try:
        frame = frame if problem else pd.read_parquet(path, engine="pyarrow")
    except MemoryError:
        raise NotEnoughMemory(f"`{where}` expected a table that fits into memory.") from None
    except Exception as error:
        problem = str(error) or type(error).__name__
    expect(
        not problem,
        where,
        "a Parquet file",
        f"one that cannot be read ({problem.strip().partition(chr(10))[0]})",
    )
    return frame


# Each format of tables and what reads it; all else that asks for a suffix asks here.
FRAMES: dict[str, Callable[[Path, str], pd.DataFrame]] = {
    ".csv": read_csv,
    ".parquet": read_parquet,
}


def as_numbers(text: pd.Series) -> np.ndarray:
    """Each entry as a number, NaN where it is none."""
    return np.asarray(pd.to_numeric(text, errors="coerce"), dtype=np.float64)


def _names_of_rows_alike(file: IO[str], separator: str) -> list[str]:
    """The names in the first line, if every row has a field to each; empty ones may follow.

    Otherwise columns would shift, or the end of a row that was cut off would be missing
    values.

    Raises:
        csv.Error: For another row.
    """
    rows = csv.reader(_without_nul(file), delimiter=separator)
    names = next((row for row in rows if row), [])
    for row in rows:
        width = len(row)
        while width > len(names) and not row[width - 1]:
            width -= 1
        if width not in (0, len(names)) and (width > 1 or row[0].strip()):
            raise csv.Error(
                f"there are {width} fields in line {rows.line_num} and {len(names)} names in the "
                "first; a field that holds the separator belongs in quotes"
            )
    return names


def _without_nul(file: IO[str]) -> Iterator[str]:
    for line in file:
        if "\0" in line:
            raise csv.Error("it holds NUL characters")
        yield line


def _expect_names(names: list[str], where: str) -> None:
    """Raise unless the first line holds names, each of one column."""
    values = as_numbers(pd.Series(names, dtype=object))
    expect(
        np.isnan(values).any() or np.array_equal(values, np.arange(len(values))),
        where,
        "column names in the first line",
        f"the numbers {', '.join(map(str, names[:4]))}",
        hint="put a line of column names on top.",
    )
    twice = [name for name in names if name and names.count(name) > 1][:1]
    expect(not twice, where, "columns of different names", f"{twice} twice")


def _expect_room(needed: int, where: str) -> None:
    hint = "take a part of its rows or columns."
    expect_room(needed, None, where, hint, "a table")
