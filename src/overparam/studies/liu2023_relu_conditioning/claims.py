"""What the paper says about angles and condition numbers, two statements of it corrected."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Range
from overparam.claims.statistics import mean_at, seed_means


def largest_step(rows: pd.DataFrame, column: str = "condition") -> float:
    """Largest ratio of the seed means at neighbouring depths; below 1 if all fall."""
    means = list(seed_means(rows, "depth", column).values())
    return float(np.max([after / before for before, after in pairwise(means)]))


def smallest_step(rows: pd.DataFrame, column: str) -> float:
    """Smallest such ratio; above 1 if all rise."""
    means = list(seed_means(rows, "depth", column).values())
    return float(np.min([after / before for before, after in pairwise(means)]))


def first_over_last(rows: pd.DataFrame) -> float:
    """Condition number at the smallest depth over that at the largest, seed means."""
    means = list(seed_means(rows, "depth", "condition").values())
    return means[0] / means[-1]


def farthest_from(rows: pd.DataFrame, column: str, value: float) -> float:
    """Largest distance of a cell's number from `value`."""
    return float(np.max(np.abs(rows[column].to_numpy(float) - value)))


STRICT = "the largest ratio of neighbours, seed means; 1 is no fall at all"
PAPER_LIMIT = "section 4, theorem on infinite depth; it prints (n + 4)/3"


def falls(measure: str, data: str, ratio: float, what: str, why: str) -> list[Claim]:
    """The condition number falls at every step, and by `ratio` in all."""
    name = f"{measure}_{data}".replace(" ", "_")
    where = {"measure": measure, "data": data}
    return [
        Claim(
            f"condition_falls_{name}",
            f"On {what}, the condition number falls with every layer.",
            paper="decreasing with depth",
            source="experiments, condition number by depth",
            statistic=largest_step,
            passes=Range(high=1 - 1e-9),
            tolerance=STRICT,
            where=where,
        ),
        Claim(
            f"condition_ratio_{name}",
            f"On {what}, depth 10 divides the condition number of depth 1 by {ratio:g} or more.",
            paper="falls, by a factor that the figures show only",
            source="experiments, condition number by depth",
            statistic=first_over_last,
            passes=Range(low=ratio),
            weaker=Range(low=1.5),
            tolerance=why,
            where=where,
        ),
    ]


CLAIMS = [
    *falls(
        "kernel",
        "gaussian",
        5,
        "normal points in R^5",
        "far beyond what another draw of the inputs changes",
    ),
    *falls(
        "kernel",
        "digits",
        5,
        "digits at infinite width",
        "far beyond what another draw of the inputs changes",
    ),
    *falls(
        "finite",
        "unit digits",
        4,
        "digits at finite width",
        "far beyond what another draw of the inputs changes",
    ),
    Claim(
        "angle_grows_finite",
        "At finite width the smallest angle between gradients grows with depth.",
        paper="increasing with depth",
        source="experiments, smallest angle by depth",
        statistic=lambda rows: smallest_step(rows, "angle"),
        passes=Range(low=1 + 1e-9),
        tolerance="the smallest ratio of neighbours, seed means; 1 is no growth at all",
        where={"measure": "finite", "data": "unit digits"},
    ),
    Claim(
        "linear_scale",
        "A linear network's kernel is (L + 1) times the Gram matrix, not (L + 1)².",
        paper="(L + 1)² as printed; (L + 1), a ratio of 1, with its own normalisation",
        source="section 4, linear networks",
        statistic=lambda rows: max(
            (abs(mean - 1) for mean in seed_means(rows, "depth", "gram_scale").values()),
            key=lambda error: (math.isnan(error), error),
        ),
        passes=Range(high=3 / math.sqrt(512)),
        tolerance="3/√width: distance of the ratio from 1, seed means, worst depth",
        where={"measure": "linear"},
    ),
    Claim(
        "linear_cosines",
        "A linear network keeps the cosines of its inputs, whatever its depth.",
        paper=0.0,
        source="section 4, linear networks",
        statistic=lambda rows: float(rows["cosine_error"].to_numpy(float).max()),
        passes=Range(high=3 / math.sqrt(512)),
        tolerance="3/√width: relative error in the Frobenius norm, worst network",
        where={"measure": "linear"},
    ),
    Claim(
        "gradient_norm",
        "The squared norm of the gradient is (L + 1)‖x‖²; the norm itself is not (L + 1)‖x‖.",
        paper="‖∇f‖ = (L + 1)‖x‖, which would be 4 here; corrected: 1",
        source="section 3, on gradients",
        statistic=lambda rows: mean_at(rows, "depth", "norm_ratio"),
        passes=Range(0.9, 1.1),
        tolerance="10 %: fluctuations √(L/width) of 4 %",
        where={"data": "gradient norm"},
    ),
    Claim(
        "gram_is_singular",
        "The linear model has no condition number: its Gram matrix has rank 5.",
        paper="no smaller than any ReLU network's",
        source="section 4",
        statistic=lambda rows: float(rows["rank"].to_numpy(float).max()),
        passes=Range(5, 5),
        tolerance="exact: there are five coordinates",
        where={"measure": "rank"},
        smallest="smoke",
    ),
    Claim(
        "gradient_angle_limit",
        "At a depth of 10⁵ the gradients of two inputs make 75.52°, that is arccos(1/4).",
        paper=math.degrees(math.acos(0.25)),
        source="section 4, limit of the angle",
        statistic=lambda rows: farthest_from(rows, "degrees", math.degrees(math.acos(0.25))),
        passes=Range(high=0.1),
        tolerance="distance in degrees: the limit is reached as 1/depth",
        where={"measure": "angle"},
    ),
    *(
        Claim(
            f"condition_limit_{n}",
            f"At a depth of 30 000 the condition number of {n} inputs is (n + 3)/3.",
            paper=f"(n + 4)/3 = {(n + 4) / 3:.4g}; corrected: (n + 3)/3 = {(n + 3) / 3:.4g}",
            source=PAPER_LIMIT,
            statistic=lambda rows, n=n: farthest_from(rows, "condition", (n + 3) / 3),
            passes=Range(high=tolerance),
            tolerance="distance from (n + 3)/3; the printed limit is 0.33 away",
            where={"measure": "limit", "n": n},
        )
        for n, tolerance in ((2, 0.01), (20, 0.05))
    ),
    Claim(
        "small_angles_grow_as_root",
        "An input angle of 0.001 becomes √(Lθ/π) between gradients.",
        paper=1.0,
        source="section 3, expansion for small angles",
        statistic=lambda rows: farthest_from(rows, "ratio", 1),
        passes=Range(high=0.01),
        tolerance="distance of the ratio from 1: the next term is of order Lθ",
        where={"measure": "small angle"},
        smallest="smoke",
    ),
    Claim(
        "turning_point",
        "With one hidden layer angles grow below 66.8° and shrink above.",
        paper="grow, stated for small angles",
        source="found here from the paper's formula",
        statistic=lambda rows: float(rows["degrees"].to_numpy(float).mean()),
        passes=Range(66.7, 66.9),
        tolerance="the digits printed",
        where={"measure": "turning point"},
        smallest="smoke",
    ),
    Claim(
        "first_layer_falls",
        "When only the first layer trains, each layer lowers the condition number of any inputs.",
        paper="decreasing with depth",
        source="theorem on training the first layer",
        statistic=largest_step,
        passes=Range(high=1 - 1e-9),
        tolerance=STRICT,
        where={"measure": "first layer"},
        smallest="smoke",
    ),
    Claim(
        "separated_inputs_do_not_gain",
        "When all layers train, more than one layer gains nothing for well separated inputs.",
        paper="decreasing with depth",
        source="experiments; not so for inputs the paper did not try",
        statistic=lambda rows: (
            mean_at(rows, "depth", "condition", 5) / mean_at(rows, "depth", "condition", 1)
        ),
        passes=Range(low=1),
        tolerance="condition number of depth 5 over that of depth 1: 1 is no gain",
        where={"measure": "kernel", "data": "separated"},
    ),
    Claim(
        "repeated_input_is_singular",
        "An input that occurs twice makes the kernel singular at any depth.",
        paper="no parallel inputs, an assumption of the theorems",
        source="theorem on training the first layer",
        statistic=lambda rows: float(rows["singular"].to_numpy(float).min()),
        passes=Range(1, 1),
        tolerance="exact: the share of kernels is all",
        where={"measure": "repeated"},
        smallest="smoke",
    ),
]
