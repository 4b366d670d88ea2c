"""What single columns, pairs of them and directions do to the prediction of a fitted table."""

from collections.abc import Mapping

from overparam.report.figures.figure import Figure, leading, plain
from overparam.report.figures.panels import MARGIN, names_axis
from overparam.report.numbers import count, number, percent


def effects_figure(document: Mapping) -> Figure | None:
    """The mean prediction along each of the first columns, with its interval."""
    entries = [entry for entry in document["series"].get("effects") or [] if _is_whole(entry)]
    if not entries:
        return None
    target = str(document["data"].get("predicted") or document["data"].get("target") or "y")
    gap = 0.28 / len(entries)
    height = (1 - gap * (len(entries) - 1)) / len(entries)
    layout: dict = {
        "height": round(60 + 190 * len(entries)),
        "margin": {**MARGIN, "t": 28},
        "hovermode": "closest",
        "annotations": [],
    }
    ends = [value for entry in entries for key in ("low", "high") for value in entry[key]]
    means = [value for entry in entries for value in entry["y"]]
    span = (max(means) - min(means)) or 1.0
    # An interval of two folds may be infinite, and would leave nothing to see of the means.
    shown = (max(min(ends), min(means) - span), min(max(ends), max(means) + span))
    data, rows = [], []
    for index, entry in enumerate(entries):
        suffix = "" if index == 0 else str(index + 1)
        top = 1 - index * (height + gap)
        data.append(_effect(entry, suffix))
        layout[f"xaxis{suffix}"] = {"anchor": f"y{suffix}", "automargin": True}
        if _is_named(entry):
            layout[f"xaxis{suffix}"] |= {
                "type": "category" if entry["kind"] == "category" else "date"
            }
        layout[f"yaxis{suffix}"] = {
            "domain": [max(0.0, top - height), top], "anchor": f"x{suffix}",
            "range": [shown[0] - 0.05 * span, shown[1] + 0.05 * span],
        }  # fmt: skip
        layout["annotations"].append(
            {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": top,
             "yanchor": "bottom", "yshift": 2, "showarrow": False, "font": {"size": 12},
             "text": plain(entry.get("name"), longest=50)}
        )  # fmt: skip
        names = [entry.get("name")] * len(entry["x"])
        columns = (names, entry["x"], entry["y"], entry["low"], entry["high"])
        rows += [list(row) for row in zip(*columns, strict=True)]
    first = entries[0]
    low, high = min(first["y"]), max(first["y"])
    return Figure(
        "effects",
        f"{target} goes from {number(low, 3)} to {number(high, 3)} on average along "
        f"{first.get('name')}",
        "Mean prediction of rows not seen, with one column set to a value in all of them "
        "(partial dependence), from its 5th to its 95th percentile or over its most frequent "
        "levels; all on one vertical scale. Lines span intervals of 90 % over the models of the "
        "folds. An effect is what the model makes of a column, and no cause.",
        data,
        layout,
        [leading(["column", "value", "mean prediction", "low", "high"], rows, longest=100)],
    )


def _is_whole(entry: Mapping) -> bool:
    """Whether it has a number for every place."""
    parts = [entry.get(key) or [] for key in ("x", "y", "low", "high")]
    return len({len(part) for part in parts}) == 1 and len(parts[0]) > 1 and None not in [
        value for part in parts for value in part
    ]  # fmt: skip


def _is_named(entry: Mapping) -> bool:
    """Whether places are words and not numbers."""
    return entry.get("kind") in ("category", "date")


def _effect(entry: Mapping, suffix: str) -> dict:
    lines = "markers" if entry.get("kind") in ("category", "yes/no") else "lines+markers"
    x = [plain(value, longest=18) for value in entry["x"]] if _is_named(entry) else entry["x"]
    return {
        "type": "scatter",
        "mode": lines,
        "x": x,
        "y": entry["y"],
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
        "line": {"color": "var(--blue)", "width": 2},
        "marker": {"color": "var(--blue)", "size": 7},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, b - a) for a, b in zip(entry["y"], entry["high"], strict=True)],
            "arrayminus": [max(0.0, a - b) for a, b in zip(entry["y"], entry["low"], strict=True)],
            "color": "var(--ink)",
            "thickness": 1,
            "width": 3,
        },
    }


def interactions_figure(document: Mapping) -> Figure | None:
    """Pairs of columns whose effects do not add up."""
    entries = [
        entry
        for entry in document["series"].get("interactions") or []
        if len(entry.get("names") or []) == 2 and entry.get("share") is not None
    ]
    if not entries:
        return None
    pairs = [" and ".join(map(str, entry["names"])) for entry in entries]
    places = list(range(len(entries)))
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [entry["share"] for entry in entries],
        "y": places,
        "marker": {"color": "var(--blue)", "size": 9},
    }
    return Figure(
        "interactions",
        f"{pairs[0]} act together: {percent(entries[0]['share'])} of the variance",
        f"{count(len(entries), 'pair')} of the six most important columns, of which only both "
        "together tell a part of the variance: what mixed second differences of the prediction "
        "tell of rows not seen. Pairs whose effects add up have none, and are not shown.",
        [dots],
        {
            "height": round(80 + 26 * len(entries)),
            "margin": {**MARGIN, "l": 12, "t": 8},
            "hovermode": "closest",
            "xaxis": {
                "title": {"text": "share of the variance"},
                "tickformat": ".0%",
                "rangemode": "tozero",
            },
            "yaxis": names_axis(places, pairs),
        },
        [
            leading(
                ["pair", "share"], [[p, e["share"]] for p, e in zip(pairs, entries, strict=True)]
            )
        ],
    )


def matrix_figure(document: Mapping) -> Figure | None:
    """The average gradient outer product as a map."""
    entry = document["series"].get("feature_matrix") or {}
    names, values = entry.get("names") or [], entry.get("values") or []
    if len(names) < 2 or len(values) != len(names):
        return None
    largest = max((abs(v or 0.0) for row in values for v in row), default=0.0)
    if not largest > 0:
        return None
    labels = [plain(name, longest=18) for name in names]
    pairs = sorted(
        (
            [names[i], names[j], values[i][j]]
            for i in range(len(names))
            for j in range(i)
            if values[i][j] is not None
        ),
        key=lambda row: -abs(row[2]),
    )
    if not pairs:
        return None
    scale = [[0, "var(--orange)"], [0.5, "var(--surface)"], [1, "var(--blue)"]]
    size = round(150 + max(180, 20 * len(names)))
    heat = {
        "type": "heatmap",
        "x": labels,
        "y": labels,
        "z": values,
        "colorscale": scale,
        "zmin": -largest,
        "zmax": largest,
        "colorbar": {"thickness": 10, "outlinewidth": 0},
    }
    layout = {
        "height": min(size, 700),
        "margin": {**MARGIN, "l": 12, "b": 12, "t": 8},
        "hovermode": "closest",
        "xaxis": {"type": "category", "automargin": True, "tickangle": -45, "showgrid": False},
        "yaxis": {
            "type": "category",
            "autorange": "reversed",
            "automargin": True,
            "showgrid": False,
        },
    }
    left_out = entry.get("left_out") or 0
    note = f" {count(left_out, 'column')} of small weight are not drawn." if left_out else ""
    strongest = pairs[0]
    together = "with the same sign" if strongest[2] > 0 else "with opposite signs"
    return Figure(
        "feature-matrix",
        f"The slopes by {strongest[0]} and {strongest[1]} go together most, {together}",
        "Average gradient outer product, in units of standardised columns: on the diagonal the "
        "mean squared slope of the prediction by a column, beside it the mean product of two "
        "slopes. It is what the model measures distances by. A product of slopes is no "
        f"interaction: columns whose effects add up have one too.{note}",
        [heat],
        layout,
        [leading(["column", "and", "entry"], pairs)],
    )


def dependence_figure(document: Mapping) -> Figure | None:
    """The prediction along the leading directions of the feature matrix."""
    entries = document["series"].get("dependence") or []
    entries = [entry for entry in entries if entry.get("x") and entry.get("y")]
    if not entries:
        return None
    colours, dashes = ("blue", "orange", "green"), ("solid", "dash", "dot")
    data, rows = [], []
    for index, entry in enumerate(entries[: len(colours)]):
        name = f"{index + 1}: {entry.get('name')}"
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": plain(name, longest=70),
                "x": entry["x"],
                "y": entry["y"],
                "line": {
                    "color": f"var(--{colours[index]})",
                    "width": 2,
                    "dash": dashes[index],
                },
            }
        )
        rows += [[name, *pair] for pair in zip(entry["x"], entry["y"], strict=False)]
    target = str(document["data"].get("predicted") or document["data"].get("target") or "y")
    shares = [entry.get("share") for entry in entries if entry.get("share") is not None]
    finding = f"The prediction of {target} along what it responds to"
    if shares:
        finding = f"The steepest direction holds {percent(shares[0])} of the squared slopes"
    label = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": 1}
    layout = {
        "height": 320,
        "margin": MARGIN,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "position along the direction, in standard deviations"}},
        "annotations": [
            {
                **label,
                "text": plain(f"average prediction: {target}"),
                "yanchor": "bottom",
                "yshift": 3,
                "showarrow": False,
                "font": {"size": 12},
            }
        ],
    }
    return Figure(
        "dependence",
        finding,
        "Partial dependence: all rows are moved along an eigenvector of the average gradient outer "
        "product to a given place, from its 5th to its 95th percentile, and their predictions "
        "averaged. A direction is named by its largest weights on standardised columns.",
        data,
        layout,
        [leading(["direction", "position", "average prediction"], rows, longest=100)],
    )
