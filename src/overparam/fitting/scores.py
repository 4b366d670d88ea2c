"""Models side by side on the same folds."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import delayed
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from overparam._threads import compute_on, threads_kept
from overparam._workers import results
from overparam.cluster.backend import send
from overparam.cluster.worker import Sent
from overparam.fitting.table import Table

# Rows from which starting processes is worth it, and up to which a kernel matrix for each fits.
_SMALLEST, _LARGEST = 500, 10_000

METRICS = {"classification": "accuracy", "regression": "R²"}


@dataclass(frozen=True)
class Score:
    """How one model did.

    Attributes:
        name: Of the model.
        folds: Its score on each fold: accuracy, or R².
        seconds: Fitting and predicting, all folds.
        ours: Whether it is the model that is being fitted, and not a baseline.
        guess: Whether it looks at no column.
    """

    name: str
    folds: tuple[float, ...]
    seconds: float
    ours: bool = False
    guess: bool = False

    @property
    def mean(self) -> float:
        """Mean over the folds."""
        return float(np.mean(self.folds))


def folds(table: Table, number: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of each fold, shuffled; classes in proportion where they are."""
    if table.task == "classification":
        splitter: Any = StratifiedKFold(number, shuffle=True, random_state=seed)
    else:
        splitter = KFold(number, shuffle=True, random_state=seed)
    return list(splitter.split(table.x, table.y))


def compare(
    table: Table,
    models: Mapping[str, BaseEstimator],
    ours: str,
    splits: list[tuple[np.ndarray, np.ndarray]],
    *,
    jobs: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> list[Score]:
    """Scores of all models on the same folds, ours first.

    Args:
        table: The data.
        models: Estimators by name; they are cloned.
        ours: Which of them is ours.
        splits: As `folds` gives them.
        jobs: Folds at a time; -1 means one per core. None is that too for tables of a size
            where several at a time pay and fit into memory. On a cluster, as many as it has cores.
        progress: Told the name of the model and the share done.

    Raises:
        ChildProcessError: If a process that fits a fold is killed, twice.

    Cost:
        One fit per model and fold.
    """
    rows = len(table.y)
    if jobs is None:
        jobs = -1 if _SMALLEST <= rows <= _LARGEST else 1
    # Sums are split by thread, and so are their bits: a fold has one thread wherever it is
    # computed, or, where that would take long, as many as this process has.
    threads = 1 if rows <= _LARGEST else torch.get_num_threads()
    data = send((table.x, table.y)) or (table.x, table.y)
    scores = []
    for index, (name, model) in enumerate(models.items()):
        if progress is not None:
            progress("cross-validating", index / len(models))
        with threads_kept():
            found = results(
                lambda model=model: (
                    delayed(_fold)(model, data, train, test, threads) for train, test in splits
                ),
                jobs,
                "fit --jobs",
            )
        values, seconds = zip(*found, strict=True)
        guess = isinstance(model, (DummyClassifier, DummyRegressor))
        scores.append(Score(name, values, sum(seconds), ours=name == ours, guess=guess))
    if progress is not None:
        progress("cross-validating", 1.0)
    return sorted(scores, key=lambda score: not score.ours)


def _fold(
    model: Any,
    data: tuple[pd.DataFrame, np.ndarray] | Sent[tuple[pd.DataFrame, np.ndarray]],
    train: np.ndarray,
    test: np.ndarray,
    threads: int,
) -> tuple[float, float]:
    """Score on the test rows, and seconds."""
    compute_on(threads)
    x, y = data.value if isinstance(data, Sent) else data
    start = time.perf_counter()
    fitted: Any = clone(model)
    fitted.fit(x.iloc[train], y[train])
    return float(fitted.score(x.iloc[test], y[test])), time.perf_counter() - start


def baselines(task: str, seed: int) -> dict[str, BaseEstimator]:
    """What one would try first, at default settings: boosting, a forest, a linear model, a guess.

    Boosting is LightGBM where that is installed, otherwise scikit-learn's own.
    """
    classify = task == "classification"
    models: dict[str, BaseEstimator] = {}
    if find_spec("lightgbm"):
        import lightgbm  # pyright: ignore[reportMissingImports]

        kind = lightgbm.LGBMClassifier if classify else lightgbm.LGBMRegressor
        models["LightGBM"] = make_pipeline(_codes(), kind(random_state=seed, verbose=-1))
    else:
        kind = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
        models["gradient boosting (scikit-learn)"] = make_pipeline(
            _codes(), kind(random_state=seed)
        )
    forest = RandomForestClassifier if classify else RandomForestRegressor
    models["random forest"] = make_pipeline(_codes(impute=True), forest(random_state=seed))
    if classify:
        models["logistic regression"] = make_pipeline(
            _indicators(), LogisticRegression(max_iter=2000)
        )
        models["most frequent class"] = DummyClassifier()
    else:
        models["ridge regression"] = make_pipeline(_indicators(), RidgeCV(np.logspace(-3, 4, 15)))
        models["mean of the target"] = DummyRegressor()
    return models


_NUMBERS = make_column_selector(dtype_include=np.number)  # pyright: ignore[reportArgumentType]
_CATEGORIES = make_column_selector(dtype_include="category")  # pyright: ignore[reportArgumentType]


def _codes(*, impute: bool = False) -> Any:
    """Levels as whole numbers; trees need no more. NaN stays where the model takes it."""
    numbers = SimpleImputer(strategy="median") if impute else "passthrough"
    levels = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1
    )
    transformer = make_column_transformer((numbers, _NUMBERS), (levels, _CATEGORIES))
    return transformer.set_output(transform="pandas")


def _indicators() -> Any:
    """Standardised numbers and an indicator for each level."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_column_transformer((numbers, _NUMBERS), (levels, _CATEGORIES))
