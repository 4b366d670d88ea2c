"""What an electrode's part of the page shows, as plain data for its template."""

from collections.abc import Mapping, Sequence
from typing import Any

from overparam.report.diagnosis import origin
from overparam.report.figures.electrode import electrode_figures
from overparam.report.numbers import count, number
from overparam.report.statements import outcome, statement_rows


def electrode_view(document: Mapping) -> dict[str, Any]:
    """Everything the template of an electrode fills in."""
    statements = statement_rows(document["statements"] or [])
    words = [str(row.get("words") or row.get("name")) for row in document["objectives"] or []]
    return {
        "template": "electrode.html.j2",
        "kind": "Electrode",
        "title": f"An electrode for {' or '.join(words)}" if words else "An electrode",
        "facts": _facts(document),
        "statements": statements,
        "outcome": outcome(statements),
        "chosen": _chosen(document["series"].get("chosen") or []),
        "figures": electrode_figures(document),
        "origin": origin(document),
    }


def _facts(document: Mapping) -> list[str]:
    """What was simulated, in a line."""
    facts = [str(document["process"]["name"])] if document["process"].get("name") else []
    for name, window in (document["process"].get("bounds") or {}).items():
        facts.append(f"{str(name).replace('_', ' ')} {' to '.join(map(number, window or []))}")
    stages = (document["series"].get("designs") or {}).get("stage") or []
    if stages:
        facts.append(f"{count(len(stages), 'design')} simulated")
    return facts


def _chosen(rows: Sequence[Mapping]) -> dict[str, Any] | None:
    """The designs that are drawn, a column each: what they are made like, and give."""
    parts = ("parameters", "structure", "objectives")
    names = [(part, name) for part in parts for name in (rows[0].get(part) or {})] if rows else []
    if not names:
        return None
    return {
        "columns": ["", *(row.get("label") for row in rows)],
        "rows": [
            [str(name).replace("_", " "), *((row.get(part) or {}).get(name) for row in rows)]
            for part, name in names
        ],
        "left_out": 0,
    }
