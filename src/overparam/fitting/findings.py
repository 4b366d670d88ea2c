"""What the statements of a fitted table rest on, measured once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from overparam.fitting.noticed import Leak, OtherFolds, Twins
from overparam.fitting.scores import Score
from overparam.fitting.shuffling import Importances, Interaction

LEAST = 0.1


def knows(scores: Sequence[Score], metric: str) -> bool:
    """Whether our score is worth looking into; see `Findings.tells_something`."""
    ours = next(score for score in scores if score.ours)
    floor = next((score.mean for score in scores if score.guess), 0.0)
    better = ours.mean - floor >= LEAST * abs(1 - floor)
    return better and (metric != "R²" or ours.mean > 0)


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
    def tells_something(self) -> bool:
        """Whether a tenth of what a guess leaves open is known, as far as the mean can tell.

        An R² below 0 is nothing, whatever a guess gets: the mean of the rows themselves is better.
        """
        return knows(self.scores, self.metric)

    @property
    def rivals(self) -> list[Score]:
        """Models to compare with, a guess not among them."""
        return [score for score in self.scores if not score.ours and not score.guess]
