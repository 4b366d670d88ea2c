"""The figures of a running training, in the order they are looked at."""

from collections.abc import Callable, Iterable, Mapping

from overparam.report.figures.curvature import batch_rates_figure, sharpness_figure
from overparam.report.figures.figure import Figure
from overparam.report.figures.labels import labels_figure
from overparam.report.figures.noise import noise_figure
from overparam.report.figures.panels import Panel, line, stack, step_axis
from overparam.report.figures.training import loss_figure, moves, norms_figure, split_figure
from overparam.report.numbers import count, number, percent
from overparam.report.series import read_series
from overparam.watch.run import EVENTS, RunFile

# Infinite where nothing is unstable, as at a learning rate of 0.
_MAY_BE_INFINITE = ("sharpness_limit",)


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


def rates_figure(document: Mapping) -> Figure | None:
    """Critical rates of batches chosen by their step: a histogram is not of the extremes."""
    return batch_rates_figure({**document, "series": {**document["series"], **_samples(document)}})


def course_figure(document: Mapping) -> Figure | None:
    """The loss; its median is that of values chosen by their step."""
    sample = _samples(document).get("loss")
    return loss_figure({**document, "series": {**document["series"], "loss_sample": sample}})


def _samples(document: Mapping) -> Mapping:
    return document.get("samples", {})


# In the order of the page: what draws, and the series it is given.
_NORMS = ("grad_norm", "update_norm", "weight_norm", "distance")
ORDER: dict[str, tuple[Callable[[Mapping], Figure | None], tuple[str, ...]]] = {
    "loss": (course_figure, ("loss", "test_loss", "test_error", EVENTS)),
    "stability": (stability_figure, (
        "lr", "sharpness", "sharpness_limit", "stability_ratio", "sharpness_residual",
    )),
    "norms": (norms_figure, _NORMS),  # the learning rate is drawn further up
    "split": (split_figure, ("loss_top", "loss_rest")),
    "eigenvalues": (eigenvalues_figure, tuple(f"eigenvalue_{index}" for index in range(1, 6))),
    "labels": (labels_figure, ("noise_rate", "suspect_loss", "rho", "armed")),
    "noise": (noise_figure, ("noise_scale", "noise_scale_low", "noise_scale_high")),
    "batch_rates": (
        rates_figure, ("batch_critical_lr", "batch_critical_lr_converged", "lr"),
    ),
    "overhead": (overhead_figure, ("overhead",)),
}  # fmt: skip


def run_figures(document: Mapping, names: Iterable[str] = ORDER) -> dict[str, Figure]:
    """Those of the named figures whose series have been measured, by name."""
    found = {}
    for name in names:
        draw, wanted = ORDER[name]
        series = {key: entry for key, entry in document["series"].items() if key in wanted}
        figure = draw({**document, "series": series})
        if figure is not None:
            found[name] = figure
    return found


def run_facts(run: RunFile) -> list[str]:
    """What is known of the run, in a few words."""
    model, last_step, facts = run.facts, run.last_step, []
    if model.get("model"):
        facts.append(f"{model['model']}, {number(model.get('parameters'))} parameters")
    if model.get("optimizer"):
        facts.append(model["optimizer"])
    if last_step is not None:
        facts.append(f"step {number(last_step)}")
    lost = run.not_finite()
    loss = run.columns["loss"].last if "loss" in run.columns else None
    if loss is not None and loss[1] is not None:
        facts.append(f"loss {number(loss[1], 3)}")
    facts += [
        f"{name.replace('_', ' ')} not finite since step {number(step)}"
        for name, step in lost.items()
        if name not in _MAY_BE_INFINITE
    ]
    if run.forgotten:
        facts.append(f"{count(run.forgotten, 'earlier spike')} not shown")
    if run.skipped:
        facts.append(f"{count(run.skipped, 'line')} of the record could not be read")
    return facts
