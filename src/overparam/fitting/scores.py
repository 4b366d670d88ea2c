"""Models side by side on the same folds."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from overparam._progress import Tell
from overparam._threads import compute_on, threads_kept
from overparam._workers import results
from overparam.cluster.backend import send
from overparam.cluster.worker import Sent
from overparam.fitting.folds import corrected_interval
from overparam.fitting.measures import measured, metric_of
from overparam.fitting.table import Table

# Rows from which starting processes is worth it, and up to which a kernel matrix for each fits.
_SMALLEST, _LARGEST = 500, 10_000


@dataclass(frozen=True)
class Score:
    """How one model did.

    Attributes:
        name: Of the model.
        folds: Its score on each fold: accuracy, AUC or R²; see `metric_of`.
        seconds: Fitting and predicting, all folds.
        ours: Whether it is the model that is being fitted, and not a baseline.
        guess: Whether it says the same of every row, whatever its columns hold.
        measures: Other measures on each fold, by name; see `measured`.
        outputs: What it said of the test rows of each fold.
        fitted: Itself, fitted in each fold; ours only.
    """

    name: str
    folds: tuple[float, ...]
    seconds: float
    ours: bool = False
    guess: bool = False
    measures: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    outputs: tuple[np.ndarray, ...] = field(default=(), repr=False, compare=False)
    fitted: tuple[Any, ...] = field(default=(), repr=False, compare=False)

    @property
    def mean(self) -> float:
        """Mean over the folds that have a score; NaN if none has."""
        known = [value for value in self.folds if not math.isnan(value)]
        return float(np.mean(known)) if known else math.nan

    def ahead_of(self, other: "Score", ratio: float) -> tuple[float, float, float]:
        """Mean difference over the folds and the ends of its corrected interval, 95 %."""
        gaps = np.array(self.folds) - np.array(other.folds)
        return self.mean - other.mean, *corrected_interval(gaps, ratio)


def compare(
    table: Table,
    models: Mapping[str, BaseEstimator],
    ours: str,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    n_jobs: int | None = None,
    tell: Tell,
) -> list[Score]:
    """Scores of all models on the same folds, ours first.

    Args:
        table: The data.
        models: Estimators by name; they are cloned.
        ours: Which of them is ours.
        splits: As `folds` gives them.
        n_jobs: Folds at a time; -1 means one per core. None is that too for tables of a size
            where several at a time pay and fit into memory. On a cluster, as many as it has cores.
        tell: Told the stage and the share of it that is done.

    Raises:
        ChildProcessError: If a process that fits a fold is killed, twice.

    Cost:
        One fit per model and fold.
    """
    rows = len(table.y)
    if n_jobs is None:
        n_jobs = -1 if _SMALLEST <= rows <= _LARGEST else 1
    # Sums are split by thread, and so are their bits: a fold has one thread wherever it is
    # computed, or, where that would take long, as many as this process has.
    threads = 1 if rows <= _LARGEST else torch.get_num_threads()
    data = send((table.x, table.y)) or (table.x, table.y)
    metric = metric_of(table)
    scores = []
    for index, (name, model) in enumerate(models.items()):
        tell("cross-validating", index / len(models))
        with threads_kept():
            found = results(
                lambda model=model, mine=name == ours: (
                    delayed(_fold)(model, data, train, test, threads, mine)
                    for train, test in splits
                ),
                n_jobs,
                "fit --jobs",
            )
        outputs, fitted, seconds = zip(*found, strict=True)
        outputs = tuple(_aligned(table, *pair) for pair in outputs)
        tested = [
            measured(table, table.y[test], said)
            for (_, test), said in zip(splits, outputs, strict=True)
        ]
        scores.append(
            Score(
                name,
                tuple(fold[metric] for fold in tested),
                sum(seconds),
                ours=name == ours,
                guess=isinstance(model, DummyClassifier | DummyRegressor),
                measures={key: tuple(fold[key] for fold in tested) for key in tested[0]},
                outputs=outputs,
                fitted=fitted if name == ours else (),
            )
        )
    tell("cross-validating", 1.0)
    return sorted(scores, key=lambda score: not score.ours)


def _fold(
    model: Any,
    data: tuple[pd.DataFrame, np.ndarray] | Sent[tuple[pd.DataFrame, np.ndarray]],
    train: np.ndarray,
    test: np.ndarray,
    threads: int,
    keep: bool,
) -> tuple[tuple[np.ndarray, np.ndarray | None], Any, float]:
    """What is said of the test rows, with the classes known; the model if kept; seconds."""
    compute_on(threads)
    x, y = data.value if isinstance(data, Sent) else data
    start = time.perf_counter()
    fitted: Any = clone(model)
    fitted.fit(x.iloc[train], y[train])
    said = outputs_of(fitted, x.iloc[test])
    seconds = time.perf_counter() - start
    return (said, getattr(fitted, "classes_", None)), fitted if keep else None, seconds


def outputs_of(fitted: Any, x: pd.DataFrame) -> np.ndarray:
    """Predictions (n, 1), or probabilities (n, the classes it knows)."""
    if hasattr(fitted, "predict_proba"):
        return np.asarray(fitted.predict_proba(x), dtype=float)
    return np.asarray(fitted.predict(x), dtype=float).reshape(len(x), 1)


def aligned_outputs(table: Table, fitted: Any, x: pd.DataFrame) -> np.ndarray:
    """Predictions (n, 1), or probabilities (n, all classes)."""
    return _aligned(table, outputs_of(fitted, x), getattr(fitted, "classes_", None))


def _aligned(table: Table, said: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """A column a class, also for those that a fold's training rows lacked."""
    if not table.is_classification or classes is None:
        return said
    found = np.zeros((len(said), len(table.class_names)))
    found[:, classes] = said
    return found


def baselines(task: str, seed: int) -> dict[str, BaseEstimator]:
    """What one would try first, at default settings: boosting, a forest, a linear model.

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
    else:
        models["ridge regression"] = make_pipeline(_indicators(), RidgeCV(np.logspace(-3, 4, 15)))
    return models


def guess(task: str) -> dict[str, BaseEstimator]:
    """What one would say without the columns: the shares of the classes, or the mean."""
    if task == "classification":
        return {"shares of the classes": DummyClassifier(strategy="prior")}
    return {"mean of the target": DummyRegressor()}


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
