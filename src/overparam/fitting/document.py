"""What a fitted table's page is drawn from, as plain data."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from overparam.fitting.conformal import offsets
from overparam.fitting.effects import Effect
from overparam.fitting.findings import Findings
from overparam.fitting.folds import corrected_interval
from overparam.fitting.measures import confusion
from overparam.fitting.scores import Score
from overparam.fitting.statements import statements
from overparam.fitting.table import Table

MOST_DRAWN = 40
LEVEL = 0.9


def described(table: Table, followed: int, columns: list[str]) -> dict[str, Any]:
    """The data, and how each column was read."""
    predicted = f"P({table.class_names[followed]})" if table.class_names else table.target
    return {
        "name": table.name,
        "target": table.target,
        "predicted": predicted,
        "task": table.task,
        "kind": table.kind,
        "scale": table.scale.name,
        "rows": len(table.y),
        "columns": len(columns),
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
    }


def scored(found: Findings) -> list[dict[str, Any]]:
    """Every model's score, its distance from ours, and its other measures."""
    return [_score(score, found) for score in found.scores]


def _score(score: Score, found: Findings) -> dict[str, Any]:
    low, high = corrected_interval(score.folds, found.ratio)
    gap = None if score.ours else score.ahead_of(found.ours, found.ratio)
    return {
        "name": score.name,
        "ours": score.ours,
        "guess": score.guess,
        "mean": score.mean,
        "low": low,
        "high": high,
        "gap": gap and dict(zip(("mean", "low", "high"), gap, strict=True)),
        "folds": list(score.folds),
        "measures": {name: _mean(values) for name, values in score.measures.items()},
        "seconds": score.seconds,
    }


def _mean(values: tuple[float, ...]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def stated(table: Table, found: Findings) -> list[dict[str, Any]]:
    """The statements."""
    return [asdict(statement) for statement in statements(table, found)]


def series(
    table: Table,
    found: Findings,
    effects: list[Effect],
    rows: np.ndarray,
    said: np.ndarray,
    residuals: np.ndarray,
) -> dict[str, Any]:
    """What is drawn, but for what is the model's own.

    Args:
        table: The data.
        found: What was measured.
        effects: Of the first columns.
        rows: That a fold tested.
        said: What was predicted of them.
        residuals: Of a quantity, in order, on its scale.
    """
    shares = found.importances
    made: dict[str, Any] = {
        "importances": {
            "names": shares.names, "value": shares.value, "low": shares.low, "high": shares.high,
        } if shares.value else None,
        "interactions": [
            {"names": list(pair.names), "share": pair.share} for pair in found.interactions
        ],
        "effects": [
            asdict(effect) | ({"x": _dates(effect.x)} if effect.kind == "date" else {})
            for effect in effects
        ],
    }  # fmt: skip
    if table.is_classification:
        matrix = confusion(table.y[rows], said)
        made["confusion"] = {"classes": list(table.class_names), "rows": matrix}
        made["calibration"] = found.calibration
    else:
        made["predicted"] = _predicted(table, rows, said[:, 0], residuals)
    return made


def _predicted(
    table: Table, rows: np.ndarray, said: np.ndarray, residuals: np.ndarray
) -> dict[str, Any]:
    """Some predictions of rows not seen beside the target, and the interval of 90 %."""
    low, high = offsets(residuals, LEVEL)
    shown = np.random.default_rng(0).permutation(len(rows))[:400]
    grid = np.linspace(said.min(), said.max(), 25)
    return {
        "predicted": table.scale.back(said[shown]).tolist(),
        "observed": table.scale.ends(table.y[rows[shown]]).tolist(),
        "grid": table.scale.back(grid).tolist(),
        "low": table.scale.ends(grid + low).tolist(),
        "high": table.scale.ends(grid + high).tolist(),
        "level": LEVEL,
    }


def _dates(days: list[float]) -> list[str]:
    """Days since 1970 as dates."""
    return [str(day.date()) for day in pd.to_datetime(days, unit="D")]


def feature_matrix(machine: Any) -> dict[str, Any] | None:
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
