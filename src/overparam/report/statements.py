"""Statements as a page lists them: by severity, each with its level in words."""

from collections import Counter
from collections.abc import Mapping, Sequence

from overparam.report.numbers import count

LEVELS = {
    "critical": ("Critical", "critical"),
    "warning": ("Warning", "warnings"),
    "unknown": ("Cannot tell", "cannot tell"),
    "info": ("Note", "notes"),
    "good": ("Good", "good"),
}


def statement_of(document: Mapping, name: str) -> Mapping:
    """What a document says of a subject; empty if it says nothing."""
    said = document.get("statements") or []
    return next((statement for statement in said if statement.get("name") == name), {})


def targets(document: Mapping) -> str:
    """What the targets of a training are called: only classes have labels."""
    return "targets" if document["data"].get("task") == "regression" else "labels"


def statement_rows(statements: Sequence[Mapping], labels: str = "labels") -> list[dict]:
    """The statements by severity, each with its level in words.

    Args:
        statements: As a document has them.
        labels: What the targets of the training are called.
    """
    order = list(LEVELS)
    rows = []
    for statement in statements:
        level = str(statement.get("level"))
        level = level if level in LEVELS else "info"
        name = str(statement.get("name") or "").replace("_", " ")
        name = (labels if name == "labels" else name).capitalize()
        which = str(statement.get("name"))
        shown = {"name": name, "which": which, "level": level, "word": LEVELS[level][0]}
        rows.append(
            {**dict.fromkeys(("text", "value", "threshold", "action", "bar")), **statement, **shown}
        )
    warned = order.index("warning")

    def place(row: dict) -> tuple[int, bool]:
        """That of its level; a rate, which is what was asked for, comes next after warnings."""
        at, rate = order.index(row["level"]), row["which"] == "learning_rate"
        return (min(at, warned), at > warned) if rate else (at, False)

    return sorted(rows, key=place)


def outcome(statements: list[dict]) -> list[tuple[str, str]]:
    """How many statements there are of each level, worst first, as (level, words)."""
    amounts = Counter(statement["level"] for statement in statements)
    return [
        (level, count(amounts[level], one.lower(), several))
        for level, (one, several) in LEVELS.items()
        if amounts[level]
    ]
