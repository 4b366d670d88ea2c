"""Pictures of the gradient on quadratics, and of test accuracy by round."""

from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.figures import figure
from overparam.claims.statistics import select
from overparam.studies.chen2025_fadamgc.claims import mean_of


def means(rows: pd.DataFrame, column: str) -> list[float]:
    """Mean over the seeds of a list that each cell has."""
    return np.mean(np.array(rows[column].to_list(), dtype=float), axis=0).tolist()


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Where methods stop, and how fast they get there."""
    constant = select(table, {"measure": "quadratics", "how": "constant"})
    drawn = {
        "quadratics": figure(
            "line",
            f"Corrected before the moments, ‖∇F‖ ends at {mean_of(constant, 'keep', 'left'):.0e}",
            [by_round(constant, name, "path", 10) for name in of(constant)],
            x="round",
            y="‖∇F‖ of the mean loss",
            caption="Ten clients with quadratics of their own; mean over seeds.",
            y_scale="log",
        )
    }
    for measure, words in (("digits", "digits"), ("scaled", "digits with scaled pixels")):
        rows = select(table, {"measure": measure})
        drawn[measure] = figure(
            "line",
            f"On {words} it ends at {mean_of(rows, 'keep', 'final'):.3f}",
            [by_round(rows, name, "accuracy", 1) for name in of(rows)],
            x="round",
            y="test accuracy",
            caption="20 clients, Dirichlet 0.05 by class; mean over seeds.",
        )
    return drawn


def of(rows: pd.DataFrame) -> list[str]:
    """The methods, in the order of the table."""
    return list(dict.fromkeys(rows["method"]))


def by_round(rows: pd.DataFrame, method: str, column: str, every: int) -> dict[str, Any]:
    """One method's line."""
    values = means(select(rows, {"method": method}), column)
    start = every if every > 1 else 0
    return {"name": method, "x": [start + every * i for i in range(len(values))], "y": values}
