"""The figures a study describes, drawn."""

from collections.abc import Mapping
from typing import Any

from overparam.report.figures.figure import Figure, Table, capped, plain
from overparam.report.figures.labels import HATCH
from overparam.report.figures.panels import MARGIN, scale

COLOURS = ("blue", "orange", "green", "violet", "red", "muted")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def study_figures(document: Mapping) -> list[Figure]:
    """One figure for each description under ``series`` that holds a line with a number."""
    drawn = [_figure(name, entry or {}) for name, entry in document["series"].items()]
    return [figure for figure in drawn if figure is not None]


def _figure(name: str, entry: Mapping) -> Figure | None:
    """The figure of one description, or `None` if there is nothing to draw."""
    lines = [line for line in entry.get("lines") or [] if line.get("x") and line.get("y")]
    if not lines:
        return None
    x, y = entry.get("x") or {}, entry.get("y") or {}
    heat = entry.get("kind") == "heatmap"
    bars = entry.get("kind") == "bar"
    if heat:
        data = [_heat_map(lines[0])]
    elif bars:
        data = [_bars(line, index) for index, line in enumerate(lines)]
    else:
        joined = "markers" if entry.get("kind") == "scatter" else "lines+markers"
        data = [_curve(line, index, joined) for index, line in enumerate(lines)]
    values = {axis: [value for line in lines for value in line[axis]] for axis in ("x", "y")}
    left = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": 1}
    label = {"text": plain(y.get("label") or ""), "yanchor": "bottom", "yshift": 3, **left}
    layout = {
        "height": 300,
        "margin": MARGIN,
        "xaxis": {"title": {"text": plain(x.get("label") or "")}, **_axis(x, values["x"])},
        "yaxis": _axis(y, values["y"]),
        "annotations": [{**label, "showarrow": False, "font": {"size": 12}}],
        "hovermode": "closest",
    }
    labels = [str(x.get("label") or "x"), str(y.get("label") or "y")]
    return Figure(
        name,
        str(entry.get("title") or name),
        str(entry.get("caption") or ""),
        data,
        layout,
        [_heat_table(lines[0], labels) if heat else _table(lines, labels)],
    )


def _curve(line: Mapping, index: int, mode: str) -> dict:
    """A curve or a cloud of points, told from its neighbours by more than its colour."""
    colour = f"var(--{COLOURS[index % len(COLOURS)]})"
    symbol = SYMBOLS[index % len(SYMBOLS)]
    return {
        "type": "scatter",
        "mode": mode,
        "name": plain(line.get("name") or ""),
        "x": _shown(line["x"]),
        "y": _shown(line["y"]),
        "line": {"color": colour, "width": 2, "dash": DASHES[index % len(DASHES)]},
        "marker": {"color": colour, "symbol": symbol, "size": 7},
    }


def _bars(line: Mapping, index: int) -> dict:
    """One group of bars."""
    pattern = ("", "/", "x", "-", "|", "+")[index % 6]
    colour = f"var(--{COLOURS[index % len(COLOURS)]})"
    return {
        "type": "bar",
        "name": plain(line.get("name") or ""),
        "x": _shown(line["x"]),
        "y": _shown(line["y"]),
        "marker": {"color": colour, "pattern": {**HATCH, "shape": pattern}},
    }


def _heat_map(line: Mapping) -> dict:
    """A matrix ``z`` with a row for each y and a column for each x."""
    scale = [[0, "var(--surface)"], [0.5, "var(--blue)"], [1, "var(--ink)"]]
    bar = {"thickness": 10, "outlinewidth": 0}
    return {
        "type": "heatmap",
        "x": _shown(line["x"]),
        "y": _shown(line["y"]),
        "z": line.get("z") or [],
        "colorscale": scale,
        "colorbar": bar,
    }


def _shown(values: list) -> list:
    """Values as they are, words as Plotly may read them."""
    return [plain(value, longest=24) if isinstance(value, str) else value for value in values]


def _axis(description: Mapping, values: list[Any]) -> dict:
    """Words make a category axis; numbers the one the description asks for."""
    if any(isinstance(value, str) for value in values):
        return {"type": "category"}
    numbers = [value for value in values if value is not None]
    return scale(numbers) if description.get("scale") == "log" else {"type": "linear"}


def _table(lines: list[Mapping], labels: list[str]) -> Table:
    """All points, with the name of their line where there is more than one."""
    several = len(lines) > 1
    rows = []
    for line in lines:
        name = [line.get("name") or ""] if several else []
        rows += [[*name, *pair] for pair in zip(line["x"], line["y"], strict=False)]
    return capped([*(["line"] if several else []), *labels], rows)


def _heat_table(line: Mapping, labels: list[str]) -> Table:
    """The matrix, one row for each cell."""
    cells = [
        [x, y, value]
        for y, row in zip(line["y"], line.get("z") or [], strict=False)
        for x, value in zip(line["x"], row or [], strict=False)
    ]
    return capped([*labels, "value"], cells)
