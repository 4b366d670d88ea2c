"""The tables that models are ranked on, and which of them nothing is chosen by.

Every third name of each task, in alphabetical order, is kept for confirmation. A variant of our
default replaces it if on the other two thirds (a) the geometric mean of the ratios of its loss to
the default's is below 1 and (b) its mean rank among all entries is no worse; it is confirmed if on
the sets kept that geometric mean is at most 1 and no ratio above 1.15. What is confirmed is looked
at once. (The recipe that is tried was found on most of these tables before, in another division.)
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from overparam.datasets import load
from overparam.kernels.encoding import learn_encoding

REGRESSION = (
    "abalone", "airfoil_centred", "california_housing", "concrete", "diabetes", "elevators",
    "energy", "kin8nm", "naval", "power_plant", "protein", "wine_red", "wine_white", "yacht",
)  # fmt: skip
CLASSIFICATION = (
    "adult", "bank", "banknote", "breast_cancer", "breast_cancer_wisconsin", "digits",
    "ionosphere", "iris", "letter", "mammography", "mushroom", "nursery", "pendigits", "sonar",
    "spambase", "splice", "vehicle", "vowel", "waveform", "wine_cultivars",
)  # fmt: skip
KEPT = frozenset(REGRESSION[2::3] + CLASSIFICATION[2::3])


def names_of(task: str, part: str) -> list[str]:
    """Tables of a task: those to "choose" by, those to "confirm" with, or "all"."""
    names = REGRESSION if task == "regression" else CLASSIFICATION
    return [name for name in names if part == "all" or (name in KEPT) == (part == "confirm")]


@dataclass(frozen=True, eq=False)
class Rows:
    """A part of a table.

    Attributes:
        name: Of the table.
        task: "regression" or "classification".
        codes: Numbers and positions of levels, NaN where one is missing.
        sizes: Number of levels of each column, 0 for numbers.
        columns: Their names.
        y: Numbers, or classes 0, 1, ….
    """

    name: str
    task: str
    codes: np.ndarray
    sizes: np.ndarray
    columns: tuple[str, ...]
    y: np.ndarray

    @property
    def frame(self) -> pd.DataFrame:
        """As a user has it: numbers and categories, missing values in it."""
        made = {}
        for name, values, size in zip(self.columns, self.codes.T, self.sizes, strict=True):
            if size:
                places = np.where(np.isnan(values), -1, values).astype(int)
                values = pd.Categorical.from_codes(
                    places, categories=[f"l{i}" for i in range(size)]
                )
            made[name] = values
        return pd.DataFrame(made)

    def coordinates(self, train: np.ndarray) -> np.ndarray:
        """For methods without categories: medians, an indicator a level, standardised."""
        numbers, levels = self.codes.copy(), {}
        for place, size in enumerate(self.sizes):
            column = numbers[:, place]
            if size:
                column[np.isnan(column)] = size
                levels[place] = np.arange(size + 1)
            else:
                known = column[train][~np.isnan(column[train])]
                column[np.isnan(column)] = np.median(known) if len(known) else 0.0
        encoding = learn_encoding(numbers[train], levels, self.columns, None, standardize=True)
        return encoding.encode(numbers)


def part_of(name: str, rows: int) -> Rows:
    """A random part of a data set, without classes of fewer rows than there are folds."""
    data = load(name)
    x = np.concatenate([data.x_train, data.x_test]).astype(np.float64)
    y = np.concatenate([data.y_train, data.y_test])
    chosen = np.random.default_rng(0).permutation(len(x))[:rows]
    x, y = x.reshape(len(x), -1)[chosen], y[chosen]
    if data.task == "classification":
        often = np.isin(y, [label for label in np.unique(y) if (y == label).sum() >= 10])
        x, y = x[often], np.unique(y[often], return_inverse=True)[1]
    names = data.feature_names or [f"x{j}" for j in range(x.shape[1])]
    if len(names) != x.shape[1]:
        names = [f"x{j}" for j in range(x.shape[1])]
    levels = data.levels or ((),) * x.shape[1]
    sizes = np.array([len(known) for known in levels])
    return Rows(name, data.task, x, sizes, tuple(map(str, names)), y)
