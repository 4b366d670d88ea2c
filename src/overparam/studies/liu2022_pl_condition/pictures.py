"""Margins of certificates, and the certified run."""

import math
from typing import Any

import pandas as pd

from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import select
from overparam.studies.liu2022_pl_condition.statistics import certified_from


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Margins by width, and the certified run against its bound."""
    widths = select(table, {"measure": "certificate"})
    crossing = {kind: certified_from(widths, kind) for kind in ("path", "paper")}
    lines = [
        line_of_means(f"{kind} radius", select(widths, {"kind": kind}), "at", "margin")
        for kind in crossing
    ]
    powers = ", ".join(
        f"2^{math.log2(at):.1f} ({kind})" if at == at else f"no width tried ({kind})"
        for kind, at in crossing.items()
    )
    found = {
        "margin": figure(
            "line",
            f"Certificates exist from a width of {powers}",
            lines,
            x="width",
            y="allowed over actual β_F",
            caption="Mean over seeds; a certificate exists from 1 on. 6 unit inputs in R^20, "
            "labels ±1, tanh, zero output at the start.",
            x_scale="log",
            y_scale="log",
        )
    }
    runs = select(table, {"measure": "descent", "certified": True})
    if len(runs):
        first = runs.iloc[0]
        steps = list(range(len(first["losses"])))
        worst = runs["bound_ratio"].to_numpy(float).max()
        found["descent"] = figure(
            "line",
            f"After the start the loss is {worst:.2f} of its certified bound at most",
            [
                {"name": "loss", "x": steps, "y": list(first["losses"])},
                {"name": "certified bound", "x": steps, "y": list(first["bounds"])},
            ],
            x="step",
            y="loss over initial loss",
            caption=f"One seed, {int(first['at'])} units, the certified step size; the largest "
            "ratio is over all seeds.",
            y_scale="log",
        )
    return found
