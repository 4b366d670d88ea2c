"""A table to a cross-validated model, and everything its page is drawn from."""

import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from pandas.util import hash_pandas_object
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline

from overparam._deprecated import renamed
from overparam._environment import digest, environment
from overparam._errors import expect, unknown
from overparam._json import strict
from overparam._numbers import is_integer
from overparam._progress import Progress, expect_progress, telling
from overparam._statement import Concluded, Statement
from overparam.datasets.dataset import Task, expect_seed
from overparam.fitting.dependence import dependence
from overparam.fitting.saved_model import SavedModel, from_estimator
from overparam.fitting.scores import METRICS, baselines, compare, folds
from overparam.fitting.statements import statements
from overparam.fitting.table import Table, read
from overparam.kernels.irkm import IRKMClassifier, IRKMRegressor
from overparam.kernels.rfm import RFMClassifier, RFMRegressor

MODELS = {
    "irkm": (IRKMRegressor, IRKMClassifier, "iteratively reweighted kernel machine"),
    "rfm": (RFMRegressor, RFMClassifier, "recursive feature machine"),
}
MOST_DRAWN = 40


@dataclass(frozen=True, eq=False)
class TableFit(Concluded):
    """The outcome of `fit`.

    Attributes:
        model: The model, fitted to all rows.
        document: Scores, importances, feature matrix and statements, as plain data.
    """

    model: SavedModel
    document: dict[str, Any]

    def _statements(self) -> list[Statement]:
        return [
            Statement(**stored | {name: _number(stored[name]) for name in ("value", "threshold")})
            for stored in self.document["statements"]
        ]

    def to_dict(self) -> dict[str, Any]:
        """The document."""
        return self.document


@renamed(jobs="n_jobs")
def fit(
    source: str | os.PathLike[str],
    target: str | None = None,
    *,
    task: Task | None = None,
    columns: Mapping[str, str] | None = None,
    model: str = "rfm",
    number_of_folds: int = 5,
    compare_with_baselines: bool = True,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: Progress = False,
    command: str | None = None,
) -> TableFit:
    """A model of one column of a table, cross-validated beside the usual baselines.

    Columns are taken for what their values mean, whatever type they have (see
    `overparam.tables.Reader`): numbers, also in text, dates and times, and yes and no are
    standardised, and a missing one becomes the training rows' median; a category has missing as a
    level of its own. The model keeps that, and reads other rows by it. Nothing is tuned on the
    folds that score it.

    Args:
        source: A file of a table (text, Parquet, Feather, a workbook, an `.npz`), also as
            FILE:TARGET, or a named data set.
        target: The column to predict; `None` means one called target, label, class or y.
        task: "classification" or "regression"; `None` is what the target suggests.
        columns: By name of a column what it is to be taken for: "number", "date", "yes/no",
            "category", or "text", "identifier" or "constant", which are left out; or "day
            first", "month first", "decimal comma", "decimal point".
        model: "rfm", which learns directions in the space of columns, or "irkm", which weighs
            single columns and is for tables with many of them.
        number_of_folds: Of the cross-validation, at least 2.
        compare_with_baselines: Whether boosting, a random forest, a linear model and a guess
            are cross-validated too.
        seed: Of folds and models.
        n_jobs: Folds at a time; -1 means one per core, `None` that for tables of middling size.
        progress: Whether to draw bars where somebody watches, or a function that is called with
            the stage and the share of it that is done.
        command: What the page says to repeat.

    Raises:
        ValueError: If the table cannot be learned from; the message says why.
        FileNotFoundError: If there is no such file.

    Cost:
        One fit per model and fold, and one to all rows; see `RFMRegressor`.

    Example:
        >>> found = fit("iris", compare_with_baselines=False)
        >>> found.document["scores"][0]["mean"] > 0.9
        True
        >>> [row["name"] for row in found.document["statements"]]
        ['score', 'columns']
    """
    start = time.perf_counter()
    if model not in MODELS:
        unknown("fit(model=...)", "a model", model, MODELS)
    expected = "a number of folds at a time, or -1 for every core"
    number = n_jobs is None or (is_integer(n_jobs) and n_jobs != 0)
    expect(number, "fit(n_jobs=...)", expected, repr(n_jobs))
    progress = progress or False  # it was None by default
    expect_progress(progress, "fit(progress=...)")
    expect_seed(seed, "fit(seed=...)")
    table = read(source, target, task=task, columns=columns)
    smallest = int(np.bincount(table.y).min()) if table.task == "classification" else len(table.y)
    expect(
        2 <= number_of_folds <= smallest,
        "fit(number_of_folds=...)",
        f"a number from 2 to {smallest}"
        + (", the rows of the rarest class" if table.class_names else ", the number of rows"),
        number_of_folds,
    )
    regressor, classifier, name = MODELS[model]
    kind = classifier if table.task == "classification" else regressor
    ours = pipeline(table.x, kind(random_state=seed))
    models: dict[str, BaseEstimator] = {name: ours}
    if compare_with_baselines:
        models |= baselines(table.task, seed)
    with telling(progress) as tell:
        scores = compare(
            table, models, name, folds(table, number_of_folds, seed), n_jobs=n_jobs, tell=tell
        )
        tell("fitting to all rows", 0.0)
        ours.fit(table.x, table.y)
        machine: Any = ours[-1]
        medians = _medians(ours)
        saved = from_estimator(
            machine, medians, table.target, table.class_names, table.reader, table.class_type
        )
        importances = machine.feature_importances_
        low, high = machine.importance_interval(seed=seed)
        coordinates = saved.encoded(table.reader.unframed(table.x))
        curves, followed = dependence(saved, coordinates, machine.agop_, seed=seed)
        tell("fitting to all rows", 1.0)
    metric = METRICS[table.task]
    predicted = f"P({table.class_names[followed]})" if table.class_names else table.target
    names = list(machine.feature_names_in_)
    document = {
        "kind": "fit",
        "environment": environment(
            seconds=time.perf_counter() - start,
            seed=seed,
            device=saved.predictor.centres.device,
            threads=torch.get_num_threads(),
            data=_digest(table),
            command=command,
        ),
        "data": {
            "name": table.name,
            "target": table.target,
            "predicted": predicted,
            "task": table.task,
            "rows": len(table.y),
            "columns": len(names),
            "classes": len(table.class_names) or None,
            "missing": int(table.x.isna().sum().sum()),
            "left_out": list(table.left_out),
            "reading": [
                {
                    "name": column.name,
                    "kind": column.kind,
                    "words": column.words(),
                    "reason": column.reason,
                    "note": column.note,
                }
                for column in table.reader.columns
            ],
        },
        "model": {"name": name, "metric": metric, "settings": _settings(machine)},
        "scores": [
            {
                "name": score.name,
                "ours": score.ours,
                "mean": score.mean,
                "folds": list(score.folds),
                "seconds": score.seconds,
            }
            for score in scores
        ],
        "statements": [
            asdict(statement)
            for statement in statements(
                table, scores, _in_order(importances, names, list(table.x.columns)), metric
            )
        ],
        "series": {
            "importances": {"names": names, "value": importances, "low": low, "high": high},
            "feature_matrix": _feature_matrix(machine),
            "dependence": [vars(curve) for curve in curves],
        },
    }
    return TableFit(saved, strict(document))


def pipeline(x: pd.DataFrame, machine: BaseEstimator) -> Pipeline:
    """Medians in place of missing numbers, then the machine; categories pass as they are."""
    numbers = [name for name in x.columns if not isinstance(x[name].dtype, pd.CategoricalDtype)]
    imputer = make_column_transformer(
        (SimpleImputer(strategy="median", keep_empty_features=True), numbers),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    return make_pipeline(imputer.set_output(transform="pandas"), machine)


def _in_order(values: np.ndarray, names: list[str], wanted: list[str]) -> np.ndarray:
    """Values by name, in another order."""
    return np.array([values[names.index(name)] for name in wanted])


def _medians(fitted: Pipeline) -> dict[str, float]:
    """What the pipeline replaces a missing number by, by column."""
    transformer: Any = fitted[0]
    imputer = transformer.named_transformers_.get("simpleimputer")
    if not hasattr(imputer, "statistics_"):  # no column of numbers, nothing was fitted
        return {}
    return dict(zip(imputer.feature_names_in_, map(float, imputer.statistics_), strict=True))


def _settings(machine: Any) -> dict[str, Any]:
    """What the model was fitted with, chosen values included."""
    kernel = machine.kernel_
    found = {"kernel": type(kernel).__name__}
    found |= {key: value for key, value in vars(kernel).items() if not key.startswith("_")}
    return found | {
        "ridge": float(machine.alpha_),
        "rounds kept": int(machine.best_iter_),
        "feature matrix": "diag" if machine.feature_matrix_.ndim == 1 else "full",
    }


def _feature_matrix(machine: Any) -> dict[str, Any] | None:
    """The AGOP of the heaviest coordinates, the heaviest first; nothing if only a diagonal."""
    agop = machine.agop_
    if agop.ndim == 1:
        return None
    order = np.argsort(-np.diag(agop))
    shown = order[:MOST_DRAWN]
    return {
        "names": [str(machine.encoded_names_[i]) for i in shown],
        "values": agop[np.ix_(shown, shown)],
        "left_out": len(order) - len(shown),
    }


def _digest(table: Table) -> str:
    """Of the rows as they are learned from."""
    rows = hash_pandas_object(table.x, index=False).to_numpy()  # pyright: ignore
    return digest(list(table.x.columns), rows, table.y, list(table.class_names))


def _number(stored: float | None) -> float:
    """A number as JSON keeps it, which knows no NaN."""
    return math.nan if stored is None else stored
