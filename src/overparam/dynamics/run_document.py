"""A watched run as text, as a table, and as the plain data a page is drawn from."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import torch

from overparam._environment import environment
from overparam._json import strict
from overparam._statement import Concluded, Statement
from overparam.dynamics.events import Event
from overparam.dynamics.instruments import ProbeStatus
from overparam.dynamics.record import Record

_COLUMNS = ("probe", "status", "times", "cost", "part", "next", "last value")


@dataclass(frozen=True)
class Facts:
    """What is watched, and how far it has come.

    Attributes:
        model: Name of the class.
        parameters: Number of those that are trained.
        optimizer: Name of the class.
        steps: Optimizer steps so far.
        overhead: Own time as a part of training time; `nan` before any.
        limit: What it may be.
        step_seconds: Time of a step of training.
        trouble: What ended the watch, if anything.
    """

    model: str
    parameters: int
    optimizer: str
    steps: int
    overhead: float
    limit: float
    step_seconds: float
    trouble: str = ""


class RunDocument(Concluded):
    """A run as plain data, which can be stored and drawn."""

    def __init__(self, plain: dict[str, Any]) -> None:
        self._plain = plain

    def _statements(self) -> Iterable[Statement]:
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it."""
        return self._plain


def as_document(
    facts: Facts, probes: Sequence[ProbeStatus], record: Record, events: Sequence[Event]
) -> dict[str, Any]:
    """The form that a page is drawn from."""
    return strict(
        {
            "kind": "run",
            "environment": environment(
                seconds=facts.step_seconds * facts.steps if facts.steps else 0.0,
                seed=0,
                threads=torch.get_num_threads(),
            ),
            "model": {"name": facts.model, "parameters": facts.parameters},
            "optimizer": facts.optimizer,
            "steps": facts.steps,
            "overhead": facts.overhead,
            "max_overhead": facts.limit,
            "probes": [
                {"name": probe.name, **dict(zip(_COLUMNS[1:], row, strict=True))}
                | ({"lacks": probe.lacks} if probe.lacks else {})
                for probe, row in zip(probes, _rows(facts, probes, record), strict=True)
            ],
            "events": [event.to_dict() for event in events],
            "series": record.series(),
        }
    )


def in_a_line(facts: Facts, probes: Sequence[ProbeStatus]) -> str:
    """What is watched, with what, and what is not measured."""
    names = [probe.name for probe in probes if _measures(probe)]
    silent = [probe.name for probe in probes if not _measures(probe)]
    parts = [
        f"{facts.model} with {facts.optimizer}",
        f"{facts.steps} steps",
        f"measures {', '.join(names) or 'loss and rate only'}",
        *([f"not {', '.join(silent)}"] if silent else []),
        _overhead(facts),
    ]
    return f"<Monitor: {'; '.join(parts)}>"


def as_text(
    facts: Facts, probes: Sequence[ProbeStatus], record: Record, events: Sequence[Event]
) -> str:
    """A head, a table, and why some probes say nothing."""
    rows = [
        [probe.name, *row] for probe, row in zip(probes, _rows(facts, probes, record), strict=True)
    ]
    silent: dict[str, list[str]] = {}  # by the reason, which several probes may share
    for row in rows:
        if len(row[1]) > _LONGEST:
            silent.setdefault(row[1], []).append(row[0])
    reasons = [f"{', '.join(names)}: {why}" for why, names in silent.items()]
    reasons += [f"{probe.name}, without {probe.lacks}" for probe in probes if probe.lacks]
    rows = [[row[0], _short(row[1]), *row[2:]] for row in rows]
    table = [list(_COLUMNS), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(_COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return "\n".join([*_head(facts, events), "", *lines, *([""] if reasons else []), *reasons])


def as_html(
    facts: Facts, probes: Sequence[ProbeStatus], record: Record, events: Sequence[Event]
) -> str:
    """The same for a notebook."""
    head = "".join(f"<p>{escape(line)}</p>" for line in _head(facts, events))
    top = "".join(f"<th>{escape(column)}</th>" for column in _COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in [probe.name, *row]) + "</tr>"
        for probe, row in zip(probes, _rows(facts, probes, record), strict=True)
    )
    lacks = (f"{probe.name}, without {probe.lacks}" for probe in probes if probe.lacks)
    foot = "".join(f"<p>{escape(line)}</p>" for line in lacks)
    return f"{head}<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{foot}"


_LONGEST = 32


def _short(words: str) -> str:
    first = words.split(":")[0]
    return (
        words if len(words) <= _LONGEST else (first if len(first) <= _LONGEST else f"{first[:29]}…")
    )


def _head(facts: Facts, events: Sequence[Event]) -> list[str]:
    kinds = Counter(event.kind for event in events)
    spikes = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    step = "" if math.isnan(facts.step_seconds) else f" of {_time(facts.step_seconds)}"
    return [
        f"{facts.model}, {facts.parameters:,} parameters, {facts.optimizer}: "
        f"{facts.steps:,} steps{step}, {_overhead(facts)}",
        f"Spikes of the loss: {spikes or 'none'}",
        *([f"Switched off after {facts.trouble}"] if facts.trouble else []),
    ]


def _overhead(facts: Facts) -> str:
    used = "none yet" if math.isnan(facts.overhead) else f"{100 * facts.overhead:.1f} %"
    limit = "no limit" if math.isinf(facts.limit) else f"{100 * facts.limit:g} %"
    return f"overhead {used} of {limit}"


def _rows(facts: Facts, probes: Sequence[ProbeStatus], record: Record) -> list[list[str]]:
    """What the table says of each probe, after its name."""
    found = []
    for probe in probes:
        cost = "" if math.isnan(probe.seconds) else _time(probe.seconds)
        if cost and facts.step_seconds > 0:
            cost += f" = {probe.seconds / facts.step_seconds:.2g} steps"
        due = "" if math.isnan(probe.due) else f"in {probe.due:.0f} steps"
        part = f"1/{1 / probe.part:.0f}" if probe.part < 1 else "all"
        part = part if probe.times else ""
        row = [probe.status, str(probe.times), cost, part, due if _measures(probe) else ""]
        found.append([*row, _last(probe, record)])
    return found


def _last(probe: ProbeStatus, record: Record) -> str:
    """Its first number, as last measured, and whether that had converged."""
    if not probe.times or not probe.keys:
        return ""
    key = probe.keys[0]
    settled = [name for name in probe.keys if name.endswith("_converged")]
    doubt = " (not converged)" if settled and record.last(settled[0]) == 0 else ""
    return f"{key} {record.last(key):.3g}{doubt}"


def _measures(probe: ProbeStatus) -> bool:
    return not math.isnan(probe.due) or probe.status.startswith(("measures", "not yet measured"))


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2g} s"
    return f"{1e3 * seconds:.2g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.2g} µs"
