"""What a model fitted to a table is worth, and which columns it uses."""

from collections.abc import Mapping, Sequence

from overparam.report.figures.figure import Figure, Table, leading, plain, sentence
from overparam.report.figures.panels import MARGIN
from overparam.report.numbers import count, number, percent

SHOWN = 20


def fit_figures(document: Mapping) -> list[Figure]:
    """The figures whose numbers are there, in the order they are read."""
    draws = (scores_figure, importances_figure, matrix_figure, dependence_figure)
    return [figure for figure in (draw(document) for draw in draws) if figure is not None]


def scores_figure(document: Mapping) -> Figure | None:
    """The cross-validated score of each model, every fold a tick."""
    rows = [row for row in document["scores"] or [] if row.get("mean") is not None]
    if not rows:
        return None
    metric = str(document["model"].get("metric") or "score")
    rows = sorted(rows, key=lambda row: -row["mean"])
    places = list(range(len(rows)))
    ours = ["var(--blue)" if row.get("ours") else "var(--muted)" for row in rows]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [row["mean"] for row in rows],
        "y": places,
        "marker": {"color": ours},
    }
    ticks = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": list(row.get("folds") or []),
            "y": [place] * len(row.get("folds") or []),
            "marker": {
                "symbol": "line-ns",
                "size": 11,
                "line": {"color": "var(--ink)", "width": 1.5},
            },
        }
        for place, row in zip(places, rows, strict=True)
    ]
    columns = ["model", f"mean {metric}", "folds", "seconds"]
    table = Table(
        columns,
        [
            [
                row.get("name"),
                row["mean"],
                ", ".join(number(value) for value in row.get("folds") or []),
                row.get("seconds"),
            ]
            for row in rows
        ],
    )
    layout = {
        "height": round(70 + 30 * len(rows)),
        "margin": {**MARGIN, "l": 12, "t": 8},
        "hovermode": "closest",
        "xaxis": {"title": {"text": metric}},
        "yaxis": _names_axis(places, [str(row.get("name")) for row in rows]),
    }
    return Figure(
        "scores",
        _scores_finding(rows, metric),
        f"Mean {metric} over the folds of a cross-validation; a tick is a fold. All models see the "
        "same folds, at their default settings; higher is better.",
        [bars, *ticks],
        layout,
        [table],
    )


def _scores_finding(rows: Sequence[Mapping], metric: str) -> str:
    """Where ours stands."""
    ours = next((row for row in rows if row.get("ours")), None)
    best = rows[0]
    if ours is None or len(rows) == 1:
        return sentence(f"{best.get('name')}: {metric} {number(best['mean'], 3)}")
    rival = rows[1] if ours is best else best
    mine, other = number(ours["mean"], 3), number(rival["mean"], 3)
    if mine == other:
        return sentence(f"{ours.get('name')} and {rival.get('name')} are level: {metric} {mine}")
    if ours is best:
        return sentence(
            f"{ours.get('name')} is the best of {len(rows)}: {metric} {mine} "
            f"against {other} of {rival.get('name')}"
        )
    return sentence(
        f"{rival.get('name')} is ahead: {metric} {other} against {mine} of {ours.get('name')}"
    )


def importances_figure(document: Mapping) -> Figure | None:
    """Each column's share of the squared gradient, with its interval."""
    entry = document["series"].get("importances") or {}
    names, values = entry.get("names") or [], entry.get("value") or []
    total = sum(value or 0.0 for value in values)
    if not names or len(names) != len(values) or not total > 0:
        return None
    low, high = (
        entry[key] if len(entry.get(key) or []) == len(values) else values
        for key in ("low", "high")
    )
    order = sorted(range(len(values)), key=lambda i: -(values[i] or 0.0))
    rows = [[names[i], *((part[i] or 0.0) / total for part in (values, low, high))] for i in order]
    shown = rows[:SHOWN]
    places = list(range(len(shown)))
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [row[1] for row in shown],
        "y": places,
        "marker": {"color": "var(--blue)"},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, row[3] - row[1]) for row in shown],
            "arrayminus": [max(0.0, row[1] - row[2]) for row in shown],
            "color": "var(--ink)",
            "thickness": 1.5,
            "width": 4,
        },
    }
    running, needed = 0.0, 0
    for row in rows:
        running, needed = running + row[1], needed + 1
        if running >= 0.8:
            break
    layout = {
        "height": round(70 + 22 * len(shown)),
        "margin": {**MARGIN, "l": 12, "t": 8},
        "hovermode": "y unified",
        "xaxis": {
            "title": {"text": "share of the squared gradient"},
            "tickformat": ".0%",
            "rangemode": "tozero",
        },
        "yaxis": _names_axis(places, [str(row[0]) for row in shown]),
    }
    verb = "carries" if needed == 1 else "carry"
    return Figure(
        "importances",
        f"{count(needed, 'column')} of {len(rows):,} {verb} {percent(running)} of what the model "
        "responds to",
        "Diagonal of the average gradient outer product (AGOP): the squared change of the "
        "prediction per standard deviation of a column, averaged over the rows and divided by "
        "the sum over columns. Bars end at the estimate; lines span a 90 % bootstrap interval "
        "over rows.",
        [bars],
        layout,
        [leading(["column", "share", "low", "high"], rows)],
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
        f"{strongest[0]} and {strongest[1]} act together most, {together}",
        "Average gradient outer product, in units of standardised columns: on the diagonal how "
        "strongly the prediction responds to a column, beside it how its responses to two columns "
        f"go together.{note}",
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
        finding = f"The first direction holds {percent(shares[0])} of the response"
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


def _names_axis(places: list[int], names: Sequence[str]) -> dict:
    """A vertical axis of words, the first on top."""
    return {
        "autorange": "reversed",
        "tickvals": places,
        "ticktext": [plain(name, longest=32) for name in names],
        "automargin": True,
        "showgrid": False,
    }
