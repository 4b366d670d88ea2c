"""Numbers of runs that claims are about, and the sentences of the paper they test."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.statistics import select

# Sentences of the abstract and of the sections.
JUMP = "Feature machines jump from no test accuracy to all of it, at a training loss of 0."
HIDDEN = "Progress is hidden: features improve steadily before the jump."
CIRCULANT = "Feature matrices become block-circulant, for products after a reordering."
RANDOM = "Random circulant features make kernel machines and networks generalise at once."
ENFORCED = "Enforcing circulant features makes generalisation earlier."
NETWORKS_TOO = "Two-layer networks grok in the same way, their features close to the AGOP."
REGULARISED = "Penalising the trace of the AGOP makes networks grok as weight decay does."
HEADLINES = (JUMP, HIDDEN, CIRCULANT, RANDOM, NETWORKS_TOO)

NAMES = {"add": "addition", "sub": "subtraction", "mul": "multiplication", "div": "division"}
OTHER = {"circulant": "hankel", "hankel": "circulant"}


def values(rows: pd.DataFrame, column: str) -> list[np.ndarray]:
    """The list in `column` of every row, as arrays."""
    return [np.atleast_1d(np.asarray(value, dtype=float)) for value in rows[column]]


def highest(column: str, until: int | None = None) -> Callable[[pd.DataFrame], float]:
    """Largest value over all cells and iterations, the first `until` if given."""
    return lambda rows: max_of(value[:until].max() for value in values(rows, column))


def max_of(numbers: Any) -> float:
    """Largest number; NaN if any is."""
    return float(np.max(np.fromiter(numbers, dtype=float)))


def min_of(numbers: Any) -> float:
    """Smallest number; NaN if any is."""
    return float(np.min(np.fromiter(numbers, dtype=float)))


def worst_best(rows: pd.DataFrame) -> float:
    """The best test accuracy within 20 iterations, least over cells."""
    return min_of(value[:21].max() for value in values(rows, "accuracy"))


def last_deviation(kind: str, choose: Callable) -> Callable[[pd.DataFrame], float]:
    """Deviation of the last matrix from a kind, of the cell that `choose` picks."""
    return lambda rows: choose(value[-1] for value in values(rows, kind))


def change_of_loss(rows: pd.DataFrame) -> float:
    """Largest relative change of the test loss over iterations 0 to 8."""
    return max_of(np.abs(value[:9] / value[0] - 1).max() for value in values(rows, "test_loss"))


def at(column: str, index: int, choose: Callable) -> Callable[[pd.DataFrame], float]:
    """The value at an iteration, of the cell that `choose` picks; NaN where there is none."""

    def statistic(rows: pd.DataFrame) -> float:
        return choose(
            value[index] if index < len(value) else math.nan for value in values(rows, column)
        )

    return statistic


def last_accuracy(rows: pd.DataFrame, regulariser: str) -> float:
    """Test accuracy at the end, mean over seeds."""
    chosen = select(rows, {"regulariser": regulariser})
    return float(np.mean([value[-1] for value in values(chosen, "accuracy")]))


def gain_of_regularisers(rows: pd.DataFrame) -> float:
    """By how much the worse regulariser beats none."""
    plain = last_accuracy(rows, "none")
    return min_of(last_accuracy(rows, name) - plain for name in ("weight decay", "AGOP trace"))


def way_of_alignment(rows: pd.DataFrame, iteration: int) -> float:
    """Part of the way from its start to 1 that the alignment has gone, least over cells."""
    return min_of(
        (value[iteration] - value[0]) / (1 - value[0]) if iteration < len(value) else math.nan
        for value in values(rows, "alignment")
    )


def largest_fall(rows: pd.DataFrame) -> float:
    """Largest fall of the alignment from one iteration to the next, the first left out."""
    return max_of(
        -np.diff(value[1:]).min() if len(value) > 2 else math.nan
        for value in values(rows, "alignment")
    )
