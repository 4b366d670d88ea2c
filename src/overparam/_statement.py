"""A conclusion with the number it rests on, and what a result that ends in such is good for."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

from overparam._files import write_whole
from overparam._json import to_json

Level = Literal["critical", "warning", "info", "good", "unknown"]
_URGENCY: dict[str, int] = {"critical": 0, "warning": 1, "info": 2, "good": 3, "unknown": 4}


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
        bar: The threshold in words, with its unit, where the text does not tell it.
    """

    name: str
    text: str
    value: float
    threshold: float
    action: str
    level: Level
    bar: str = ""


def most_urgent_first(statements: Iterable[Statement]) -> list[Statement]:
    """Sorted by level, those of one level in the order given.

    What there is no need to act on comes after the learning rate, which is what was asked for.
    """

    def place(statement: Statement) -> float:
        at = _URGENCY[statement.level]
        return min(at, _URGENCY["info"] - 0.5) if statement.name == "learning_rate" else at

    return sorted(statements, key=place)


class Concluded:
    """A result that is plain data and ends in statements: it is read, stored and drawn."""

    def _statements(self) -> Iterable[Statement]:
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it: a number that is not finite becomes `None`."""
        raise NotImplementedError

    def summary(self) -> str:
        """The statements as lines of text, the most urgent first."""
        lines = []
        for statement in self._statements():
            lines.append(f"[{statement.level}] {statement.text}")
            if statement.action:
                lines.append(f"    → {statement.action}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        """In a line: a prompt shows it, and the data behind it may be thousands of numbers."""
        said = most_urgent_first(self._statements())
        counts = Counter(statement.level for statement in said)
        told = ", ".join(f"{count} {level}" for level, count in counts.items()) or "none"
        first = next((s.action or s.text for s in said), "")
        return f"<{type(self).__name__}: {first} (statements: {told}; .summary() prints them)>"

    def _repr_html_(self) -> str:
        """The statements for a notebook, the most urgent first."""
        items = "".join(
            f"<li><b>{escape(s.level)}</b> {escape(s.text)}"
            + (f"<br>→ {escape(s.action)}" if s.action else "")
            + "</li>"
            for s in self._statements()
        )
        return f"<p><b>{escape(type(self).__name__)}</b></p><ul>{items}</ul>"

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Everything as JSON text, also written to `path` if one is given."""
        text = to_json(self.to_dict())
        if path is not None:
            write_whole(path, text)
        return text

    def report(self, path: str | os.PathLike[str]) -> Path:
        """One offline HTML page, drawn from what `to_dict` gives; returns its path."""
        # The page is above this layer and knows only JSON. A method here spares the user an
        # import; loading it now would also cost every result the templates.
        from overparam.report.page import write_report

        return write_report([self.to_dict()], Path(path))
