"""The figures of a running training, in the order they are looked at."""

from collections.abc import Mapping

from overparam.report.figures.curvature import batch_rates_figure, sharpness_figure
from overparam.report.figures.figure import Figure
from overparam.report.figures.labels import labels_figure
from overparam.report.figures.panels import Panel, line, stack, step_axis
from overparam.report.figures.training import loss_figure, moves, norms_figure, split_figure
from overparam.report.numbers import number, percent
from overparam.report.series import read_series


def stability_figure(document: Mapping) -> Figure | None:
    """Learning rate; sharpness with the largest one that is stable; the ratio of the two."""
    rate, below = read_series(document, "lr"), sharpness_figure(document)
    if below is None:
        if rate is None:
            return None
        title = f"The learning rate {moves(rate.first, rate.last)}"
        caption = "The sharpness is measured when the time it takes is covered."
        data, layout = stack([Panel("Learning rate", [_rate(rate)], weight=0.8)], step_axis())
        return Figure("stability", title, caption, data, layout, [])
    panels = [] if rate is None else [Panel("Learning rate", [_rate(rate)], weight=0.45)]
    labels = [note["text"] for note in below.layout["annotations"]]
    for index, label in enumerate(labels, start=1):
        axis = "y" if index == 1 else f"y{index}"
        traces = [trace for trace in below.data if trace["yaxis"] == axis]
        panels.append(Panel(label, traces, log=True, weight=1.0 if index == 1 else 0.7))
    data, layout = stack(panels, step_axis())
    return Figure("stability", below.title, below.caption, data, layout, [])


def _rate(series) -> dict:
    return line(series, "learning rate", "var(--green)", showlegend=False, mode="lines",
                line={"shape": "hv"})  # fmt: skip


def eigenvalues_figure(document: Mapping) -> Figure | None:
    """The leading eigenvalues of the tangent kernel."""
    names = sorted(n for n in document["series"] if n.startswith("eigenvalue_"))
    found = [series for name in names if (series := read_series(document, name)) is not None]
    if not found:
        return None
    colours = ("blue", "orange", "green", "violet", "red")
    traces = [
        line(series, f"λ{'₀₁₂₃₄₅₆₇₈₉'[index]}", f"var(--{colours[(index - 1) % 5]})")
        for index, series in enumerate(found[:5], start=1)
    ]
    data, layout = stack([Panel("Eigenvalue", traces, log=True)], step_axis())
    return Figure(
        "eigenvalues",
        f"The leading eigenvalue of the kernel {moves(found[0].first, found[0].last)}",
        "Of the tangent kernel on the probe samples, for a squared error; for another loss, of "
        "the Gauss–Newton matrix seen from the outputs.",
        data,
        layout,
        [],
    )


def overhead_figure(document: Mapping) -> Figure | None:
    """What watching costs."""
    overhead = read_series(document, "overhead")
    if overhead is None:
        return None
    traces = [line(overhead, "overhead", "var(--blue)")]
    panel = Panel(
        "Overhead", traces, weight=0.8, axis={"tickformat": ".2~%", "rangemode": "tozero"}
    )
    data, layout = stack([panel], step_axis())
    return Figure(
        "overhead",
        f"Watching has cost {percent(overhead.last)} of the training time",
        "The monitor's own time since the start, over the time spent training.",
        data,
        layout,
        [],
    )


def lengths_figure(document: Mapping) -> Figure | None:
    """Norms of gradient, update and weights; the learning rate is drawn further up."""
    series = {name: column for name, column in document["series"].items() if name != "lr"}
    return norms_figure({**document, "series": series})


ORDER = {
    "loss": loss_figure,
    "stability": stability_figure,
    "norms": lengths_figure,
    "split": split_figure,
    "eigenvalues": eigenvalues_figure,
    "labels": labels_figure,
    "batch_rates": batch_rates_figure,
    "overhead": overhead_figure,
}


def run_figures(document: Mapping) -> dict[str, Figure]:
    """The figures whose series have been measured, by name."""
    drawn = {name: draw(document) for name, draw in ORDER.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def run_facts(document: Mapping, last_step: int | None) -> list[str]:
    """What is known of the run, in a few words."""
    model = document["model"]
    facts = []
    if model.get("model"):
        facts.append(f"{model['model']}, {number(model.get('parameters'))} parameters")
    if model.get("optimizer"):
        facts.append(str(model["optimizer"]))
    if last_step is not None:
        facts.append(f"step {number(last_step)}")
    loss = read_series(document, "loss")
    if loss is not None:
        facts.append(f"loss {number(loss.last, 3)}")
    return facts
