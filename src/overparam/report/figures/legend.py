"""The key to a drawing, set by the page: it wraps where Plotly's own would overlap."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape

_DASHES = {
    "solid": "", "dash": "6 3", "dot": "2 2", "dashdot": "6 2 2 2",
    "longdash": "10 3", "longdashdot": "10 3 2 3",
}  # fmt: skip
_BAR = "M-6-5h12v10h-12z"
_SYMBOLS = {
    "circle": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "square": "M-4-4h8v8h-8z",
    "diamond": "M0-5L5 0L0 5L-5 0z",
    "triangle-up": "M0-5L5.4 4H-5.4z",
    "triangle-down": "M0 5L5.4-4H-5.4z",
    "x": "M-4-4L4 4M4-4L-4 4",
    "cross": "M-5 0H5M0-5V5",
    "star": "M0-5.6L1.4-1.8L5.4-1.7L2.2.8L3.3 4.6L0 2.3L-3.3 4.6L-2.2.8L-5.4-1.7L-1.4-1.8z",
    "line-ns": "M0-5V5",
}
_SYMBOLS |= {f"{name}-open": _SYMBOLS[name] for name in list(_SYMBOLS) if "open" not in name}
_OUTLINES = ("x", "cross", "line-ns")


@dataclass(frozen=True)
class Entry:
    """A line of the key.

    Attributes:
        name: What the mark stands for, as the user wrote it.
        colour: Of the mark.
        dash: Dash pattern of the line through the mark; `None` without a line.
        mark: SVG path of the mark around (0, 0); empty without one.
        outlined: Whether the mark is drawn as an outline.
        hatched: Whether the mark is striped.
        opacity: From 0 to 1.
    """

    name: str
    colour: str
    dash: str | None
    mark: str
    outlined: bool
    hatched: bool
    opacity: float


def legend(data: list[dict]) -> list[Entry]:
    """The entries of a drawing with several named traces; of a single one, none."""
    named = [trace for trace in data if trace.get("name") and trace.get("showlegend", True)]
    return [_entry(trace) for trace in named] if len(named) > 1 else []


def _entry(trace: Mapping) -> Entry:
    """How a trace looks, small."""
    marker, stroke = trace.get("marker") or {}, trace.get("line") or {}
    bar, mode = trace["type"] == "bar", trace.get("mode", "")
    symbol = marker.get("symbol", "circle")
    mark = _BAR if bar else _SYMBOLS[symbol] if "markers" in mode else ""
    outline = marker.get("line") or {}
    tick = symbol == "line-ns"
    return Entry(
        name=unescape(trace["name"]),
        colour=outline["color"] if tick else marker.get("color") or stroke["color"],
        dash=_DASHES.get(stroke.get("dash", "solid"), "6 3") if "lines" in mode else None,
        mark=mark,
        outlined=(symbol in _OUTLINES or symbol.endswith("-open")) and not bar,
        hatched=bool((marker.get("pattern") or {}).get("shape")),
        opacity=trace.get("opacity", 1),
    )
