"""What the theorems promise, and what must be refused."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Range
from overparam.claims.statistics import mean_at, seed_means, select

Statistic = Callable[[pd.DataFrame], float]
EXACT = "a theorem: the worst seed, with room for rounding only"


def largest(column: str) -> Statistic:
    """The largest value over cells; NaN if one is."""
    return lambda rows: float(np.max(rows[column].to_numpy(float)))


def smallest(column: str) -> Statistic:
    """The smallest value over cells; NaN if one is."""
    return lambda rows: float(np.min(rows[column].to_numpy(float)))


def at_width(width: int, statistic: Statistic) -> Statistic:
    """A statistic of the cells at one width; NaN if a size leaves it out."""

    def chosen(rows: pd.DataFrame) -> float:
        found = select(rows, {"at": width})
        return statistic(found) if len(found) else math.nan

    return chosen


def certified_from(rows: pd.DataFrame, kind: str) -> float:
    """Width at which the mean margin crosses 1, between two widths that were tried."""
    means = seed_means(select(rows, {"kind": kind}), "at", "margin")
    for (low, before), (high, after) in pairwise(means.items()):
        if before < 1 <= after:
            share = math.log(1 / before) / math.log(after / before)
            return low * (high / low) ** share
    return math.nan


def exists(kind: str, power: int, what: str) -> Claim:
    """A certificate for every seed at 2^power units."""
    return Claim(
        f"{kind}_certificate_at_2_{power}",
        f"With {what}, every draw is certified at 2^{power} units.",
        paper="Ω̃(1/λ²) units suffice; constants not given",
        source="theorem on wide networks",
        statistic=at_width(2**power, smallest("certified")),
        passes=Range(low=1),
        tolerance="certified or not, the worst seed",
        where={"measure": "certificate", "kind": kind},
    )


def missing(kind: str, power: int, what: str) -> Claim:
    """No certificate for any seed at 2^power units."""
    return Claim(
        f"no_{kind}_certificate_at_2_{power}",
        f"With {what}, no draw is certified at 2^{power} units.",
        paper="width is needed",
        source="theorem on wide networks",
        statistic=at_width(2**power, largest("certified")),
        passes=Range(high=0),
        tolerance="certified or not, the best seed",
        where={"measure": "certificate", "kind": kind},
    )


PATH, PAPER = "the radius 2‖r_0‖/√μ of the path", "the paper's radius 2 L_F‖r_0‖/μ"
CERTIFIED = {"measure": "descent"}
CLAIMS = [
    exists("path", 14, PATH),
    missing("path", 8, PATH),
    exists("paper", 18, PAPER),
    missing("paper", 14, PAPER),
    Claim(
        "path_radius_saves_width",
        "The path's radius certifies networks 8 times narrower than the paper's or more.",
        paper="2 L_F ‖r_0‖/μ; 2 ‖r_0‖/√μ follows from the same inequality",
        source="theorem on gradient descent",
        statistic=lambda rows: certified_from(rows, "paper") / certified_from(rows, "path"),
        passes=Range(low=8),
        weaker=Range(low=2),
        tolerance="widths at which mean margins cross 1; half of the ratio of 2^18 and 2^14",
        where={"measure": "certificate"},
    ),
    Claim(
        "bound_holds",
        "The certified run never exceeds its bound (1 − ημ)^t L_0.",
        paper="at most 1",
        source="theorem on gradient descent",
        statistic=largest("bound_ratio"),
        passes=Range(high=1 + 1e-6),
        tolerance=f"largest loss over bound after the first step; {EXACT}",
        where=CERTIFIED,
    ),
    Claim(
        "path_within_ball",
        "The length of the certified run's path is at most R.",
        paper="at most 1 (of R)",
        source="theorem on gradient descent",
        statistic=largest("path_share"),
        passes=Range(high=1),
        tolerance="a theorem: the worst seed",
        where=CERTIFIED,
    ),
    Claim(
        "converges",
        "60 certified steps reduce the loss to 10^-8 of its start.",
        paper="exponential convergence",
        source="theorem on gradient descent",
        statistic=largest("loss_ratio"),
        passes=Range(high=1e-8),
        weaker=Range(high=1e-3),
        tolerance="the bound alone gives about 10^-3; the worst seed",
        where=CERTIFIED,
    ),
    Claim(
        "mu_holds_in_the_ball",
        "Neither on the path nor on the ball's rim is λ_min(K) below the certified μ.",
        paper="at most 1 (certified over smallest found)",
        source="PL* from the tangent kernel",
        statistic=largest("mu_share"),
        passes=Range(high=1),
        tolerance="a theorem; five points of the path and three of the rim",
        where=CERTIFIED,
    ),
    Claim(
        "lipschitz_holds_in_the_ball",
        "Neither on the path nor on the ball's rim does the Jacobian's norm exceed L_F.",
        paper="at most 1",
        source="theorem on gradient descent",
        statistic=largest("lipschitz_share"),
        passes=Range(high=1),
        tolerance="a theorem; five points of the path and three of the rim",
        where=CERTIFIED,
    ),
    Claim(
        "half_in_pl",
        "½‖∇L‖² ≥ λ_min(K) L at every point looked at, the half included.",
        paper="½‖∇L‖² ≥ μL, often quoted as ‖∇L‖² ≥ μL, which is weaker",
        source="lemma on the tangent kernel and PL*",
        statistic=smallest("pl_ratio"),
        passes=Range(low=1 - 1e-6),
        tolerance=EXACT,
        where={"measure": ["descent", "tanh output"]},
    ),
    Claim(
        "sgd_bound",
        "SGD's mean loss stays below (1 − μsη/n)^t L_0 for batches of 1, 4, 10 and 100.",
        paper="η = nμ/(λ(n²λ + μ(s − 1))) as quoted; here μ/(λ(nλ + μ(s − 1)))",
        source="theorem on SGD",
        statistic=largest("bound_ratio"),
        passes=Range(high=1),
        tolerance="mean over runs of the loss after 200 steps over its bound, worst batch and seed",
        where={"measure": "sgd", "kind": "independent"},
        smallest="smoke",
    ),
    Claim(
        "corrected_step_is_safe",
        "With nearly parallel rows and huge batches μ/(λ(nλ + μ(s − 1))) keeps its bound.",
        paper="not in the paper; derived here",
        source="theorem on SGD",
        statistic=largest("bound_ratio"),
        passes=Range(high=1),
        tolerance="mean over runs of the loss over its bound, worst seed",
        where={"measure": "sgd", "kind": "parallel"},
        smallest="smoke",
    ),
    Claim(
        "quoted_step_diverges",
        "There nμ/(λ(n²λ + μ(s − 1))) multiplies a summed loss by 10^10 or more.",
        paper="η = nμ/(λ(n²λ + μ(s − 1))) as quoted, should converge",
        source="theorem on SGD; the normalisation it belongs to could not be established",
        statistic=smallest("log10_quoted"),
        passes=Range(low=10),
        weaker=Range(low=0),
        tolerance="log10 of final over initial loss, worst seed; a stable step gives at most 0",
        where={"measure": "sgd", "kind": "parallel"},
        smallest="smoke",
    ),
    Claim(
        "duplicate_refused",
        "An input that occurs twice with two labels gets no certificate, and μ = 0.",
        paper="no solution, hence no PL*",
        source="PL* implies a solution",
        statistic=lambda rows: largest("certified")(rows) + largest("mu")(rows),
        passes=Range(high=0),
        tolerance="certified (0 or 1) plus μ, worst seed",
        where={"measure": "duplicate"},
        smallest="smoke",
    ),
    Claim(
        "tanh_output_kernel_moves",
        "Under a tanh output the kernel changes by 30 % or more.",
        paper="Ω(1): not a linear model",
        source="section on non-linear outputs",
        statistic=lambda rows: mean_at(rows, "at", "kernel_change"),
        passes=Range(low=0.3),
        weaker=Range(low=0.1),
        tolerance="about half of what is measured at widths from 64 on; mean over seeds",
        where={"measure": "tanh output"},
    ),
    Claim(
        "tanh_output_converges",
        "It converges all the same, to 10^-3 of the initial loss.",
        paper="converges: PL* survives",
        source="section on non-linear outputs",
        statistic=largest("loss_ratio"),
        passes=Range(high=1e-3),
        weaker=Range(high=0.1),
        tolerance="gradient descent with step 1/λ_max, 3000 steps at most; the worst seed",
        where={"measure": "tanh output"},
    ),
    Claim(
        "output_map",
        "λ_min(K) behind the tanh is at least ρ² λ_min(K) before it, ρ the smallest slope.",
        paper="at least 1 (their ratio)",
        source="section on non-linear outputs",
        statistic=smallest("output_map"),
        passes=Range(low=1 - 1e-6),
        tolerance=EXACT,
        where={"measure": "tanh output"},
    ),
    Claim(
        "gaussian_condition_number",
        "Gaussian Jacobians have E log κ(K) < 2 log(p/(p − n + 1)) + 5 up to n = p.",
        paper="at most 0 (excess)",
        source="section on over-parameterised systems",
        statistic=largest("log_excess"),
        passes=Range(high=0),
        tolerance="mean over draws minus the bound, the worst n and seed",
        where={"measure": "gaussian"},
    ),
]
