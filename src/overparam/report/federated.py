"""What a federated simulation's part of the page shows, as plain data for its template."""

from collections.abc import Mapping, Sequence
from typing import Any

from overparam.report.diagnosis import origin
from overparam.report.figures.federated import federated_figures, vertical
from overparam.report.numbers import count, number
from overparam.report.statements import outcome, statement_rows


def federated_view(document: Mapping) -> dict[str, Any]:
    """Everything the template of a federated simulation fills in."""
    statements = statement_rows(document["statements"] or [])
    names = list(dict.fromkeys(str(run.get("algorithm")) for run in document["runs"] or []))
    return {
        "template": "federated.html.j2",
        "kind": "Federated",
        "title": " against ".join(names[:1] + [", ".join(names[1:])] * (len(names) > 1))
        or "A federated simulation",
        "facts": _facts(document),
        "statements": statements,
        "outcome": outcome(statements),
        "runs": _runs(document["runs"] or []),
        "tuning": _tuning(document["tuning"] or []),
        "figures": federated_figures(document),
        "origin": origin(document),
    }


def _facts(document: Mapping) -> list[str]:
    """What was simulated, in a line."""
    spec, data, clients = (document[name] for name in ("spec", "data", "clients"))
    facts = [str(data["name"])] if data.get("name") else []
    apart = vertical(document)
    if clients.get("count"):
        whom = ("party", "parties") if apart else ("client",)
        facts.append(count(round(clients["count"]), *whom))
    if spec.get("rounds"):
        facts.append(count(round(spec["rounds"]), "epoch" if apart else "round"))
    partition = dict(spec.get("partition") or {})
    if partition and clients.get("sizes"):
        kind = partition.pop("kind", "")
        facts.append(f"{kind} partition {number(partition) if partition else ''}".strip())
        sizes = [size for size in clients["sizes"] if size is not None]
        if sizes:
            facts.append(f"{number(min(sizes))} to {number(max(sizes))} examples each")
    return facts


def _runs(runs: Sequence[Mapping]) -> dict[str, Any] | None:
    """A row for every run."""
    if not runs:
        return None
    columns = ("test_accuracy", "test_loss", "floats")
    rows = []
    for run in runs:
        curve = run.get("curve") or {}
        ends = [next((v for v in reversed(curve.get(c) or []) if v is not None), None)
                for c in columns]  # fmt: skip
        rows.append([run.get("algorithm"), run.get("seed"), *ends, run.get("engine")])
    return {
        "columns": ["algorithm", "seed", "test accuracy", "test loss", "numbers sent", "engine"],
        "rows": rows,
        "left_out": 0,
    }


def _tuning(rows: Sequence[Mapping]) -> dict[str, Any] | None:
    """A row for every algorithm that was tuned."""
    if not rows:
        return None
    return {
        "columns": ["algorithm", "trials", "tried", "best", "worth"],
        "rows": [
            [
                row.get("algorithm"),
                len(row.get("trials") or []),
                number(row.get("windows") or {}),
                number(row.get("best") or {}),
                row.get("value"),
            ]
            for row in rows
        ],
        "left_out": 0,
    }
