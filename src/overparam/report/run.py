"""What a watched run's part of the page shows, as plain data for its template."""

from collections.abc import Mapping
from typing import Any

from overparam.report.diagnosis import measured_numbers, origin
from overparam.report.events import event_table, settled_events
from overparam.report.figures.diagnosis import diagnosis_figures
from overparam.report.figures.figure import Table
from overparam.report.numbers import count, number, percent

_COLUMNS = ("name", "status", "times", "cost", "part", "next", "last value")


def run_view(document: Mapping) -> dict[str, Any]:
    """Everything the template of a run fills in."""
    rows = [[probe.get(key) or None for key in _COLUMNS] for probe in document["probes"] or []]
    return {
        "template": "run.html.j2",
        "kind": "Run",
        "title": str(document["model"].get("name") or "A network"),
        "facts": _facts(document),
        "probes": Table(["probe", *_COLUMNS[1:]], rows),
        "figures": diagnosis_figures(document),
        "events": event_table(settled_events(document)),
        "numbers": measured_numbers(document),
        "origin": origin(document),
    }


def _facts(document: Mapping) -> list[str]:
    """What was trained and how long, and what watching cost, in a line."""
    parameters, steps = document["model"].get("parameters"), document.get("steps")
    facts = [f"{number(parameters)} parameters"] if parameters is not None else []
    facts += [str(document["optimizer"])] if document.get("optimizer") else []
    facts += [count(steps, "step")] if isinstance(steps, int) else []
    if document.get("overhead") is not None:
        limit = document.get("max_overhead")
        of = f" of {percent(limit)}" if limit is not None else ""
        facts.append(f"watching cost {percent(document['overhead'])}{of}")
    return facts
