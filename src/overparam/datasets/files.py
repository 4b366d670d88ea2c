"""A user's own file as a data set."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from overparam._errors import expect
from overparam._files import expect_readable
from overparam.datasets.arrays import read_npz
from overparam.datasets.dataset import Dataset, Task
from overparam.datasets.named import named_set
from overparam.datasets.tables import from_frame, read_table
from overparam.errors import InvalidValue
from overparam.tables.table_files import FRAMES, remedy


def _readers() -> dict[str, Callable[..., Dataset]]:
    """What reads a data set from a file, by the file's suffix."""
    return {".npz": read_npz, **dict.fromkeys(FRAMES, read_table)}


def parse_source(source: str, *, where: str = "") -> tuple[str, str | None]:
    r"""A source as its path and its target, ``FILE[:TARGET]``.

    Args:
        source: What was given.
        where: The call this is for, in an error; none is one of `load_file`.

    Example:
        >>> parse_source("houses.csv:price")
        ('houses.csv', 'price')
        >>> parse_source(r"C:\data\houses.csv:price: total")
        ('C:\\data\\houses.csv', 'price: total')
        >>> parse_source("digits")
        ('digits', None)
    """
    # The first known suffix ends the path: a drive letter's colon comes before it, a colon
    # within the target's name after it.
    suffixes = "|".join(map(re.escape, _readers()))
    match = re.fullmatch(rf"(.*?(?:{suffixes}))(?::(.*))?", source, re.IGNORECASE | re.DOTALL)
    if match is None:
        return source, None
    path, target = match.groups()
    expect(
        target != "",
        where or f"load_file({source!r})",
        "the name of a column after the colon",
        "nothing",
        hint="write FILE.csv:TARGET.",
    )
    return path, target


def load_file(
    path: str | os.PathLike[str],
    target: str | None = None,
    *,
    task: Task | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """The data set in a user's own file: arrays in an `.npz`, or a table.

    An `.npz` holds arrays ``x_train, y_train, x_test, y_test``, or ``X`` and ``y`` (also
    ``x`` and ``y``); pickled objects are refused. Inputs of two axes are a table, of three or
    four images. It may also bring ``feature_names``, ``class_names``, ``target_name``,
    ``categories`` (a JSON list of level names per column, empty for a numerical one) and a
    split: ``is_test`` (n,), ``split_is_train`` (splits, n) or ``split`` (n,) with 2 for the
    test part.

    A table is text (`.csv`, `.tsv`, `.txt`, also as `.gz`, `.bz2`, `.xz` or `.zip`), Parquet,
    Feather or a workbook (`.xlsx`, which needs openpyxl), with column names in its first line. The
    encoding of text (UTF-8, UTF-16, Latin-1) and what separates its fields are what it holds.

    Columns are read by what their values mean, whatever type or file they come in: numbers (also
    as 12.5 %, 1,234, 1.234,5 or $300), dates and times as days since 1970 or hours of the day, yes
    and no as 1 and 0, and categories as level codes. Empty fields, ``?``, ``NA`` and the like are
    missing values. Left out with a warning that gives the reason: columns that are empty or have
    one value, number or name the rows, or hold text that differs in most rows.

    The task follows from the target: names, booleans and categories are classes; whole
    numbers are classes if they take at most 20 different values or are exactly 0…K-1;
    everything else is a quantity.

    Args:
        path: The file.
        target: The column to predict, or the array of an `.npz`. `None` means a column
            called target, label, class or y, or the archive's usual arrays.
        task: Overrides the rule above.
        seed: Draws the fifth of the rows set aside for testing, class by class for a
            classification, where the file brings no split.
        columns: What columns of a table are to be taken for, by name: "number", "date", "yes/no",
            "category", or "text", "identifier" or "constant", which are left out; or "day
            first", "month first", "decimal comma", "decimal point" where values leave that open.

    Returns:
        The data as stored; `prepare` scales and imputes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read or cannot be learned from; the message says why.

    Cost:
        The file is read into memory as a whole.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(folder + "/toy.npz", X=np.eye(10), y=np.arange(10) % 2)
        ...     load_file(folder + "/toy.npz")
        Dataset('toy', classification of table, 8 + 2 examples of shape (10,), 2 classes)
    """
    where = f"load_file({os.fspath(path)!r})"
    return _from_file(Path(path).expanduser(), target, where, task, seed, columns)


def _from_file(
    path: Path,
    target: str | None,
    where: str,
    task: Task | None,
    seed: int,
    columns: Mapping[str, str] | None,
) -> Dataset:
    """What a file holds; `where` is the call this is for, in errors."""
    expect(
        path.exists(),
        where,
        "a file",
        "a path where there is none",
        hint=f"relative paths start at {Path.cwd()}.",
        error=FileNotFoundError,
    )
    expect(
        not path.is_dir(),
        where,
        "a file",
        "a directory",
        hint=f"it holds {', '.join(sorted(file.name for file in path.iterdir())[:5]) or 'nothing'}."
        if path.is_dir()
        else "",
    )
    expect_readable(path, where)
    readers = _readers()
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InvalidValue(
            f"`{where}` expected a file ending in {', '.join(readers)}, "
            f"got {path.suffix or 'no suffix'!r}."
            + (f"\nHint: {hint}" if (hint := remedy(path.suffix)) else "")
        )
    return reader(path, where, target=target, task=task, seed=seed, columns=columns)


def resolve(
    source: str | os.PathLike[str],
    target: str | None = None,
    *,
    task: Task | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    where: str = "",
) -> Dataset:
    """The data set that a name or a file stands for: what ``--data`` accepts.

    A path, or text with a known suffix or a directory in it, is a file, with the target after
    a colon; anything else is a name for `load`.

    Args:
        source: ``"mnist"``, ``"houses.csv:price"``, ``Path("images.npz")``.
        target: The column to predict, instead of the one after the colon or the usual one.
        task: Overrides what the target suggests.
        seed: Draws the split where the data bring none.
        columns: What columns are to be taken for; see `load_file`.
        where: The call this is for, in errors; none is `load`, or `load_file`.

    Raises:
        ValueError: For an unknown name or an unreadable file.
        FileNotFoundError: If there is no such file, or a known set is nowhere to be had.

    Example:
        >>> resolve("iris")
        Dataset('iris', classification of table, 120 + 30 examples of shape (4,), 3 classes)
    """
    path, named = parse_source(os.fspath(source), where=where)
    is_file = Path(path).suffix != "" or Path(path).is_absolute() or not isinstance(source, str)
    if is_file or path.startswith((".", "~")) or "\\" in path:
        call, file = where or f"load_file({path!r})", Path(path).expanduser()
        return _from_file(file, target or named, call, task, seed, columns)
    call = where or f"load({path!r})"
    data = named_set(path, seed, call)
    if data.kind != "table" or (
        target in (None, data.target_name) and task in (None, data.task) and not columns
    ):
        return data
    return _retargeted(data, target or data.target_name, call, task, seed, columns)


def _retargeted(
    data: Dataset,
    target: str,
    where: str,
    task: Task | None,
    seed: int,
    columns: Mapping[str, str] | None,
) -> Dataset:
    """A well-known table with another column as its target, or with its target read otherwise."""
    x, y = (
        np.concatenate([getattr(data, f"{part}_train"), getattr(data, f"{part}_test")])
        for part in "xy"
    )
    frame = pd.DataFrame(x, columns=list(data.feature_names))
    for name, levels in zip(data.feature_names, data.levels, strict=True):
        if levels:
            codes = np.where(np.isnan(frame[name]), -1, frame[name]).astype(int)
            frame[name] = pd.Categorical.from_codes(codes, categories=list(levels))
    named = np.array(data.class_names, dtype=object)
    column = pd.Series(named[y] if len(named) else y, name=data.target_name)
    frame[data.target_name] = column
    return from_frame(frame, data.name, where, target=target, task=task, seed=seed, columns=columns)
