"""What the statements of a fitted table rest on, measured once."""

import math
from dataclasses import dataclass, field
from typing import Any

from overparam.fitting.noticed import Leak, OtherFolds, Twins
from overparam.fitting.scores import Score
from overparam.fitting.shuffling import Importances, Interaction


@dataclass(frozen=True)
class Findings:
    """Numbers of a cross-validation.

    Attributes:
        scores: Ours and the baselines', a guess among them.
        metric: What the scores are.
        ratio: Test rows over training rows of a fold.
        folds_in_words: Such as "5 folds drawn at random".
        importances: Of the columns.
        interactions: That were found.
        twins: Rows that stand twice across folds.
        other_folds: Scores in time order or of whole groups, where the table looks like that.
        leak: A column that tells the target alone.
        calibration: Of the probabilities; empty for a quantity.
    """

    scores: tuple[Score, ...]
    metric: str
    ratio: float
    folds_in_words: str
    importances: Importances
    interactions: tuple[Interaction, ...] = ()
    twins: Twins = field(default_factory=lambda: Twins(0, 0, math.nan))
    other_folds: tuple[OtherFolds, ...] = ()
    leak: Leak | None = None
    calibration: dict[str, Any] = field(default_factory=dict)

    @property
    def ours(self) -> Score:
        """Our own."""
        return next(score for score in self.scores if score.ours)

    @property
    def guess(self) -> Score | None:
        """What says the same of every row."""
        return next((score for score in self.scores if score.guess), None)

    @property
    def rivals(self) -> list[Score]:
        """Models to compare with, a guess not among them."""
        return [score for score in self.scores if not score.ours and not score.guess]
