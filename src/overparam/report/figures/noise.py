"""How much of a step's gradient is noise, along a run."""

from collections.abc import Mapping

from overparam.report.figures.figure import Figure, series_tables
from overparam.report.figures.panels import Panel, horizontal, line, stack, step_axis
from overparam.report.numbers import number
from overparam.report.series import Series, read_series


def noise_figure(document: Mapping) -> Figure | None:
    """The gradient noise scale with its interval, and the batch size in use."""
    low, scale = read_series(document, "noise_scale_low"), read_series(document, "noise_scale")
    high = read_series(document, "noise_scale_high")
    if low is None:
        return None
    dotted = {"dash": "dot", "width": 1.5}
    traces = []
    if scale is not None:
        traces.append(line(scale, "noise scale", "var(--blue)", mode="lines+markers"))
    for series, name in ((low, "at least"), (high, "at most")):
        if series is not None:
            mode = "lines" if len(series.measured) > 1 else "markers"
            traces.append(line(series, name, "var(--muted)", line=dotted, mode=mode))
    size = (document.get("data") or {}).get("batch_size")
    if size:
        label = f"batch size, {number(size)}"
        traces.append(horizontal(low, float(size), label, "var(--red)"))
    data, layout = stack([Panel("Noise scale, in examples", traces, log=True)], step_axis())
    return Figure(
        "noise",
        _finding(low, scale),
        "The noise scale is the batch of which half of the gradient is noise: the variance of "
        "single examples' gradients over the squared length of their mean. Each value rests on the "
        "last measurements together; where the mean cannot be told from zero there is a lower end "
        "alone. It is a measurement, and no advice on the batch size.",
        data,
        layout,
        series_tables({"noise scale": scale, "at least": low, "at most": high}),
    )


def _finding(low: Series, scale: Series | None) -> str:
    """Of the latest measurements alone: what all of a run say together is another number."""
    end, least = low.measured[-1]
    at_least = f"at least {number(least, 2)}"
    lately = f"The noise scale by the latest measurements at step {number(end)}:"
    if scale is None:
        return f"{lately} {at_least} examples"
    step, value = scale.measured[-1]
    if step == end:
        return f"{lately} {number(value, 2)} examples"
    return (
        f"{lately} {at_least} examples; {number(value, 2)} at step {number(step)}, when it could "
        "last be told"
    )
