"""What is claimed of noise on scalars, and how far the numbers may lie from it."""

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Range
from overparam.claims.statistics import select

TRAINING = {"measure": "training"}
ORDER = "comparison with private baselines, ε up to 10"
BETTER = (
    "Abstract: more accurate than other private vertical methods for ε up to 10; here at ε = 1, "
    "than one of them."
)
AS_FAST = (
    "Abstract: converges as first-order training does; here without noise, by the accuracy after "
    "as many epochs."
)
PRIVATE = "Abstract: what the server sends is (ε, δ)-differentially private, by a formula for σ."
HEADLINES = (BETTER, AS_FAST, PRIVATE)


def mean_of(rows: pd.DataFrame, noised: str, epsilon: str) -> float:
    """Mean accuracy over the seeds."""
    return float(np.mean(select(rows, {"noised": noised, "epsilon": epsilon})["accuracy"]))


def lead(first: tuple[str, str], second: tuple[str, str]):
    """How much more accurate one setting is than another, in the mean over the seeds."""
    return lambda rows: mean_of(rows, *first) - mean_of(rows, *second)


def least_fall(noised: str):
    """Least fall of the mean accuracy from one ε to the next smaller; NaN if one is missing."""

    def statistic(rows: pd.DataFrame) -> float:
        means = [mean_of(rows, noised, epsilon) for epsilon in ("inf", "10", "1", "0.5")]
        return float(np.min(-np.diff(means)))

    return statistic


def farthest_from_one(rows: pd.DataFrame) -> float:
    """Largest distance from 1 of either estimate's mean or length; NaN if unknown."""
    return float(np.max(np.abs(rows[["along", "length_ratio"]].to_numpy(float) - 1)))


def largest(column: str):
    """Largest value of a column over cells; NaN if any is."""
    return lambda rows: float(np.max(rows[column].to_numpy(float)))


CLAIMS = [
    Claim(
        "scalars_beat_gradients",
        "At ε = 1 noise on scalars ends at least 0.05 above noise on gradients.",
        paper="better than private baselines",
        source=ORDER,
        kind="paper",
        sentence=BETTER,
        criterion="beforehand",
        statistic=lead(("scalars", "1"), ("gradients", "1")),
        passes=Range(low=0.05),
        weaker=Range(low=0.0),
        tolerance="test accuracy, means over the seeds",
        where=TRAINING,
    ),
    Claim(
        "little_is_lost_without_noise",
        "Without noise zeroth-order training ends at most 0.03 below gradients.",
        paper="convergence of the order of first-order training",
        source="theorem on convergence",
        kind="paper",
        sentence=AS_FAST,
        criterion="beforehand",
        statistic=lead(("scalars", "inf"), ("gradients", "inf")),
        passes=Range(low=-0.03),
        tolerance="test accuracy, means over the seeds",
        where=TRAINING,
    ),
    Claim(
        "noise_of_epsilon_10_costs_nothing",
        "Noise of ε = 10 on scalars costs at most 0.01.",
        paper="high accuracy for ε up to 10",
        source=ORDER,
        kind="ours",
        statistic=lead(("scalars", "inf"), ("scalars", "10")),
        passes=Range(high=0.01),
        tolerance="test accuracy, means over the seeds",
        where=TRAINING,
    ),
    Claim(
        "accuracy_falls_with_epsilon",
        "Accuracy with noise on scalars falls with ε.",
        paper="a trade of accuracy for privacy",
        source=ORDER,
        kind="control",
        statistic=least_fall("scalars"),
        passes=Range(low=-0.005),
        tolerance="least fall from one ε to the next, half a point for chance; a control",
        where=TRAINING,
    ),
    Claim(
        "the_promise_is_kept",
        "What both spend at ε = 1 is 1, to 1e-6.",
        paper="(ε, δ) differential privacy",
        source="ours: the exact composition of Gaussian releases",
        kind="identity",
        statistic=lambda rows: float(np.max(np.abs(rows["spent"].to_numpy(float) - 1))),
        passes=Range(high=1e-6),
        tolerance="rounding of a root that is found from above",
        where={**TRAINING, "epsilon": "1"},
        smallest="smoke",
    ),
    Claim(
        "two_points_estimate_the_gradient",
        "Two points estimate the gradient without bias, at d or d + 2 times its squared length.",
        paper="unbiased up to the smoothing",
        source="follows from the directions, in another normalisation than the paper's",
        kind="identity",
        statistic=farthest_from_one,
        passes=Range(high=0.02),
        tolerance="sphere and normal directions; the estimate along w has a spread of √(2/n), "
        "0.7 % for the 40 000 of quick",
        where={"measure": "estimator"},
    ),
    Claim(
        "the_published_noise_keeps_what_it_promises",
        "The published noise for ε = 5 over five epochs keeps ε = 5 against a party.",
        paper=5.0,
        source="formula for the noise, evaluated",
        kind="paper",
        sentence=PRIVATE,
        criterion="paper",
        statistic=largest("kept"),
        passes=Range(high=5.0),
        tolerance="exact composition, against parties, who know who is in a batch",
        where={"measure": "formula"},
    ),
    Claim(
        "the_published_formula_keeps_less",
        "The published noise for ε = 5 over five epochs keeps no ε below 100 against a party.",
        paper=5.0,
        source="formula for the noise, evaluated; ours: parties know who is in a batch",
        kind="ours",
        statistic=largest("kept"),
        passes=Range(low=100.0),
        tolerance="exact composition gives 735; a control",
        where={"measure": "formula"},
        smallest="smoke",
    ),
    Claim(
        "planned_noise",
        "Noise that is planned is σ = (2C/B) √k/μ, C/B for adding or removing one, or as "
        "published, 2C√T/(nμ).",
        paper="σ = 2C√T/(nμ)",
        source="ours: exact composition of Gaussian releases; absolute values",
        kind="identity",
        statistic=largest("plan_error"),
        passes=Range(high=1e-6),
        tolerance="relative; μ is kept so that log δ is 1e-10 below what was asked for",
        where={"measure": "formula"},
        smallest="smoke",
    ),
    Claim(
        "conventions_differ_by_two",
        "Noise for adding or removing one, taken for replacing one, keeps 2.155 instead of 1.",
        paper="not stated",
        source="ours: the two sensitivities",
        kind="identity",
        statistic=largest("mistaken"),
        passes=Range(low=2.154, high=2.156),
        tolerance="exact composition, four digits; a control",
        where={"measure": "formula"},
        smallest="smoke",
    ),
]
