"""Panels stacked over one horizontal axis, and the traces they hold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from overparam.report.figures.figure import plain
from overparam.report.numbers import number
from overparam.report.series import Series, thinned

PANEL_HEIGHT = 190
GAP = 42
# First digits of the ticks of a logarithmic axis, the coarsest first, and how many do.
_DIGITS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8))
_TICKS = 3
# Steps to either side of a single measurement that a line beside it is drawn for.
_AROUND = 5
MARGIN = {"l": 52, "r": 12, "t": 24, "b": 44}


@dataclass(frozen=True)
class Panel:
    """One plot of a stack: its label, its traces, and its vertical axis.

    Attributes:
        label: What the vertical axis measures, written above the panel.
        traces: Plotly traces without axes.
        log: Whether the axis is logarithmic, if the values allow it; see `scale`.
        weight: Height relative to a panel of weight 1.
        axis: Further settings of the vertical axis.
    """

    label: str
    traces: list[dict]
    log: bool = False
    weight: float = 1.0
    axis: dict | None = None


def stack(panels: Sequence[Panel], x: dict) -> tuple[list[dict], dict]:
    """The panels from top to bottom, as Plotly's data and layout."""
    heights = [PANEL_HEIGHT * panel.weight for panel in panels]
    inside = sum(heights) + GAP * (len(panels) - 1)
    data: list[dict] = []
    last = f"y{len(panels)}" if len(panels) > 1 else "y"
    layout: dict[str, Any] = {
        "height": round(inside + MARGIN["t"] + MARGIN["b"]),
        "margin": MARGIN,
        "xaxis": {"anchor": last, **x},
        "annotations": [],
    }
    top = 1.0
    for index, (panel, height) in enumerate(zip(panels, heights, strict=True), start=1):
        suffix = "" if index == 1 else str(index)
        bottom = max(0.0, top - height / inside)
        layout[f"yaxis{suffix}"] = {
            "domain": [bottom, top],
            **(scale(_heights(panel)) if panel.log else {}),
            **(panel.axis or {}),
        }
        layout["annotations"].append(_label(panel.label, f"y{suffix}"))
        data += [{**trace, "xaxis": "x", "yaxis": f"y{suffix}"} for trace in panel.traces]
        top = bottom - GAP / inside
    return data, layout


def _heights(panel: Panel) -> list[float]:
    """Every number that a panel's vertical axis must show."""
    return [value for trace in panel.traces for value in trace["y"] if value is not None]


def scale(values: Sequence[float]) -> dict:
    """The axis for values worth a logarithm: positive, and a factor 3 apart at least.

    Others get a linear axis, on which they are easier to read. Exact zeros, if they are fewer than
    half of the values, lie below the axis: one would hide how the others fell. Ticks are as few as
    say where one is, three mostly, so that their labels, written out, do not meet.

    Example:
        >>> scale([2.1, 6.5])["tickvals"], scale([2e-3, 9e-2])["tickvals"]
        ([3.0, 4.0, 6.0], [0.003, 0.01, 0.03])
        >>> scale([2e-6, 0.3])["tickvals"], scale([2e-6, 0.3, 0.0])["tickvals"]
        ([1e-05, 0.001, 0.1], [1e-05, 0.001, 0.1])
    """
    positive = [value for value in values if value > 0]
    if values and min(values) == 0 and 2 * len(positive) > len(values):
        values = positive
    if not values or min(values) <= 0 or max(values) < 3 * min(values):
        return {"type": "linear"}
    low, high = math.log10(min(values)), math.log10(max(values))
    every = max(math.ceil((high - low) / 5), 1)
    exponents = range(math.floor(low), math.ceil(high) + 1)
    if every > 1:  # whole decades at even distances, of the choices that with most
        inside = [k for k in exponents if low <= k <= high]
        each = [[float(f"1e{k}") for k in inside if k % every == i] for i in range(every)]
        return _log_axis(max(each, key=len))
    ticks: list[float] = []
    for digits in _DIGITS:
        ticks = [float(f"{digit}e{exponent}") for exponent in exponents for digit in digits]
        ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(ticks) >= _TICKS:
            break
    return _log_axis(ticks)


def _log_axis(ticks: list[float]) -> dict:
    """Its ticks, with their labels: a small number written out is wider than the margin."""
    labels = [number(tick, 3) for tick in ticks]
    return {"type": "log", "tickvals": ticks, "ticktext": labels}


def _label(text: str, axis: str) -> dict:
    """A panel's label, above its left edge: readable without turning the head."""
    place = {"xref": "paper", "x": 0, "xanchor": "left"}
    height = {"yref": f"{axis} domain", "y": 1, "yanchor": "bottom", "yshift": 3}
    return {"text": text, "showarrow": False, "font": {"size": 12}, **place, **height}


def step_axis() -> dict:
    """The horizontal axis of a run."""
    return {"title": {"text": "optimizer step"}}


def line(series: Series, name: str, colour: str, **settings: Any) -> dict:
    """A curve. Long series are thinned to what a screen can show, extremes kept."""
    series = thinned(series)
    markers = "lines+markers" if len(series.measured) <= 30 else "lines"
    return {
        "type": "scatter",
        "mode": markers,
        "name": name,
        "x": list(series.steps),
        "y": list(series.values),
        "line": {"color": colour, "width": 2, **settings.pop("line", {})},
        "marker": {"color": colour, "size": 5},
        **settings,
    }


def horizontal(series: Series, value: float, name: str, colour: str = "var(--muted)") -> dict:
    """A dashed line at a value, as long as the series beside it; of one step, a little longer."""
    first, last = series.steps[0], series.steps[-1]
    wider = _AROUND if first == last else 0
    return _rule([first - wider, last + wider], [value, value], name, colour)


def vertical(x: float, low: float, high: float, name: str, colour: str) -> dict:
    """A dashed line at a place on the horizontal axis."""
    return _rule([x, x], [low, high], name, colour)


def _rule(x: list[float], y: list[float], name: str, colour: str) -> dict:
    """A straight dashed line. A trace, not a shape: it scales with logarithmic axes."""
    dashed = {"color": colour, "width": 1.5, "dash": "dash"}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": dashed}


def log_ticks(low: float, high: float) -> dict:
    """Ticks for a linear axis that shows exponents of ten, from `low` to `high`.

    For bars, whose widths a logarithmic axis would distort.

    Example:
        >>> log_ticks(-1.1, 0.4)["ticktext"]
        ['0.1', '0.2', '0.5', '1', '2']
    """
    steps = (1, 2, 5) if high - low <= 2 else (1,)
    exponents = range(math.floor(low), math.ceil(high) + 1)
    ticks = [step * 10.0**exponent for exponent in exponents for step in steps]
    ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
    return {
        "tickvals": [math.log10(tick) for tick in ticks],
        "ticktext": [number(tick, 3) for tick in ticks],
    }


def names_axis(places: list[int], names: Sequence[str]) -> dict:
    """A vertical axis of words, the first on top."""
    return {
        "autorange": "reversed",
        "tickvals": places,
        "ticktext": [plain(name, longest=32) for name in names],
        "automargin": True,
        "showgrid": False,
    }
