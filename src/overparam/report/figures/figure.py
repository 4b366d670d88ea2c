"""What a figure is: a finding, a convention, a drawing as plain data, and its numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from overparam.report.series import Series

LONGEST_TABLE = 100


@dataclass(frozen=True)
class Table:
    """Columns and rows; `left_out` rows more are in the document but not shown."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    left_out: int = 0


@dataclass(frozen=True)
class Figure:
    """A drawing with its words.

    Attributes:
        name: Unique within a document.
        title: The finding, computed from the numbers drawn.
        caption: The convention: what is averaged, divided, compared.
        data: Plotly traces as plain data. A colour is the CSS variable that holds it, such as
            ``var(--blue)``, so that one palette serves light, dark and print.
        layout: The Plotly layout, as plain data; without the colours a theme decides.
        tables: The numbers, for those who cannot or would rather not read the drawing.
        wide: Whether the figure wants the whole width of a wide page.
    """

    name: str
    title: str
    caption: str
    data: list[dict]
    layout: dict
    tables: list[Table]
    wide: bool = False

    @property
    def drawing(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {"data": [_stepped(trace) for trace in short(self.data)], "layout": self.layout}


def short(value: Any) -> Any:
    """Plain data, its numbers in as many digits as a drawing shows.

    In a list none is off by more than half a thousandth of its range, a tenth of a pixel in a
    panel of 200, nor by more than that part of itself, which is as little on a logarithmic axis.
    That takes four digits where numbers reach down to zero, five where they nearly do, and more
    where all are alike; at most seven, what single precision holds.

    Example:
        >>> short([{"x": [0, 1], "y": [0.0, 12345678.9], "z": [100.1234, 100.5678]}])
        [{'x': [0, 1], 'y': [0.0, 12350000.0], 'z': [100.1234, 100.5678]}]
    """
    return _rounded(value, 7)


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {key: _rounded(item, 7) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        digits = _digits([item for item in value if isinstance(item, float)]) or digits
        return [_rounded(item, digits) for item in value]
    return value


def _digits(values: Sequence[float]) -> int | None:
    """How many digits all values need for half a thousandth of their range: four to seven."""
    if not values or not max(values) > min(values):
        return None
    largest = max(map(abs, values))
    return min(7, 4 + math.ceil(math.log10(max(1.0, largest / (max(values) - min(values))))))


def _stepped(trace: Mapping[str, Any]) -> dict[str, Any]:
    """A trace, its x as the first and what is added each time where those are whole numbers.

    Steps of a long run have many digits, the gaps between them few. The page's script adds up.

    Example:
        >>> _stepped({"x": [19000, 19010, 19045], "y": [3, 2, 1]})
        {'y': [3, 2, 1], 'gaps': [19000, 10, 35]}
    """
    x = trace.get("x")
    if not isinstance(x, list) or not x or any(type(step) is not int for step in x):
        return dict(trace)
    kept = {key: value for key, value in trace.items() if key != "x"}
    return kept | {"gaps": x[:1] + [later - step for step, later in pairwise(x)]}


def plain(text: Any, longest: int = 60) -> str:
    """Text that Plotly shows as it is: it would read tags and links in it, as in HTML.

    Example:
        >>> plain("<b>age</b> & sex"), plain("a" * 9, longest=4)
        ('&lt;b&gt;age&lt;/b&gt; &amp; sex', 'aaa…')
    """
    text = " ".join(str(text).split())
    return escape(text if len(text) <= longest else text[: longest - 1] + "…", quote=False)


def sentence(text: str) -> str:
    """Text that begins with a capital."""
    return text[:1].upper() + text[1:]


def capped(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A table of at most `LONGEST_TABLE` rows, spread evenly, the last one included."""
    if len(rows) <= LONGEST_TABLE:
        return Table(columns, rows)
    last = len(rows) - 1
    kept = [round(i * last / (LONGEST_TABLE - 1)) for i in range(LONGEST_TABLE)]
    return Table(columns, [rows[i] for i in kept], left_out=len(rows) - LONGEST_TABLE)


def leading(columns: Sequence[str], rows: Sequence[Sequence[Any]], longest: int = 50) -> Table:
    """A table of the first rows, for rows in order of importance or of time."""
    return Table(columns, rows[:longest], left_out=max(0, len(rows) - longest))


def series_tables(columns: Mapping[str, Series | None]) -> list[Table]:
    """The numbers of several series, one table for all those measured at the same steps."""
    by_steps: dict[tuple, dict[str, Series]] = {}
    for name, series in columns.items():
        if series is not None:
            by_steps.setdefault(tuple(series.steps), {})[name] = series
    return [
        capped(
            ["step", *group],
            list(zip(steps, *(series.values for series in group.values()), strict=True)),
        )
        for steps, group in by_steps.items()
    ]
