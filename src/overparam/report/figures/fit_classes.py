"""Whether the probabilities of a fitted table come true, and which classes are mixed up."""

from collections.abc import Mapping

from overparam.report.figures.figure import Figure, Table, leading, plain
from overparam.report.figures.panels import MARGIN
from overparam.report.numbers import count, number, percent

MOST_CLASSES = 30


def calibration_figure(document: Mapping) -> Figure | None:
    """How often what was predicted with a probability came true."""
    entry = document["series"].get("calibration") or {}
    parts = [entry.get(key) or [] for key in ("predicted", "observed", "low", "high")]
    x, y, low, high = parts
    if len(x) < 2 or len({len(part) for part in parts}) > 1 or any(None in part for part in parts):
        return None
    of, error = entry.get("of"), entry.get("error")
    what = f"P({of})" if of else "probability of the predicted class"
    inside = sum(a <= p <= b for p, a, b in zip(x, low, high, strict=True))
    ideal = {
        "type": "scatter", "mode": "lines", "name": "as they should",
        "x": [0, 1], "y": [0, 1], "line": {"color": "var(--muted)", "width": 1.5, "dash": "dash"},
    }  # fmt: skip
    dots = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "rows not seen",
        "x": x,
        "y": y,
        "line": {"color": "var(--blue)", "width": 1.5},
        "marker": {"color": "var(--blue)", "size": 8},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, b - a) for a, b in zip(y, high, strict=True)],
            "arrayminus": [max(0.0, a - b) for a, b in zip(y, low, strict=True)],
            "color": "var(--ink)",
            "thickness": 1,
            "width": 3,
        },
    }
    rows = [list(row) for row in zip(x, y, low, high, entry.get("rows") or x, strict=False)]
    off = "" if error is None else f": off by {number(error, 2)} on average"
    return Figure(
        "calibration",
        f"In {inside} of {len(x)} parts probabilities are as they should be{off}",
        f"Rows not seen, in {len(x)} equal parts by the {what}; across its mean in a part, upwards "
        "the share of rows of which it came true, with an exact interval of 95 %. On the dashed "
        "line probabilities can be taken at their word.",
        [ideal, dots],
        {
            "height": 320,
            "margin": MARGIN,
            "hovermode": "closest",
            "xaxis": {"title": {"text": plain(what, longest=50)}, "range": [-0.03, 1.03]},
            "yaxis": {"title": {"text": "came true"}, "range": [-0.03, 1.03]},
        },
        [Table(["predicted", "came true", "low", "high", "rows"], rows)],
    )


def confusion_figure(document: Mapping) -> Figure | None:
    """How many rows of each class were taken for which."""
    entry = document["series"].get("confusion") or {}
    names, rows = entry.get("classes") or [], entry.get("rows") or []
    square = len(rows) == len(names) and all(len(row or []) == len(names) for row in rows)
    if not 2 <= len(names) <= MOST_CLASSES or not square or any(None in row for row in rows):
        return None
    labels = [plain(name, longest=18) for name in names]
    totals = [sum(row) for row in rows]
    shares = [
        [value / total if total else 0.0 for value in row]
        for row, total in zip(rows, totals, strict=True)
    ]
    pairs = [
        [names[i], names[j], rows[i][j]]
        for i in range(len(names))
        for j in range(len(names))
        if i != j
    ]
    worst = max(pairs, key=lambda pair: pair[2])
    wrong, every = sum(pair[2] for pair in pairs), sum(totals)
    title = (
        f"{count(wrong, 'row')} of {every:,} taken for another class, most of them {worst[0]} for "
        f"{worst[1]} ({worst[2]})"
        if wrong
        else f"All {every:,} rows taken for their own class"
    )
    heat = {
        "type": "heatmap",
        "x": labels,
        "y": labels,
        "z": shares,
        "text": [[f"{value:,}" if value else "" for value in row] for row in rows],
        "colorscale": [[0, "var(--surface)"], [1, "var(--blue)"]],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
    }
    if len(names) <= 12:
        heat["texttemplate"] = "%{text}"
    recalls = [
        [name, total, percent(row[i] / total) if total else None]
        for i, (name, row, total) in enumerate(zip(names, rows, totals, strict=True))
    ]
    return Figure(
        "confusion",
        title,
        "Rows not seen: down what they are, across what is most probable by the model; shaded by "
        "the share of the row's class.",
        [heat],
        {
            "height": min(700, 150 + max(150, 30 * len(names))),
            "margin": {**MARGIN, "l": 12, "b": 12, "t": 8},
            "hovermode": "closest",
            "xaxis": {"type": "category", "automargin": True, "title": {"text": "taken for"},
                      "showgrid": False},
            "yaxis": {"type": "category", "automargin": True, "autorange": "reversed",
                      "title": {"text": "is"}, "showgrid": False},
        },
        [Table(["class", "rows", "found"], recalls),
         leading(["is", "taken for", "rows"], sorted(pairs, key=lambda pair: -pair[2]))],
    )  # fmt: skip
