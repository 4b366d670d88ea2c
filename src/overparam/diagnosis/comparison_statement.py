"""What a comparison of optimizers, batch sizes or warm-ups says, in words."""

import math
from collections.abc import Sequence

from overparam._statement import Statement
from overparam.diagnosis.race.variant import Reached

# Two trainings in other orders of batches differ by less than this part of their loss, mostly:
# what is better by less is not called better.
_BETTER = 0.2


def comparison_statements(rows: Sequence[Reached]) -> list[Statement]:
    """One for each thing that was varied; the first row of its kind is the training planned."""
    kinds = dict.fromkeys(row.kind for row in rows)
    said = {"optimizer": _optimizers, "batch size": _batch_sizes, "warm-up": _warm_ups}
    return [said[kind]([row for row in rows if row.kind == kind]) for kind in kinds]


def level_rows(rows: Sequence[Reached]) -> list[Reached]:
    """Rows whose loss is above the least by no more than chance, in the order given."""
    known = [row for row in rows if math.isfinite(row.loss)]
    least = min((row.loss for row in known), default=math.nan)
    return [row for row in known if row.loss <= least + _BETTER * abs(least)]


def _optimizers(rows: list[Reached]) -> Statement:
    own, level = rows[0], level_rows(rows)
    text = f"{_list(rows)}."
    if not _compared(rows):
        return _unknown("optimizer", text)
    best = min(level, key=lambda row: row.loss)
    if own in level:
        text += f" None is better than {own.name} by a fifth."
        return Statement("optimizer", text, own.loss, best.loss, "", "good")
    action = f"Change to {best.name}, at {best.rate:.3g}."
    return Statement("optimizer", text, own.loss, best.loss, action, "info")


def _batch_sizes(rows: list[Reached]) -> Statement:
    text = f"{_list(rows, 'batches of ')}; all saw the same number of examples."
    if not _compared(rows):
        return _unknown("batch_size", text)
    own, level = rows[0], level_rows(rows)
    largest = max(level, key=lambda row: int(row.name))
    if own is largest:
        text += " Larger batches cost loss." if int(own.name) < _largest(rows) else ""
        return Statement("batch_size", text, float(own.name), float(own.name), "", "good")
    if own in level:
        text += f" Batches of {largest.name} lose nothing and need fewer steps."
    action = f"Change to batches of {largest.name}, at {largest.rate:.3g}."
    return Statement("batch_size", text, float(own.name), float(largest.name), action, "info")


def _warm_ups(rows: list[Reached]) -> Statement:
    text = f"{_list(rows, 'warm-up over ')}."
    if not _compared(rows):
        return _unknown("warm_up", text)
    own, shortest = rows[0], level_rows(rows)[0]
    if shortest is own:
        return Statement("warm_up", f"{text} A warm-up wins nothing.", 0.0, 0.0, "", "good")
    part = float(shortest.name.rstrip("%")) / 100
    action = f"Warm up over the first {shortest.name} of the steps, to {shortest.rate:.3g}."
    return Statement("warm_up", text, 0.0, part, action, "info")


def _compared(rows: Sequence[Reached]) -> bool:
    return sum(row.steps > 0 for row in rows) > 1


def _largest(rows: Sequence[Reached]) -> int:
    return max(int(row.name) for row in rows if row.steps)


def _list(rows: Sequence[Reached], before: str = "") -> str:
    """Each row with what it reached; those that ran out of time last."""
    told = [
        f"{_called(row, before)} at {row.rate:.3g}: {row.loss:.3g}"
        if math.isfinite(row.loss)
        else f"{_called(row, before)}: {'lost at every rate' if row.steps else 'no time'}"
        for row in sorted(rows, key=lambda row: (not math.isfinite(row.loss), row.steps == 0))
    ]
    steps = rows[0].steps
    return (
        f"Training loss at the end of {steps} steps, each at its own best rate and with nothing "
        f"else changed: {', '.join(told)}"
    )


def _called(row: Reached, before: str) -> str:
    return "no warm-up" if row.name == "0%" else f"{before}{row.name}"


def _unknown(name: str, text: str) -> Statement:
    told = f"Cannot tell: there was time for one of them alone. {text}"
    action = "Give it a larger budget, or fewer to compare."
    return Statement(name, told, math.nan, math.nan, action, "unknown")
