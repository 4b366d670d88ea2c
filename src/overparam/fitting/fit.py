"""A table to a cross-validated model, and everything its page is drawn from."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
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
from overparam._progress import Progress, Tell, expect_progress, telling
from overparam._statement import Concluded, Statement
from overparam.datasets.dataset import Task, expect_seed
from overparam.fitting import document as parts
from overparam.fitting.conformal import gained, kept_residuals
from overparam.fitting.dependence import dependence
from overparam.fitting.effects import effects
from overparam.fitting.findings import Findings, knows
from overparam.fitting.folds import Splits, folds, train_share
from overparam.fitting.measures import calibration, metric_of, pooled
from overparam.fitting.noticed import OtherFolds, in_groups, in_time, leak, twins
from overparam.fitting.saved_model import SavedModel, from_estimator
from overparam.fitting.scores import Score, baselines, compare, guess
from overparam.fitting.shuffling import Importances, importances, interactions
from overparam.fitting.table import Table, read
from overparam.fitting.target import ScaleName
from overparam.kernels.ensemble import KernelEnsembleClassifier, KernelEnsembleRegressor
from overparam.kernels.irkm import IRKMClassifier, IRKMRegressor
from overparam.kernels.rfm import RFMClassifier, RFMRegressor

MODELS = {
    "irkm": (IRKMRegressor, IRKMClassifier, "iteratively reweighted kernel machine"),
    "rfm": (RFMRegressor, RFMClassifier, "recursive feature machine"),
    "best": (KernelEnsembleRegressor, KernelEnsembleClassifier, "two feature machines, weighted"),
}


@dataclass(frozen=True, eq=False, repr=False)
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
    time: str | None = None,
    group: str | None = None,
    splitter: Any = None,
    scale: ScaleName | None = None,
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
            single columns and is for tables with many of them, or "best", both, weighted.
        number_of_folds: Of the cross-validation, at least 2.
        compare_with_baselines: Whether boosting, a random forest and a linear model are
            cross-validated too. A guess always is.
        time: A column of dates or numbers: each part of the rows is predicted from those before.
        group: A column whose values name what belongs together, such as a patient: folds keep
            groups whole, and the column is no predictor.
        splitter: A splitter of scikit-learn for the folds, in place of `number_of_folds`.
        scale: "linear", "log" or "sqrt", on which a quantity is learned and scored; `None` is
            √y for a count, log y for a positive target with a long tail, and y for all others.
        seed: Of folds and models.
        n_jobs: Folds at a time; -1 means one per core, `None` that for tables of middling size.
        progress: Whether to draw bars where somebody watches, or a function that is called with
            the stage and the share of it that is done.
        command: What the page says to repeat.

    Returns:
        `TableFit`: ``.model``, fitted to all rows, predicts and is saved; ``.summary()`` and
        ``.report("fit.html")`` tell what it is worth; ``.document`` holds every number.

    Raises:
        ValueError: If the table cannot be learned from; the message says why.
        FileNotFoundError: If there is no such file.

    Cost:
        One fit per model and fold, one to all rows, and up to eight where a table looks as if it
        had an order or groups; see `RFMRegressor`.

    Example:
        >>> found = fit("iris", compare_with_baselines=False)
        >>> found.document["scores"][0]["mean"] > 0.9
        True
        >>> print(found.document["statements"][0]["level"])
        good
    """
    start = perf_counter()
    if model not in MODELS:
        unknown("fit(model=...)", "a model", model, MODELS)
    expected = "a number of folds at a time, or -1 for every core"
    number = n_jobs is None or (is_integer(n_jobs) and n_jobs != 0)
    expect(number, "fit(n_jobs=...)", expected, repr(n_jobs))
    progress = progress or False  # it was None by default
    expect_progress(progress, "fit(progress=...)")
    expect_seed(seed, "fit(seed=...)")
    table = read(
        source, target, task=task, columns=columns, time=time, group=group, scale=scale
    )  # fmt: skip
    regressor, classifier, name = MODELS[model]
    kind = classifier if table.is_classification else regressor
    ours = pipeline(table.x, kind(random_state=seed))
    models: dict[str, BaseEstimator] = {name: ours}
    if compare_with_baselines:
        models |= baselines(table.task, seed)
    models |= guess(table.task)
    splits = folds(table, number_of_folds, seed, splitter)
    with telling(progress) as tell:
        scores = compare(table, models, name, splits, n_jobs=n_jobs, tell=tell)
        found = _findings(table, scores, splits, kind, seed, splitter is not None, tell)
        tell("fitting to all rows", 0.0)
        rows, said = pooled(found.ours.outputs, splits)
        residuals = np.zeros(0)
        if not table.is_classification:
            residuals = kept_residuals(table.y[rows] - said[:, 0])
        ours.fit(table.x, table.y)
        machine: Any = ours[-1]
        share = 1.0
        if len(residuals) and not (time or group or splitter):  # folds as large as each other
            share = gained(machine, [fitted[-1] for fitted in found.ours.fitted])
        saved = from_estimator(
            machine, _medians(ours), table.target, table.class_names, table.reader,
            table.class_type, table.scale.name, share * residuals,
        )  # fmt: skip
        coordinates = saved.encoded(table.reader.unframed(table.x))
        order = np.argsort(-np.array(found.importances.value)).tolist()
        shown, followed = effects(table, found.ours.fitted, splits, order)
        # What is drawn of a class is of one class throughout.
        curves, followed = dependence(
            saved, coordinates, machine.agop_, followed=followed if shown else None, seed=seed
        )
        tell("fitting to all rows", 1.0)
    columns_used = list(machine.feature_names_in_)
    document = {
        "kind": "fit",
        "environment": environment(
            seconds=perf_counter() - start,
            seed=seed,
            device=saved.predictor.centres.device,
            threads=torch.get_num_threads(),
            data=_digest(table),
            command=command,
        ),
        "data": parts.described(table, followed, columns_used),
        "model": {
            "name": name, "metric": found.metric, "folds": found.folds_in_words,
            "settings": _settings(machine),
        },
        "scores": parts.scored(found),
        "statements": parts.stated(table, found),
        "series": parts.series(table, found, shown, rows, said, residuals)
        | {
            "feature_matrix": parts.feature_matrix(machine),
            "dependence": [vars(curve) for curve in curves],
        },
    }  # fmt: skip
    return TableFit(saved, strict(document))


def _findings(
    table: Table, scores: list[Score], splits: Splits, kind: Any, seed: int, own: bool, tell: Tell
) -> Findings:
    """Everything that statements rest on, from the models of the folds."""
    ours = next(score for score in scores if score.ours)
    tell("looking at columns", 0.0)
    metric = metric_of(table)
    shares = Importances(list(table.x.columns), [], [], [], 0.0)
    if knows(scores, metric):
        shares = importances(table, ours.fitted, splits, seed=seed)
    order = np.argsort(-np.array(shares.value)).tolist()
    names = [str(shares.names[i]) for i in order] or list(map(str, table.x.columns))
    tell("looking at columns", 0.4)
    others: list[OtherFolds] = []
    if table.times is None and table.groups is None and not own:
        score = partial(_on_folds, kind=kind, seed=seed)
        others = [one for one in (in_time(table, score), in_groups(table, score, seed)) if one]
    tell("looking at columns", 0.7)
    rows, said = pooled(ours.outputs, splits)
    best = max(score.mean for score in scores)
    found = Findings(
        scores=tuple(scores),
        metric=metric,
        ratio=train_share(splits),
        folds_in_words=_in_words(table, len(splits), own),
        importances=shares,
        interactions=tuple(interactions(table, ours.fitted, splits, order, seed=seed)),
        twins=twins(table, splits, ours.outputs),
        other_folds=tuple(others),
        leak=leak(table, best, names),
        calibration=calibration(table, table.y[rows], said) if table.is_classification else {},
    )
    tell("looking at columns", 1.0)
    return found


def _on_folds(table: Table, splits: Splits, *, kind: Any, seed: int) -> tuple[float, float]:
    """Our score and a guess's on other folds."""
    models = {"ours": pipeline(table.x, kind(random_state=seed)), **guess(table.task)}
    ours, none = compare(table, models, "ours", splits, tell=lambda *_: None)
    return ours.mean, none.mean


def _in_words(table: Table, number: int, own: bool) -> str:
    """What the folds are, after "over"."""
    if own:
        return f"{number} folds as they were given"
    if table.times is not None:
        return (
            f"{number} folds, each later than the rows it was predicted from ({table.ordered_by})"
        )
    if table.groups is not None:
        return f"{number} folds of whole groups ({table.ordered_by})"
    return f"{number} folds"


def pipeline(x: pd.DataFrame, machine: BaseEstimator) -> Pipeline:
    """Medians in place of missing numbers, then the machine; categories pass as they are."""
    numbers = [name for name in x.columns if not isinstance(x[name].dtype, pd.CategoricalDtype)]
    imputer = make_column_transformer(
        (SimpleImputer(strategy="median", keep_empty_features=True), numbers),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    return make_pipeline(imputer.set_output(transform="pandas"), machine)


def _medians(fitted: Pipeline) -> dict[str, float]:
    """What the pipeline replaces a missing number by, by column."""
    transformer: Any = fitted[0]
    imputer = transformer.named_transformers_.get("simpleimputer")
    if not hasattr(imputer, "statistics_"):  # no column of numbers, nothing was fitted
        return {}
    return dict(zip(imputer.feature_names_in_, map(float, imputer.statistics_), strict=True))


def _settings(machine: Any) -> dict[str, Any]:
    """What the model was fitted with, chosen values included."""
    if isinstance(machine, KernelEnsembleRegressor | KernelEnsembleClassifier):
        return {
            member.name: f"share {member.share:.2f}, ridge {member.alpha:.3g}, "
            f"{member.best_iter} rounds"
            for member in machine.members_
        }
    kernel = machine.kernel_
    found = {"kernel": type(kernel).__name__}
    found |= {key: value for key, value in vars(kernel).items() if not key.startswith("_")}
    return found | {
        "ridge": float(machine.alpha_),
        "rounds kept": int(machine.best_iter_),
        "feature matrix": "diag" if machine.feature_matrix_.ndim == 1 else "full",
    }


def _digest(table: Table) -> str:
    """Of the rows as they are learned from."""
    rows = hash_pandas_object(table.x, index=False).to_numpy()  # pyright: ignore
    return digest(list(table.x.columns), rows, table.y, list(table.class_names))


def _number(stored: float | None) -> float:
    """A number as JSON keeps it, which knows no NaN."""
    return math.nan if stored is None else stored
