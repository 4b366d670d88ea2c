"""Projections by eigenvalue, and loss against bounds."""

from typing import Any

import pandas as pd

from overparam.claims.figures import figure
from overparam.claims.statistics import seed_means, select
from overparam.studies.marreddy2026_label_alignment.claims import EVEN, LABELS


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Projections by eigenvalue, and loss against bounds."""
    found = {}
    rows = select(table, {"measure": "alignment", "data": "digits"})
    slopes = seed_means(rows, "labels", "slope")
    lines = []
    for labels in LABELS["digits"]:
        first = select(rows, {"labels": labels}).iloc[0]
        lines.append({"name": labels, "x": list(first["values"]), "y": list(first["projections"])})
    found["alignment"] = figure(
        "line",
        "Digits: labels align as λ^p, p = "
        + ", ".join(f"{slopes[labels]:.2f} ({labels})" for labels in LABELS["digits"]),
        lines,
        x="eigenvalue of the tangent kernel",
        y="mean squared projection",
        caption="Bins of equal numbers of eigenvalues, pooled over batches of 100, the first of "
        "each batch left out; one seed. Exponents are means over seeds.",
        x_scale="log",
        y_scale="log",
    )
    run = select(table, EVEN).iloc[0]
    titles = {
        "actual": "network", "linear": "linear model", "trace": "bound by the trace",
        "exact_top": "the same, first eigenvector exact", "classical": "bound by λ_min",
    }  # fmt: skip
    found["bounds"] = figure(
        "line",
        f"After 100 steps the bound with an exact first eigenvector is "
        f"{run['exact_top'][2] / run['actual'][2]:.2f} times the loss, by the trace alone "
        f"{run['trace'][2] / run['actual'][2]:.2f}, by λ_min {run['classical_over']:.1f}",
        [
            {"name": title, "x": list(run["times"]), "y": list(run[name])}
            for name, title in titles.items()
        ],
        x="step",
        y="loss ½ Σ r²",
        caption=f"{int(run['n'])} digits, even against odd, step 1/λ_max, one seed.",
        y_scale="log",
    )
    return found
