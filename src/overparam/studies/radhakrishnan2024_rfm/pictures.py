"""Pictures: test error and features by round."""

from typing import Any

import pandas as pd

from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import select
from overparam.studies.radhakrishnan2024_rfm.low_rank import DIMENSIONS, VARIANTS


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Test error and share of the relevant coordinates by round."""
    base = select(table, {"variant": "rfm"})
    return {
        "error": figure(
            "line",
            f"Five rounds leave {100 * base['ratio'].mean():.0f} % of the test error",
            [
                line_of_means(variant, by_round(table, variant, "errors", 0), "round", "errors")
                for variant in VARIANTS
            ],
            x="round (0: kernel ridge regression)",
            y="mean squared test error",
            caption=f"Mean over draws; {base['points'].iloc[0]} training points in "
            f"{DIMENSIONS} dimensions, y = x₀ x₁ 1{{x₅ > 0}}.",
            y_scale="log",
        ),
        "share": figure(
            "line",
            f"Three of {DIMENSIONS} coordinates get {100 * base['share'].mean():.1f} % "
            "of the feature matrix",
            [
                line_of_means(variant, by_round(table, variant, "shares", 1), "round", "shares")
                for variant in VARIANTS
            ],
            x="round",
            y="share of the diagonal on coordinates 0, 1, 5",
            caption="Mean over draws. A uniform diagonal has 0.15; power 1/4 flattens it.",
        ),
    }


def by_round(table: pd.DataFrame, variant: str, column: str, first: int) -> pd.DataFrame:
    """One row per draw and round of a list-valued column."""
    rows = select(table, {"variant": variant})
    return pd.DataFrame(
        [
            {"seed": seed, "round": number, column: value}
            for seed, values in zip(rows["seed"], rows[column], strict=True)
            for number, value in enumerate(values, first)
        ]
    )
