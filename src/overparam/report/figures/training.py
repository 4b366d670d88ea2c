"""The run as its user sees it: loss, spikes, learning rate, norms."""

import math
from collections import Counter
from collections.abc import Mapping
from statistics import median
from typing import Any

from overparam._curves import course, level_at_end
from overparam.report.figures.figure import Figure, plain, series_tables
from overparam.report.figures.panels import Panel, line, stack, step_axis
from overparam.report.numbers import count, number, percent
from overparam.report.series import Series, ratio, read_series, smoothed
from overparam.report.statements import statement_of

SPIKES = {
    "catapult": ("triangle-up", "var(--violet)"),
    "bad batch": ("square", "var(--orange)"),
    "divergence": ("x", "var(--red)"),
    "non-finite": ("star", "var(--red)"),
    "hard batch": ("square-open", "var(--orange)"),
    "data switched": ("diamond", "var(--green)"),
    "weights changed": ("diamond-open", "var(--red)"),
    "state lost": ("triangle-down", "var(--red)"),
    "stale moments": ("triangle-down-open", "var(--violet)"),
    "rate raised": ("triangle-up-open", "var(--violet)"),
    "gradient scale": ("cross", "var(--red)"),
    "above the limit": ("triangle-up-open", "var(--orange)"),
    "numerical": ("star-open", "var(--red)"),
    "under way": ("circle", "var(--muted)"),
    "unexplained": ("circle-open", "var(--muted)"),
}


def loss_figure(document: Mapping) -> Figure | None:
    """Training loss with its spikes, test loss, test error."""
    loss, test = read_series(document, "loss"), read_series(document, "test_loss")
    error = read_series(document, "test_error")
    if loss is None and test is None and error is None:
        return None
    panels, smooth = [], None
    traces = []
    if loss is not None:
        # Where the extremes of a longer run stand for it, a sample beside them tells its middle.
        sample = read_series(document, "loss_sample") or loss
        window = min(101, len(sample.steps) // 30 | 1)
        smooth = smoothed(sample, window) if window > 1 else None
        faint = {"line": {"width": 1}, "opacity": 0.35} if smooth else {}
        traces.append(line(loss, "training loss", "var(--blue)", **faint))
        if smooth:
            traces.append(line(smooth, f"median of {window}", "var(--blue)"))
    if test is not None:
        traces.append(line(test, "test loss", "var(--orange)"))
    if loss is not None:
        traces += _spikes(document["events"] or [], loss)
    if traces:
        panels.append(Panel("Loss", traces, log=True, weight=1.5))
    if error is not None:
        share = [line(error, "test error", "var(--green)", showlegend=not traces)]
        panels.append(Panel("Test error", share, weight=0.7, axis={"tickformat": ".2~%"}))
    data, layout = stack(panels, step_axis())
    caption = "Training loss is that of each batch, before the step that follows. "
    if smooth:
        caption += f"The strong line is its median over {window} values around each. "
    told = read_series(document, "loss_stretches")
    # As many stretches as steps are the steps themselves.
    if told is not None and (loss is None or len(told.steps) < len(loss.steps)):
        parts = len(told.steps)
        rose = loss is not None and told.steps[0] <= loss.steps[0]  # at once: see `told_losses`
        begin = "the first value and the mean of" if rose else "the means of the first and"
        caption += f"The title tells {begin} the last of {parts} stretches. "
    if error is not None and (several := level_at_end(_known(error))[1]) > 1:
        caption += f"Of the test error it tells the median of the last {several} values. "
    if traces and layout["yaxis"]["type"] == "log" and 0.0 in _heights(traces):
        caption += "A loss of exactly zero lies below the axis. "
    if document["events"]:
        caption += "Markers are spikes, by cause. "
    if test is not None or error is not None:
        caption += "Test values are means over the test examples."
    return Figure(
        "loss",
        _loss_finding(document, loss, smooth, test, error),
        caption.strip(),
        data,
        layout,
        series_tables({"training loss": loss, "test loss": test, "test error": error}),
        wide=True,
    )


def _loss_finding(
    document: Mapping,
    loss: Series | None,
    smooth: Series | None,
    test: Series | None,
    error: Series | None,
) -> str:
    """How far the loss came, how often it jumped, and where the test error ended."""
    parts = []
    if loss is not None:
        # The two numbers that the statement on progress tells, where there is one.
        told = read_series(document, "loss_stretches")
        first, last = (told.first, told.last) if told else (loss.first, (smooth or loss).last)
        parts.append(f"Training loss {moves(first, last)}")
        if loss.values[-1] is None:
            parts.append("then it is no longer finite")
        if document["events"] is not None:
            kinds = Counter(str(event.get("kind")) for event in document["events"])
            causes = ", ".join(f"{amount} {kind}" for kind, amount in kinds.most_common())
            spikes = count(len(document["events"]), "spike")
            parts.append(f"{spikes} ({causes})" if kinds else "no spikes")
    elif test is not None:
        parts.append(f"Test loss {moves(test.first, test.last)}")
    if error is not None and statement_of(document, "test").get("level") != "unknown":
        level, _ = level_at_end(_known(error))
        parts.append(f"{'test' if parts else 'Test'} error ends at {percent(level)}")
    return "; ".join(parts)


def _known(series: Series) -> list[float]:
    return [value for _, value in series.measured]


def moves(first: float, last: float) -> str:
    """Where a quantity went, in words; a change below one in a hundred is none."""
    if abs(last - first) <= 0.01 * max(abs(first), abs(last)):
        return f"stays at {number(last, 3)}"
    return f"{'falls' if last < first else 'rises'} from {number(first, 3)} to {number(last, 3)}"


def _heights(traces: list[dict]) -> list[float | None]:
    return [value for trace in traces for value in trace["y"]]


def _peak(over: Any) -> str:
    """How high a spike was; nothing where the loss before was zero or below."""
    known = isinstance(over, int | float) and math.isfinite(over)
    return f"peak {number(over, 3)}× before" if known else ""


def _spikes(events: list[Mapping], loss: Series) -> list[dict]:
    """Markers on the loss curve, one trace for each cause."""
    by_kind: dict[str, list[Mapping]] = {}
    for event in events:
        if isinstance(event.get("step"), int | float):
            by_kind.setdefault(str(event.get("kind")), []).append(event)
    traces = []
    for kind, members in by_kind.items():
        symbol, colour = SPIKES.get(kind, SPIKES["unexplained"])
        peaks = [_peak(event.get("peak_ratio")) for event in members]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(kind),
                "x": [event["step"] for event in members],
                "y": [loss.at(event["step"]) or loss.first for event in members],
                "text": peaks,
                "marker": {
                    "symbol": symbol,
                    "color": colour,
                    "size": 12,
                    "line": {"color": "var(--surface)", "width": 1.5},
                },
            }
        )
    return traces


def norms_figure(document: Mapping) -> Figure | None:
    """Learning rate, gradient norm, relative update, distance from the start."""
    lr, gradient = read_series(document, "lr"), read_series(document, "grad_norm")
    update, weight = read_series(document, "update_norm"), read_series(document, "weight_norm")
    distance = read_series(document, "distance")
    relative = ratio(update, weight) if update and weight else None
    labelled = {
        "Learning rate": (lr, "var(--blue)"),
        "Gradient norm": (gradient, "var(--violet)"),
        "Update norm / weight norm": (relative, "var(--green)"),
        "Distance from the start": (distance, "var(--orange)"),
    }
    panels = []
    for label, (series, colour) in labelled.items():
        if series is not None:
            traces = [line(series, label.lower(), colour, showlegend=False)]
            log = series is gradient or series is relative
            panels.append(Panel(label, traces, log, weight=0.45, axis={"rangemode": "tozero"}))
    if not panels:
        return None
    data, layout = stack(panels, step_axis())
    return Figure(
        "norms",
        _norms_finding(lr, gradient, relative, distance),
        # No line at a size of updates to aim for: which one is right, the rate's race tells.
        "Euclidean norms over all trained parameters.",
        data,
        layout,
        series_tables({label.lower(): series for label, (series, _) in labelled.items()}),
    )


def _norms_finding(
    lr: Series | None, gradient: Series | None, relative: Series | None, distance: Series | None
) -> str:
    """The most telling of the norms that were measured."""
    if relative is not None:
        values = [value for _, value in relative.measured]
        trend = course(values)
        if trend is not None:
            first, last = map(percent, trend)
            return (
                f"Updates change the weights by {first} of their norm in the first third of the "
                f"run, by {last} in the last third"
            )
        middle = percent(median(values))
        which = "A typical update" if len(relative.measured) > 1 else "The one update measured"
        return f"{which} changes the weights by {middle} of their norm"
    if gradient is not None:
        return f"Gradient norm {moves(gradient.first, gradient.last)}"
    if distance is not None:
        return f"Distance from the start {moves(distance.first, distance.last)}"
    return f"Learning rate {moves(lr.first, lr.last)}" if lr else ""


def split_figure(document: Mapping) -> Figure | None:
    """The loss in the leading eigenspace of the kernel, and in the rest."""
    top, rest = read_series(document, "loss_top"), read_series(document, "loss_rest")
    if top is None or rest is None:
        return None
    traces = [
        line(top, "leading directions", "var(--violet)"),
        line(rest, "all other directions", "var(--green)"),
    ]
    data, layout = stack([Panel("Loss", traces, log=True)], step_axis())
    shares = [(step, part / whole if whole else None) for step, part, whole in _parts(top, rest)]
    finding = "The loss splits between the leading directions and the rest"
    if shares:
        (first, early), (last, late) = shares[0], shares[-1]
        finding = (
            f"The leading directions hold {percent(early)} of the loss at step {number(first)}"
        )
        if last != first:
            finding += f", {percent(late)} at step {number(last)}"
    return Figure(
        "split",
        finding,
        "Loss on the probe examples, split by projecting the residual on the leading eigenvectors "
        "of the tangent kernel of the moment, and on their complement.",
        data,
        layout,
        series_tables({"leading": top, "other": rest}),
    )


def _parts(top: Series, rest: Series) -> list[tuple[float, float, float]]:
    """Triples of (step, leading, whole) where both parts were measured."""
    other = dict(rest.measured)
    return [(step, value, value + other[step]) for step, value in top.measured if step in other]
