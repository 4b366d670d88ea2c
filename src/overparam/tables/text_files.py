"""Tables in text, by what the text holds: its encoding, its separator, its first line."""

import codecs
import csv
import io
import re
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from overparam._errors import expect

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_SEPARATORS = ",;\t|"
_SAMPLE = 50
_LETTERS = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_DECLARED = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*", re.ASCII)


def read_text(content: bytes, where: str) -> pd.DataFrame:
    """A table in text as columns of text, to the letter; an empty field is an empty text.

    The encoding is what a byte order mark says, or else UTF-8, or UTF-16 without a mark, or else
    Windows-1252, of which Latin-1 is a part. The separator is a comma, semicolon, tab or bar, or
    blanks between numbers: the one by which all lines have as many fields. Lines in front that
    begin with # are comments.

    Raises:
        ValueError: If it is no text, its first line holds no names, or a row does not hold one
            field to each name.
    """
    problem, frame, names = "", pd.DataFrame(), []
    try:
        text = decoded(content)
        if not text.strip():
            raise ValueError("it is empty")
        skipped, separator = _head(text)
        lines = text.splitlines(keepends=True)[:skipped] if skipped else []
        body = text[sum(map(len, lines)) :]
        names, width = _names_of_rows_alike(body, separator, skipped)
        more: dict[str, Any] = {}
        if width > len(names):
            # Fields beyond the names are empty, as was seen; of some rows or of all.
            more = {"header": 0, "names": range(width), "usecols": range(len(names))}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(body, newline=""), sep=separator, dtype=str, na_filter=False,
                index_col=False, low_memory=False, skipinitialspace=separator == " ", **more,
            )  # fmt: skip
        if more:
            frame.columns = [name or f"Unnamed: {i}" for i, name in enumerate(names)]
    except (OSError, ValueError, csv.Error, OverflowError) as error:
        problem = str(error) or type(error).__name__
    else:
        expect_names(names, where)
    expect(
        not problem,
        where,
        "a table of separated values in UTF-8, UTF-16 or Latin-1",
        f"a file that cannot be read as one ({problem.strip().partition(chr(10))[0]})",
    )
    first = str(frame.columns[0]) if len(frame.columns) else ""
    if first.startswith("#") and len(first) > 1:
        frame = frame.rename(columns={first: first.lstrip("# ")})
    return frame


def decoded(content: bytes) -> str:
    """Bytes as text.

    Raises:
        ValueError: If they are none.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding)
    if b"\0" in content:
        sample = content[:4096]
        for encoding, start in (("utf-16-le", 1), ("utf-16-be", 0)):
            zeros = sample[start::2].count(0)
            if len(content) % 2 == 0 and zeros > 0.6 * (len(sample) // 2) > 1:
                return content.decode(encoding)
        raise ValueError("it holds NUL characters")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        # Letters of two bytes and more are no chance: it is UTF-8 that was damaged.
        letters = _LETTERS.findall(content)
        others = sum(byte > 127 for byte in content) - sum(map(len, letters))
        if len(letters) > others:
            raise ValueError(f"it is UTF-8 that is damaged, at byte {error.start}") from None
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if _CONTROL.search(text):
        raise ValueError("it is not text in UTF-8, nor in another encoding")
    return text


def _head(text: str) -> tuple[int, str]:
    """How many lines come before the names, and what separates fields."""
    skipped, declared = 0, ""
    lines = text[: 2**20].splitlines(keepends=True)[: 5 * _SAMPLE]
    if lines and (found := _DECLARED.fullmatch(lines[0].strip("\r\n"))):
        declared, skipped = found[1], 1
    while skipped < len(lines) and not lines[skipped].strip():
        skipped += 1
    comments = skipped
    while comments < len(lines) and (
        lines[comments].startswith("#") or not lines[comments].strip()
    ):
        comments += 1
    if comments > skipped and comments < len(lines):
        # A line of names may begin with # too: it has as many fields as those below.
        rest = declared or _separator(lines[comments:])
        last = next(i for i in range(comments - 1, skipped - 1, -1) if lines[i].strip())
        width = len(next(csv.reader([lines[last]], delimiter=rest)))
        below = len(next(csv.reader([lines[comments]], delimiter=rest)))
        named = width == below > 1
        skipped = last if named else comments
    return skipped, declared or _separator(lines[skipped:])


def _separator(lines: list[str]) -> str:
    """The separator by which all lines have as many fields, more than one."""
    sample = [line for line in lines if line.strip()][: _SAMPLE + 1]
    widths = {}
    for mark in _SEPARATORS:
        rows = _sampled(sample, mark)
        if len(rows) and len(rows[0]) > 1 and all(_fits(row, len(rows[0])) for row in rows):
            widths[mark] = len(rows[0])
    if widths:
        return max(widths, key=lambda mark: widths[mark])
    first = sample[0] if sample else ""
    counts = {mark: first.count(mark) for mark in _SEPARATORS}
    if not any(counts.values()):
        rows = _sampled(sample, " ")
        fields = [field for row in rows[1:] for field in row if field]
        numbers = sum(bool(_NUMBER.fullmatch(field)) for field in fields)
        alike = rows and len(rows[0]) > 1 and all(_fits(row, len(rows[0])) for row in rows)
        if alike and 2 * numbers >= len(fields) > 0:
            return " "
    return max(_SEPARATORS, key=lambda mark: counts[mark])


def _sampled(sample: list[str], mark: str) -> list[list[str]]:
    try:
        rows = list(csv.reader(sample, delimiter=mark, skipinitialspace=mark == " "))
    except csv.Error:
        return []
    # The last of many may be the first half of a field of several lines.
    return rows[:-1] if len(sample) > _SAMPLE else rows


def _fits(row: list[str], width: int) -> bool:
    """Whether a row has a field to each name; empty ones may follow."""
    return len(row) >= width and not any(row[width:])


def _names_of_rows_alike(text: str, separator: str, skipped: int) -> tuple[list[str], int]:
    """The names in the first line, if every row has a field to each; empty ones may follow.

    And how many fields the longest row has.

    Otherwise columns would shift, or the end of a row that was cut off would be missing
    values.

    Raises:
        csv.Error: For another row.
    """
    lines = _without_nul(io.StringIO(text, newline=""))
    rows: Iterator[list[str]] = csv.reader(
        lines, delimiter=separator, skipinitialspace=separator == " "
    )
    names = next((row for row in rows if row), [])
    while names and separator == " " and not names[-1]:
        names.pop()
    longest = len(names)
    for row in rows:
        width = len(row)
        longest = max(longest, width)
        while width > len(names) and not row[width - 1]:
            width -= 1
        if width not in (0, len(names)) and (width > 1 or row[0].strip()):
            line = rows.line_num + skipped  # pyright: ignore[reportAttributeAccessIssue]
            raise csv.Error(
                f"there are {width} fields in line {line} and {len(names)} names in the "
                "first; a field that holds the separator belongs in quotes"
            )
    return names, longest


def _without_nul(file: io.StringIO) -> Iterator[str]:
    for line in file:
        if "\0" in line:
            raise csv.Error("it holds NUL characters")
        yield line


def expect_names(names: list[str], where: str) -> None:
    """Raise unless the first line holds names, each of one column."""
    plain = [bool(_NUMBER.fullmatch(name)) for name in islice(names, 10_000)]
    values = np.array([float(name.replace(",", ".")) for name in names]) if all(plain) else None
    expect(
        not names or values is None or np.array_equal(values, np.arange(len(values))),
        where,
        "column names in the first line",
        f"the numbers {', '.join(map(str, names[:4]))}",
        hint="put a line of column names on top.",
    )
    twice = [name for name in names if name and names.count(name) > 1][:1]
    expect(not twice, where, "columns of different names", f"{twice} twice")
