"""The law and the centres, the rate, and which divergence finds which clusters."""

from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import select
from overparam.clustering.quantization import asymptotic_center_density
from overparam.studies.liu2016_bregman_quantization.line import (
    HIGH,
    LOW,
    divergence_of,
    slopes_of,
)
from overparam.studies.liu2016_bregman_quantization.noise import MATCHED


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Three pictures."""
    line: Any = select(table, {"measure": "line"})
    k = max(line["k"].tolist())
    last: Any = select(line, {"k": k, "density": "uniform"})
    return {
        "density of centres": figure(
            "line",
            f"{k:g} centres of a uniform density lie where the law says",
            [
                each
                for phi, centres in zip(last["phi"], last["centres"], strict=True)
                for each in _laws(phi, centres)
            ],
            x="x",
            y="density",
            caption="Of the best centres: 1/(k times their distance), at the middles. "
            "Thin: the law, (φ'')^(1/3) normalised.",
        ),
        "error over its limit": figure(
            "line",
            "k² times the error tends to the constant of the theorem, 1 here",
            [
                line_of_means(f"{phi}, {density}", rows, "k", "ratio")
                for (phi, density), rows in line.groupby(["phi", "density"], sort=False)
            ],
            x="clusters k",
            y="k² · error / limit",
            caption="In one dimension, by moments in closed form.",
            x_scale="log",
        ),
        "which divergence": figure(
            "bar",
            "The divergence of the noise finds the clusters best",
            [
                {
                    "name": divergence,
                    "x": [f"{noise}, d = {d}" for noise in MATCHED for d in (1, 2)],
                    "y": [
                        mean_score(table, noise, d, divergence) for noise in MATCHED for d in (1, 2)
                    ],
                }
                for divergence in MATCHED.values()
            ],
            x="noise",
            y="adjusted Rand index",
            caption="Mean over data sets of three clusters with 100 points each, ten starts.",
        ),
    }


def mean_score(table: pd.DataFrame, noise: str, d: int, divergence: str) -> float:
    """Over the data sets."""
    rows = select(table, {"measure": "noise", "noise": noise, "d": d})
    return float(np.mean(rows[divergence].to_numpy(float)))


def _laws(phi: str, found: Any) -> list[dict[str, Any]]:
    """Spacing of the centres of a uniform density as a density, and the law."""
    a, _ = slopes_of("uniform")
    centres = np.asarray(found)
    middles = (centres[1:] + centres[:-1]) / 2
    law = asymptotic_center_density(
        lambda x: np.full(len(x), a), divergence_of(phi), bounds=[(LOW, HIGH)]
    )
    spacing = 1 / (len(centres) * np.diff(centres))
    x = middles.tolist()
    return [
        {"name": phi, "x": x, "y": spacing.tolist()},
        {"name": f"{phi}, law", "x": x, "y": law(middles[:, None]).tolist()},
    ]
