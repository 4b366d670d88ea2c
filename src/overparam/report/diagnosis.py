"""What a diagnosis's part of the page shows, as plain data for its template."""

from collections.abc import Mapping
from typing import Any

from overparam.report.advice import settings
from overparam.report.events import event_table, settled_events
from overparam.report.figures.diagnosis import diagnosis_figures
from overparam.report.figures.figure import Table, leading
from overparam.report.images import grey_image
from overparam.report.numbers import duration, number, percent
from overparam.report.series import read_series
from overparam.report.settled import TELLING, parted
from overparam.report.statements import outcome, statement_of, statement_rows, targets

LONGEST_LIST = 50


def diagnosis_view(document: Mapping) -> dict[str, Any]:
    """Everything the template of a diagnosis fills in."""
    statements = statement_rows(document["statements"] or [], targets(document))
    return {
        "template": "diagnosis.html.j2",
        "kind": "Diagnosis",
        "title": _title(document),
        "facts": _facts(document),
        "statements": statements,
        "outcome": outcome(statements),
        "settings": settings(document["advice"]),
        "figures": diagnosis_figures(document),
        "events": event_table(settled_events(document)),
        "no_spikes": _no_spikes(document),
        "suspects": _suspects(document["suspects"]),
        "targets": targets(document),
        "no_suspects": _no_suspects(document),
        "numbers": _numbers(document),
        "origin": origin(document),
    }


def _title(document: Mapping) -> str:
    """The model and its data."""
    model, data = document["model"].get("name"), document["data"].get("name")
    return f"{model or 'A network'} on {data}" if data else str(model or "A network")


def _facts(document: Mapping) -> list[str]:
    """What was trained on what, in a line."""
    model, data = document["model"], document["data"]
    facts = []
    if model.get("parameters") is not None:
        facts.append(f"{number(model['parameters'])} parameters")
    if model.get("parametrisation"):
        facts.append(f"{model['parametrisation']} parametrisation")
    samples = [
        f"{number(data[part])} {word}" for part, word in _PARTS if data.get(part) is not None
    ]
    if samples:
        facts.append(f"{' + '.join(samples)} examples")
    if data.get("classes"):
        facts.append(f"{number(data['classes'])} classes")
    facts += [
        str(value) for value in (data.get("loss"), document["advice"].get("optimizer")) if value
    ]
    if data.get("batch_size"):
        facts.append(f"batches of {number(data['batch_size'])}")
    if data.get("steps_run") is not None:
        epochs = data.get("epochs_run")
        within = f" in {number(epochs)} epochs" if epochs is not None else ""
        facts.append(f"{number(data['steps_run'])} steps{_cut(data)}{within}")
    return facts


def _cut(data: Mapping) -> str:
    """How many steps were planned and what ended the run, where it ended before."""
    planned, steps = data.get("steps_planned"), data["steps_run"]
    why = _ENDED.get(str(data.get("stopped")))
    if why is None or planned is None or planned <= steps:
        return ""
    return f" of {number(planned)} ({why})"


_ENDED = {
    "budget": "its part of the budget was used up",
    "interpolated": "nothing was left to learn",
    "diverged": "it diverged",
}
_PARTS = (("train", "training"), ("test", "test"))


def _no_spikes(document: Mapping) -> str:
    """What stands where there is no spike in the table: what is said of spikes, if that is bad."""
    said = statement_of(document, "spikes")
    return str(said.get("text") or "") if said.get("level") == "critical" else ""


def _no_suspects(document: Mapping) -> str:
    """What stands where no label is listed: why, in the words of the statement on labels."""
    said = statement_of(document, "labels")
    level, text = said.get("level"), str(said.get("text") or "")
    if level == "unknown":
        return f"Not judged. {text}"
    if document["suspects"] is None:
        return f"{targets(document).capitalize()} were not scored."
    return f"None listed. {text}" if text else "None found."


def _suspects(suspects: list[Mapping] | None) -> dict[str, Any] | None:
    """The suspect labels, with pictures where the inputs have any."""
    if suspects is None:
        return None
    keys = ("id", "label", "predicted", "score", "posterior")
    rows = [
        {**{key: row.get(key) for key in keys}, "picture": grey_image(row.get("image"))}
        for row in suspects[:LONGEST_LIST]
    ]
    return {
        "rows": rows,
        "pictures": any(row["picture"] for row in rows),
        "left_out": max(0, len(suspects) - LONGEST_LIST),
    }


def _numbers(document: Mapping) -> dict[str, Table]:
    """The run in numbers: each series summed up, and the layers."""
    tables = measured_numbers(document)
    layers = document["model"].get("layers") or []
    if layers:
        cells = [[layer.get(key) for key in ("name", "type", "parameters")] for layer in layers]
        tables["Layers"] = leading(["layer", "type", "parameters"], cells)
    return tables


def measured_numbers(document: Mapping) -> dict[str, Table]:
    """Each series summed up, without the measurements that did not settle, which are counted."""
    rows = []
    for name in document["series"]:
        series = read_series(document, name)
        if series is None or name in TELLING:
            continue
        series, left = parted(document, name, series)
        values = (
            [len(series.measured), series.first, series.last, series.lowest, series.highest]
            if series
            else [0, *[None] * 4]
        )
        rows.append([_called(name), *values, len(left.measured) if left else None])
    if not rows:
        return {}
    columns = ["series", "values", "first", "last", "lowest", "highest", "did not settle"]
    if all(row[-1] is None for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return {"What was measured along the run": Table(columns, rows)}


def _called(name: str) -> str:
    """A series in words; eigenvalues with their matrix, since another has some, too."""
    of = " of the leading directions" if name.startswith("eigenvalue_") else ""
    return name.replace("_", " ") + of


def origin(document: Mapping) -> dict[str, Any]:
    """Where the numbers come from: the command, and rows of (label, value)."""
    environment = document["environment"]
    seconds, budget = environment.get("seconds"), environment.get("budget_seconds")
    if seconds is None:
        seconds = document.get("seconds")
    within = f" of a budget of {duration(budget)}" if budget is not None else ""
    seed = environment.get("seed", document.get("seed"))
    apart = {"command", "seed"}
    rows = [
        (key, str(value))
        for key, value in environment.items()
        if not key.endswith("seconds") and key not in apart and isinstance(value, str | int)
    ]
    rows += [("seed", str(seed))] if seed is not None else []
    rows += [("duration", duration(seconds) + within)] if seconds is not None else []
    overhead = (
        read_series(document, "overhead") if document["kind"] in ("diagnosis", "run") else None
    )
    if overhead is not None:
        highest = f"at the end, {percent(overhead.highest)} at most"
        rows.append(
            ("cost of measuring", f"{percent(overhead.last)} of the training time {highest}")
        )
    return {"command": environment.get("command"), "rows": rows}
