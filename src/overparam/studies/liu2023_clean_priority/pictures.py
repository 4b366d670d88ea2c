"""The figures of the study."""

from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.figures import figure
from overparam.claims.statistics import select
from overparam.studies.liu2023_clean_priority.claims import crossing


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Errors, ratio and direction by epoch on ten digits; test error with and without noise."""
    ten = select(table, {"measure": "ten"})
    error, rho = mean_course(ten, "test_error"), mean_course(ten, "rho")
    at = sorted(crossing(np.array(one, dtype=float)) for one in ten["rho"])
    return {
        "errors": by_epoch(
            f"The test error is least, {error.min():.3f}, at epoch {error.argmin()}, and ends "
            f"at {error[-1]:.3f}",
            {name: mean_course(ten, column) for name, column in (
                ("test, true labels", "test_error"), ("clean training samples", "clean_error"),
                ("wrong training labels", "noisy_error"))},
            "error", "Means over seeds, 40 % random labels; training errors are to given labels.",
        ),
        "ratio": by_epoch(
            f"ρ starts at {rho[0]:.1f} and first falls below 1 at epochs "
            f"{', '.join(map(str, at))}",
            {"ρ": rho, "1": np.ones_like(rho), "sizes of residuals": mean_course(ten, "residuals")},
            "clean over wrong",
            "Lengths of summed gradients, in total, mean over seeds; beside it the ratio of summed "
            "residuals, which is no substitute.",
            y_scale="log",
        ),
        "loss": by_epoch(
            f"The loss on wrong labels rises to {mean_course(ten, 'noisy_loss').max():.2f} ln C",
            {"wrong labels": mean_course(ten, "noisy_loss"),
             "clean samples": mean_course(ten, "clean_loss"),
             "cosine to the gradient under true labels": mean_course(ten, "direction")},
            "loss / ln C, cosine", "Means over seeds, in evaluation mode at the end of an epoch.",
        ),
    }  # fmt: skip


def mean_course(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Mean over the seeds, epoch by epoch."""
    return np.mean([np.array(one, dtype=float) for one in rows[column]], axis=0)


def by_epoch(
    title: str, lines: dict[str, np.ndarray], y: str, caption: str, **scales: str
) -> dict[str, Any]:
    """Lines against the epoch; 0 is before training."""
    drawn = [
        {"name": name, "x": list(range(len(values))), "y": values.tolist()}
        for name, values in lines.items()
    ]
    return figure("line", title, drawn, x="epoch", y=y, caption=caption, **scales)
