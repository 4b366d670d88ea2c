"""How the prediction moves with one column, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from overparam.fitting.folds import Splits, corrected_interval, train_share
from overparam.fitting.scores import aligned_outputs
from overparam.fitting.table import Table

PLACES, LEVELS, ROWS, SHOWN, LEVEL = 13, 10, 100, 4, 0.9


@dataclass(frozen=True)
class Effect:
    """The mean prediction as one column takes a value in all rows.

    Attributes:
        name: The column's.
        kind: What it was taken for: "number", "date", "yes/no" or "category".
        x: Values, or names of levels.
        y: Mean prediction at each: the target, or the probability of a class.
        low: Lower ends of intervals of 90 % over the folds' models.
        high: Upper ends.
    """

    name: str
    kind: str
    x: list[Any]
    y: list[float]
    low: list[float]
    high: list[float]


def effects(
    table: Table, models: Sequence[Any], splits: Splits, first: Sequence[int]
) -> tuple[list[Effect], int]:
    """Partial dependence on the first four columns, by the models of the folds.

        y(v) = mean_folds mean_i f(x_i with the column at v)

    v runs from the 5th to the 95th percentile, or over the ten most frequent levels; i over at
    most 100 rows that the fold did not see. The interval is `corrected_interval` over folds.

    Args:
        table: The data.
        models: Fitted in each fold.
        splits: The folds.
        first: Positions of columns, the most important first.

    Returns:
        The effects, and the output that is followed: of classes the one whose probability moves
        most.
    """
    found, ratio = [], train_share(splits)
    for position in list(first)[:SHOWN]:
        name = table.x.columns[position]
        values = table.x[name]
        category = isinstance(values.dtype, pd.CategoricalDtype)
        if category:
            places: Any = list(values.value_counts().index[:LEVELS])
        else:
            low, high = values.quantile([0.05, 0.95])
            few = np.unique(values.dropna())
            places = few if len(few) <= PLACES else np.linspace(low, high, PLACES)
        if len(places) < 2:
            continue
        means = np.stack(
            [_means(table, model, test[:ROWS], name, places)
             for model, (_, test) in zip(models, splits, strict=True)]
        )  # fmt: skip
        kind = "category" if category else _kind(table, str(name))
        found.append((str(name), kind, [_plain(place) for place in places], means))
    if not found:
        return [], 0
    followed = int(np.ptp(found[0][3].mean(0), axis=0).argmax())
    made = []
    for name, kind, places, means in found:
        curve = means[:, :, followed]
        ends = [corrected_interval(at, ratio, LEVEL) for at in curve.T]
        made.append(
            Effect(name, kind, places, curve.mean(0).tolist(),
                   [low for low, _ in ends], [high for _, high in ends])
        )  # fmt: skip
    return made, followed


def _means(table: Table, model: Any, rows: np.ndarray, name: Any, places: Any) -> np.ndarray:
    """Mean outputs at each place, (places, outputs)."""
    x = table.x.iloc[np.tile(rows, len(places))].reset_index(drop=True)
    repeated = np.repeat(np.asarray(places, dtype=object), len(rows))
    if isinstance(x[name].dtype, pd.CategoricalDtype):
        x[name] = pd.Categorical(repeated, dtype=x[name].dtype)
    else:
        x[name] = repeated.astype(np.float64)
    said = aligned_outputs(table, model, x)
    if not table.is_classification:
        said = table.scale.back(said)
    return said.reshape(len(places), len(rows), -1).mean(1)


def _kind(table: Table, name: str) -> str:
    return next((c.kind for c in table.reader.columns if c.name == name), "number")


def _plain(place: Any) -> Any:
    return place.item() if isinstance(place, np.generic) else place
