"""Which inputs the network uses: the diagonal of its average gradient outer product."""

import math
from collections.abc import Mapping
from itertools import chain

from overparam._curves import MOST, fewest
from overparam.report.figures.figure import LONGEST_TABLE, Figure, leading, plain
from overparam.report.figures.panels import MARGIN
from overparam.report.numbers import percent

SHOWN = 20
CAPTION = (
    "Sensitivity to an input is the squared derivative of the outputs with respect to it, "
    "averaged over the examples (the diagonal of the AGOP); drawn is its share of the sum. "
)


def inputs_figure(document: Mapping) -> Figure | None:
    """The inputs' shares as an image where inputs are images, else the largest as bars."""
    agop = document["series"].get("agop") or {}
    diagonal = _shares(agop.get("diagonal"))
    if diagonal is None:
        return None
    start = _shares(agop.get("start"))
    if start is not None and len(start) != len(diagonal):
        start = None
    shape = agop.get("image_shape") or []
    grid = len(shape) in (2, 3) and math.prod(shape) == len(diagonal)
    names = agop.get("names") or document["data"].get("feature_names") or []
    if len(names) != len(diagonal):
        names = [f"input {i}" for i in range(len(diagonal))]
    data, layout = _image(diagonal, start, shape) if grid else _bars(diagonal, start, names)
    columns = ["input", "share", *(["share at the start"] if start else [])]
    rows = sorted(
        zip(names, diagonal, *([start] if start else []), strict=True), key=lambda row: -row[1]
    )
    note = "That of a pixel is the sum over its channels. " if grid else ""
    return Figure(
        "inputs",
        _finding(_positions(diagonal, shape) if grid else diagonal, pixels=grid),
        CAPTION + note,
        data,
        layout,
        [leading(columns, rows, longest=LONGEST_TABLE)],
    )


def _shares(values: list | None) -> list[float] | None:
    """Non-negative values divided by their sum, or `None` where that says nothing."""
    values = [max(value or 0.0, 0.0) for value in values or []]
    total = sum(values)
    return [value / total for value in values] if total > 0 else None


def _finding(shares: list[float], *, pixels: bool) -> str:
    """How few pixels or inputs hold most of the total."""
    needed, kind = fewest(shares), "pixels" if pixels else "inputs"
    verb = "holds" if needed == 1 else "hold"
    return f"{needed:,} of {len(shares):,} {kind} {verb} {percent(MOST)} of the sensitivity"


def _image(
    diagonal: list[float], start: list[float] | None, shape: list[int]
) -> tuple[list[dict], dict]:
    """The shares in the shape of the input, now and, where known, at the start."""
    height, width = shape[-2:]
    maps = {"at the start": start, "after training": diagonal} if start else {"": diagonal}
    data, layout = (
        [],
        {"height": 340, "margin": {**MARGIN, "l": 12}, "annotations": [], "hovermode": "closest"},
    )
    step = 1 / len(maps)
    for index, (label, values) in enumerate(maps.items()):
        suffix = str(index + 1) if index else ""
        rows = _grid(values or [], height, width)
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        data.append({"type": "heatmap", "z": rows, "coloraxis": "coloraxis", **axes})
        left, right = index * step + 0.02 * bool(index), (index + 1) * step - 0.02 * (not index)
        hidden = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": ""}
        layout[f"xaxis{suffix}"] = {
            "domain": [left, min(right, 1.0)],
            "anchor": f"y{suffix}",
            "constrain": "domain",
            **hidden,
        }
        layout[f"yaxis{suffix}"] = {
            "autorange": "reversed",
            "scaleanchor": f"x{suffix}",
            "constrain": "domain",
            "anchor": f"x{suffix}",
            **hidden,
        }
        layout["annotations"].append(_heading(label, suffix))
    scale = [[0, "var(--surface)"], [0.5, "var(--blue)"], [1, "var(--ink)"]]
    bar = {"orientation": "h", "thickness": 10, "len": 0.8, "y": -0.02, "tickformat": ".2~%"}
    layout["coloraxis"] = {"colorscale": scale, "cmin": 0, "colorbar": {**bar, "yanchor": "top"}}
    return data, layout


def _heading(label: str, suffix: str) -> dict:
    """A word above one of the images."""
    place = {"xref": f"x{suffix} domain", "x": 0.5, "xanchor": "center"}
    height = {"yref": "paper", "y": 1, "yanchor": "bottom", "yshift": 6}
    return {"text": label, "showarrow": False, "font": {"size": 12}, **place, **height}


def _positions(values: list[float], shape: list[int]) -> list[float]:
    """Each position of an image, its channels added."""
    return list(chain.from_iterable(_grid(values, *shape[-2:])))


def _grid(values: list[float], height: int, width: int) -> list[list[float]]:
    """Rows of an image, its channels added."""
    size = height * width
    summed = [sum(values[i::size]) for i in range(size)]
    return [summed[row * width : (row + 1) * width] for row in range(height)]


def _bars(
    diagonal: list[float], start: list[float] | None, names: list[str]
) -> tuple[list[dict], dict]:
    """The largest shares, one bar each, with the share at the start as a tick."""
    order = sorted(range(len(diagonal)), key=lambda i: -diagonal[i])[:SHOWN]
    places = list(range(len(order)))
    bars = {"type": "bar", "orientation": "h", "name": "after training", "y": places}
    bars |= {"x": [diagonal[i] for i in order], "marker": {"color": "var(--blue)"}}
    data = [bars]
    if start:
        tick = {"symbol": "line-ns", "size": 13, "line": {"color": "var(--ink)", "width": 2}}
        then = {"x": [start[i] for i in order], "y": places, "mode": "markers", "marker": tick}
        data.append({"type": "scatter", "name": "at the start", **then})
    labels = [plain(names[i], longest=18) for i in order]
    layout = {
        "height": round(60 + 22 * len(order)),
        "margin": {**MARGIN, "l": 12, "t": 8},
        "hovermode": "y unified",
        "xaxis": {"title": {"text": "share of the sensitivity"}, "tickformat": ".0%"},
        "yaxis": {
            "autorange": "reversed",
            "tickvals": places,
            "ticktext": labels,
            "automargin": True,
            "showgrid": False,
        },
    }
    return data, layout
