"""What is claimed on data, of two layers and beyond."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from overparam.claims.claim import Claim, Range
from overparam.claims.statistics import select
from overparam.studies.zhu2024_quadratic_catapult.deep import BY_BATCH
from overparam.studies.zhu2024_quadratic_catapult.statistics import (
    DATA,
    DEEPER,
    TEST,
    deep_catapults,
    deep_gain,
    gain,
    share,
    spread_below,
)


def data_claims(data: str) -> list[Claim]:
    """What holds on a data set; only digits are in every size."""
    smallest_size = "quick" if data == "digits" else "full"
    figure = "figure on the best test loss by learning rate"

    def on_data(statistic: Callable[[pd.DataFrame], float]) -> Callable[[pd.DataFrame], float]:
        return lambda rows: statistic(select(rows, {"data": data}))

    def draws(of: Callable[[float], bool]) -> Callable[[pd.DataFrame], int]:
        """The fewest draws at any of these rates."""

        def counted(rows: pd.DataFrame) -> int:
            here = select(rows, {"data": data})
            here = here.loc[here["edge"].map(of).astype(bool)]
            return int(here.groupby("edge")["seed"].nunique().min()) if len(here) else 0

        return counted

    def linear_diverges(rows: pd.DataFrame) -> float:
        here = select(rows, {"edge": 1.2})
        return share("linear_diverged")(here) if len(here) else float("nan")

    return [
        Claim(
            f"{data}_below",
            f"On {data}, below the critical rate, the three models' best test losses agree.",
            paper="indistinguishable",
            source=figure,
            statistic=on_data(spread_below),
            passes=Range(high=0.02),
            weaker=Range(high=0.05),
            tolerance="largest over smallest mean, minus 1",
            where=DATA,
            smallest=smallest_size,
            kind="paper",
            sentence=TEST,
            criterion="beforehand",
            counted=draws(lambda factor: factor < 1),
        ),
        Claim(
            f"{data}_linear_diverges",
            f"On {data}, the linear model diverges at 1.2 times the critical rate.",
            paper="diverges",
            source=figure,
            statistic=on_data(linear_diverges),
            passes=Range(low=1.0),
            tolerance="share of seeds; control: without the second order there is no catapult",
            where=DATA,
            smallest=smallest_size,
            kind="paper",
            sentence=TEST,
            criterion="theory",
            counted=draws(lambda factor: factor == 1.2),
        ),
        *(
            Claim(
                f"{data}_{model}_gains",
                f"On {data}, the {model}'s best test loss at 1.5 times the critical rate is at "
                "most 0.88 of that at 0.6 times.",
                paper="lower above the critical rate",
                source=figure,
                statistic=on_data(gain(model)),
                passes=Range(high=0.88),
                weaker=Range(high=0.98),
                tolerance="ratio of means over draws, of the worst of two scalings",
                where=DATA,
                smallest=smallest_size,
                kind="paper",
                sentence=TEST,
                criterion="beforehand",
                counted=draws(lambda factor: factor in (0.6, 1.5)),
            )
            for model in ("quadratic", "network")
        ),
    ]


def deep_claims(setting: str) -> list[Claim]:
    """What holds beyond two layers of ReLU under full-batch descent."""
    name = setting.replace(" ", "_")
    where = {"measure": "deep", "data": setting}
    # At 1.5 times the whole batch's critical rate networks diverge by batches of 12, which was
    # seen first; whether a unit of the batches' own changes that is asked beside it.
    told: dict[str, Any] = (
        {"kind": "ours", "criterion": "seen"}
        if setting == BY_BATCH
        else {"kind": "paper", "sentence": DEEPER, "criterion": "beforehand"}
    )
    return [
        Claim(
            f"{name}_catapult",
            f"With {setting}, at 1.5 times the critical rate the linear model diverges, and the "
            "quadratic one and the network usually rise and come back.",
            paper="the same phases",
            source="appendix and figures on SGD, activations, three layers and convolutions",
            statistic=deep_catapults,
            passes=Range(low=2 / 3 - 1e-9),
            weaker=Range(low=1 / 3 - 1e-9),
            tolerance="share of the draws in which all three hold; to rise is by a fifth",
            where=where,
            **told,
        ),
        Claim(
            f"{name}_gains",
            f"With {setting}, the best test losses of both at 1.5 times the critical rate are at "
            "most 0.88 of those at 0.6 times.",
            paper="lower above the critical rate",
            source="appendix and figures on SGD, activations, three layers and convolutions",
            statistic=deep_gain,
            passes=Range(high=0.88),
            weaker=Range(high=0.98),
            tolerance="ratio of means over draws, of the model that gains less; as for two layers",
            where=where,
            **told,
        ),
    ]
