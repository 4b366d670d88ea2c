"""A picture of accuracy by ε."""

from typing import Any

import pandas as pd

from overparam.claims.figures import figure
from overparam.claims.statistics import select
from overparam.studies.zhang2025_dpzv.claims import TRAINING, mean_of


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """What privacy costs, with either kind of noise."""
    rows = select(table, TRAINING)
    epsilons = [e for e in ("inf", "10", "1", "0.5") if e in set(rows["epsilon"])]
    lines = []
    for noised in ("scalars", "gradients"):
        there = set(select(rows, {"noised": noised})["epsilon"])
        shown = [epsilon for epsilon in epsilons if epsilon in there]
        values = [mean_of(rows, noised, epsilon) for epsilon in shown]
        lines.append({"name": f"noise on {noised}", "x": shown, "y": values})
    ends = [mean_of(rows, noised, "1") for noised in ("scalars", "gradients")]
    return {
        "accuracy": figure(
            "bar",
            f"At ε = 1 noise on scalars ends at {ends[0]:.3f}, on gradients at {ends[1]:.3f}",
            lines,
            x="ε, at δ = 1e-5",
            y="test accuracy",
            caption="Four parties and a head, 150 releases; mean over seeds.",
        )
    }
