"""Pictures of the phases, of the peak by width, and of the test loss by learning rate."""

from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import mean_at, select
from overparam.studies.zhu2024_quadratic_catapult.statistics import PEAK, farthest_slope, gain

NAMES = {"linear": "linear", "quadratic": "quadratic", "network": "network"}


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """What happened to loss and curvature, and what it was good for."""
    phase = select(table, {"measure": "phase"})
    finite = phase.loc[~phase["diverged"].astype(bool)]
    peak = select(table, PEAK)
    drawn = {
        "curvature": figure(
            "line",
            f"One catapult from η λ = 2.5 leaves "
            f"{mean_at(finite, 'edge', 'kept', 2.5):.2f} of the "
            "curvature",
            [line_of_means("one example, y = 1", finite, "edge", "kept")],
            x="η λ at the start (2 is the critical rate)",
            y="λ at the end over λ at the start",
            caption="Mean over seeds; rates at which a seed diverged are left out.",
        ),
        "peak": figure(
            "line",
            f"Peak loss goes as width^p, p = {farthest_slope(peak):.2f} where farthest from 1",
            [
                medians(f"η λ = {edge:g}", select(peak, {"edge": edge}))
                for edge in sorted(set(peak["edge"]))
            ],
            x="width",
            y="peak of (g − y)²",
            caption="Median over seeds; one example, gates frozen.",
            x_scale="log",
            y_scale="log",
        ),
    }
    data = select(table, {"measure": "generalisation"})
    for name in sorted(set(data["data"])):
        rows = select(data, {"data": name})
        drawn[f"test_loss_{name}"] = figure(
            "line",
            f"On {name} the best test loss at 1.5 of the critical rate is "
            f"{gain('quadratic')(rows):.2f} (quadratic) and {gain('network')(rows):.2f} "
            "(network) of that at 0.6",
            [by_rate(rows, model) for model in NAMES],
            x="learning rate over critical learning rate",
            y="best test loss, (1/n) Σ r²",
            caption="Mean over seeds; rates at which any seed diverged are left out of a line.",
        )
    return drawn


def medians(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Median peak loss by width."""
    widths = sorted(set(rows["width"]))
    values = [
        float(np.median(rows.loc[rows["width"] == w, "peak"].to_numpy(float))) for w in widths
    ]
    return {"name": name, "x": widths, "y": values}


def by_rate(rows: pd.DataFrame, model: str) -> dict[str, Any]:
    """Mean best test loss of a model by rate, where every seed stayed finite."""
    kept = rows.groupby("edge").filter(lambda group: not group[f"{model}_diverged"].any())
    return line_of_means(model, kept, "edge", f"{model}_best")
