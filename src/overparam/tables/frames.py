"""Whatever holds a table, as a data frame with names of its own for all columns."""

from collections import Counter
from typing import Any

import pandas as pd

from overparam._errors import expect


def as_frame(table: Any, where: str) -> pd.DataFrame:
    """A data frame of pandas, Polars, Arrow or another library that can make one of pandas.

    What the index is called becomes a column, and so does an index of dates or words; one that
    only numbers the rows does not.

    Raises:
        TypeError: If it is no table.
        ValueError: If two columns have one name.
    """
    if not isinstance(table, pd.DataFrame) and hasattr(table, "to_pandas"):
        table = table.to_pandas()
    expect(
        isinstance(table, pd.DataFrame), where, "a pandas.DataFrame", type(table).__name__,
        error=TypeError,
    )  # fmt: skip
    frame = with_index(table)
    names = [_name(name) for name in frame.columns]
    return frame if names == list(frame.columns) else frame.set_axis(names, axis=1)


def _name(name: Any) -> str:
    """A name in one line without blanks around; those of several levels joined."""
    name = " ".join(map(str, name)) if isinstance(name, tuple) else str(name)
    return " ".join(name.split()) if name != name.strip() or not name.isprintable() else name


def with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, its index a column where it says more than the place of a row."""
    index: Any = frame.index
    names = [name for name in index.names if name is not None]
    telling = not pd.api.types.is_numeric_dtype(index.dtype) and not isinstance(
        index, pd.MultiIndex
    )
    if names and all(name in frame.columns for name in names):
        return frame
    if names:
        return frame.reset_index()
    if telling and len(frame) and "index" not in frame.columns:
        return frame.rename_axis("index").reset_index()
    return frame


def expect_distinct(frame: pd.DataFrame, where: str) -> None:
    """Raise if two columns have one name."""
    twice = [name for name, count in Counter(frame.columns).items() if count > 1]
    expect(not twice, where, "columns of different names", f"{twice[:1]} twice")
