"""What a fitted table's part of the page shows, as plain data for its template."""

from collections.abc import Mapping
from typing import Any

from overparam.report.diagnosis import origin
from overparam.report.figures.figure import Table
from overparam.report.figures.fit import fit_figures
from overparam.report.numbers import count, number
from overparam.report.statements import outcome, statement_rows


def fit_view(document: Mapping) -> dict[str, Any]:
    """Everything the template of a fitted table fills in."""
    statements = statement_rows(document["statements"] or [])
    model, data = document["model"], document["data"]
    target, name = data.get("target"), data.get("name")
    title = f"{target or 'The target'} from {name}" if name else str(target or "A fitted table")
    return {
        "template": "fit.html.j2",
        "kind": "Fit",
        "title": title,
        "facts": _facts(document),
        "statements": statements,
        "outcome": outcome(statements),
        "settings": [
            {"name": key.replace("_", " "), "value": value}
            for key, value in (model.get("settings") or {}).items()
        ],
        "model": model.get("name"),
        "measures": _measures(document),
        "figures": fit_figures(document),
        "origin": origin(document),
    }


def _facts(document: Mapping) -> list[str]:
    """What was fitted to what, in a line."""
    model, data = document["model"], document["data"]
    facts = [str(model["name"])] if model.get("name") else []
    for key, noun in (("rows", "row"), ("columns", "column"), ("classes", "class")):
        if data.get(key):
            facts.append(count(data[key], noun, "classes" if noun == "class" else ""))
    if data.get("missing"):
        facts.append(f"{number(data['missing'])} missing values, imputed")
    if data.get("left_out"):
        facts.append(f"left out: {', '.join(map(str, data['left_out']))}")
    return facts


def _measures(document: Mapping) -> Table | None:
    """Every measure of every model, the best by the metric first."""
    rows = [row for row in document["scores"] or [] if row.get("mean") is not None]
    names = list(dict.fromkeys(name for row in rows for name in row.get("measures") or {}))
    if not names:
        return None
    ordered = sorted(rows, key=lambda row: -row["mean"])
    return Table(
        ["model", *names],
        [
            [row.get("name"), *((row.get("measures") or {}).get(name) for name in names)]
            for row in ordered
        ],
    )
