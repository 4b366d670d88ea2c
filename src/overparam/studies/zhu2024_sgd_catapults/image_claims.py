"""What is claimed on images."""

import pandas as pd

from overparam.claims.claim import Claim, Moved, Range
from overparam.claims.statistics import select
from overparam.studies.zhu2024_sgd_catapults.statistics import (
    FEATURES,
    IMAGES,
    MANY,
    SMALL_BATCHES,
    SMALLER,
    cosine_spread,
    image_gain,
)

PAIRED = Moved(
    "2 pooled standard errors of both means",
    "2 standard errors of the differences within a seed, claims of their own",
    "split, scaling and strong network of a seed are common to both settings, which a pooled "
    "error counts as noise",
)


def image_claims(data: str) -> list[Claim]:
    """What holds on a data set; only digits are in every size."""
    size = "quick" if data == "digits" else "full"

    def seeds(rows: pd.DataFrame) -> int:
        return len(set(select(rows, {"task": data})["seed"]))

    return [
        Claim(
            f"{data}_small_batch",
            f"On {data}, batches of 5 end with fewer test errors than full-batch descent.",
            paper="lower test error at smaller batches",
            source=SMALL_BATCHES,
            statistic=image_gain(data, "5", 0.7, paired=False),
            passes=Range(low=2),
            weaker=Range(low=0),
            tolerance="difference of the means in their pooled standard errors",
            where=IMAGES,
            counted=seeds,
            smallest=size,
            moved=PAIRED,
            kind="paper",
            sentence=SMALLER,
            criterion="beforehand",
        ),
        Claim(
            f"{data}_one_catapult",
            f"On {data}, one catapult at 1.6 times the critical rate does the same.",
            paper="a catapult improves the test error",
            source=MANY,
            statistic=image_gain(data, "catapult", 1.6, paired=False),
            passes=Range(low=2),
            weaker=Range(low=0),
            tolerance="difference of the means in their pooled standard errors",
            where=IMAGES,
            counted=seeds,
            smallest=size,
            moved=PAIRED,
            kind="paper",
            sentence=FEATURES,
            criterion="beforehand",
        ),
        *(
            Claim(
                f"{data}_{name}_within_a_seed",
                f"On {data}, {what} is seen in the differences within a seed.",
                paper="lower test error",
                source=source,
                statistic=image_gain(data, setting, factor, paired=True),
                passes=Range(low=2),
                weaker=Range(low=0),
                tolerance="mean of the seeds' differences in its standard errors",
                where=IMAGES,
                counted=seeds,
                smallest=size,
                kind="ours",
                criterion="seen",
            )
            for name, what, source, setting, factor in (
                ("small_batch", "what batches of 5 gain", SMALL_BATCHES, "5", 0.7),
                ("one_catapult", "what one catapult gains", MANY, "catapult", 1.6),
            )
        ),
        Claim(
            f"{data}_alignment_is_blind",
            f"On {data}, the AGOP's alignment with a strong network's differs by 0.05 at most "
            "between the settings: it does not separate them.",
            paper="the alignment predicts the test error",
            source=SMALL_BATCHES,
            statistic=cosine_spread(data),
            passes=Range(high=0.05),
            tolerance="largest minus smallest mean cosine; on synthetic targets it is above 0.1",
            where=IMAGES,
            counted=seeds,
            smallest=size,
            kind="ours",
        ),
    ]
