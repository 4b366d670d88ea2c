"""Change of the kernel, Hessian and linearisation error by width, and the sweep."""

from typing import Any

import pandas as pd

from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import select, slope
from overparam.studies.liu2020_kernel_constancy.claims import (
    CONTROLS,
    LINEAR,
    TRAINING,
    sweep_steps,
)
from overparam.studies.liu2020_kernel_constancy.measures import NARROW


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Change of the kernel, Hessian and linearisation error by width, and the sweep."""
    narrow = select(table, {**TRAINING, "model": "bottleneck"})
    width = narrow["width"].max()
    sweep = select(narrow, {"width": width})
    steps = sweep_steps(sweep, 10)
    return {
        "kernel_change": by_width(table, "training", "kernel_change", "‖ΔK‖/‖K‖"),
        "hessian_norm": by_width(table, "hessian", "hessian_norm", "‖∇²f‖"),
        "linearization_error": by_width(table, "training", "linearization_error", "‖f − f_lin‖/√n"),
        "bottleneck": figure(
            "line",
            f"Widening the bottleneck from 10 units on divides the kernel change by "
            f"{steps[0] / steps[-1]:.1f}",
            [line_of_means("bottleneck", sweep, "narrow", "kernel_change")],
            x="units in the bottleneck",
            y="largest relative change of K",
            caption=f"Mean over seeds; the outer layers have {width} units.",
            x_scale="log",
            y_scale="log",
        ),
    }


def by_width(table: pd.DataFrame, measure: str, column: str, symbol: str) -> dict[str, Any]:
    """A quantity against width for the three networks, exponents in the title."""
    chosen = {
        "linear output": LINEAR,
        "tanh output": CONTROLS["tanh_output"],
        f"bottleneck of {NARROW}": CONTROLS["bottleneck"],
    }
    lines, exponents = [], []
    for name, where in chosen.items():
        rows = select(table, {**where, "measure": measure})
        lines.append(line_of_means(name, rows, "width", column))
        exponents.append(f"{slope(rows, 'width', column):.2f} ({name})")
    what = column.replace("_", " ").capitalize()
    return figure(
        "line",
        f"{what} goes as width^p, p = {', '.join(exponents)}",
        lines,
        x="width",
        y=f"{what.lower()} {symbol}",
        caption="Mean over seeds; exponents by least squares through the logarithms of the means.",
        x_scale="log",
        y_scale="log",
    )
