"""Which labels look wrong, and whether the signal to stop has armed."""

import math
from collections.abc import Mapping
from itertools import pairwise

from overparam.report.figures.figure import Figure, capped, series_tables
from overparam.report.figures.panels import Panel, horizontal, line, stack, step_axis
from overparam.report.numbers import number, percent
from overparam.report.series import Series, histogram, read_series
from overparam.report.statements import statement_of

ARMING_LINE = 1.05
HATCH = {"shape": "/", "fgcolor": "var(--surface)", "fillmode": "overlay", "solidity": 0.2}


def labels_figure(document: Mapping) -> Figure | None:
    """Estimated noise rate, loss of the suspects against chance, and ρ."""
    noise, rho = read_series(document, "noise_rate"), read_series(document, "rho")
    suspects, armed = read_series(document, "suspect_loss"), read_series(document, "armed")
    if noise is None and rho is None and suspects is None:
        return None
    relative = suspects and _against_chance(suspects, document["data"].get("classes"))
    start = next((step for step, value in armed.measured if value), None) if armed else None
    panels = []
    if noise is not None:
        curve = line(noise, "noise rate", "var(--blue)", showlegend=False)
        panels.append(
            Panel("Estimated noise rate", [curve], axis={"tickformat": ".2~%"}, weight=0.5)
        )
    if relative is not None:
        edge = horizontal(relative, ARMING_LINE, f"arms at {ARMING_LINE}", "var(--red)")
        traces = [line(relative, "loss of the suspects", "var(--violet)", showlegend=False), edge]
        if start is not None:
            traces.append(_armed_mark(start, relative))
        panels.append(Panel("Loss of the suspects / ln C", traces, weight=0.6))
    if rho is not None:
        traces = [
            line(rho, "ρ", "var(--green)", showlegend=False),
            {**horizontal(rho, 1.0, "ρ = 1"), "showlegend": False},
        ]
        panels.append(Panel("ρ", traces, weight=0.5))
    data, layout = stack(panels, step_axis())
    return Figure(
        "labels",
        _labels_finding(noise, armed, start),
        "Suspects are the high-loss component of a two-component mixture; C is the number of "
        "classes, so 1 is the loss of guessing. ρ is the gradient norm of the other examples over "
        "that of the suspects: below 1, wrong labels lead. A signal that has not armed abstains; "
        "it does not see labels confused class by class.",
        data,
        layout,
        series_tables({"noise rate": noise, "suspect loss / ln C": relative, "ρ": rho}),
    )


def _against_chance(loss: Series, classes: int | None) -> Series:
    """A loss over ln C, that of guessing among C classes."""
    chance = math.log(max(2, classes or 2))
    return Series(loss.steps, [v if v is None else v / chance for v in loss.values])


def _armed_mark(step: float, relative: Series) -> dict:
    """A star where the signal armed."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "armed",
        "x": [step],
        "y": [relative.at(step) or ARMING_LINE],
        "marker": {"symbol": "star", "color": "var(--red)", "size": 13},
    }


def _labels_finding(noise: Series | None, armed: Series | None, start: float | None) -> str:
    """Whether the signal armed, and the noise it estimates."""
    parts = []
    if start is not None:
        parts.append(f"Signs of wrong labels from step {number(start)} on")
    elif armed is not None:
        parts.append("The stopping signal never armed")
    if noise is not None:
        verb = "estimated noise rate" if parts else "Estimated noise rate"
        parts.append(f"{verb} {percent(noise.last)}")
    return "; ".join(parts) or "Whether labels are wrong cannot be told from this run"


def scores_figure(document: Mapping) -> Figure | None:
    """Histogram of the scores, those of labels that look wrong apart."""
    if statement_of(document, "labels").get("level", "warning") != "warning":
        return None  # two components, whatever the labels are: without a verdict they mislead
    scores = document["series"].get("scores") or {}
    values, told = scores.get("score") or [], scores.get("suspect") is not None
    # Documents of earlier versions tell the mixture's posterior alone.
    marks = scores.get("suspect") if told else scores.get("posterior")
    marks = [*(marks or []), *[None] * (len(values) - len(marks or []))]
    pairs = [(s, (m or 0.0) >= 0.5) for s, m in zip(values, marks, strict=False) if s is not None]
    if not pairs:
        return None
    edges, _ = histogram([score for score, _ in pairs], bins=36)
    likely = _counts(edges, [score for score, wrong in pairs if not wrong])
    suspect = _counts(edges, [score for score, wrong in pairs if wrong])
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    common = {"type": "bar", "x": middles, "width": edges[1] - edges[0]}
    striped = {"color": "var(--red)", "pattern": HATCH}
    names = ("others", "look wrong") if told else ("posterior below ½", "posterior ½ or more")
    traces = [
        {**common, "y": likely, "name": names[0], "marker": {"color": "var(--blue)"}},
        {**common, "y": suspect, "name": names[1], "marker": striped},
    ]
    axis = {"title": {"text": "score (higher is more suspect)"}}
    data, layout = stack([Panel("Examples", traces, weight=1.2)], axis)
    rows = list(zip(edges[:-1], edges[1:], likely, suspect, strict=True))
    said = "labels look wrong" if told else "examples belong to the high-score component"
    return Figure(
        "scores",
        f"{sum(suspect):,} of {len(pairs):,} {said}",
        _LOOK_WRONG if told else _COMPONENTS,
        data,
        {**layout, "barmode": "stack"},
        [capped(["from", "to", *names], rows)],
    )


_LOOK_WRONG = (
    "A label looks wrong if the network believes another and this one costs it nearly as much as a "
    "guess or more; hard examples are among them. The score is the mean loss of the label over "
    "the epochs that were looked at."
)
_COMPONENTS = (
    "The posterior is that of the high-score component of a two-component Gaussian mixture "
    "fitted to the scores. The mixture has two components whether or not labels are wrong: "
    "read it together with what is said of the labels."
)


def _counts(edges: list[float], values: list[float]) -> list[int]:
    """How many values fall between each two of equally spaced edges."""
    counts = [0] * (len(edges) - 1)
    width = edges[1] - edges[0]
    for value in values:
        counts[min(int((value - edges[0]) / width), len(counts) - 1)] += 1
    return counts
