"""Electrodes by design: the front, what each parameter does, and discharges."""

from collections.abc import Mapping, Sequence
from typing import Any

from overparam.report.figures.figure import Figure, Table, capped, plain, sentence
from overparam.report.figures.panels import MARGIN, Panel, stack
from overparam.report.numbers import number, percent

COLOURS = ("var(--blue)", "var(--orange)", "var(--green)", "var(--violet)")
DASHES = {0: "solid", 1: "dash", 2: "dot"}
WRITTEN_OUT = {"exponentformat": "none", "separatethousands": True}
COMPROMISE = "best compromise"  # the label of that design
# By stage: what it is called, its symbol and colour.
STAGES = {
    "sampled": ("sampled", "circle", "var(--muted)"),
    "proposed": ("proposed and simulated", "diamond", "var(--blue)"),
    "checked": ("simulated last, to check", "square", "var(--green)"),
}


def electrode_figures(document: Mapping) -> list[Figure]:
    """The figures whose numbers are there, in the order they are read."""
    draws = (front_figure, importance_figure, dependence_figure, discharge_figure)
    return [figure for figure in (draw(document) for draw in draws) if figure is not None]


def _objectives(document: Mapping) -> list[tuple[str, str, str]]:
    """Name, words and unit of each objective."""
    return [
        (str(row.get("name")), str(row.get("words") or row.get("name")), str(row.get("unit") or ""))
        for row in document["objectives"] or []
        if row.get("name")
    ]


def _real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def front_figure(document: Mapping) -> Figure | None:
    """Every simulated design by its two objectives, and the front of the surrogate."""
    objectives = _objectives(document)
    designs = document["series"].get("designs") or {}
    if len(objectives) != 2:
        return None
    columns = [designs.get(name) or [] for name, _, _ in objectives]
    stages = designs.get("stage") or []
    points: list[Any] = [
        (x, y, str(stage))
        for x, y, stage in zip(*columns, stages, strict=False)
        if _real(x) and _real(y)
    ]
    if not points:
        return None
    data = []
    for stage, (words, symbol, colour) in STAGES.items():
        some = [(x, y) for x, y, of in points if of == stage]
        if some:
            data.append(_dots(words, some, symbol, colour))
    front = document["series"].get("front") or {}
    predicted = sorted(
        (x, y)
        for x, y in zip(*(front.get(name) or [] for name, _, _ in objectives), strict=False)
        if _real(x) and _real(y)
    )
    if predicted:
        data.append({
            "type": "scatter", "mode": "lines", "name": "front of the surrogate",
            "x": [x for x, _ in predicted], "y": [y for _, y in predicted],
            "line": {"color": "var(--orange)", "width": 2},
        })  # fmt: skip
    for row in document["series"].get("chosen") or []:
        x, y = ((row.get("objectives") or {}).get(name) for name, _, _ in objectives)
        if row.get("label") == COMPROMISE and _real(x) and _real(y):
            star = {"symbol": "star", "color": "var(--red)", "size": 15}
            data.append({**_dots(COMPROMISE, [(x, y)], "star", "var(--red)"),
                         "marker": star})  # fmt: skip
    ratio = document["hypervolume"].get("ratio")
    title = "What the designs give"
    if ratio is not None:
        title = f"The simulated front dominates {number(ratio, 3)} times the area of the sampled"
    names = [f"{words}, {unit}" for _, words, unit in objectives]
    return Figure(
        "front",
        title,
        "Each mark is a simulated electrode, per volume of coating, separator and half of the "
        "foil. The line is what the surrogate expects; only marks are told as results. Areas are "
        "counted above the worst of the sampled designs.",
        data,
        {
            "height": 420,
            "margin": {**MARGIN, "l": 64},
            "hovermode": "closest",
            "xaxis": {"title": {"text": plain(names[0])}, **WRITTEN_OUT},
            "yaxis": {"title": {"text": plain(names[1])}, **WRITTEN_OUT},
        },
        [capped([*names, "stage"], points)],
        wide=True,
    )


def _dots(name: str, points: Sequence[tuple[Any, Any]], symbol: str, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": name,
        "x": [x for x, _ in points], "y": [y for _, y in points],
        "marker": {"symbol": symbol, "color": colour, "size": 7},
    }  # fmt: skip


def importance_figure(document: Mapping) -> Figure | None:
    """Which process parameters each objective responds to."""
    importance = (document["series"].get("effects") or {}).get("importance") or {}
    data, rows, strongest = [], [], []
    labels: list[str] = []
    for colour, (name, words, _) in zip(COLOURS, _objectives(document), strict=False):
        entry = importance.get(name) or {}
        pairs = [
            (str(parameter).replace("_", " "), share)
            for parameter, share in zip(
                entry.get("names") or [], entry.get("share") or [], strict=False
            )
            if share is not None
        ]
        if not pairs:
            continue
        labels = labels or [parameter for parameter, _ in pairs]
        data.append({
            "type": "bar", "orientation": "h", "name": plain(words),
            "x": [share for _, share in pairs], "y": [plain(parameter) for parameter, _ in pairs],
            "marker": {"color": colour},
        })  # fmt: skip
        rows += [[words, parameter, share] for parameter, share in pairs]
        best = max(pairs, key=lambda pair: pair[1])
        verb = "to" if strongest else "responds most to"
        strongest.append(f"{words} {verb} {best[0]} ({percent(best[1])})")
    if not data:
        return None
    return Figure(
        "importance",
        sentence(", ".join(strongest)),
        "Diagonal of the average gradient outer product (AGOP) of the surrogate, over its sum: the "
        "mean squared slope at the sampled designs, per width of a parameter's window. It says "
        "how strongly, not which way.",
        data,
        {
            "height": round(90 + 26 * len(labels) * len(data)),
            "margin": {**MARGIN, "l": 12, "t": 8},
            "hovermode": "closest",
            "barmode": "group",
            "xaxis": {"title": {"text": "share of the squared slope"}, "tickformat": ".0%",
                      "rangemode": "tozero"},
            "yaxis": {"type": "category", "autorange": "reversed", "automargin": True,
                      "showgrid": False},
        },
        [Table(["objective", "parameter", "share"], rows)],
    )  # fmt: skip


def dependence_figure(document: Mapping) -> Figure | None:
    """The average prediction as one parameter crosses its window."""
    effects = document["series"].get("effects") or {}
    bounds = document["process"].get("bounds") or {}
    panels, rows, found = [], [], []
    for name, words, unit in _objectives(document):
        traces, swings = [], []
        for colour, row in zip(COLOURS, effects.get("dependence") or [], strict=False):
            parameter = str(row.get("parameter"))
            values = (row.get("y") or {}).get(name) or []
            curve = [
                (x, y) for x, y in zip(row.get("x") or [], values, strict=False) if x is not None
            ]
            known = [(x, y) for x, y in curve if y is not None]
            if not known:
                continue
            low, high = _ends(bounds.get(parameter), [x for x, _ in curve])
            label = parameter.replace("_", " ")
            traces.append({
                "type": "scatter", "mode": "lines", "name": plain(label),
                "x": [(x - low) / (high - low) for x, _ in curve], "y": [y for _, y in curve],
                "line": {"color": colour, "width": 2}, "showlegend": not panels,
            })  # fmt: skip
            rows += [[words, label, x, y] for x, y in known]
            best = max(known, key=lambda pair: pair[1])
            height = best[1] - min(y for _, y in known)
            swings.append((height, f"{words} at {label} {number(best[0], 3)}"))
        if traces:
            panels.append(Panel(plain(f"{words}, {unit}"), traces, axis=WRITTEN_OUT))
            found.append(max(swings)[1])
    if not panels:
        return None
    axis = {"title": {"text": "place in the parameter's window"}, "tickformat": ".0%"}
    data, layout = stack(panels, axis)
    return Figure(
        "dependence",
        f"On average highest: {'; '.join(found)}",
        "Partial dependence of the surrogate: the sampled designs get the same value of one "
        "parameter, and the predictions are averaged over those that stay possible wherever a "
        "value is told, which is where half of all do. The title names the parameter that moves "
        "each objective most.",
        data,
        layout,
        [capped(["objective", "parameter", "value", "average prediction"], rows)],
    )


def _ends(window: Any, x: Sequence[float]) -> tuple[float, float]:
    """The ends of a window, or of what is drawn."""
    ends = [end for end in window or [] if end is not None]
    low, high = (ends[0], ends[1]) if len(ends) == 2 else (min(x), max(x))
    return (low, high) if high > low else (low, low + 1.0)


def discharge_figure(document: Mapping) -> Figure | None:
    """Voltage along discharges of the chosen designs."""
    data, rows, kept = [], [], []
    for colour, design in zip(COLOURS, document["series"].get("chosen") or [], strict=False):
        label = str(design.get("label"))
        ends = {}
        for index, curve in enumerate((design.get("curves") or [])[: len(DASHES)]):
            points = [
                (q, u)
                for q, u in zip(
                    curve.get("capacity") or [], curve.get("voltage") or [], strict=False
                )
                if q is not None and u is not None
            ]
            if not points:
                continue
            name = str(curve.get("name")).replace("_", " ")
            ends[curve.get("rate")] = points[-1][0]
            data.append({
                "type": "scatter", "mode": "lines", "name": plain(f"{label}, {name}"),
                "x": [q for q, _ in points], "y": [u for _, u in points],
                "line": {"color": colour, "width": 2, "dash": DASHES[index]},
            })  # fmt: skip
            rows += [[label, name, q, u] for q, u in points]
        rates = sorted(rate for rate in ends if rate is not None)
        if len(rates) > 1 and ends[rates[0]] > 0:
            kept.append(f"{label} {percent(ends[rates[-1]] / ends[rates[0]])}")
    if not data:
        return None
    title = "Discharges of the chosen designs"
    if kept:
        title = f"Of the capacity of the slowest discharge the fastest keeps: {', '.join(kept)}"
    return Figure(
        "discharge",
        title,
        "Simulated discharges against lithium to 3.5 V: solid, dashed and dotted in the order of "
        "the key. Capacity is per area of the electrode.",
        data,
        {
            "height": 380,
            "margin": {**MARGIN, "l": 56},
            "hovermode": "closest",
            "xaxis": {"title": {"text": "capacity, mAh/cm²"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "voltage, V"}},
        },
        [capped(["design", "discharge", "capacity, mAh/cm²", "voltage, V"], rows)],
        wide=True,
    )
