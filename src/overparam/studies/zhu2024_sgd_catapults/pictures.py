"""Pictures: test error by batch size and by catapults, and against the alignment."""

from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import seed_means, select
from overparam.studies.zhu2024_sgd_catapults.statistics import (
    ATTRIBUTION,
    BATCH,
    CATAPULTS,
    IMAGES,
    OPTIMIZER,
    rank_correlation,
)

CAUSES = {
    "catapult": "1.4 × the critical rate",
    "divergence": "2.6 × the critical rate",
    "labels": "one batch of wrong labels",
    "inputs": "one batch of outlying inputs",
}
CAPTION = "Mean over seeds; test error over the target's variance."


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """What small batches and catapults change, and how well the alignment foretells it."""
    batch = numeric(select(table, BATCH))
    events = numeric(select(table, CATAPULTS))
    errors, after = seed_means(batch, "setting", "test"), seed_means(events, "setting", "test")
    optimizers = select(table, OPTIMIZER)
    images = select(table, {**IMAGES, "task": "digits"})
    plain = numeric(images.loc[images["setting"] != "catapult"])
    wrong = seed_means(plain, "setting", "wrong")
    return {
        "causes": by_cause(select(table, ATTRIBUTION)),
        "batch": figure(
            "line",
            f"From batch {max(errors):g} to {min(errors):g} the test error goes from "
            f"{errors[max(errors)]:.2f} to {errors[min(errors)]:.2f}",
            [
                line_of_means("test error", batch, "setting", "test"),
                line_of_means("alignment of the AGOP", batch, "setting", "cosine"),
                line_of_means("share of super-critical steps", batch, "setting", "super_critical"),
            ],
            x="batch size",
            y="test error, cosine, share",
            caption=f"{CAPTION} One learning rate: 0.7 of the whole batch's critical rate.",
            x_scale="log",
        ),
        "catapults": figure(
            "line",
            f"{max(after):g} catapults take the test error from {after[0]:.2f} to "
            f"{after[max(after)]:.2f}",
            [
                line_of_means("test error", events, "setting", "test"),
                line_of_means("alignment of the AGOP", events, "setting", "cosine"),
                line_of_means("curvature left", events, "setting", "kept"),
            ],
            x="catapults",
            y="test error, cosine, λ/λ₀",
            caption=f"{CAPTION} Full batch; each catapult at 1.2 times the critical rate.",
        ),
        "optimizers": figure(
            "scatter",
            f"Alignment and test error over optimizers: Spearman's ρ ≤ "
            f"{rank_correlation('cosine', max)(optimizers):.2f} on every target",
            [points(task, part) for task, part in optimizers.groupby("task")],
            x="alignment of the AGOP with the target's",
            y="test error over the target's variance",
            caption="A point per optimizer setting, mean over seeds.",
        ),
        "digits": figure(
            "line",
            f"On digits, {min(wrong):g} examples a batch bring the share of test errors from "
            f"{wrong[max(wrong)]:.3f} to {wrong[min(wrong)]:.3f}",
            [
                line_of_means("share of test errors", plain, "setting", "wrong"),
                line_of_means("alignment of the AGOP", plain, "setting", "cosine"),
            ],
            x="batch size",
            y="share, cosine",
            caption="Mean over seeds; the alignment is with a network trained on 1400 examples.",
            x_scale="log",
        ),
    }


def by_cause(rows: pd.DataFrame) -> dict[str, Any]:
    """The loss through a spike of each cause, and what the classifier called it."""
    causes = rows.loc[rows["seed"] == min(rows["seed"])]
    named = float(np.mean(rows["right"].to_numpy(float)))
    return figure(
        "line",
        f"Four spikes of known cause; {named:.0%} of all runs are named rightly",
        [
            {"name": f"{CAUSES[cause]}: {kind}", "x": list(range(len(losses))), "y": losses}
            for cause, kind, losses in zip(
                causes["setting"], causes["kind"], causes["losses"], strict=True
            )
        ],
        x="step",
        y="loss on all training examples",
        caption="One seed. Cause, and after the colon what the classifier called it; up to "
        "the step at which the loss was back or given up.",
        y_scale="log",
    )


def numeric(rows: pd.DataFrame) -> pd.DataFrame:
    """Settings as numbers."""
    return rows.assign(setting=rows["setting"].astype(float))


def points(task: Any, rows: pd.DataFrame) -> dict[str, Any]:
    """Mean alignment and test error of every optimizer on a target."""
    cosines = seed_means(rows, "setting", "cosine")
    errors = seed_means(rows, "setting", "test")
    order = sorted(cosines, key=cosines.__getitem__)
    return {
        "name": str(task),
        "x": [cosines[name] for name in order],
        "y": [errors[name] for name in order],
    }
