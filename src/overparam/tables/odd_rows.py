"""Rows of a table that are none: a second line of names, sums at the end, a remark below."""

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from overparam._errors import expect
from overparam._user_line import user_level
from overparam.tables.cells import MISSING
from overparam.tables.dates import of_object, read_dates
from overparam.tables.numbers import GAPS, read_numbers

_SUMS = frozenset(
    ("total", "totals", "grand total", "sum", "sums", "subtotal", "all", "summe", "gesamt",
     "gesamtsumme", "insgesamt", "somme", "totale", "totaux", "total general", "total général",
     "totaal", "suma", "soma", "итого", "всего", "合計", "合计", "总计", "average", "averages",
     "mean", "mittelwert", "durchschnitt", "moyenne", "promedio", "media", "média")
)  # fmt: skip
# Of a sum that was rounded, relative.
_ROUNDED = 1e-3
_SAMPLE = 50


def without_names_again(frame: pd.DataFrame, file: str) -> pd.DataFrame:
    """The rows but for those that repeat the names, as where files were put behind one another.

    Args:
        frame: The rows of a file, its names taken for text.
        file: Its name.

    Warns:
        UserWarning: Of the rows left out.
    """
    if frame.shape[1] < 2:
        return frame
    names = [str(name).strip() for name in frame.columns]
    again = np.zeros(len(frame), dtype=bool)
    alike = (frame.iloc[:, 0] == frame.columns[0]).to_numpy(dtype=bool, na_value=False)
    for place in np.flatnonzero(alike):
        again[place] = [str(cell).strip() for cell in frame.iloc[place]] == names
    rows = (np.flatnonzero(again) + 1).tolist()
    if not rows:
        return frame
    shown = ", ".join(map(str, rows[:3])) + (f" and {len(rows) - 3} more" if rows[3:] else "")
    said = f"rows {shown} repeat" if len(rows) > 1 else f"row {shown} repeats"
    warnings.warn(f"{file}: {said} the names of the columns; left out.", stacklevel=user_level())
    return frame.loc[~again].reset_index(drop=True)


def expect_rows_alike(frame: pd.DataFrame, chosen: Collection[str], where: str) -> None:
    """Raise for a table whose first or last row is about the others.

    Read as a row like them, a line of units makes names of numbers, and a sum outweighs all.

    Args:
        frame: The table, as a file has it.
        chosen: Columns whose kind was set: what does not fit there is to be missing.
        where: The public call this is for.
    """
    if len(frame) < 4:
        return
    _expect_one_line_of_names(frame, chosen, where)
    last = [_cell(frame[name].iloc[-1]) for name in frame.columns]
    words = [
        place for place, cell in enumerate(last)
        if isinstance(cell, str) and cell.rstrip(" :.").casefold() in _SUMS
    ]  # fmt: skip
    row = f"row {len(frame)}, the last"
    for place in words:
        column = frame.iloc[:-1, place]
        texts = {cell for cell in map(_cell, column.iloc[-_SAMPLE:]) if isinstance(cell, str)}
        if frame.columns[place] in chosen or last[place] in texts:
            continue
        others = [i for i in range(len(last)) if i != place and _sums_up(frame.iloc[:, i])]
        expect(
            not (others or _are_numbers(column)),
            where,
            "rows of one kind",
            f"{row}, that says {last[place]!r}"
            + (f" and sums up {frame.columns[others[0]]!r}" if others else ""),
            hint="delete it: it is about the other rows.",
        )
    filled = [place for place, cell in enumerate(last) if cell is not None]
    if len(filled) == 1 and len(last) > 1 and frame.columns[filled[0]] not in chosen:
        remark = last[filled[0]]
        expect(
            not (isinstance(remark, str) and " " in remark)
            or not _are_numbers(frame.iloc[:-1, filled[0]]),
            where,
            "rows of one kind",
            f"{row}, that holds nothing but {remark!r}",
            hint="delete it, if it is a remark on the table.",
        )


def _expect_one_line_of_names(frame: pd.DataFrame, chosen: Collection[str], where: str) -> None:
    first = [_cell(frame[name].iloc[0]) for name in frame.columns]
    if not any(isinstance(cell, str) for cell in first):
        return
    numbers = [i for i in range(len(first)) if _are_numbers(frame.iloc[1:, i])]
    words = [first[i] for i in numbers if _is_word(first[i])]
    alike = all(first[i] is None or _is_word(first[i]) for i in numbers)
    free = any(frame.columns[i] not in chosen for i in numbers if _is_word(first[i]))
    expect(
        not (words and alike and free),
        where,
        "one line of names",
        f"a row below it with {', '.join(map(repr, words[:3]))} where all others hold numbers",
        hint="delete it, if it holds units or names, or write these into the names.",
    )


def _sums_up(column: pd.Series) -> bool:
    """Whether the last number is the sum or the mean of those above."""
    found = _numbers(column)
    if found is None or found[-1] is None:
        return False
    above = [value for value in found[:-1] if value is not None]
    total, last = sum(above), found[-1]
    if len(above) < 2 or not total:
        return False
    return any(abs(last - s) <= _ROUNDED * abs(s) for s in (total, total / len(above)))


def _numbers(column: pd.Series) -> list[float | None] | None:
    """The numbers of a column, None where one is missing; None if it holds anything else."""
    cells = list(map(_cell, column))
    texts = sorted({cell for cell in cells if isinstance(cell, str)})
    read = read_numbers(texts) if texts else None
    if read is not None and (read.doubt or any(v != v for v in read.values.tolist())):
        return None
    known: dict[Any, float] = dict(zip(texts, read.values.tolist(), strict=True)) if read else {}
    if not all(cell is None or isinstance(cell, str | int | float) for cell in cells):
        return None
    return [None if cell is None else known.get(cell, cell) for cell in cells]


def _are_numbers(column: pd.Series) -> bool:
    """Whether a sample of a column holds numbers or dates, and nothing else but gaps."""
    cells = [cell for cell in map(_cell, column.iloc[:_SAMPLE]) if cell is not None]
    texts = [cell for cell in cells if isinstance(cell, str)]
    if not cells or any(of_object(cell) is None for cell in cells if not _is_plain(cell)):
        return False
    if not texts:
        return True
    read, dates = read_numbers(texts), read_dates(texts)
    numbers = not read.doubt and not any(v != v for v in read.values.tolist())
    return numbers or bool(dates.unit and not any(v != v for v in dates.values.tolist()))


def _is_plain(cell: Any) -> bool:
    return isinstance(cell, str | int | float)


def _is_word(cell: Any) -> bool:
    """Whether a cell is text, and neither a number nor a date."""
    if not isinstance(cell, str):
        return False
    read = read_numbers([cell])
    return bool(read.values[0] != read.values[0]) and not read_dates([cell], "dmy").unit


def _cell(value: Any) -> Any:
    """A cell's value, None for one that is missing."""
    if isinstance(value, str):
        text = value.strip()
        return None if not text or text.casefold() in GAPS or text in MISSING else text
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
