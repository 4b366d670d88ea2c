"""What was made of a table before anything was learned, in sentences."""

import math

import numpy as np
from scipy.stats import skew

from overparam._statement import Statement
from overparam.fitting.table import Table
from overparam.fitting.target import SKEWED


def target(table: Table) -> list[Statement]:
    """What the target was taken for where it could be something else, and how to change that."""
    made = [*_kind(table), *_scale(table)]
    return made


def reading(table: Table) -> list[Statement]:
    """Columns that were left out, and notes on how others were read."""
    made = []
    if table.left_out:
        names = ", ".join(f"{name} ({why})" for name, why in table.left_out.items())
        made.append(_statement("left_out", f"Left out: {names}.", len(table.left_out)))
    notes = [column for column in table.reader.used if column.note]
    if notes:
        words = "; ".join(f"{column.name}: {column.note}" for column in notes)
        made.append(_statement("reading", f"How columns were read: {words}.", len(notes)))
    return made


def _kind(table: Table) -> list[Statement]:
    if table.task_was_set:
        return []
    if table.kind == "class":
        if table.class_type != "numbers" or len(table.class_names) < 3:
            return []
        names = table.class_names
        text = (
            f"{table.target} takes {len(names)} whole values, {names[0]} to {names[-1]}, and is "
            "taken for classes: each is learned for itself, their order and distances are not."
        )
        action = "If they are grades, counts or amounts, say --task regression."
        return [_statement("target", text, len(names), action)]
    if table.kind == "quantity":
        return []
    values = table.scale.ends(table.y)
    number = len(np.unique(values))
    of = "a count" if table.kind == "count" else "grades"
    why = f": {table.kind_reason}" if table.kind_reason else ""
    text = f"{table.target} takes {number} whole values and is taken for {of}{why}."
    action = "If they are names of classes, say --task classification." if number <= 50 else ""
    return [_statement("target", text, number, action)]


def _scale(table: Table) -> list[Statement]:
    if table.is_classification or table.scale_was_set:
        return _forced(table)
    name, scale = table.target, table.scale.name
    if scale == "linear":
        return _forced(table)
    values = table.scale.ends(table.y)
    skewed = float(skew(values))
    if scale == "log":
        text = (
            f"{name} is skewed ({skewed:.1f}) and positive: its logarithm is learned and scored "
            f"(skewness {abs(float(skew(table.y))):.1f}), and predictions are medians."
        )
    else:
        text = (
            f"{name} is a count: its square root is learned and scored, on which the spread of a "
            "count does not grow with it; predictions are means."
        )
    return [_statement("scale", text, skewed, "To learn it as it is, say --scale linear.")]


def _forced(table: Table) -> list[Statement]:
    """That a logarithm would have been worth it, where none is taken."""
    if table.is_classification or table.scale.name != "linear" or table.kind == "ordinal":
        return []
    skewed = float(skew(table.y))
    if not skewed > SKEWED:
        return []
    positive = table.y.min() > 0
    text = f"{table.target} has a long tail (skewness {skewed:.1f}); squares look at the tail most."
    if positive:
        return [_statement("scale", text, skewed, "--scale log learns and scores its logarithm.")]
    if table.y.min() == 0:
        return [_statement("scale", text, skewed, "--scale sqrt learns and scores its root.")]
    return []


def _statement(name: str, text: str, value: float, action: str = "") -> Statement:
    return Statement(name, text, value, math.nan, action, "info")
