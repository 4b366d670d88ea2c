"""Federated runs: accuracy by rounds and by traffic, drift, consensus, privacy, clients."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from overparam.report.figures.figure import Figure, Table, capped, plain, sentence
from overparam.report.figures.panels import MARGIN, Panel, scale, stack
from overparam.report.numbers import number, percent

COLOURS = ("var(--blue)", "var(--orange)", "var(--green)", "var(--violet)", "var(--red)")
DASHES = ("solid", "dash", "dot", "dashdot")
_BINS = 20
# Drawn by their logarithms; nothing has moved before the first round.
_DISTANCES = ("drift", "spread_before", "spread")
Points = list[tuple[float, float]]


def federated_figures(document: Mapping) -> list[Figure]:
    """The figures whose numbers are there, in the order they are read."""
    draws: tuple[Callable[[Mapping], Figure | None], ...] = (
        rounds_figure, traffic_figure, clients_figure, drift_figure, consensus_figure,
        privacy_figure, trials_figure,
    )  # fmt: skip
    return [figure for figure in (draw(document) for draw in draws) if figure is not None]


def quality(document: Mapping) -> tuple[str, str]:
    """What is drawn of a test, and what it is called."""
    curves = [run.get("curve") or {} for run in document["runs"] or []]
    accuracy = any(v is not None for curve in curves for v in curve.get("test_accuracy") or [])
    return ("test_accuracy", "test accuracy") if accuracy else ("test_loss", "test loss")


def vertical(document: Mapping) -> bool:
    """Whether columns are split: then clients are parties, and a round is an epoch."""
    return any("epsilon" in (run.get("curve") or {}) for run in document["runs"] or [])


def _lines(document: Mapping, x: str, y: str) -> Iterator[tuple[Mapping, str, str, Points]]:
    """Of every run that has both: the run, its colour, its dash and its points."""
    names: list[str] = []
    for run in document["runs"] or []:
        name, curve = str(run.get("algorithm")), run.get("curve") or {}
        if name not in names:
            names.append(name)
        points = [
            (a, b)
            for a, b in zip(curve.get(x) or [], curve.get(y) or [], strict=False)
            if a is not None and b is not None and (b > 0 or y not in _DISTANCES)
        ]
        if points:
            at = names.index(name)
            yield run, COLOURS[at % len(COLOURS)], DASHES[at // len(COLOURS) % len(DASHES)], points


def _traces(document: Mapping, x: str, y: str, rows: list) -> list[dict[str, Any]]:
    """A line for each run, one entry of the key for each algorithm; their numbers into `rows`."""
    data, seen = [], set()
    for run, colour, dash, points in _lines(document, x, y):
        name = str(run.get("algorithm"))
        rows += [[name, run.get("seed"), a, b] for a, b in points]
        data.append({
            "type": "scatter", "mode": "lines", "name": plain(name), "showlegend": name not in seen,
            "x": [a for a, _ in points], "y": [b for _, b in points],
            "line": {"color": colour, "width": 2, "dash": dash},
        })  # fmt: skip
        seen.add(name)
    return data


def _ends(document: Mapping, y: str) -> dict[str, float]:
    """The mean last value of each algorithm."""
    found: dict[str, list[float]] = {}
    for run, _, _, points in _lines(document, "round", y):
        found.setdefault(str(run.get("algorithm")), []).append(points[-1][1])
    return {name: fmean(values) for name, values in found.items()}


def _plot(
    name: str, title: str, caption: str, data: list[dict], x: dict, y: dict, table: Table, *,
    wide: bool = False,
) -> Figure:  # fmt: skip
    layout = {
        "height": 360, "margin": {**MARGIN, "l": 64}, "hovermode": "closest", "xaxis": x, "yaxis": y
    }  # fmt: skip
    return Figure(name, title, caption, data, layout, [table], wide)


def rounds_figure(document: Mapping) -> Figure | None:
    """The test by rounds."""
    key, words = quality(document)
    rows: list = []
    data = _traces(document, "round", key, rows)
    if not data:
        return None
    ends = ", ".join(f"{name} {number(v, 3)}" for name, v in _ends(document, key).items())
    unit = "epoch" if vertical(document) else "round"
    return _plot(
        "rounds", sentence(f"{words} at the end: {ends}"),
        "A line for each run, of one colour for each algorithm; the title has their means. The "
        "test examples are nobody's to train on.",
        data, {"title": {"text": unit}}, {"title": {"text": words}},
        capped(["algorithm", "seed", unit, words], rows), wide=True,
    )  # fmt: skip


def traffic_figure(document: Mapping) -> Figure | None:
    """The test by numbers sent."""
    key, words = quality(document)
    rows: list = []
    data = _traces(document, "floats", key, rows)
    sent = _ends(document, "floats")
    if not data or not sent:
        return None
    least, most = min(sent, key=lambda n: sent[n]), max(sent, key=lambda n: sent[n])
    title = f"Numbers sent: {number(sent[most], 3)}"
    if sent[most] > sent[least] > 0:
        times = number(sent[most] / sent[least], 2)
        title = f"Numbers sent: {times} times as many by {most} as by {least}"
    return _plot(
        "traffic", title,
        "The same runs by what all clients and the server have sent to each other since the start, "
        "in numbers. Who is further left at the same height pays less for it.",
        data, {"title": {"text": "numbers sent"}}, {"title": {"text": words}},
        capped(["algorithm", "seed", "numbers sent", words], rows),
    )  # fmt: skip


def clients_figure(document: Mapping) -> Figure | None:
    """How many clients have which accuracy."""
    groups: dict[str, list[float]] = {}
    for run in document["runs"] or []:
        values = [v for v in run.get("client_accuracy") or [] if v is not None]
        if values:
            groups.setdefault(str(run.get("algorithm")), []).extend(values)
    if not groups:
        return None
    middles = [(i + 0.5) / _BINS for i in range(_BINS)]
    data = [
        {
            "type": "bar", "name": plain(name), "x": middles, "y": _counted(values),
            "marker": {"color": COLOURS[i % len(COLOURS)]},
        }
        for i, (name, values) in enumerate(groups.items())
    ]  # fmt: skip
    lowest = {name: min(values) for name, values in groups.items()}
    worst = ", ".join(f"{name} {percent(value)}" for name, value in lowest.items())
    rows = [[name, value] for name, values in groups.items() for value in sorted(values)]
    layout = {
        "height": 340, "margin": {**MARGIN, "l": 56}, "barmode": "group",
        "hovermode": "closest", "xaxis": {"title": {"text": "accuracy"}, "range": [0, 1]},
        "yaxis": {"title": {"text": "clients"}},
    }  # fmt: skip
    return Figure(
        "clients", f"The worst client: {worst}",
        "Accuracy for each client of all runs: with a server, of the one model on the client's "
        "own examples; without, of the node's own model on the test examples.",
        data, layout, [capped(["algorithm", "accuracy"], rows)],
    )  # fmt: skip


def _counted(values: Sequence[float]) -> list[int]:
    """How many values lie in each of the bins, 1 in the last."""
    counts = [0] * _BINS
    for value in values:
        counts[min(max(int(value * _BINS), 0), _BINS - 1)] += 1
    return counts


def drift_figure(document: Mapping) -> Figure | None:
    """How far the clients' models are apart at the end of a round."""
    rows: list = []
    data = _traces(document, "round", "drift", rows)
    if not data:
        return None
    ends = ", ".join(f"{name} {number(v, 2)}" for name, v in _ends(document, "drift").items())
    values = [row[3] for row in rows]
    return _plot(
        "drift", f"Clients end the last round apart by: {ends}",
        "Root mean square distance of the clients' models from the mean of these, at the end of "
        "their local steps.",
        data, {"title": {"text": "round"}},
        {"title": {"text": "distance"}, **scale(values)},
        capped(["algorithm", "seed", "round", "drift"], rows),
    )  # fmt: skip


def consensus_figure(document: Mapping) -> Figure | None:
    """How far nodes are apart, before and after mixing."""
    rows: list = []
    panels = []
    for key, words in (("spread_before", "before mixing"), ("spread", "after mixing")):
        traces = _traces(document, "round", key, some := [])
        if traces:
            panels.append(Panel(f"distance from the mean {words}", traces, log=True))
            rows += [[words, *row] for row in some]
    if not panels:
        return None
    for panel in panels[1:]:
        for trace in panel.traces:
            trace["showlegend"] = False
    before, after = (_ends(document, key) for key in ("spread_before", "spread"))
    left = [
        f"{name} {percent((after[name] / value) ** 2)}"
        for name, value in before.items()
        if value and name in after
    ]
    data, layout = stack(panels, {"title": {"text": "round"}})
    return Figure(
        "consensus", f"Of the squared distance the last mixing left: {', '.join(left) or '?'}",
        "Mean distance of the nodes' models from their mean.", data, layout,
        [capped(["", "algorithm", "seed", "round", "distance"], rows)],
    )  # fmt: skip


def privacy_figure(document: Mapping) -> Figure | None:
    """ε by epoch."""
    rows: list = []
    data = _traces(document, "round", "epsilon", rows)
    if not data:
        return None
    return _plot(
        "privacy", f"ε spent: {number(rows[-1][3], 3)}",
        "What an example's releases have spent together so far, against parties that are honest "
        "and curious. The server sees embeddings as they are.",
        data, {"title": {"text": "epoch"}}, {"title": {"text": "ε"}, "rangemode": "tozero"},
        capped(["algorithm", "seed", "epoch", "ε"], rows),
    )  # fmt: skip


def trials_figure(document: Mapping) -> Figure | None:
    """What was tried of every algorithm."""
    data, rows = [], []
    for i, row in enumerate(document["tuning"] or []):
        name = str(row.get("algorithm"))
        points = [
            ((trial.get("settings") or {}).get("lr"), trial.get("value"))
            for trial in row.get("trials") or []
        ]
        known: Sequence[Any] = [(a, b) for a, b in points if a is not None and b is not None]
        if not known:
            continue
        rows += [[name, a, b] for a, b in known]
        data.append({
            "type": "scatter", "mode": "markers", "name": plain(name),
            "x": [a for a, _ in known], "y": [b for _, b in known],
            "marker": {"color": COLOURS[i % len(COLOURS)], "size": 7},
        })  # fmt: skip
    if not data:
        return None
    each = {name: sum(row[0] == name for row in rows) for name in dict.fromkeys(r[0] for r in rows)}
    same = len(set(each.values())) == 1
    title = f"{next(iter(each.values()))} trials of every algorithm" if same else "Trials"
    return _plot(
        "trials", title,
        "What the held-out fifth of the training examples says of each trial, by its learning "
        "rate; other settings may have been tried along with it. It judges nothing else.",
        data, {"title": {"text": "lr"}, **scale([row[1] for row in rows])},
        {"title": {"text": "worth"}}, capped(["algorithm", "lr", "worth"], rows),
    )  # fmt: skip
