"""What a comparison of optimizers or batch sizes says, in words."""

import math
from collections.abc import Sequence

from overparam._statement import Statement
from overparam._told import real as show
from overparam.diagnosis.race.variant import Reached

# Two trainings in other orders of batches differ by less than this part of their loss, mostly:
# what is better by less is not called better.
_BETTER = 0.2
# Where a network begins to interpolate, below this part of the first loss, they differ more: then
# only half of the loss is called better.
_FITTED, _HALF = 0.1, 0.5


def comparison_statements(rows: Sequence[Reached]) -> list[Statement]:
    """One for each thing that was varied; the first row of its kind is the training planned."""
    kinds = dict.fromkeys(row.kind for row in rows)
    said = {"optimizer": _optimizers, "batch size": _batch_sizes}
    return [said[kind]([row for row in rows if row.kind == kind]) for kind in kinds]


def better(row: Reached, other: Reached) -> bool:
    """Whether a row's loss is lower than another's by more than another order would change."""
    return row.loss < other.loss - abs(other.loss) * (_HALF if _fitted(other) else _BETTER)


def _fitted(row: Reached) -> bool:
    return 0 <= row.loss < _FITTED * row.began


def _optimizers(rows: list[Reached]) -> Statement:
    own, text = rows[0], f"{_list(rows)}."
    if not _compared(rows):
        return _unknown("optimizer", text)
    best = _least(rows)
    if not better(best, own):
        text += f" None is clearly better than {own.name}."
        return Statement("optimizer", text, own.loss, best.loss, "", "good")
    action = f"Change to {best.name}, at {show(best.rate)}."
    return Statement("optimizer", text, own.loss, best.loss, action, "info")


def _batch_sizes(rows: list[Reached]) -> Statement:
    text = f"{_list(rows, 'batches of ')}."
    if not _compared(rows):
        return _unknown("batch_size", text)
    own, best = rows[0], _least(rows)
    larger = [
        row
        for row in rows
        if int(row.name) > int(own.name)
        and (better(row, own) or (row.loss <= own.loss and not _fitted(own)))
    ]
    chosen = own
    if larger:
        chosen = max(larger, key=lambda row: int(row.name))
        text += f" Batches of {chosen.name} lose nothing and need fewer steps."
    elif better(best, own):
        chosen = best
        text += f" Batches of {chosen.name} take {chosen.steps:,} steps for it."
    if chosen is own:
        text += f" None is clearly better than {own.name}."
        return Statement("batch_size", text, float(own.name), float(own.name), "", "good")
    action = f"Change to batches of {chosen.name}, at {show(chosen.rate)}."
    return Statement("batch_size", text, float(own.name), float(chosen.name), action, "info")


def _least(rows: Sequence[Reached]) -> Reached:
    return min((row for row in rows if math.isfinite(row.loss)), key=lambda row: row.loss)


def _compared(rows: Sequence[Reached]) -> bool:
    return sum(row.steps > 0 for row in rows) > 1


def _list(rows: Sequence[Reached], before: str = "") -> str:
    """Each row with what it reached; those that ran out of time last."""
    told = [
        f"{before}{row.name} at {show(row.rate)}: {show(row.loss)}"
        if math.isfinite(row.loss)
        else f"{before}{row.name}: {'diverged at every rate' if row.steps else 'no time'}"
        for row in sorted(rows, key=lambda row: (not math.isfinite(row.loss), row.steps == 0))
    ]
    steps = f"{rows[0].steps:,} steps"
    # Larger batches take fewer steps for as many examples.
    over = f"as many examples as {steps} of {rows[0].name} see" if before else steps
    return (
        f"Training loss at the end of {over}, each at its own best rate and with nothing "
        f"else changed: {', '.join(told)}"
    )


def _unknown(name: str, text: str) -> Statement:
    told = f"Cannot tell: there was time for one of them alone. {text}"
    action = "Give it a larger budget, or fewer to compare."
    return Statement(name, told, math.nan, math.nan, action, "unknown")
