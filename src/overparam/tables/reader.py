"""A table's columns, learned once; what other rows of the table mean by it."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from overparam._errors import expect
from overparam.tables.column import Column, expect_chosen, problem
from overparam.tables.drift import profile, told
from overparam.tables.frames import as_frame, expect_distinct
from overparam.tables.kinds import learn_column
from overparam.tables.levels import name_of
from overparam.tables.reading import MISSING, UNSEEN, read_column


class TableWarning(UserWarning):
    """Rows of a table differ from those that a model was fitted to."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows as a reader understands them.

    Attributes:
        columns: By name: numbers with NaN where one is missing, or positions of levels, -1 where
            one is missing and -2 where it was not there.
        told: What sets the rows apart from those that were learned from, a line a column.
    """

    columns: dict[str, np.ndarray]
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """What the columns of a table were taken for; it reads other rows by that.

    The same values mean the same, whatever type they have and whatever file they come from: 1,
    1.0, True and "1"; "12,5 %" and 12.5; a date as text, as a date or as a time stamp.

    Attributes:
        columns: In the order of the table.

    Example:
        >>> sold = ["2020-01-31", "2020-02-29"]
        >>> frame = pd.DataFrame({"price": ["$1,200", "$950"], "sold": sold})
        >>> reader = Reader.learn(frame)
        >>> print(*reader.described(), sep="; ")
        price: number in $; sold: date
        >>> reader.read(pd.DataFrame({"sold": ["29 Feb 2020"], "price": [950]})).columns
        {'price': array([950.]), 'sold': array([18321.])}
    """

    columns: tuple[Column, ...]

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def used(self) -> tuple[Column, ...]:
        """The columns that say something about another row."""
        return tuple(column for column in self.columns if column.is_used)

    @property
    def left_out(self) -> dict[str, str]:
        """The others, with the reason."""
        return {column.name: column.reason for column in self.columns if not column.is_used}

    @classmethod
    def learn(
        cls,
        frame: Any,
        chosen: Mapping[str, str] | None = None,
        *,
        keep: bool = False,
        where: str = "Reader.learn(frame=...)",
    ) -> "Reader":
        """What the columns of a table are.

        Args:
            frame: A data frame.
            chosen: By name of a column its kind ("number", "date", "yes/no", "category", "text",
                "identifier", "constant"; the last three leave it out), or how to read it where
                its values leave that open: "day first", "month first", "decimal comma" or
                "decimal point". Values that do not fit a kind that was set are missing.
            keep: Whether no column may be left out.
            where: The public call this is for.

        Raises:
            ValueError: If nearly all of a column is numbers or dates, and the rest is not; if
                numbers are infinite; or for an unknown name or kind.
            TypeError: If it is no table.

        Cost:
            Two passes over each column; about a microsecond a distinct text.
        """
        frame = as_frame(frame, where)
        expect_distinct(frame, where)
        settings = expect_chosen(chosen, list(frame.columns), where)
        columns = []
        for name in frame.columns:
            column = learn_column(frame[name], where, settings.get(name), keep=keep)
            if column.is_used and not keep:
                read = read_column(column, frame[name], where)
                levels = len(column.levels) if column.kind == "category" else 0
                note = "; ".join(filter(None, [column.note, *read.odd, *read.gaps]))
                column = replace(column, note=note, profile=profile(read.values, levels))
            columns.append(column)
        return cls(tuple(columns))

    @classmethod
    def of_levels(cls, names: Sequence[str], levels: Mapping[int, Iterable[Any]]) -> "Reader":
        """A reader of numbers, and of categories at some positions, that knows no more."""
        return cls(
            tuple(
                Column(name, "category", levels=_level_names(levels[i])) if i in levels
                else Column(name)
                for i, name in enumerate(names)
            )
        )  # fmt: skip

    def read(self, frame: Any, *, where: str = "Reader.read(frame=...)") -> Rows:
        """Other rows of the table.

        Args:
            frame: A data frame with the columns in any order; others are passed over.
            where: The public call this is for.

        Raises:
            ValueError: If none of the columns is there, one is there twice, there is no row, or a
                value is no number or date where only those were.
            TypeError: If it is no table.
        """
        frame = as_frame(frame, where)
        names = [column.name for column in self.used]
        found = _places(names, [str(name) for name in frame.columns])
        absent = [name for name in names if name not in found]
        expect(
            len(absent) < len(names) or not names,
            where,
            f"the columns {', '.join(names)}",
            f"a table without {', '.join(absent)}",
        )
        twice = sorted({name for name in names if list(frame.columns).count(name) > 1})
        expect(not twice, where, "each column once", f"{', '.join(twice)} more than once")
        expect(len(frame) > 0, where, "at least one row", "none")
        values: dict[str, np.ndarray] = {}
        lines = []
        for column in self.used:
            name = column.name
            if name in absent:
                nothing = np.nan if column.is_number else MISSING
                values[name] = np.full(len(frame), nothing)
                close = difflib.get_close_matches(name, map(str, frame.columns), n=1)
                hint = f"; did {close[0]!r} mean it?" if close and close[0] not in names else ""
                lines.append(f"{name}: no such column, read as missing in every row{hint}")
                continue
            read = read_column(column, frame.iloc[:, found[name]].rename(name), where)
            values[name] = read.values
            lines += [f"{name}: {line}" for line in (*read.odd, *told(column, read.values))]
        return Rows(values, tuple(lines))

    def frame(self, rows: Rows) -> pd.DataFrame:
        """Rows as a data frame of float64 numbers and of categories by the names of levels."""
        made = {}
        for column in self.used:
            values = rows.columns[column.name]
            if column.kind == "category":
                codes = np.where(values == UNSEEN, MISSING, values)
                made[column.name] = pd.Categorical.from_codes(codes, categories=column.levels)
            else:
                made[column.name] = values
        return pd.DataFrame(made)

    def unframed(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """The columns of rows that `frame` made: numbers, and positions of levels."""
        return {
            column.name: frame[column.name].cat.codes.to_numpy().astype(np.int64)
            if column.kind == "category"
            else frame[column.name].to_numpy(np.float64)
            for column in self.used
        }

    def described(self) -> list[str]:
        """What each column was taken for, a line each."""
        lines = []
        for column in self.columns:
            words = column.words() if column.is_used else f"left out, {column.reason}"
            lines.append(f"{column.name}: {words}" + (f" ({column.note})" if column.note else ""))
        return lines

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain data, of which `from_dict` makes the reader again."""
        return [column.to_dict() for column in self.columns]

    @classmethod
    def from_dict(cls, data: Sequence[Mapping[str, Any]]) -> "Reader":
        """The reader that `to_dict` described.

        Raises:
            ValueError: If that describes none.
        """
        return cls(tuple(Column.from_dict(column) for column in data))


def _level_names(levels: Iterable[Any]) -> tuple[str, ...]:
    """Names of levels as a model's encoding holds them, without the missing one."""
    names = [name_of(level) for level in levels if isinstance(level, str) or level == level]
    return tuple(dict.fromkeys(names))


def wrong_reader(data: Any) -> str:
    """What is wrong with a reader's plain data, the first found; empty if nothing is."""
    if not isinstance(data, list):
        return "a reader of no columns"
    wrong = next(filter(None, map(problem, data)), "")
    if wrong:
        return wrong
    names = [column["name"] for column in data]
    return "columns of one name" if len(set(names)) < len(names) else ""


def _places(names: Sequence[str], there: Sequence[str]) -> dict[str, int]:
    """Where each column stands; one whose name differs in case or blanks alone is taken for it."""
    found = {name: place for place, name in enumerate(there) if name in set(names)}
    folded: dict[str, list[int]] = {}
    for place, name in enumerate(there):
        if name not in found:
            folded.setdefault(" ".join(name.casefold().split()), []).append(place)
    for name in names:
        places = folded.get(" ".join(name.casefold().split()), [])
        if name not in found and len(places) == 1:
            found[name] = places[0]
    return found
