"""Pictures: the error by number of points and by step."""

from typing import Any

import pandas as pd

from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import seed_means, select
from overparam.studies.zhu2025_irkm.claims import CUBE
from overparam.studies.zhu2025_irkm.experiments import STEPS


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Error by number of points and by step."""
    main = select(table, CUBE)
    smallest = min(main["n"])
    steps = select(main, {"n": 250})
    return {
        "by_points": figure(
            "line",
            f"From {smallest} points in 200 dimensions on, the mean error is at most "
            f"{max(seed_means(main, 'n', 'final_error').values()):.3f}",
            [
                line_of_means("kernel ridge regression", main, "n", "ridge_error"),
                line_of_means("after five reweightings", main, "n", "final_error"),
            ],
            x="training points",
            y="mean squared test error",
            caption="Mean over seeds; target x₁ + x₂ + x₃ + x₁x₂x₃ of variance 4, without its "
            "noise, on the cube.",
            x_scale="log",
            y_scale="log",
        ),
        "by_step": figure(
            "line",
            f"Five steps divide the error by {steps['ratio'].mean():.0f}",
            [
                {"name": f"seed {seed}", "x": list(range(STEPS + 1)), "y": list(errors)}
                for seed, errors in zip(steps["seed"], steps["errors"], strict=True)
            ],
            x="reweightings",
            y="mean squared test error",
            caption=f"{steps['n'].iloc[0]} points in 200 dimensions, one line a seed.",
            y_scale="log",
        ),
    }
