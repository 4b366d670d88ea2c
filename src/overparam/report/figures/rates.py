"""Which learning rate the task bears: led along its limit, or swept."""

from collections.abc import Mapping, Sequence

from overparam.report.figures.figure import Figure, capped, series_tables
from overparam.report.figures.panels import (
    Panel,
    horizontal,
    line,
    scale,
    stack,
    step_axis,
    vertical,
)
from overparam.report.numbers import count, number
from overparam.report.series import Series, read_traces


def edge_figure(document: Mapping) -> Figure | None:
    """Limit and rate of the short runs whose rate was led up to the limit and along it."""
    limits = read_traces(document, "edge", "limit")
    rates = read_traces(document, "edge", "rate")
    if not limits:
        return None
    stable = document["advice"].get("stable_limit")
    once = [{"showlegend": index == 0} for index in range(max(len(limits), len(rates)))]
    looks = (
        ("limit", limits, "var(--violet)", {}),
        ("rate", rates, "var(--orange)", {"dash": "dot"}),
    )
    traces = [
        line(run, name, colour, line={"width": 1.3, **dash}, mode="lines", **first)
        for name, runs, colour, dash in looks
        for run, first in zip(runs, once, strict=False)
    ]
    if stable:
        longest = max(limits, key=lambda run: run.steps[-1])
        traces.append(horizontal(longest, stable, "stable limit", "var(--red)"))
    data, layout = stack([Panel("Learning rate", traces, log=True)], step_axis())
    numbered = {f"limit of run {i}": run for i, run in enumerate(limits, start=1)}
    numbered |= {f"rate of run {i}": run for i, run in enumerate(rates, start=1)}
    settled = f"settles at {number(stable, 3)}" if stable else "was not reached"
    return Figure(
        "edge",
        f"Followed along {count(len(limits), 'short run')}, the stable limit {settled}",
        "Each run trains a copy of the network. Its rate climbs until it meets the limit measured "
        "along the way and then follows it, at a distance if the optimizer has memory. Where the "
        "two come to rest is the stable limit; the limit at the first step can be far from it.",
        data,
        layout,
        series_tables(numbered),
    )


def rate_sweep_figure(document: Mapping) -> Figure | None:
    """Loss of trainings at several learning rates, the pick and its interval."""
    sweep = document["series"].get("rate_sweep") or {}
    pairs = sorted(
        (rate, loss)
        for rate, loss in zip(sweep.get("lr") or [], sweep.get("loss") or [], strict=False)
        if rate is not None and rate > 0 and loss is not None
    )
    if not pairs:
        return None
    known = {rate for rate, _ in pairs}
    lost = sorted(
        rate for rate in sweep["lr"] if rate is not None and rate > 0 and rate not in known
    )
    shorter = _shorter(document, {*known, *lost})
    lost = sorted({*lost, *(trial["rate"] for trial in shorter if trial.get("loss") is None)})
    shorter = [trial for trial in shorter if trial.get("loss") is not None]
    series = Series([rate for rate, _ in pairs], [loss for _, loss in pairs])
    advised, low, high = (sweep.get(key) for key in ("advised", "low", "high"))
    drawn = [*(loss for _, loss in pairs), *(trial["loss"] for trial in shorter)]
    bottom, top = min(drawn), max(drawn)
    traces = [line(series, "compared", "var(--blue)", mode="lines+markers")]
    if low and high:
        traces.insert(0, _band(low, high, bottom, top))
    if shorter:
        traces.append(_faint(shorter))
    if lost:
        cross = {"symbol": "x", "color": "var(--red)", "size": 9}
        places = {"x": lost, "y": [top] * len(lost), "mode": "markers", "marker": cross}
        traces.append({"type": "scatter", "name": "diverged", **places})
    # Where two came equally far, the one to set, as the statement beside it says.
    best = min(pairs, key=lambda pair: (pair[1], pair[0] != advised))[0]
    rates = len({*known, *lost, *(trial["rate"] for trial in _trials(document))})
    finding = f"Of {count(rates, 'rate')} tried, {number(best, 3)} reached the lowest loss"
    if any(trial["loss"] < min(loss for _, loss in pairs) for trial in shorter):
        finding += " of those compared last"  # the others are judged on fewer examples
    if sweep.get("learned") is False:
        finding = f"None of {count(rates, 'rate')} tried lowered the loss"
    if advised:
        mark = vertical(advised, bottom, top, "to set", "var(--green)")
        traces.append(mark)
        if advised != best:
            finding += f"; the rate to set is {number(advised, 3)}"
    ends = [end for end in (low, high) if end]
    shown = [*series.steps, *lost, *ends, *(trial["rate"] for trial in shorter)]
    axis = {"title": {"text": "learning rate"}, **scale(shown)}
    data, layout = stack([Panel(_judged_by(sweep), traces, log=True)], axis)
    length = sweep.get("steps")
    rows = [(rate, loss, length) for rate, loss in pairs]
    rows += [(trial["rate"], trial["loss"], trial["steps"]) for trial in shorter]
    rows += [(rate, None, None) for rate in lost]
    return Figure(
        "rate_sweep",
        finding,
        "Each point is a training of its own from the same weights, with the same batches"
        f"{_left_behind(sweep, shorter)}.{_why_set(document, advised, best)}"
        + (" The best is expected in the band." if low and high else "")
        + (" Crosses are trainings that diverged; their height means nothing." if lost else ""),
        data,
        layout,
        [capped(["learning rate", "loss", "steps"], sorted(rows, key=lambda row: row[0]))],
    )


def race_figure(document: Mapping) -> Figure | None:
    """Loss along every training of the race, by learning rate."""
    trials = [trial for trial in _trials(document) if len(trial.get("losses") or []) > 1]
    # Those that went furthest, of the first order of batches; the others say where not to look.
    longest = max((trial["steps"] for trial in trials), default=0)
    first = min((trial.get("order") or 0 for trial in trials), default=0)
    kept = [t for t in trials if 2 * t["steps"] >= longest and (t.get("order") or 0) == first]
    looks = (
        ("var(--blue)", "solid"), ("var(--orange)", "dash"), ("var(--green)", "dot"),
        ("var(--violet)", "dashdot"), ("var(--red)", "longdash"), ("var(--muted)", "longdashdot"),
    )  # fmt: skip
    if not kept or len(kept) > len(looks):
        return None
    runs = {}
    for trial in sorted(kept, key=lambda trial: trial["rate"]):
        stretch = trial["steps"] / len(trial["losses"])
        # The middle of each; rounded down, so that of one step it is the step and none comes twice.
        steps = [int((i + 0.5) * stretch) for i in range(len(trial["losses"]))]
        runs[number(trial["rate"], 3)] = Series(steps, trial["losses"])
    traces = [
        line(run, name, colour, mode="lines", line={"dash": dash})
        for (name, run), (colour, dash) in zip(runs.items(), looks, strict=False)
    ]
    data, layout = stack([Panel("Training loss", traces, log=True)], step_axis())
    return Figure(
        "race",
        f"The trainings that went furthest, {count(longest, 'step')} at most, by learning rate",
        _of_batches(any(len(trial["losses"]) < trial["steps"] for trial in kept), document),
        data,
        layout,
        series_tables(runs),
    )


def _of_batches(thinned: bool, document: Mapping) -> str:
    """What the curves of the trainings are, and what they cannot show."""
    what = "Means over stretches of steps of the loss" if thinned else "The loss at each step"
    sweep = document["series"].get("rate_sweep") or {}
    # Losses of different batches do not rank trainings that saw each example once at most.
    apart = sweep.get("averaged") is False
    ranked = " The trainings were compared on the same examples, at the end." if apart else ""
    return f"{what}, that of its batch; all trainings had the same batches.{ranked}"


def _why_set(document: Mapping, advised: float | None, best: float) -> str:
    """The rule by which the rate to set was picked, in the words of the table of settings."""
    if not advised:
        return ""
    if advised == best:
        return " The rate to set is that of the least loss."
    meaning = ((document.get("advice") or {}).get("set") or {}).get("meaning")
    if not meaning and (document["series"].get("rate_sweep") or {}).get("middle"):
        meaning = "in the middle of those that did about as well"
    return f" The rate to set: {meaning}." if meaning else ""


def _trials(document: Mapping) -> list[Mapping]:
    """The trainings of the race that a document keeps."""
    trials = document["series"].get("race")
    trials = trials if isinstance(trials, list) else []
    return [trial for trial in trials if trial.get("rate") and trial.get("steps")]


def _shorter(document: Mapping, compared: set[float]) -> list[Mapping]:
    """Trainings at other rates than those compared last, of the first order, by rate."""
    trials = [trial for trial in _trials(document) if trial["rate"] not in compared]
    first = min((trial.get("order") or 0 for trial in trials), default=0)
    kept = [trial for trial in trials if (trial.get("order") or 0) == first]
    return sorted(kept, key=lambda trial: trial["rate"])


def _judged_by(sweep: Mapping) -> str:
    """What the loss of a training is that is compared; short, for narrow screens cut it."""
    steps, averaged = sweep.get("steps"), sweep.get("averaged")
    if not steps:
        return "Training loss compared"
    if averaged is None:
        return f"Training loss after {number(steps)} steps"
    what = "Mean loss in the last quarter of" if averaged else "Loss of the same examples after"
    return f"{what} {number(steps)} steps"


def _left_behind(sweep: Mapping, shorter: Sequence[Mapping]) -> str:
    """What the hollow points are, and how they are judged, where that is another way."""
    if not shorter:
        return ""
    apart = ", those of less than two epochs with their loss on the same examples"
    told = "; the hollow ones were left behind after fewer steps"
    return told + (apart if sweep.get("averaged") else "")


def _faint(trials: list[Mapping]) -> dict:
    """Trainings that were ended early, each with its length."""
    return {
        "type": "scatter", "name": "fewer steps", "mode": "markers",
        "x": [trial["rate"] for trial in trials], "y": [trial["loss"] for trial in trials],
        "text": [f"after {number(trial['steps'])} steps" for trial in trials],
        "marker": {"symbol": "circle-open", "color": "var(--muted)", "size": 8},
    }  # fmt: skip


def _band(low: float, high: float, bottom: float, top: float) -> dict:
    """Where the best rate is expected."""
    area = {"x": [low, low, high, high], "y": [bottom, top, top, bottom], "fill": "toself"}
    still = {"hoverinfo": "skip", "line": {"width": 0, "color": "var(--green)"}, "opacity": 0.25}
    return {
        "type": "scatter", "name": "expected", "mode": "lines", "fillcolor": "var(--green)",
        **area, **still,
    }  # fmt: skip
