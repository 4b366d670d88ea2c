"""What a figure is: a finding, a convention, a drawing as plain data, and its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
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
        return {"data": short(self.data), "layout": self.layout}


def short(value: Any) -> Any:
    """Plain data, its numbers in seven digits: what single precision holds, and no eye misses.

    Example:
        >>> short([{"x": [0, 1], "y": [0.1 + 0.2, 12345678.9]}])
        [{'x': [0, 1], 'y': [0.3, 12345680.0]}]
    """
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: short(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [short(item) for item in value]
    return value


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
