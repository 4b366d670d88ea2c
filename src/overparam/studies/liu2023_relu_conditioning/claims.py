"""What the paper says about angles and condition numbers, two statements of it corrected."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Range
from overparam.claims.statistics import mean_at, seed_means, select


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


SEPARATES = (
    "Abstract: a ReLU network separates similar data better than a linear one, in gradient angle"
)
CONDITIONS = "Abstract: and its tangent kernel has a smaller condition number"
LINEAR = "Abstract: of a linear network both are those of the linear model, whatever its depth"
DEEPER = "Abstract: a deeper ReLU network has a smaller condition number than a shallower one"
FASTER = "Abstract: so ReLU, and its depth, help gradient descent to converge faster"
HEADLINES = (SEPARATES, CONDITIONS, LINEAR, DEEPER, FASTER)
LIMIT = "Theorem on infinite depth: the angle tends to arccos(1/4)"
FIRST = "Theorem on training the first layer: the condition number falls with depth"
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
            kind="paper",
            sentence=DEEPER,
            criterion="theory",
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
            criterion="beforehand",
        ),
    ]


def loss_over(rows: pd.DataFrame, depth: int, other: str) -> float:
    """Largest ratio over seeds of the ReLU network's loss to another's of depth 1 or the same."""
    ratios = []
    for seed in sorted(set(rows["seed"])):
        own = select(rows, {"seed": seed, "measure": "speed"})
        beside = select(rows, {"seed": seed, "measure": other})
        at = depth if other == "linear speed" else 1
        left = mean_at(beside, "depth", "loss_ratio", at)
        # Where nothing is left at all, as of a few examples, nothing is faster.
        ratios.append(mean_at(own, "depth", "loss_ratio", depth) / left if left else math.inf)
    return float(np.max(ratios))


BESIDE = {"measure": "beside linear"}
SPEED = {"measure": ["speed", "linear speed"]}
CLAIMS = [
    Claim(
        "relu_separates_digits",
        "On 40 digits the smallest gradient angle of a ReLU network is larger than a linear "
        "network's of the same widths, at every depth.",
        paper="larger",
        source="experiments, smallest angle by depth, ReLU against linear",
        statistic=lambda rows: float(rows["angle_over"].to_numpy(float).min()),
        passes=Range(low=1 + 1e-9),
        tolerance="smallest ratio over depths and seeds",
        where=BESIDE,
        kind="paper",
        sentence=SEPARATES,
        criterion="theory",
    ),
    Claim(
        "relu_conditions_digits",
        "There its condition number is smaller than the linear network's, at every depth.",
        paper="smaller",
        source="experiments, condition number by depth, ReLU against linear",
        statistic=lambda rows: float(rows["condition_over"].to_numpy(float).max()),
        passes=Range(high=1 - 1e-9),
        tolerance="largest ratio over depths and seeds",
        where=BESIDE,
        kind="paper",
        sentence=CONDITIONS,
        criterion="theory",
    ),
    Claim(
        "relu_conditions_better_than_the_model",
        "And smaller than the linear model's.",
        paper="smaller",
        source="section 4",
        statistic=lambda rows: float(rows["condition_over_model"].to_numpy(float).max()),
        passes=Range(high=1 - 1e-9),
        tolerance="largest ratio over depths and seeds",
        where=BESIDE,
        kind="paper",
        sentence=CONDITIONS,
        criterion="theory",
    ),
    *(
        Claim(
            f"relu_trains_faster_{depth}",
            f"With {depth} hidden layers 500 steps of 1/λ_max leave a ReLU network less of its "
            "loss than a linear one.",
            paper="faster",
            source="experiments, training loss",
            statistic=lambda rows, depth=depth: loss_over(rows, depth, "linear speed"),
            passes=Range(high=1 - 1e-9),
            tolerance="largest ratio over seeds of loss over initial loss",
            where=SPEED,
            kind="paper",
            sentence=FASTER,
            criterion="theory",
        )
        for depth in (1, 4)
    ),
    Claim(
        "deeper_trains_faster",
        "Four hidden layers of ReLU leave less of their loss than one.",
        paper="deeper is faster",
        source="experiments, training loss",
        statistic=lambda rows: loss_over(rows, 4, "speed"),
        passes=Range(high=1 - 1e-9),
        tolerance="largest ratio over seeds of loss over initial loss",
        where=SPEED,
        kind="paper",
        sentence=FASTER,
        criterion="theory",
    ),
    Claim(
        "orthogonal_inputs",
        "Two orthogonal inputs of length 2 have the kernel entries 8 and 4/π with one layer, and "
        "gradients at arccos(1/(2π)); two at 60° have 8/3 + 2√3/π there, and with weights of "
        "variance 1, in NTK parametrisation, a quarter of all.",
        paper="exact",
        source="section 3, by hand at 90° and 60°; absolute values",
        statistic=lambda rows: float(np.max(rows[["kernel_error", "angle_error"]].to_numpy(float))),
        passes=Range(high=1e-12),
        tolerance="largest error; rounding of numbers up to 8",
        where={"measure": "orthogonal"},
        smallest="smoke",
        kind="identity",
        criterion="arithmetic",
    ),
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
        kind="paper",
        sentence=SEPARATES,
        criterion="theory",
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
        criterion="theory",
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
        kind="paper",
        sentence=LINEAR,
        criterion="theory",
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
        criterion="theory",
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
        kind="identity",
        criterion="arithmetic",
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
        kind="paper",
        sentence=LIMIT,
        criterion="beforehand",
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
            kind="identity",
            criterion="arithmetic",
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
        kind="identity",
        criterion="theory",
    ),
    Claim(
        "small_angles_by_cosines",
        "An input angle of 0.04 becomes what the printed recursion of cosines gives.",
        paper="cos φ = S_L/(L + 1)",
        source="section 3; absolute values",
        statistic=lambda rows: farthest_from(rows, "near_error", 0),
        passes=Range(high=1e-10),
        tolerance="relative; cosines keep ε/θ² = 1e-13 of an angle, and add it up over five layers",
        where={"measure": "small angle"},
        smallest="smoke",
        kind="identity",
        criterion="arithmetic",
    ),
    Claim(
        "diagonal_by_depth",
        "At a depth of 30 000 a unit input's kernel with itself is L + 1.",
        paper="exact",
        source="section 3: one of every layer; absolute values",
        statistic=lambda rows: farthest_from(rows, "diagonal_error", 0),
        passes=Range(high=1e-9),
        tolerance="relative; 30 000 sums round by 7e-12 at most",
        where={"measure": "limit"},
        kind="identity",
        criterion="arithmetic",
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
        kind="identity",
        criterion="arithmetic",
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
        kind="paper",
        sentence=FIRST,
        criterion="theory",
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
        criterion="seen",
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
        kind="identity",
        criterion="arithmetic",
    ),
]
