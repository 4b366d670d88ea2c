"""What a target is, classes, a count, grades or a quantity, and the scale it is learned on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import skew
from sklearn.ensemble import ExtraTreesRegressor

TargetKind = Literal["class", "count", "ordinal", "quantity"]
ScaleName = Literal["linear", "log", "sqrt"]
SCALES: tuple[ScaleName, ...] = ("linear", "log", "sqrt")

# From how many values on an order can be told from chance: 5 have 60 orders, 4 only 12.
FEWEST_VALUES = 5
ORDERS, AHEAD_OF, LEAST_TOLD = 500, 0.99, 0.1
MOST_ROWS = 2000
# Skewness from which a logarithm is taken, and from which a count is one.
SKEWED, COUNT_SKEWED = 2.0, 0.5


@dataclass(frozen=True)
class Scale:
    """How a quantity becomes what is learned, and back.

    Attributes:
        name: "linear", y itself; "log", log y; or "sqrt", √y, on which the spread of a count
            does not grow with it.
        spread: Mean square of the residuals on the scale.
    """

    name: ScaleName = "linear"
    spread: float = 0.0

    def forward(self, y: np.ndarray) -> np.ndarray:
        """What is learned."""
        return {"linear": np.array, "log": np.log, "sqrt": np.sqrt}[self.name](y)

    def back(self, learned: np.ndarray) -> np.ndarray:
        """The quantity: for a logarithm its median, for a root its mean, z² + `spread`."""
        if self.name == "log":
            with np.errstate(over="ignore"):  # infinite is refused where predictions are looked at
                return np.exp(learned)
        return learned.clip(min=0) ** 2 + self.spread if self.name == "sqrt" else learned

    def ends(self, learned: np.ndarray) -> np.ndarray:
        """Ends of an interval in units of the quantity; the order of values stays."""
        return Scale(self.name).back(learned)

    def of(self, name: str) -> str:
        """The name of what is learned, such as "log price"."""
        return {"linear": name, "log": f"log {name}", "sqrt": f"√{name}"}[self.name]


def kind_of_whole_numbers(x: pd.DataFrame, y: np.ndarray) -> tuple[TargetKind, str]:
    """What a target is that takes few whole values, and how that shows, in words.

    A count has 0 or 1 as its least value, a tail to the right, and one mode. Values are grades if
    the columns predict them far better in their own order than in others': the out-of-bag shares
    of the values from a forest predict every numbering at once. Everything else is classes.

    Args:
        x: Predictors: numbers and categories.
        y: Whole numbers of at least three values.

    Cost:
        A forest of 50 trees on at most 2000 rows.
    """
    values, codes = np.unique(y, return_inverse=True)
    counts = np.bincount(codes)
    number = len(values)
    if number >= FEWEST_VALUES and _is_count(y) and _one_mode(counts) and counts.min() < 10:
        return "count", "it begins at 0 or 1, has one mode and a tail to the right"
    if number < FEWEST_VALUES:
        return "class", ""
    own, others = _order(x, codes, number)
    if own > LEAST_TOLD and own > np.quantile(others, AHEAD_OF):
        words = (
            f"a forest explains {own:.0%} of its variance in this order, "
            f"and {max(others.mean(), 0):.0%} when the values are renumbered"
        )
        return "ordinal", words
    return "class", ""


def kind_of_quantity(y: np.ndarray) -> TargetKind:
    """Whether a quantity counts something."""
    return "count" if (y == np.round(y)).all() and _is_count(y) else "quantity"


def scale_of(y: np.ndarray, kind: TargetKind) -> ScaleName:
    """The scale on which a target is learned if nothing is said.

    The root of a count; the logarithm of a positive target of skewness over 2, if that at least
    halves it.
    """
    if kind == "count":
        return "sqrt"
    if kind != "quantity" or not y.min() > 0:
        return "linear"
    plain, logarithm = float(skew(y)), float(skew(np.log(y)))
    return "log" if plain > SKEWED and abs(logarithm) < plain / 2 else "linear"


def _is_count(y: np.ndarray) -> bool:
    return y.min() in (0, 1) and float(skew(y)) > COUNT_SKEWED


def _one_mode(counts: np.ndarray) -> bool:
    """Whether counts rise to one place and fall from there, but for what chance does to them."""
    top = counts.argmax()
    steps = np.diff(counts.astype(float))
    bound = 3 * np.sqrt(counts[1:] + counts[:-1])  # three standard deviations of a difference
    return bool((steps[:top] > -bound[:top]).all() and (steps[top:] < bound[top:]).all())


def _order(x: pd.DataFrame, codes: np.ndarray, number: int) -> tuple[float, np.ndarray]:
    """R² of out-of-bag predictions of the values as they are, and numbered in other orders."""
    draw = np.random.default_rng(0)
    rows = draw.permutation(len(codes))[:MOST_ROWS]
    table = np.column_stack(
        [
            values.cat.codes if isinstance(values.dtype, pd.CategoricalDtype)
            else values.fillna(values.median()).fillna(0.0)
            for _, values in x.iloc[rows].items()
        ]
    )  # fmt: skip
    forest = ExtraTreesRegressor(
        50, min_samples_leaf=3, max_features=0.5, bootstrap=True, oob_score=True, random_state=0
    )
    codes = codes[rows]
    shares = np.asarray(forest.fit(table, np.eye(number)[codes]).oob_prediction_)

    def told(order: np.ndarray) -> float:
        wanted = order[codes]
        return 1 - float(np.mean((wanted - shares @ order) ** 2) / max(np.var(wanted), 1e-12))

    own = np.arange(number, dtype=float)
    orders = [draw.permutation(own) for _ in range(ORDERS)]
    return told(own), np.array([told(order) for order in orders])
