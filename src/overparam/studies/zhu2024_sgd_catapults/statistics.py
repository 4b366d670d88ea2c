"""Numbers that claims are about, what they select, and the sentences of the paper they test."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from overparam.claims.statistics import seed_means, select

BATCH, CATAPULTS = {"measure": "batch"}, {"measure": "catapults"}
OPTIMIZER, SPIKE = {"measure": "optimizer"}, {"measure": "spike"}
ATTRIBUTION, IMAGES = {"measure": "attribution"}, {"measure": "images"}
SGD_SPIKE, CAPPED, ORACLE = {"measure": "sgd spike"}, {"measure": "capped"}, {"measure": "oracle"}
# Sentences of the abstract.
TOP = "Spikes of the loss lie in the top eigenspace of the tangent kernel, for GD and SGD."
CATAPULTS_ARE = "Spikes in the training loss of SGD are catapults."
FEATURES = "Catapults improve generalisation by more alignment with the AGOP of the true predictor."
SMALLER = "Smaller batches make more catapults, and thereby more alignment and a lower test error."
OPTIMIZERS_TOO = "The alignment foretells the test performance of other optimizers as well."
HEADLINES = (TOP, CATAPULTS_ARE, FEATURES, SMALLER, OPTIMIZERS_TOO)
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


def rank_correlation(column: str, worst: Callable) -> Callable[[pd.DataFrame], float]:
    """Spearman's correlation of an alignment with the test error over settings, by task.

    Of means over seeds; NaN if a training diverged, which must not vanish from a mean.
    """

    def statistic(rows: pd.DataFrame) -> float:
        found = []
        for _, part in rows.groupby("task"):
            means = [seed_means(part, "setting", name) for name in (column, "test")]
            numbers = np.array([list(mean.values()) for mean in means]).T
            if not np.isfinite(numbers).all() or np.ptp(numbers, axis=0).min() == 0:
                return float("nan")
            found.append(float(spearmanr(numbers[:, 0], numbers[:, 1])[0]))  # pyright: ignore
        return float(worst(found))

    return statistic


def many_over_none(rows: pd.DataFrame) -> float:
    """Largest over seeds of the test error with four catapults over that without."""
    matrix = by_setting(select(rows, {"setting": ["0", "4"]}), "test")
    return float(np.max(matrix[:, -1] / matrix[:, 0])) if matrix.shape[1] == 2 else float("nan")


def gain_without_catapults(rows: pd.DataFrame) -> float:
    """Of what batches of 4 gain over the whole batch, the part that they gain without catapults.

    Largest over the seeds.
    """
    whole, free = (
        select(rows, {**BATCH, "setting": setting}).sort_values("seed")["test"].to_numpy(float)
        for setting in ("256", "4")
    )
    held = select(rows, CAPPED).sort_values("seed")["test"].to_numpy(float)
    if not len(whole) == len(free) == len(held) > 0:
        return float("nan")
    return float(np.max((whole - held) / (whole - free)))


def spikes_left(rows: pd.DataFrame) -> float:
    """Spikes of batches of 4 where no step is super-critical, over those where steps are.

    Largest over the seeds.
    """
    free, held = (
        select(rows, where).sort_values("seed")["catapults"].to_numpy(float)
        for where in ({**BATCH, "setting": "4"}, CAPPED)
    )
    if not len(free) == len(held) > 0 or not (free > 0).all():
        return float("nan")
    return float(np.max(held / free))


def usual_share(column: str, worst: Callable) -> Callable[[pd.DataFrame], float]:
    """Median over the spikes of a run of a share of the rise, of the worst run.

    A run in which nothing spiked says nothing about where spikes lie; half of all must have one.
    `worst` is numpy's: Python's own takes or leaves a NaN, by where it stands.
    """

    def statistic(rows: pd.DataFrame) -> float:
        found = [np.median(shares) for shares in _of_spikes(rows, column)]
        return float(worst(found)) if 2 * len(found) >= len(rows) > 0 else float("nan")

    return statistic


def runs_with_spikes(column: str) -> Callable[[pd.DataFrame], int]:
    """How many runs `usual_share` is of."""
    return lambda rows: len(_of_spikes(rows, column))


def _of_spikes(rows: pd.DataFrame, column: str) -> list[np.ndarray]:
    """Of each run that has any, what its spikes have."""
    lists = [np.atleast_1d(np.asarray(values, dtype=float)) for values in rows[column]]
    return [values for values in lists if len(values)]


def image_gain(
    data: str, setting: str, factor: float, *, paired: bool
) -> Callable[[pd.DataFrame], float]:
    """Mean error of full-batch descent minus that of a setting, in standard errors.

    Pooled ones of both means, or those of the mean of the differences within a seed.
    """

    def statistic(rows: pd.DataFrame) -> float:
        rows = select(rows, {"task": data})
        plain = rows.loc[rows["setting"] != "catapult"]
        if not len(plain):
            return float("nan")
        full = str(max(plain["setting"].astype(int)))
        rows = rows.sort_values("seed")
        base = select(rows, {"setting": full})["wrong"].to_numpy(float)
        other = select(rows, {"setting": setting, "factor": factor})["wrong"].to_numpy(float)
        if len(base) < 2 or len(base) != len(other):
            return float("nan")
        gained = base - other
        spread = gained.var(ddof=1) if paired else base.var(ddof=1) + other.var(ddof=1)
        return float(gained.mean() / np.sqrt(spread / len(gained))) if spread else float("nan")

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
