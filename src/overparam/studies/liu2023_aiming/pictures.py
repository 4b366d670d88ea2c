"""Pictures: θ by width, and iterations by batch size."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import seed_means, select
from overparam.studies.liu2023_aiming.claims import PATH, RACE, iterations_ratio


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """θ by width, and iterations by batch size."""
    paths, races = select(table, PATH), select(table, RACE)
    known = paths.loc[paths["theta"].notna()]
    return {
        "theta": figure(
            "line",
            f"θ at the final iterate goes from {widest(paths, min):.2f} at width "
            f"{min(paths['width'])} to {widest(paths, max):.2f} at {max(paths['width'])}",
            [
                line_of_means("nearest solution", known, "width", "theta"),
                line_of_means("final iterate", paths, "width", "theta_final"),
            ],
            x="width m",
            y="smallest θ along the path",
            caption="Mean over seeds of the minimum over six snapshots of single-example SGD; 2 is "
            "a linear model. The final iterate overestimates θ.",
            x_scale="log",
        ),
        "race": figure(
            "line",
            f"Batches of 32 need {iterations_ratio(32)(races):.2f} times the steps of gradient "
            "descent on the worst seed",
            [line_of_means("to 1 % of the loss", races, "batch_size", "iterations")],
            x="batch size",
            y="iterations",
            caption="Mean over seeds; step 1/β of each batch size; 200 is gradient descent.",
            x_scale="log",
            y_scale="log",
        ),
    }


def widest(paths: pd.DataFrame, choose: Callable) -> float:
    """Mean θ at the final iterate, at the width chosen."""
    means = seed_means(paths, "width", "theta_final")
    return means[choose(means)]
