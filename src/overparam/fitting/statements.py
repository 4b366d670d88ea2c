"""What a comparison and a feature matrix say, in sentences."""

import math
from collections.abc import Sequence

import numpy as np

from overparam._statement import Level, Statement
from overparam.fitting.scores import Score
from overparam.fitting.table import Table

LEAK_SHARE, LEAK_SCORE = 0.9, 0.99


def statements(
    table: Table, scores: Sequence[Score], importances: np.ndarray, metric: str
) -> list[Statement]:
    """Conclusions, each with the number and the threshold it came from.

    Args:
        table: The data.
        scores: Ours and the baselines'.
        importances: Shares of the columns.
        metric: What the scores are.
    """
    ours = next(score for score in scores if score.ours)
    found = [_worth(table, ours, scores, metric)]
    others = [score for score in scores if not score.ours]
    if others:
        found.append(_standing(ours, max(others, key=lambda score: score.mean), metric))
    found += [*_choice(table), *_columns(table, importances, ours)]
    if table.left_out:
        names = ", ".join(f"{name} ({why})" for name, why in table.left_out.items())
        found.append(_statement("left_out", f"Left out: {names}.", len(table.left_out)))
    notes = [column for column in table.reader.used if column.note]
    if notes:
        words = "; ".join(f"{column.name}: {column.note}" for column in notes)
        found.append(_statement("reading", f"How columns were read: {words}.", len(notes)))
    return found


def _worth(table: Table, ours: Score, scores: Sequence[Score], metric: str) -> Statement:
    """Whether the columns say anything about the target."""
    guess = next((score for score in scores if score.guess), None)
    floor = guess.mean if guess else 0.0
    spread = 2 * float(np.std(ours.folds)) / math.sqrt(len(ours.folds))
    text = (
        f"{metric.capitalize()} {ours.mean:.3g} on rows the model had not seen, over "
        f"{len(ours.folds)} folds (a guess: {floor:.3g})."
    )
    if ours.mean > floor + spread:
        return _statement("score", text, ours.mean, floor, level="good")
    return _statement(
        "score",
        text + f" The columns say little or nothing about {table.target}.",
        ours.mean,
        floor,
        "Look for columns that could tell, or for a mistake in the target.",
        "critical",
    )


def _standing(ours: Score, best: Score, metric: str) -> Statement:
    """Ours against the best baseline, fold by fold."""
    gaps = np.array(ours.folds) - np.array(best.folds)
    error = float(np.std(gaps, ddof=1) / math.sqrt(len(gaps)))
    gap = float(gaps.mean())
    text = f"{ours.name} {ours.mean:.3g}, {best.name} {best.mean:.3g}"
    if gap > 2 * error:
        return _statement("comparison", f"Ahead of every baseline: {text}.", gap, 0.0, level="good")
    if gap >= -2 * error:
        return _statement(
            "comparison", f"On a par with the best baseline: {text}, within the folds' spread.",
            gap, 0.0, level="info",
        )  # fmt: skip
    return _statement(
        "comparison",
        f"{best.name[:1].upper()}{best.name[1:]} is better here: {text} ({metric}).",
        gap,
        0.0,
        f"If only {metric} counts, use {best.name}; this model still says what matters.",
        "warning",
    )


def _choice(table: Table) -> list[Statement]:
    """That whole numbers were taken for classes, which the target alone cannot tell."""
    if table.class_type != "numbers" or table.task_was_set or len(table.class_names) < 3:
        return []
    names = table.class_names
    text = (
        f"{table.target} takes {len(names)} whole values, {names[0]} to {names[-1]}, and is taken "
        "for classes: each is learned for itself, their order and distances are not."
    )
    action = "If they are grades, counts or amounts, say --task regression."
    return [_statement("target", text, len(names), math.nan, action)]


def _columns(table: Table, importances: np.ndarray, ours: Score) -> list[Statement]:
    """How few columns matter, and whether one of them gives the answer away."""
    names = list(table.x.columns)
    order = np.argsort(-importances)
    if not importances.sum() > 0:
        return []
    needed = int(np.searchsorted(importances[order].cumsum(), 0.8)) + 1
    first = [names[i] for i in order[: min(needed, 5)]]
    rest = f" and {needed - 5} more" if needed > 5 else ""
    share = float(importances[order[:needed]].sum())
    few = "columns carries" if needed == 1 else "columns carry"
    found = [
        _statement(
            "columns",
            f"{needed} of {len(names)} {few} {share:.0%} of the model's response: "
            f"{', '.join(first)}{rest}.",
            share,
            0.8,
        )
    ]
    largest = float(importances[order[0]])
    if largest > LEAK_SHARE and ours.mean > LEAK_SCORE and len(names) > 1:
        found.append(
            _statement(
                "leak",
                f"{names[order[0]]} alone gives nearly the whole answer.",
                largest,
                LEAK_SHARE,
                f"Check that {names[order[0]]} is known before {table.target} is.",
                "warning",
            )
        )
    return found


def _statement(
    name: str,
    text: str,
    value: float,
    threshold: float = math.nan,
    action: str = "",
    level: Level = "info",
) -> Statement:
    return Statement(name, text, value, threshold, action, level)
