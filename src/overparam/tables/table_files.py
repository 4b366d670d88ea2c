"""Files of tables as data frames, whole or not at all."""

import io
import os
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet

from overparam._errors import expect
from overparam._files import expect_readable
from overparam._user_line import user_level
from overparam.errors import MissingPackage, NotEnoughMemory
from overparam.tables.frames import as_frame
from overparam.tables.odd_rows import without_names_again
from overparam.tables.packed import COPIES, expect_plain_archive, only_member, room, unpack
from overparam.tables.text_files import expect_names, read_text

_TEXT = (".csv", ".tsv", ".tab", ".txt")
# What a user may have, and what to do about it.
_REMEDIES = {
    ".xls": "save it as .xlsx.",
    ".ods": "save it as .xlsx or .csv.",
    ".sav": "export it as .csv.",
    ".dta": "export it as .csv.",
    ".sas7bdat": "export it as .csv.",
    ".json": "pandas.read_json('FILE.json').to_csv('FILE.csv', index=False) writes it as .csv.",
    ".jsonl": "pandas.read_json('FILE.jsonl', lines=True).to_csv('FILE.csv', index=False) writes "
    "it as .csv.",
    ".ndjson": "pandas.read_json('FILE.ndjson', lines=True).to_csv('FILE.csv', index=False) writes "
    "it as .csv.",
    ".pkl": "a pickle runs code when it is opened; write it as .parquet.",
    ".zst": "unpack it first.",
    ".7z": "unpack it first.",
}


def read_table_file(path: str | os.PathLike[str], *, where: str = "") -> pd.DataFrame:
    """The rows of a file as they stand.

    Text (.csv, .tsv, .tab, .txt; compressed as .gz, .bz2, .xz or .zip too) is read as text, to
    the letter: what its columns mean a `Reader` finds. Parquet and Feather files and workbooks
    (.xlsx, the first sheet with anything in it; needs openpyxl) bring types of their own.

    Args:
        path: The file.
        where: The public call this is for.

    Raises:
        ValueError: If it cannot be read, or has another suffix.
        FileNotFoundError: If there is no such file.
        MemoryError: If it would not fit into memory.
        ImportError: If the package for its format is not installed.

    Warns:
        UserWarning: Of further sheets of a workbook, with how to read one of them; of rows that
            repeat the names, which are left out.
    """
    path = Path(path)
    where = where or f"read_table_file({str(path)!r})"
    reader = FRAMES.get(path.suffix.lower())
    expect(
        reader is not None,
        where,
        f"a file ending in {', '.join(FRAMES)}",
        repr(path.suffix or "no suffix"),
        hint=_REMEDIES.get(path.suffix.lower(), ""),
    )
    expect_readable(path, where)
    assert reader is not None
    frame = reader(path, where)
    if frame.columns.nlevels > 1:
        frame = as_frame(frame, where)
    return without_names_again(frame, path.name)


def remedy(suffix: str) -> str:
    """What to do about a file of a kind that is not read; empty if nothing is known."""
    return _REMEDIES.get(suffix.lower(), "")


def read_text_file(path: Path, where: str) -> pd.DataFrame:
    """A table in text."""
    actual = _by_first_bytes(path)
    if actual is not None:
        return actual(path, where)
    room(path.stat().st_size, where)
    problem, content = "", b""
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = error.strerror or str(error)
    expect(not problem, where, "a file that can be read", f"{path}: {problem}")
    return read_text(content, where)


def _by_first_bytes(path: Path) -> Callable[[Path, str], pd.DataFrame] | None:
    """What reads a file that is called text and is something else."""
    try:
        with path.open("rb") as file:
            first = file.read(6)
    except OSError:
        return None
    if first.startswith(b"\x1f\x8b"):
        return lambda path, where: read_text(unpack(path, where, ".gz"), where)
    if first.startswith(b"PK\3\4"):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            book = "[Content_Types].xml" in archive.namelist()
            return read_workbook if book else read_zip
        return read_zip
    kinds = {b"PAR1": read_parquet, b"ARROW1": read_feather}
    return next((read for mark, read in kinds.items() if first.startswith(mark)), None)


def read_packed(path: Path, where: str) -> pd.DataFrame:
    """A table in text, compressed."""
    inner = Path(path.stem).suffix.lower()
    expect(
        inner in _TEXT or inner not in FRAMES,
        where,
        f"a text table ({', '.join(_TEXT)}) compressed as {path.suffix}",
        f"a {inner} file so compressed",
        hint="unpack it first; such files are compressed within.",
    )
    return read_text(unpack(path, where), where)


def read_zip(path: Path, where: str) -> pd.DataFrame:
    """The one table in a zip archive."""
    kinds = (*_TEXT, ".parquet", ".pq", ".feather", ".arrow")
    name, content = only_member(path, where, kinds)
    suffix = Path(name).suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _parquet(io.BytesIO(content), where)
    if suffix in (".feather", ".arrow"):
        return _feather(io.BytesIO(content), len(content), where)
    return read_text(content, where)


def read_parquet(path: Path, where: str) -> pd.DataFrame:
    """A Parquet file."""
    return _parquet(path, where)


def _parquet(source: Any, where: str) -> pd.DataFrame:
    problem, needed = "", 0
    try:
        with pyarrow.parquet.ParquetFile(source) as file:
            found = file.metadata
            groups = [found.row_group(i).total_byte_size for i in range(found.num_row_groups)]
            needed = max(sum(groups), 8 * found.num_rows * found.num_columns)
    except Exception as error:  # of damaged bytes the reader raises anything
        problem = str(error) or type(error).__name__
    room(needed, where)

    def read() -> pd.DataFrame:
        return _by_type(
            lambda: pd.read_parquet(_again(source), engine="pyarrow"),
            lambda: pyarrow.parquet.read_table(_again(source)),
        )

    return _whole(read, problem, "a Parquet file", where)


def read_feather(path: Path, where: str) -> pd.DataFrame:
    """A Feather file."""
    return _feather(path, path.stat().st_size, where)


def _feather(source: Any, size: int, where: str) -> pd.DataFrame:
    problem, needed = "", size
    try:
        if isinstance(source, Path):
            data: Any = pyarrow.dataset.dataset(str(source), format="feather")
            needed = max(COPIES * size, 8 * data.count_rows() * len(data.schema))
    except Exception as error:  # of damaged bytes the reader raises anything
        problem = str(error) or type(error).__name__
    room(needed, where)

    def read() -> pd.DataFrame:
        return _by_type(
            lambda: pd.read_feather(_again(source)),
            lambda: pyarrow.feather.read_table(_again(source)),
        )

    return _whole(read, problem, "a Feather file", where)


def _again(source: Any) -> Any:
    """A path, or an open file from its beginning."""
    if hasattr(source, "seek"):
        source.seek(0)
    return source


def _by_type(
    pandas: Callable[[], pd.DataFrame], arrow: Callable[[], pyarrow.Table]
) -> pd.DataFrame:
    """What pandas reads, or Arrow where pandas wrote down a type that it cannot name again.

    That is so of dictionaries of Arrow. The index is then left out.
    """
    try:
        return pandas()
    except (TypeError, ValueError):  # pandas before 2.2 raises the second
        table = arrow()
        names = [name for name in table.column_names if not name.startswith("__index_level_")]
        return table.select(names).to_pandas(ignore_metadata=True)


def read_workbook(path: Path, where: str) -> pd.DataFrame:
    """The first sheet of a workbook that is not empty, its first row with anything in it the names.

    Below a title, or the names of groups of columns, it is the row of words above the numbers.
    """
    expect_plain_archive(path, where)
    try:
        import openpyxl as _  # noqa: F401  # pyright: ignore
    except ImportError:
        raise MissingPackage(
            f"`{where}` expected openpyxl to read a workbook, got an environment without it.\n"
            "Hint: pip install 'overparam[excel]', or save the sheet as .csv."
        ) from None

    sheets: list[str] = []

    def read() -> pd.DataFrame:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheets.extend(_filled_sheets(book))
            first = sheets[0] if sheets else 0
            return pd.read_excel(book, first, header=None, dtype=object, na_filter=False)

    frame = _whole(read, "", "a workbook (.xlsx)", where)
    if len(sheets) > 1:
        others = ", ".join(map(repr, sheets[1:]))
        warnings.warn(
            f"{path.name}: read the sheet {sheets[0]!r}, and not {others}. For another, save it "
            f"by itself: pandas.read_excel({path.name!r}, {sheets[1]!r}).to_csv('sheet.csv', "
            "index=False).",
            stacklevel=user_level(),
        )
    frame = frame.mask(frame.map(lambda value: isinstance(value, str) and not value.strip()))
    filled = frame.notna().any(axis=1).to_numpy()
    frame = frame.iloc[int(filled.argmax()) if filled.any() else 0 :]
    frame = frame.iloc[_row_of_names(frame) :]
    frame = frame.loc[:, frame.notna().any(axis=0).to_numpy()]
    expect(len(frame) > 0, where, "a sheet with names in its first row", "an empty one")
    names = ["" if pd.isna(name) else str(name).strip() for name in frame.iloc[0]]
    expect_names(names, where)
    names = [name or f"Unnamed: {i}" for i, name in enumerate(names)]
    rows = frame.iloc[1:].set_axis(names, axis=1)
    return rows.loc[rows.notna().any(axis=1).to_numpy()].reset_index(drop=True)


def _filled_sheets(book: pd.ExcelFile) -> list[str]:
    """Names of the sheets that are not empty; hidden ones count if all are."""
    pages = [
        page
        for page in book.book.worksheets
        if any(value not in (None, "") for row in page.iter_rows(values_only=True) for value in row)
    ]
    shown = [page for page in pages if page.sheet_state == "visible"]
    return [page.title for page in shown or pages]


def _row_of_names(frame: pd.DataFrame) -> int:
    """Where a sheet's names stand, which begins with its first row that is not empty."""
    for place in range(min(10, len(frame) - 1)):
        below = frame.iloc[place + 1 :]
        used = below.notna().any(axis=0).to_numpy()
        row = frame.iloc[place].loc[used]
        if place == 0 and row.notna().all():
            return 0
        if any(not isinstance(value, str) for value in row.dropna()):
            return 0  # the rows have begun
        texts = below.iloc[:5].map(lambda value: isinstance(value, str)).any(axis=0).to_numpy()
        numbers = below.iloc[:5].notna().any(axis=0).to_numpy() & ~texts
        if place and row.notna().all() and row.nunique() == len(row) > 1 and numbers.any():
            return place
    return 0


def _whole(read: Callable[[], pd.DataFrame], problem: str, what: str, where: str) -> pd.DataFrame:
    """What a reader of another's reads, or one clear error."""
    frame = pd.DataFrame()
    try:
        frame = frame if problem else read()
    except MemoryError:
        raise NotEnoughMemory(f"`{where}` expected a table that fits into memory.") from None
    except Exception as error:  # of damaged bytes readers raise anything
        problem = str(error) or type(error).__name__
    expect(
        not problem, where, what,
        f"one that cannot be read ({problem.strip().partition(chr(10))[0]})",
    )  # fmt: skip
    return frame


# Each format of tables and what reads it; all else that asks for a suffix asks here.
FRAMES: dict[str, Callable[[Path, str], pd.DataFrame]] = {
    **dict.fromkeys(_TEXT, read_text_file),
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".feather": read_feather,
    ".arrow": read_feather,
    ".xlsx": read_workbook,
    ".xlsm": read_workbook,
    **dict.fromkeys((".gz", ".bz2", ".xz"), read_packed),
    ".zip": read_zip,
}
