"""How near the run came to the edge of stability, and how far its kernel moved."""

import math
from collections.abc import Mapping
from itertools import accumulate, pairwise

from overparam.report.figures.figure import Figure, capped, series_tables
from overparam.report.figures.panels import (
    Panel,
    horizontal,
    line,
    log_ticks,
    scale,
    stack,
    step_axis,
    vertical,
)
from overparam.report.figures.training import moves
from overparam.report.numbers import count, number, percent
from overparam.report.series import Series, histogram, ratio, read_series


def sharpness_figure(document: Mapping) -> Figure | None:
    """Sharpness against the largest one that is stable, and the ratio of the two."""
    sharpness = read_series(document, "sharpness")
    limit = read_series(document, "sharpness_limit")
    relative = read_series(document, "stability_ratio")
    if relative is None and sharpness and limit:
        relative = ratio(sharpness, limit)
    panels = []
    if sharpness is not None:
        traces = [line(sharpness, "sharpness", "var(--blue)")]
        if limit is not None:
            held = {"shape": "hv", "dash": "dash", "width": 1.5}
            traces.append(line(limit, "stable limit", "var(--red)", line=held, mode="lines"))
        panels.append(Panel("Sharpness", traces, log=True, weight=1.0))
    if relative is not None:
        edge = horizontal(relative, 1.0, "edge of stability", "var(--red)")
        traces = [
            line(relative, "ratio to the limit", "var(--violet)", showlegend=False),
            {**edge, "showlegend": not panels},
        ]
        panels.append(Panel("Learning rate / stable limit", traces, log=True, weight=0.7))
    if not panels:
        return None
    data, layout = stack(panels, step_axis())
    return Figure(
        "sharpness",
        _sharpness_finding(sharpness, relative),
        "Sharpness is the largest eigenvalue of the Gauss–Newton matrix, preconditioned as the "
        "optimizer does. The limit is that of this optimizer at its learning rate of the moment: "
        "2/η for plain gradient descent. A ratio above 1 cannot last.",
        data,
        layout,
        series_tables({"sharpness": sharpness, "limit": limit, "ratio": relative}),
    )


def _sharpness_finding(sharpness: Series | None, relative: Series | None) -> str:
    """On which side of the limit the run stayed."""
    if relative is None:
        moved = moves(sharpness.first, sharpness.last) if sharpness else ""
        return f"Sharpness {moved}; its limit was not measured"
    highest = f"(highest ratio {number(relative.highest, 3)})"
    crossing = next((step for step, value in relative.measured if value > 1), None)
    if crossing is None:
        where = count(len(relative.measured), "measurement")
        return f"Sharpness stays below the limit at {where} {highest}"
    return f"Sharpness exceeds the limit, first at step {number(crossing)} {highest}"


def kernel_figure(document: Mapping) -> Figure | None:
    """Relative change of the tangent kernel since initialisation."""
    change = read_series(document, "kernel_change")
    if change is None:
        return None
    panel = Panel("‖K − K₀‖ / ‖K₀‖", [line(change, "kernel change", "var(--blue)")])
    data, layout = stack([panel], step_axis())
    return Figure(
        "kernel",
        f"The kernel ends {percent(change.last)} of its initial norm away from where it started",
        "Frobenius norms of the empirical tangent kernel on the probe samples. 0 is the lazy "
        "regime, in which the network is its own linearization.",
        data,
        layout,
        series_tables({"kernel change": change}),
    )


def batch_rates_figure(document: Mapping) -> Figure | None:
    """How the critical learning rate varies from batch to batch."""
    critical = read_series(document, "batch_critical_lr")
    if critical is None or critical.lowest <= 0:
        return None
    used = read_series(document, "lr")
    edges, counts = histogram([math.log10(value) for _, value in critical.measured], bins=24)
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    bars = {"type": "bar", "name": "batches", "x": middles, "y": counts}
    traces = [{**bars, "width": edges[1] - edges[0], "marker": {"color": "var(--blue)"}}]
    shown = [edges[0], edges[-1]]
    if used is not None and used.last > 0:
        rate = f"learning rate at the end, {number(used.last, 3)}"
        place = math.log10(used.last)
        shown = [min(place, shown[0]), max(place, shown[1])]
        traces.append(vertical(place, 0, max(counts), rate, "var(--red)"))
    axis = {"title": {"text": "critical learning rate of a batch"}, **log_ticks(*shown)}
    data, layout = stack([Panel("Batches", traces)], axis)
    bins = [(10**low, 10**high) for low, high in pairwise(edges)]
    rows = [(*limits, amount) for limits, amount in zip(bins, counts, strict=True)]
    return Figure(
        "batch_rates",
        _batch_finding(critical, used),
        "The critical rate of a batch is the largest that would be stable if every step used that "
        "batch alone. Batches below the rate in use push the loss up in their leading direction.",
        data,
        layout,
        [capped(["from", "to", "batches"], rows)],
    )


def _batch_finding(critical: Series, used: Series | None) -> str:
    """The share of batches that the rate in use is too large for."""
    if used is None:
        low, high = number(critical.lowest, 3), number(critical.highest, 3)
        return f"Critical rates of the batches lie between {low} and {high}"
    pairs = [(value, used.at(step)) for step, value in critical.measured]
    below = sum(rate is not None and value < rate for value, rate in pairs)
    share = percent(below / len(pairs))
    return f"{share} of the batches have a critical rate below the one in use"


def spectrum_figure(document: Mapping) -> Figure | None:
    """Eigenvalues of the kernel, and the share of the labels along each eigenvector."""
    spectrum = document["series"].get("spectrum") or {}
    eigenvalues = [v for v in spectrum.get("eigenvalues") or [] if v is not None]
    if not eigenvalues:
        return None
    index = list(range(1, len(eigenvalues) + 1))
    curves = [line(Series(index, eigenvalues), "at the start", "var(--blue)")]
    final = [v for v in spectrum.get("final") or [] if v is not None]
    if final:
        later = Series(range(1, len(final) + 1), final)
        curves.append(line(later, "after training", "var(--orange)", line={"dash": "dash"}))
    panels = [Panel("Eigenvalue", curves, log=True, weight=0.8)]
    alignment = [v or 0.0 for v in spectrum.get("label_alignment") or []][: len(index)]
    columns, rows = ["index", "eigenvalue"], [index, eigenvalues]
    if alignment:
        running = list(accumulate(alignment))
        curve = line(Series(index[: len(running)], running), "labels", "var(--violet)")
        labels = Panel("Share of the labels so far", [{**curve, "showlegend": False}], weight=0.6)
        panels.append(labels)
        columns.append("share of the labels")
        rows.append(alignment + [None] * (len(index) - len(alignment)))
    data, layout = stack(panels, {"title": {"text": "index of the eigenvector"}, **scale(index)})
    return Figure(
        "spectrum",
        _spectrum_finding(eigenvalues, alignment),
        "Tangent kernel on the probe samples, averaged over the outputs and divided by the number "
        "of samples. The share of the labels along an eigenvector of the start is the squared "
        "projection of the centred labels on it, over their squared norm.",
        data,
        layout,
        [capped(columns, list(zip(*rows, strict=True)))],
    )


def _spectrum_finding(eigenvalues: list[float], alignment: list[float]) -> str:
    """What the ten largest eigenvalues hold; of fewer, the largest."""
    top = 10 if len(eigenvalues) > 20 else 1
    leading = "The ten largest" if top == 10 else "The largest"
    verb = "hold" if top == 10 else "holds"
    total = sum(eigenvalues)
    share = percent(sum(eigenvalues[:top]) / total if total > 0 else None)
    finding = f"{leading} of {len(eigenvalues)} eigenvalues {verb} {share} of their sum"
    if alignment:
        finding += f" and {percent(sum(alignment[:top]))} of the labels"
    return finding
