"""Pictures of accuracy by round and of what a round of mixing leaves."""

from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.figures import figure
from overparam.claims.statistics import select


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Who gets where, and by how much rounds bring nodes together."""
    training, mixing = (select(table, {"measure": m}) for m in ("training", "mixing"))
    names = list(dict.fromkeys(training["topology"]))
    ends = {name: np.mean(select(training, {"topology": name})["final"]) for name in names}
    return {
        "accuracy": figure(
            "line",
            f"400 messages over hubs end at {ends['hubs 400']:.3f}, 1000 among peers at "
            f"{ends['peers 1000']:.3f}",
            [line(name, select(training, {"topology": name})) for name in names],
            x="round",
            y="mean test accuracy of the nodes",
            caption="100 nodes with digits, Dirichlet 0.1 by class; mean over seeds.",
        ),
        "error": figure(
            "bar",
            f"What a round leaves: {mixing['error'].astype(float).min():.4f} at best",
            [
                {
                    "name": "τ",
                    "x": mixing["topology"].tolist(),
                    "y": mixing["error"].astype(float).tolist(),
                }
            ],
            x="topology, by messages in a round",
            y="mean squared distance from the old mean, over that before",
            caption="Closed forms; draws agree with them.",
        ),
    }


def line(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Accuracy of one topology at the rounds that were tested."""
    values = np.mean(np.array(rows["accuracy"].to_list(), dtype=float), axis=0)
    return {"name": name, "x": list(rows["rounds"].iloc[0]), "y": values.tolist()}
