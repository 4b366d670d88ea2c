"""Condition numbers and angles by depth, and the control."""

from typing import Any

import pandas as pd

from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import mean_at, select
from overparam.studies.liu2023_relu_conditioning.claims import first_over_last


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Condition number and smallest angle by depth; the control; both limits."""
    curves = {
        "normal points, infinite width": ("kernel", "gaussian"),
        "digits, infinite width": ("kernel", "digits"),
        "unit digits, finite width": ("finite", "unit digits"),
    }
    chosen = {
        name: select(table, {"measure": measure, "data": data})
        for name, (measure, data) in curves.items()
    }
    separated = {
        "all layers": select(table, {"measure": "kernel", "data": "separated"}),
        "first layer only": select(table, {"measure": "first layer"}),
    }
    ratios = ", ".join(f"{first_over_last(rows):.1f} ({name})" for name, rows in chosen.items())
    rest = mean_at(separated["all layers"], "depth", "condition")
    common = {"x": "hidden layers L", "caption": "Mean over seeds."}
    return {
        "condition": figure(
            "line",
            f"Depth divides the condition number of L = 1 by {ratios}",
            [line_of_means(name, rows, "depth", "condition") for name, rows in chosen.items()],
            y="condition number",
            y_scale="log",
            **common,
        ),
        "angle": figure(
            "line",
            "The smallest angle between gradients grows to "
            + ", ".join(
                f"{mean_at(rows, 'depth', 'angle'):.0f}° ({name})" for name, rows in chosen.items()
            ),
            [line_of_means(name, rows, "depth", "angle") for name, rows in chosen.items()],
            y="smallest angle in degrees",
            **common,
        ),
        "separated": figure(
            "line",
            f"Of well separated inputs it stays at {rest:.0f} when all layers train",
            [line_of_means(name, rows, "depth", "condition") for name, rows in separated.items()],
            y="condition number",
            y_scale="log",
            **common,
        ),
    }
