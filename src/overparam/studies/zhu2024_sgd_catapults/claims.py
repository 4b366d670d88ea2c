"""What is claimed of catapults in stochastic gradient descent."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from overparam.claims.claim import Claim, Range
from overparam.claims.statistics import select

BATCH, CATAPULTS = {"measure": "batch"}, {"measure": "catapults"}
OPTIMIZER, SPIKE = {"measure": "optimizer"}, {"measure": "spike"}
ATTRIBUTION, IMAGES = {"measure": "attribution"}, {"measure": "images"}
SMALL_BATCHES = "claim on batch size, catapults, AGOP and test error"
MANY = "claim on several catapults of gradient descent"


def by_setting(rows: pd.DataFrame, column: str, *, falling: bool = False) -> np.ndarray:
    """Values as a matrix, a row per seed and a column per setting, in numeric order."""
    wide = rows.assign(setting=rows["setting"].astype(float)).pivot_table(
        index="seed", columns="setting", values=column, dropna=False
    )
    matrix = wide.sort_index(axis=1, ascending=not falling).to_numpy(float)
    return matrix if matrix.size else np.full((1, 2), np.nan)


def ends(column: str, sign: float) -> Callable[[pd.DataFrame], float]:
    """Smallest over seeds of sign times (largest setting − smallest setting)."""

    def statistic(rows: pd.DataFrame) -> float:
        matrix = by_setting(rows, column)
        return float(np.min(sign * (matrix[:, -1] - matrix[:, 0])))

    return statistic


def smallest_step(
    column: str, sign: float, *, falling: bool = False
) -> Callable[[pd.DataFrame], float]:
    """Smallest over seeds and neighbouring settings of sign times the increase."""

    def statistic(rows: pd.DataFrame) -> float:
        return float(np.min(sign * np.diff(by_setting(rows, column, falling=falling), axis=1)))

    return statistic


def largest(column: str) -> Callable[[pd.DataFrame], float]:
    """Largest value over cells; NaN if any is."""
    return lambda rows: float(np.max(rows[column].to_numpy(float)))


def smallest(column: str) -> Callable[[pd.DataFrame], float]:
    """Smallest value over cells; NaN if any is."""
    return lambda rows: float(np.min(rows[column].to_numpy(float)))


def _mean_of_known(values: pd.Series) -> float:
    known = values.dropna()
    return float(known.mean()) if len(known) else float("nan")


def rank_correlation(column: str, worst: Callable) -> Callable[[pd.DataFrame], float]:
    """Spearman's correlation of an alignment with the test error over settings, by task.

    Means over the seeds whose training did not diverge.
    """

    def statistic(rows: pd.DataFrame) -> float:
        found = []
        for _, part in rows.groupby("task"):
            means = part.groupby("setting")[[column, "test"]].agg(_mean_of_known)
            numbers = means.to_numpy(float)
            if not np.isfinite(numbers).all() or np.ptp(numbers, axis=0).min() == 0:
                return float("nan")
            found.append(float(spearmanr(numbers[:, 0], numbers[:, 1])[0]))  # pyright: ignore
        return float(worst(found))

    return statistic


def smallest_step_of_means(column: str, sign: float) -> Callable[[pd.DataFrame], float]:
    """Smallest over neighbouring settings of sign times the increase of the mean over seeds."""

    def statistic(rows: pd.DataFrame) -> float:
        return float(np.min(sign * np.diff(by_setting(rows, column).mean(axis=0))))

    return statistic


def many_over_none(rows: pd.DataFrame) -> float:
    """Mean over seeds of the test error with four catapults, over that without."""
    means = by_setting(select(rows, {"setting": ["0", "4"]}), "test").mean(axis=0)
    return float(means[-1] / means[0]) if len(means) == 2 else float("nan")


def image_gain(data: str, setting: str, factor: float) -> Callable[[pd.DataFrame], float]:
    """Mean error of full-batch descent minus that of a setting, in pooled standard errors."""

    def statistic(rows: pd.DataFrame) -> float:
        rows = select(rows, {"task": data})
        plain = rows.loc[rows["setting"] != "catapult"]
        if not len(plain):
            return float("nan")
        full = str(max(plain["setting"].astype(int)))
        base = select(rows, {"setting": full})["wrong"].to_numpy(float)
        other = select(rows, {"setting": setting, "factor": factor})["wrong"].to_numpy(float)
        if len(base) < 2 or len(base) != len(other):
            return float("nan")
        pooled = np.sqrt((base.var(ddof=1) + other.var(ddof=1)) / len(base))
        return float((base.mean() - other.mean()) / pooled) if pooled else float("nan")

    return statistic


def cosine_spread(data: str) -> Callable[[pd.DataFrame], float]:
    """Largest minus smallest mean alignment over the settings of a data set."""

    def statistic(rows: pd.DataFrame) -> float:
        rows = select(rows, {"task": data})
        means = [
            np.mean(part["cosine"].to_numpy(float))
            for _, part in rows.groupby(["setting", "factor"])
        ]
        return float(np.max(means) - np.min(means)) if means else float("nan")

    return statistic


def image_claims(data: str) -> list[Claim]:
    """What holds on a data set; only digits are in every size."""
    size = "quick" if data == "digits" else "full"
    return [
        Claim(
            f"{data}_small_batch",
            f"On {data}, batches of 5 end with fewer test errors than full-batch descent.",
            paper="lower test error at smaller batches",
            source=SMALL_BATCHES,
            statistic=image_gain(data, "5", 0.7),
            passes=Range(low=2),
            weaker=Range(low=0),
            tolerance="difference of means in pooled standard errors",
            where=IMAGES,
            smallest=size,
        ),
        Claim(
            f"{data}_one_catapult",
            f"On {data}, one catapult at 1.6 times the critical rate does the same.",
            paper="a catapult improves the test error",
            source=MANY,
            statistic=image_gain(data, "catapult", 1.6),
            passes=Range(low=2),
            weaker=Range(low=0),
            tolerance="difference of means in pooled standard errors",
            where=IMAGES,
            smallest=size,
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
            smallest=size,
        ),
    ]


CLAIMS = [
    Claim(
        "test_error_by_batch",
        "The test error with the whole batch exceeds that with batches of 4 by 0.2 or more.",
        paper="lower at smaller batches",
        source=SMALL_BATCHES,
        statistic=ends("test", 1.0),
        passes=Range(low=0.2),
        weaker=Range(low=0.0),
        tolerance="in units of the target's variance, smallest over seeds",
        where=BATCH,
    ),
    Claim(
        "test_error_order",
        "No smaller batch has a test error above that of the next larger one by 0.005.",
        paper="lower at smaller batches",
        source=SMALL_BATCHES,
        statistic=lambda rows: -smallest_step("test", -1.0, falling=True)(rows),
        passes=Range(high=0.005),
        weaker=Range(high=0.02),
        tolerance="largest increase over seeds and neighbours",
        where=BATCH,
    ),
    Claim(
        "alignment_by_batch",
        "The AGOP's alignment with batches of 4 exceeds that with the whole batch by 0.1 or more.",
        paper="higher at smaller batches",
        source=SMALL_BATCHES,
        statistic=ends("cosine", -1.0),
        passes=Range(low=0.1),
        weaker=Range(low=0.0),
        tolerance="smallest over seeds",
        where=BATCH,
    ),
    Claim(
        "catapults_by_batch",
        "Every halving or quartering of the batch from 64 on adds catapults.",
        paper="more catapults at smaller batches",
        source=SMALL_BATCHES,
        statistic=lambda rows: smallest_step("catapults", 1.0, falling=True)(
            rows.loc[rows["setting"] != "256"]
        ),
        passes=Range(low=1),
        weaker=Range(low=0),
        tolerance="smallest increase over seeds and neighbours",
        where=BATCH,
    ),
    Claim(
        "whole_batch_has_none",
        "Whole batches and batches of 64 make no catapult, and no step beyond the critical rate.",
        paper="monotone below the critical rate",
        source=SMALL_BATCHES,
        statistic=lambda rows: float(
            np.max((rows["catapults"] + rows["super_critical"]).to_numpy(float))
        ),
        passes=Range(high=0.0),
        tolerance="largest over seeds of catapults plus the share of super-critical steps; control",
        where={**BATCH, "setting": ["256", "64"]},
    ),
    Claim(
        "small_batches_are_super_critical",
        "With batches of 8 or 4, more than half of the steps are beyond their batch's critical "
        "rate, at a rate that is 0.7 of the whole batch's.",
        paper="the critical rate of a batch is below the full one",
        source="section on stochastic gradient descent",
        statistic=smallest("super_critical"),
        passes=Range(low=0.5),
        tolerance="smallest share over seeds; its mean is above 0.8 in earlier runs",
        where={**BATCH, "setting": ["8", "4"]},
    ),
    Claim(
        "catapults_lower_the_test_error",
        "Each further catapult, of 0, 1, 2 and 4, lowers the test error.",
        paper="each catapult improves it",
        source=MANY,
        statistic=smallest_step_of_means("test", -1.0),
        passes=Range(low=1e-9),
        weaker=Range(low=-0.02),
        tolerance="strictly: smallest decrease of the mean over seeds",
        where={**CATAPULTS, "setting": ["0", "1", "2", "4"]},
    ),
    Claim(
        "catapults_raise_the_alignment",
        "Each further catapult, of 0, 1, 2 and 4, raises the alignment.",
        paper="each catapult improves it",
        source=MANY,
        statistic=smallest_step_of_means("cosine", 1.0),
        passes=Range(low=1e-9),
        weaker=Range(low=-0.02),
        tolerance="strictly: smallest increase of the mean over seeds",
        where={**CATAPULTS, "setting": ["0", "1", "2", "4"]},
    ),
    Claim(
        "four_catapults",
        "Four catapults bring the test error below 0.65 of that without.",
        paper="each catapult improves it",
        source=MANY,
        statistic=many_over_none,
        passes=Range(high=0.65),
        weaker=Range(high=0.95),
        tolerance="ratio of means over seeds; on the worst of three it was 0.659, over nine 0.656",
        where=CATAPULTS,
    ),
    Claim(
        "as_many_as_asked",
        "The scheduler makes exactly as many catapults as it was asked for.",
        paper="a protocol is not given",
        source="protocol of this library",
        statistic=lambda rows: float(
            np.max(np.abs(rows["catapults"].to_numpy(float) - rows["setting"].astype(float)))
        ),
        passes=Range(high=0.0),
        tolerance="largest difference over runs",
        where=CATAPULTS,
    ),
    Claim(
        "spike_in_the_top",
        "The rise of the loss lies in the top eigenvector of the kernel, to 98 % or more.",
        paper="spikes occur in the top eigenspace",
        source="claim on the location of spikes, gradient descent",
        statistic=smallest("share_one"),
        passes=Range(low=0.98),
        weaker=Range(low=0.9),
        tolerance="smallest over seeds and rates of 1.2 and 1.35 times the critical one",
        where=SPIKE,
    ),
    Claim(
        "spike_not_elsewhere",
        "At the peak, the loss beyond the fifth eigenvector is at most 1.2 times its start.",
        paper="keeps decreasing",
        source="claim on the location of spikes, gradient descent",
        statistic=largest("rest_ratio"),
        passes=Range(high=1.2),
        weaker=Range(high=2),
        tolerance="largest over seeds and rates; from 1.6 times the critical rate on it does grow",
        where=SPIKE,
    ),
    Claim(
        "spike_flattens",
        "The kernel's norm is lower when the loss is back.",
        paper="decreases",
        source="claim on the location of spikes",
        statistic=largest("kernel_kept"),
        passes=Range(high=0.95),
        weaker=Range(high=1.0),
        tolerance="largest ratio over seeds and rates",
        where=SPIKE,
    ),
    Claim(
        "alignment_ranks_optimizers",
        "Over eleven optimizers the alignment and the test error have Spearman's ρ ≤ −0.9, on "
        "each of three targets.",
        paper="the alignment predicts the test performance across optimizers",
        source="claim on optimizers",
        statistic=rank_correlation("cosine", max),
        passes=Range(high=-0.9),
        weaker=Range(high=-0.6),
        tolerance="largest over the targets; means over seeds",
        where=OPTIMIZER,
    ),
    Claim(
        "other_alignment_does_not",
        "The alignment with two inputs that the target does not use does not fall with the test "
        "error.",
        paper="",
        source="control of the claim on optimizers",
        statistic=rank_correlation("control_cosine", min),
        passes=Range(low=0.0),
        tolerance="smallest ρ over the targets; control",
        where=OPTIMIZER,
    ),
    Claim(
        "causes_named",
        "Catapult, wrong labels, outlying inputs and divergence are told apart on every run.",
        paper="spikes of stochastic gradient descent are catapults",
        source="rule of this library, from the paper's three signs",
        statistic=lambda rows: float(np.mean(rows["right"].to_numpy(float))),
        passes=Range(low=1.0),
        weaker=Range(low=0.9),
        tolerance="share of runs; the spikes that are no catapults are the control",
        where=ATTRIBUTION,
    ),
    *(claim for data in ("digits", "mnist", "cifar10") for claim in image_claims(data)),
]
