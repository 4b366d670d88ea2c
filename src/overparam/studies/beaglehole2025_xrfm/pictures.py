"""Pictures: shares of columns by leaf, and test errors."""

from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.figures import figure
from overparam.claims.statistics import select
from overparam.studies.beaglehole2025_xrfm.claims import LOCAL, lowest_share
from overparam.studies.beaglehole2025_xrfm.local import METHODS


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Shares of the columns by leaf, and test errors."""
    local = select(table, LOCAL)
    rows = {method: select(local, {"method": method}) for method in METHODS}
    errors = [float(np.mean(rows[method]["error"].to_numpy(float))) for method in METHODS]
    sides = {"x₀ < 0": "share_left", "x₀ > 0": "share_right"}
    lowest = lowest_share(rows["agop"])
    return {
        "shares": figure(
            "bar",
            f"Each leaf of the AGOP's tree has {lowest:.0%} or more of its features to itself",
            [
                {
                    "name": f"columns that matter where {side}",
                    "x": [*METHODS],
                    "y": [
                        float(np.mean(rows[method][column].to_numpy(float))) for method in METHODS
                    ],
                }
                for side, column in sides.items()
            ],
            x="model",
            y="share of the feature matrix",
            caption="Share of the three columns in the diagonal without x₀: of the leaf on that "
            "side, or of the one machine. Means over seeds.",
        ),
        "errors": figure(
            "bar",
            f"Two leaves along the AGOP have {errors[1] / errors[0]:.2f} times the error of one "
            f"machine; split at a column, {errors[2] / errors[0]:.2f}",
            [{"name": "test error", "x": [*METHODS], "y": errors}],
            x="model",
            y="mean squared error",
            caption="2000 test rows, means over seeds.",
        ),
    }
