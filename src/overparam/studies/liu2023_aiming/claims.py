"""What is claimed of aiming, and of SGD under it."""

import math
from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Moved, Range
from overparam.claims.statistics import mean_at, select, slope
from overparam.studies.liu2023_aiming.paths import PAIR


def shortfall_slope(column: str, narrowest: int, widest: int):
    """Exponent of a column in the width, between two widths."""

    def statistic(rows: pd.DataFrame) -> float:
        return slope(rows.loc[rows["width"].between(narrowest, widest)], "width", column)

    return statistic


def smallest_growth(column: str):
    """Smallest increase of a column from one width to the next, over the seeds."""

    def statistic(rows: pd.DataFrame) -> float:
        known = rows.dropna(subset=[column])
        found = []
        for seed in sorted(set(known["seed"])):
            part = known.loc[known["seed"] == seed].sort_values("width")
            found += list(np.diff(part[column].to_numpy(float)))
        return float(np.min(found)) if found else math.nan

    return statistic


def farthest_from(column: str, value: float):
    """Largest distance of a column from a value; NaN if any is."""
    return lambda rows: float(np.max(np.abs(rows[column].to_numpy(float) - value)))


def extreme(column: str, function: Any):
    """Largest or smallest value of a column, over the rows that have it; NaN if none has."""

    def statistic(rows: pd.DataFrame) -> float:
        values = rows[column].dropna().to_numpy(float)
        return float(function(values)) if len(values) else math.nan

    return statistic


def iterations_ratio(batch_size: int):
    """Largest ratio over the seeds of the iterations of SGD and of gradient descent."""

    def statistic(rows: pd.DataFrame) -> float:
        ratios = []
        for seed in sorted(set(rows["seed"])):
            part = select(rows, {"seed": seed})
            counts = [
                select(part, {"batch_size": b})["iterations"].to_numpy(float)
                for b in (batch_size, PAIR)
            ]
            ratios.append(float(counts[0][0] / counts[1][0]) if len(counts[0]) else math.nan)
        return float(np.max(ratios))

    return statistic


def narrow_over_wide(rows: pd.DataFrame) -> float:
    """Mean of 2 - θ with a bottleneck over that without, at the largest width."""
    means = [
        mean_at(select(rows, {"narrow": narrow}), "width", "shortfall_final")
        for narrow in (True, False)
    ]
    return means[0] / means[1]


PATH, RACE, THEOREM = {"measure": "path"}, {"measure": "race"}, {"measure": "theorem"}
DEEP = {"measure": "bottleneck"}
# Sentences of the abstract.
SAME = "Under aiming SGD needs as many iterations in the worst case as gradient descent."
WIDE = "Aiming holds for sufficiently wide networks with a linear last layer."
RATE = "Under aiming SGD converges at the theorem's linear rate, and with its probability."
HEADLINES = (SAME, WIDE, RATE)
CLAIMS = [
    *(
        Claim(
            f"{name}_grows_with_width",
            f"The smallest θ along SGD, {of}, grows whenever the width is four times as large.",
            paper="θ tends to 2",
            source="theorem on wide networks",
            statistic=smallest_growth(name),
            passes=Range(low=1e-6),
            weaker=Range(low=-0.05),
            tolerance="smallest increase between neighbouring widths, of the worst seed",
            where=PATH,
            kind="paper",
            sentence=WIDE,
            criterion="beforehand",
        )
        for name, of in (("theta", "at the nearest solution"),
                         ("theta_final", "at the final iterate"))
    ),
    Claim(
        "shortfall_exponent_of_the_last_iterate",
        "With SGD's last iterate for the solution, 2 - θ falls as m^(-1/2) from 128 to 2048.",
        paper="at most order 1/√m",
        source="theorem on wide networks: the Hessian is of order 1/√m",
        statistic=shortfall_slope("shortfall_last", 128, 2048),
        passes=Range(low=-0.65, high=-0.35),
        tolerance="the bound's order, ±0.15; at large width the unfinished way dominates",
        where=PATH,
        moved=Moved(
            "2 - θ with SGD's last iterate as it is",
            "2 - θ with the solution that SGD ends at, as in the next two claims",
            "the last iterate is no solution; with one 2 - θ falls faster, as a bound may",
        ),
        kind="ours",
    ),
    Claim(
        "shortfall_keeps_the_bound",
        "With a solution for the reference, 2 - θ falls as m^(-1/2) or faster from 128 to 2048.",
        paper="at most order 1/√m",
        source="theorem on wide networks: the Hessian is of order 1/√m",
        statistic=shortfall_slope("shortfall_final", 128, 2048),
        passes=Range(high=-0.5),
        tolerance="an upper bound: the exponent itself, nothing added",
        where=PATH,
        kind="paper",
        sentence=WIDE,
        criterion="theory",
    ),
    Claim(
        "shortfall_exponent_of_wide_nets",
        "With a solution for the reference, 2 - θ falls as 1/m from 2048 to 32768.",
        paper="at most order 1/√m",
        source="not in the paper: m terms of random sign and size m^(-3/2), see above",
        statistic=shortfall_slope("shortfall_final", 2048, 32768),
        passes=Range(low=-1.15, high=-0.85),
        weaker=Range(high=-0.5),
        tolerance="-1 ± 0.15, of the seed means",
        where=PATH,
        kind="ours",
    ),
    Claim(
        "three_layers_keep_the_bound",
        "With three hidden layers, each as wide, 2 - θ falls as m^(-1/2) or faster from 32 to 512.",
        paper="at most order 1/√m, up to logarithms",
        source="theorem on wide networks, of any number of layers",
        statistic=shortfall_slope("shortfall_final", 32, 512),
        passes=Range(high=-0.5),
        weaker=Range(high=-0.25),
        tolerance="an upper bound: the exponent itself, of the means over draws; weaker is half",
        where=DEEP | {"narrow": False},
        kind="paper",
        sentence=WIDE,
        criterion="theory",
    ),
    Claim(
        "bottleneck_stops_the_fall",
        "With four units in the second of the three layers 2 - θ falls no faster than m^(-1/4).",
        paper="of order 1 at any m",
        source="control: four units keep the Hessian's norm, and with it the bound, of order 1",
        statistic=shortfall_slope("shortfall_final", 32, 512),
        passes=Range(low=-0.25),
        tolerance="half the exponent of wide networks, one-sided, of the means over draws",
        where=DEEP | {"narrow": True},
        kind="control",
        criterion="beforehand",
    ),
    Claim(
        "bottleneck_costs_theta",
        "At width 512 it leaves 2 - θ at five times what it is without a bottleneck, or more.",
        paper="of order 1 against at most 1/√m",
        source="control, as before",
        statistic=narrow_over_wide,
        passes=Range(low=5),
        weaker=Range(low=2),
        tolerance="ratio of means over draws; five is asked of the Hessian's norm at this width in "
        "the study of directed graphs",
        where=DEEP,
        kind="control",
        criterion="beforehand",
    ),
    Claim(
        "late_theta",
        "After 1000 steps θ at the final iterate is between 1.9 and 2.1, at any width.",
        paper=2.0,
        source="follows from the expansion at a solution",
        statistic=farthest_from("late_theta", 2.0),
        passes=Range(high=0.1),
        tolerance="largest distance from 2, the limit, over seeds and widths",
        where=PATH,
        moved=Moved(
            "the smallest over seeds and widths is at least 1.9, the largest at most 2.1",
            "nine in ten of seeds and widths lie between 1.9 and 2.1",
            "1.839 at another seed: after a given number of steps a distance may be left on some",
        ),
        kind="ours",
    ),
    *(
        Claim(
            f"pl_inequality_{name}",
            "½‖∇L‖² ≥ (αθ²/4) L at every snapshot, for α and θ of the same reference.",
            paper="aiming and quadratic growth imply PL",
            source="relation between the conditions",
            statistic=extreme(column, np.min),
            passes=Range(low=1 - 1e-9),
            tolerance="an inequality of Cauchy and Schwarz for any reference: only rounding",
            where=PATH,
            smallest="smoke",
            kind="identity",
            criterion="arithmetic",
        )
        for name, column in (("of_aiming", "pl_excess_projected"), ("of_the_proxy", "pl_excess"))
    ),
    Claim(
        "single_examples_need_three_times",
        "SGD with single examples needs 3 times the iterations of gradient descent at most.",
        paper="same worst-case complexity",
        source="main theorem",
        statistic=iterations_ratio(1),
        passes=Range(high=3.0),
        tolerance="worst seed, to 1 % of the loss; the bound's own ratio is β/λ_max",
        where=RACE,
        kind="paper",
        sentence=SAME,
        criterion="beforehand",
    ),
    Claim(
        "small_batches_need_the_same",
        "SGD with batches of 32 needs 1.15 times the iterations of gradient descent at most.",
        paper="similar convergence per iteration",
        source="figure comparing SGD and gradient descent",
        statistic=iterations_ratio(32),
        passes=Range(high=1.15),
        tolerance="worst seed, to 1 % of the loss, counted in tens",
        where=RACE,
        kind="paper",
        sentence=SAME,
        criterion="beforehand",
    ),
    Claim(
        "timid_step_arithmetic",
        "1000 steps of the size that is safe without aiming leave 99 % of the loss.",
        paper="a far slower linear rate",
        source="introduction",
        statistic=extreme("left", np.min),
        passes=Range(low=0.99),
        tolerance="smallest over the seeds; (1 - ηλ)^2000 of the largest λ is 0.995",
        where={"measure": "timid"},
        kind="identity",
        criterion="arithmetic",
    ),
    Claim(
        "theorem_probability",
        "After the theorem's number of steps nine in ten runs of SGD have dist² at 0.1 of its "
        "start or less.",
        paper="with probability 1 - δ₂ for dist² ≤ ε dist₀²; here both are 0.1",
        source="theorem on SGD with high probability, the ball left aside",
        statistic=extreme("kept", np.min),
        passes=Range(low=0.9),
        weaker=Range(low=0.5),
        tolerance="share of the runs from one start, worst seed: the theorem's own probability",
        where=THEOREM,
        kind="paper",
        sentence=RATE,
        criterion="theory",
    ),
    Claim(
        "theorem_rate",
        "The mean of dist² over runs is below the theorem's, where that is 0.1 and 0.01.",
        paper="E dist² ≤ (1 - ηα(θ - βη))^t dist₀²",
        source="theorem on SGD in expectation",
        statistic=extreme("over_bound", np.max),
        passes=Range(high=1.0),
        weaker=Range(high=2.0),
        tolerance="mean over the bound, largest over both times and seeds",
        where=THEOREM,
        kind="paper",
        sentence=RATE,
        criterion="theory",
    ),
    Claim(
        "theorem_is_not_loose",
        "The mean decays at most three times as fast as the theorem says.",
        paper="not stated",
        source="control: of a bound that is far off, its keeping would say nothing",
        statistic=extreme("speed", np.max),
        passes=Range(high=3.0),
        tolerance="exponents until the bound is 0.1, largest over seeds",
        where=THEOREM,
        kind="control",
    ),
    Claim(
        "closed_forms",
        "For orthogonal inputs all constants, and the theorem's factor, are their closed forms.",
        paper=0.0,
        source="α = c/n, β = c, θ = 2, and an equality in the theorem",
        statistic=extreme("constants_error", np.max),
        passes=Range(high=1e-12),
        tolerance="relative, of twelve numbers; float64 with 40 products leaves 1e-14",
        where={"measure": "equality"},
        smallest="smoke",
        kind="identity",
        criterion="arithmetic",
    ),
]  # fmt: skip
