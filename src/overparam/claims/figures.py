"""Figures as plain data: what is drawn, never how."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from overparam._errors import expect
from overparam.claims.statistics import seed_means

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("line", "scatter", "heatmap", "bar")
_SCALES = ("linear", "log")


def figure(
    kind: str,
    title: str,
    lines: Iterable[Mapping[str, Any]],
    *,
    x: str,
    y: str,
    caption: str,
    x_scale: str = "linear",
    y_scale: str = "linear",
) -> dict[str, Any]:
    """A picture's description, for a study's `figures`.

    Args:
        kind: "line", "scatter", "heatmap" or "bar".
        title: The finding, with the number that was measured: not the name of the axes.
        lines: ``{"name", "x", "y"}`` each; see `line_of_means`.
        x: Label of the horizontal axis, with the unit.
        y: Label of the vertical axis.
        caption: The convention: what is averaged over what, and how it is normalised.
        x_scale: "linear" or "log".
        y_scale: "linear" or "log".

    Raises:
        ValueError: If the kind or a scale is unknown.
    """
    expect(kind in KINDS, "figure(kind=...)", f"one of {', '.join(KINDS)}", kind)
    for name, scale in (("x_scale", x_scale), ("y_scale", y_scale)):
        expect(scale in _SCALES, f"figure({name}=...)", "'linear' or 'log'", scale)
    return {
        "kind": kind,
        "title": title,
        "x": {"label": x, "scale": x_scale},
        "y": {"label": y, "scale": y_scale},
        "caption": caption,
        "lines": [dict(line) for line in lines],
    }


def line_of_means(name: str, rows: "pd.DataFrame", x: str, y: str) -> dict[str, Any]:
    """Mean of `y` over the seeds against `x`, as one line of a figure.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"width": [4, 4, 8], "change": [1.0, 3.0, 0.5]})
        >>> line_of_means("linear", rows, "width", "change")
        {'name': 'linear', 'x': [4, 8], 'y': [2.0, 0.5]}
    """
    means = seed_means(rows, x, y)
    return {"name": name, "x": list(means), "y": list(means.values())}
