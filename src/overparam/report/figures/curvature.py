"""How near the run came to the edge of stability, and how far its kernel moved."""

import math
from collections.abc import Mapping
from itertools import accumulate, pairwise

from overparam._told import part, part_of_limit
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
from overparam.report.settled import parted, steady
from overparam.report.statements import statement_of, targets

# An eigenvalue below this part of the largest is the rounding of a zero.
_ROUNDING = 1e-12


def sharpness_figure(document: Mapping) -> Figure | None:
    """Sharpness against the largest one that is stable, and the ratio of the two."""
    sharpness = read_series(document, "sharpness")
    limit = read_series(document, "sharpness_limit")
    relative = read_series(document, "stability_ratio")
    if relative is None and sharpness and limit:
        relative = ratio(sharpness, limit)
    panels = []
    if sharpness is not None:
        traces = _settled(document, "sharpness", sharpness, "sharpness", "var(--blue)")
        if limit is not None:
            held = {"shape": "hv", "dash": "dash", "width": 1.5}
            label = "limit of the sharpness"
            traces.append(
                line(limit, label, "var(--red)", line=held, mode="lines")
                if len(limit.measured) > 1
                else horizontal(limit, limit.last, label, "var(--red)")
            )
        panels.append(Panel("Sharpness", traces, log=True, weight=1.0))
    if relative is not None:
        edge = horizontal(relative, 1.0, "edge of stability", "var(--red)")
        drawn = _settled(
            document, "stability_ratio", relative, "ratio to the limit", "var(--violet)"
        )
        traces = [{**trace, "showlegend": False} for trace in drawn] if panels else drawn
        traces.append({**edge, "showlegend": not panels})
        panels.append(Panel("Learning rate / stable limit", traces, log=True, weight=0.7))
    if not panels:
        return None
    data, layout = stack(panels, step_axis())
    return Figure(
        "sharpness",
        _sharpness_finding(document, sharpness, relative),
        "Sharpness is the largest eigenvalue of the Gauss–Newton matrix, preconditioned as the "
        "optimizer does. Its limit is that of this optimizer at its learning rate of the moment: "
        "2/η for plain gradient descent. Above a ratio of 1 small errors grow. Hollow marks are "
        "measurements that did not settle; no number rests on them.",
        data,
        layout,
        series_tables(
            {"sharpness": sharpness, "limit": limit, "ratio": relative}
            | {"settled": _marked(document, "sharpness", relative or sharpness)}
        ),
    )


def _marked(document: Mapping, name: str, series: Series | None) -> Series | None:
    """Which measurements settled, as a column; nothing where the document does not tell."""
    settled = steady(document, name)
    if series is None or settled is None:
        return None
    told = [
        v if v is None else settled(s) for s, v in zip(series.steps, series.values, strict=True)
    ]
    return Series(series.steps, told)


def _settled(document: Mapping, name: str, series: Series, label: str, colour: str) -> list[dict]:
    """A curve through what settled, and hollow marks where a measurement did not."""
    good, left = parted(document, name, series)
    traces = [line(good, label, colour)] if good else []
    if left:
        hollow = {"symbol": "circle-open", "color": "var(--muted)", "size": 6}
        marks = line(left, "did not settle", "var(--muted)")
        traces.append({**marks, "mode": "markers", "marker": hollow})
    return traces


def _sharpness_finding(document: Mapping, sharpness: Series | None, relative: Series | None) -> str:
    """How near the limit the run was, in the numbers of the statement on stability."""
    if relative is None:
        moved = moves(sharpness.first, sharpness.last) if sharpness else ""
        return f"Sharpness {moved}; its limit was not measured"
    if statement_of(document, "stability").get("level") == "unknown":
        return f"Sharpness and its limit, {_times(relative)} along the run"
    good, _ = parted(document, "stability_ratio", relative)
    ratios = [value for _, value in good.measured if value > 0] if good else []
    if not ratios:
        left = count(len(relative.measured), "measurement")
        return f"How near its limit the sharpness was is not known: of {left} none settled"
    settled = count(len(ratios), "measurement")
    return f"The run used {part_of_limit(ratios, 'its stable limit')} ({settled})"


def _times(series: Series) -> str:
    return f"measured {count(len(series.measured), 'time')}"


def kernel_figure(document: Mapping) -> Figure | None:
    """Relative change of the tangent kernel since initialisation."""
    change = read_series(document, "kernel_change")
    if change is None:
        return None
    after = read_series(document, "kernel_change_after")
    traces = [line(change, "along the run", "var(--blue)")]
    if after is not None:
        star = {"symbol": "star", "color": "var(--orange)", "size": 13}
        traces.append(line(after, "after the run", "var(--orange)", mode="markers", marker=star))
    data, layout = stack([Panel("‖K − K₀‖ / ‖K₀‖", traces)], step_axis())
    caption = (
        "Frobenius norms of the empirical tangent kernel on the probe examples. 0 is the lazy "
        "regime, in which the network is its own linearization."
    )
    if after is not None:
        caption += " The star is of the end, on other examples."
    # Records of earlier versions told a number after the run in words alone.
    elsewhere = after is None and (document["series"].get("spectrum") or {}).get("final")
    if elsewhere or statement_of(document, "regime").get("level") == "unknown":
        title = f"How far the kernel moved from where it started, {_times(change)} along the run"
    elif after is not None:
        title = f"The kernel ended {part(after.last)} its initial norm away from where it started"
    else:
        step, far = change.measured[-1]
        title = (
            f"By step {number(step)} the kernel was {part(far)} its initial norm away from where "
            "it started"
        )
    tables = series_tables({"kernel change": change, "kernel change after": after})
    return Figure("kernel", title, caption, data, layout, tables)


def batch_rates_figure(document: Mapping) -> Figure | None:
    """How the critical learning rate varies from batch to batch."""
    measured, note = read_series(document, "batch_critical_lr"), ""
    critical, left = (
        (None, None) if measured is None else parted(document, "batch_critical_lr", measured)
    )
    if critical is None or critical.lowest <= 0:
        return None
    if left is not None:
        some = count(len(left.measured), "batch", "batches")
        note = f" Left out: {some} of which the measurement did not settle."
    used = read_series(document, "lr")
    edges, counts = histogram([math.log10(value) for _, value in critical.measured], bins=24)
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    bars = {"type": "bar", "name": "batches", "x": middles, "y": counts}
    traces = [{**bars, "width": edges[1] - edges[0], "marker": {"color": "var(--blue)"}}]
    shown = [edges[0], edges[-1]]
    for rate, label in _marked_rates(used):
        place = math.log10(rate)
        shown = [min(place, shown[0]), max(place, shown[1])]
        traces.append(vertical(place, 0, max(counts), label, "var(--red)"))
    axis = {"title": {"text": "critical learning rate of a batch"}, **log_ticks(*shown)}
    data, layout = stack([Panel("Batches", traces)], axis)
    bins = [(10**low, 10**high) for low, high in pairwise(edges)]
    rows = [(*limits, amount) for limits, amount in zip(bins, counts, strict=True)]
    return Figure(
        "batch_rates",
        _batch_finding(critical, used),
        "The critical rate of a batch is the largest that would be stable if every step used that "
        "batch alone. A step on a batch below the rate in use overshoots in its leading direction; "
        "the limit of a batch is no limit of the training." + note,
        data,
        layout,
        [capped(["from", "to", "batches"], rows)],
    )


def _marked_rates(used: Series | None) -> list[tuple[float, str]]:
    """The rate that a run used; where it changed the largest: a schedule may end next to zero."""
    if used is None or not used.highest > 0:
        return []
    what = "largest learning rate of the run" if _changed(used) else "learning rate"
    return [(used.highest, f"{what}, {number(used.highest, 3)}")]


def _changed(used: Series) -> bool:
    return used.lowest < used.highest * (1 - 1e-6)


def _batch_finding(critical: Series, used: Series | None) -> str:
    """The share of batches that the rate in use is too large for."""
    if used is None:
        low, high = number(critical.lowest, 3), number(critical.highest, 3)
        return f"Critical rates of the batches lie between {low} and {high}"
    pairs = [(value, used.at(step)) for step, value in critical.measured]
    below = sum(rate is not None and value < rate for value, rate in pairs)
    whole = count(len(pairs), "batch", "batches")
    when = " at that step" if _changed(used) else ""
    has = "has" if 1 in (below, len(pairs)) else "have"
    return f"{below:,} of {whole} measured {has} a critical rate below the one in use{when}"


def spectrum_figure(document: Mapping) -> Figure | None:
    """Eigenvalues of the kernel, and the share of the labels along each eigenvector."""
    spectrum = document["series"].get("spectrum") or {}
    eigenvalues = [v for v in spectrum.get("eigenvalues") or [] if v is not None]
    if not eigenvalues or not max(eigenvalues) > 0:
        return None
    what = targets(document)
    index = list(range(1, len(eigenvalues) + 1))
    curves = [line(_above_rounding(eigenvalues), "at the start", "var(--blue)")]
    final = [v for v in spectrum.get("final") or [] if v is not None]
    if final and max(final) > 0:
        later = _above_rounding(final)
        curves.append(line(later, "after training", "var(--orange)", line={"dash": "dash"}))
    panels = [Panel("Eigenvalue", curves, log=True, weight=0.8)]
    alignment = [v or 0.0 for v in spectrum.get("label_alignment") or []][: len(index)]
    columns, rows = ["index", "eigenvalue"], [index, eigenvalues]
    if alignment:
        running = list(accumulate(alignment))
        curve = line(Series(index[: len(running)], running), what, "var(--violet)")
        labels = Panel(f"Share of the {what} so far", [{**curve, "showlegend": False}], weight=0.6)
        panels.append(labels)
        columns.append(f"share of the {what}")
        rows.append(alignment + [None] * (len(index) - len(alignment)))
    share = (
        f" The share of the {what} along an eigenvector of the start is the squared projection of "
        f"the centred {what} on it, over their squared norm."
    )
    data, layout = stack(panels, {"title": {"text": "index of the eigenvector"}, **scale(index)})
    return Figure(
        "spectrum",
        _spectrum_finding(eigenvalues, alignment, what),
        "Tangent kernel on the probe examples, averaged over the outputs and divided by the number "
        "of examples; that of the leading directions, between all outputs, is another matrix."
        + (share if alignment else ""),
        data,
        layout,
        [capped(columns, list(zip(*rows, strict=True)))],
    )


def _above_rounding(eigenvalues: list[float]) -> Series:
    """Eigenvalues by index; what is zero but for rounding has no place on a logarithmic axis."""
    least = _ROUNDING * max(eigenvalues)
    kept = [(i, v) for i, v in enumerate(eigenvalues, start=1) if v > least]
    return Series(*zip(*kept, strict=True))


def _spectrum_finding(eigenvalues: list[float], alignment: list[float], what: str) -> str:
    """What the ten largest eigenvalues hold; of fewer, the largest."""
    top = 10 if len(eigenvalues) > 20 else 1
    leading = "The ten largest" if top == 10 else "The largest"
    verb = "hold" if top == 10 else "holds"
    total = sum(eigenvalues)
    share = percent(sum(eigenvalues[:top]) / total if total > 0 else None)
    of = f"of {len(eigenvalues)} eigenvalues {verb} {share} of their sum and"
    finding = f"{leading} {of}" if len(eigenvalues) > 1 else "The one eigenvalue holds"
    if not alignment:
        return finding.removesuffix(" and") if len(eigenvalues) > 1 else "There is one eigenvalue"
    held = sum(alignment[:top])
    return f"{finding} {percent(held if held > _ROUNDING else 0.0)} of the {what}"
