"""Columns with heavy tails brought to size: a logarithm where one fits, a soft clip where not."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from overparam._checked import checked

# Skewness from which a column that is nowhere negative is taken for one of ratios, deviations
# from the mean from which a tail is heavy, and quartile ranges at which the clip bends.
SKEWED, HEAVY, KNEE = 1.5, 5.0, 3.0


@dataclass(frozen=True, eq=False)
class Bends:
    """A monotone function for each column, learned from the rows that were fitted.

        l(v) = log(max(v, floor) + shift),     c(v) = u / √(1 + (u/3)²),  u = (v − centre) / spread

    First the logarithm, then the clip; either is left out where its numbers are NaN.

    Attributes:
        floor: Of the logarithm, by column; half the smallest value, or 0.
        shift: Added there: 0, or where zeros occur the median of the positive values.
        centre: Of the clip: the median.
        spread: Its scale: the distance of the quartiles, or half the range if they coincide.
    """

    floor: Float[np.ndarray, "columns"]
    shift: Float[np.ndarray, "columns"]
    centre: Float[np.ndarray, "columns"]
    spread: Float[np.ndarray, "columns"]

    @classmethod
    def learn(
        cls, numbers: Float[np.ndarray, "n columns"], weights: np.ndarray | None = None
    ) -> "Bends":
        """What each column needs.

        A logarithm if it is nowhere negative and its skewness above 1.5; then a clip if a value
        is more than 5 standard deviations from the mean. A constant column needs nothing.

        Args:
            numbers: Finite.
            weights: Of the rows; a weight of 2 is a row that occurs twice.

        Cost:
            A sort of each column that is bent.

        Example:
            A column over four decades, and one without tails:

            >>> x = np.array([[1.0, 0.0], [10.0, 1.0], [100.0, 2.0], [10000.0, 3.0]])
            >>> Bends.learn(x).shift.tolist()
            [nan, nan]
            >>> x = np.repeat(x, [9, 3, 2, 1], axis=0)
            >>> Bends.learn(x).shift.tolist()
            [0.0, nan]
        """
        weights = np.ones(len(numbers)) if weights is None else weights
        bends = np.full((4, numbers.shape[1]), np.nan)
        for place, column in enumerate(numbers.T):
            lowest = column.min()
            if lowest >= 0 and _moment(column, weights, 3) > SKEWED:
                positive = column > 0
                shift = 0.0 if lowest > 0 else _quantile(column[positive], weights[positive], 0.5)
                bends[:2, place] = floor, shift = lowest / 2, shift
                column = np.log(np.maximum(column, floor) + shift)
            if _moment(column, weights, None) > HEAVY:
                low, centre, high = (_quantile(column, weights, q) for q in (0.25, 0.5, 0.75))
                spread = high - low if high > low else np.ptp(column) / 2
                bends[2:, place] = centre, spread
        return cls(*bends)

    @property
    def numbers(self) -> Float[np.ndarray, "4 columns"]:
        """Floors, shifts, centres and spreads, a row each: `Bends(*numbers)` is the same."""
        return np.stack([self.floor, self.shift, self.centre, self.spread])

    @checked
    def bent(self, numbers: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, "n columns"]:
        """The columns of other rows."""
        bent, logs, clips = numbers.copy(), *self._where()
        bent[:, logs] = np.log(np.maximum(bent[:, logs], self.floor[logs]) + self.shift[logs])
        u = (bent[:, clips] - self.centre[clips]) / self.spread[clips]
        # As the formula, but for u whose square overflows.
        bent[:, clips] = u / np.hypot(1, u / KNEE)
        return bent

    @checked
    def slopes(self, numbers: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, "n columns"]:
        """Derivatives of `bent`, by row; 0 below a floor."""
        slopes, bent, (logs, clips) = np.ones_like(numbers), numbers.copy(), self._where()
        inside = numbers[:, logs] >= self.floor[logs]
        shifted = np.maximum(numbers[:, logs], self.floor[logs]) + self.shift[logs]
        slopes[:, logs] = inside / shifted
        bent[:, logs] = np.log(shifted)
        u = (bent[:, clips] - self.centre[clips]) / self.spread[clips]
        slopes[:, clips] *= np.hypot(1, u / KNEE) ** -3 / self.spread[clips]
        return slopes

    def _where(self) -> tuple[np.ndarray, np.ndarray]:
        return np.isfinite(self.shift), np.isfinite(self.spread)


def _moment(column: np.ndarray, weights: np.ndarray, power: int | None) -> float:
    """Mean power of the deviations from the mean in standard deviations; None: the largest.

    0 for a column that is constant, to the rounding of its mean.
    """
    # Squares and cubes of what is at most 1 neither overflow nor vanish beside one another.
    size = np.abs(column).max(initial=0.0)
    if not size > 0:
        return 0.0
    values = column / size
    mean = np.average(values, weights=weights)
    deviation = np.average((values - mean) ** 2, weights=weights) ** 0.5
    if deviation <= 10 * np.finfo(float).eps * np.abs(mean):
        return 0.0
    z = (values - mean) / deviation
    return float(np.abs(z).max() if power is None else np.average(z**power, weights=weights))


def _quantile(column: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The smallest value that rows of at least that share of the weight do not exceed."""
    order = np.argsort(column)
    sums = np.cumsum(weights[order])
    return float(column[order[np.searchsorted(sums, level * sums[-1])]])
