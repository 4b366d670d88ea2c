"""Accuracy by method, and round by round."""

from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.figures import figure
from overparam.claims.statistics import select

METHODS = {
    "lda": "no adaptation", "lda_centred": "centred", "sinkhorn": "Sinkhorn", "lpl1": "LpL1",
    "linear": "linear", "coral": "CORAL", "one_pass": "one pass", "no_pairs": "μ = 0",
    "no_self_training": "θ = 0", "ours": "all rounds",
}  # fmt: skip


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Both tasks that are made, method by method; the spurious one, round by round."""
    bars, rounds = [], []
    for task in ("spurious", "clutter"):
        rows = select(table, {"task": task})
        means = [float(np.mean(rows[name].to_numpy(float))) for name in METHODS]
        bars.append({"name": task, "x": list(METHODS.values()), "y": means})
        paths = [path for path in rows["rounds"] if isinstance(path, list)]
        longest = max(map(len, paths), default=1)
        # Labels that have settled stay as they are.
        mean = [
            float(np.mean([path[min(i, len(path) - 1)] for path in paths] or [np.nan]))
            for i in range(longest)
        ]
        rounds.append({"name": task, "x": [*range(1, longest + 1)], "y": mean})
    gain = bars[0]["y"][-1] - bars[0]["y"][0]
    return {
        "methods": figure(
            "bar",
            f"All rounds together gain {100 * gain:.0f} points over no adaptation",
            bars,
            x="method",
            y="share of target labels that are right",
            caption="Mean over seeds. Maps of POT and CORAL move the source, and a discriminant "
            "is learned from it; θ = 0 is without the target's own labels, μ = 0 without the "
            "scatter of pairs.",
        ),
        "rounds": figure(
            "line",
            "Every round of coupling and directions adds to the next",
            rounds,
            x="round",
            y="share of coupled labels that are right",
            caption="Mean over seeds.",
        ),
    }
