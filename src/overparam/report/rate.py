"""What a suggested learning rate's part of the page shows, as plain data for its template."""

from collections.abc import Mapping, Sequence
from typing import Any

from overparam.report.diagnosis import origin
from overparam.report.figures.rates import race_figure, rate_sweep_figure
from overparam.report.numbers import count, number
from overparam.report.statements import outcome, statement_rows


def rate_view(document: Mapping) -> dict[str, Any]:
    """Everything the template of a suggested rate fills in."""
    statements = statement_rows(document["statements"] or [])
    series = {"rate_sweep": document["curve"], "race": document["trials"]}
    drawn = (draw({"series": series}) for draw in (rate_sweep_figure, race_figure))
    rate = document.get("rate")
    return {
        "template": "rate.html.j2",
        "kind": "Learning rate",
        "title": f"Learning rate {number(rate, 3)}" if rate else "A learning rate",
        "facts": _facts(document),
        "statements": statements,
        "outcome": outcome(statements),
        "compared": _compared(document.get("compared") or []),
        "figures": [figure for figure in drawn if figure is not None],
        "origin": origin(document),
    }


def _facts(document: Mapping) -> list[str]:
    """What was compared, in a line."""
    facts = [str(document["optimizer"])] if document.get("optimizer") else []
    if document.get("batch_size"):
        facts.append(f"batches of {number(document['batch_size'])}")
    if document.get("steps"):
        steps, planned = document["steps"], document.get("planned_steps")
        of = f" of {number(planned)} planned" if planned and planned != steps else ""
        facts.append(f"trainings of {number(steps)}{of} steps")
    if document["trials"]:
        facts.append(count(len(document["trials"]), "training"))
    if document.get("trial_steps"):
        facts.append(f"{number(document['trial_steps'])} steps in all")
    return facts


def _compared(rows: Sequence[Mapping]) -> dict[str, Any] | None:
    """What else was tried, beside the training planned."""
    if not rows:
        return None
    columns = ["what", "which", "best rate", "loss at the end", "steps", "steps of all trainings"]
    keys = ("kind", "name", "rate", "loss", "steps", "trial_steps")
    return {
        "columns": columns,
        "rows": [[row.get(key) for key in keys] for row in rows],
        "left_out": 0,
    }
