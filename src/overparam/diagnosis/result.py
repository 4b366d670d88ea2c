"""What a diagnosis is: plain data, in the form of the JSON it is stored as."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from overparam._files import write_whole
from overparam._json import strict

Level = Literal["good", "info", "warning", "critical", "unknown"]


@dataclass(frozen=True)
class Statement:
    """One conclusion, with the number and the threshold it came from.

    Attributes:
        name: What it is about, such as ``"learning_rate"``.
        text: The conclusion, a sentence or two.
        value: The number it rests on; `nan` if it could not be measured.
        threshold: What the number was compared with; `nan` if nothing applies.
        action: What to do about it; empty if nothing.
        level: How much it matters; ``"unknown"`` says that the run cannot tell.
    """

    name: str
    text: str
    value: float
    threshold: float
    action: str
    level: Level


@dataclass(frozen=True)
class Diagnosis:
    """The outcome of `diagnose`, as plain data; every field is as in its JSON.

    Attributes:
        environment: Versions, machine, seed, time taken.
        model: Parameters, layers, parametrisation.
        data: Sizes, classes, what was trained and for how long.
        advice: Numbers to use: learning rate, its stable limit, batch sizes, momentum, MaSS.
        statements: Conclusions, the most urgent first.
        events: Loss spikes and their causes.
        suspects: Training examples whose labels look wrong, the most suspicious first.
        series: What was measured along the way, by name.
    """

    environment: dict[str, Any]
    model: dict[str, Any]
    data: dict[str, Any]
    advice: dict[str, Any]
    statements: list[Statement] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    suspects: list[dict[str, Any]] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> str:
        """The statements as lines of text, the most urgent first."""
        lines = []
        for statement in self.statements:
            lines.append(f"[{statement.level}] {statement.text}")
            if statement.action:
                lines.append(f"    → {statement.action}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it: a number that is not finite becomes `None`."""
        return strict({"kind": "diagnosis", **asdict(self)})

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Everything as JSON text, also written to `path` if one is given."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)
        if path is not None:
            write_whole(path, text)
        return text

    def report(self, path: str | os.PathLike[str]) -> Path:
        """One offline HTML page, drawn from what `to_dict` gives; returns its path."""
        # The page is above this layer and knows only JSON. A method here spares the user an
        # import; loading it now would also cost every diagnosis the templates.
        from overparam.report.page import write_report

        return write_report([self.to_dict()], Path(path))
