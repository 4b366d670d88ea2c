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


def constants_error(rows: pd.DataFrame) -> float:
    """Largest relative error of what a certificate rests on; NaN if there is none."""
    found = rows[rows["certified"] == 1]
    columns = ["radius_over", "sigma_over", "top_sigma_over", "smoothness_over", "margin_over"]
    return farthest_from_1(*columns)(found) if len(found) else math.nan


def farthest_from_1(*columns: str) -> Statistic:
    """The largest distance from 1 of any value in some columns; NaN if one is."""
    return lambda rows: float(np.max(np.abs(np.asarray(rows[[*columns]], dtype=float) - 1)))


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
        kind="paper",
        sentence=WIDE,
        criterion="beforehand",
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
        kind="control",
        criterion="beforehand",
    )


NOT_CONVEX = "Abstract: these problems are in general not convex, even locally"
MOST = "Abstract: they satisfy PL* on most, but not all, of the parameter space"
GUARANTEE = "Abstract: PL* guarantees a solution and that (stochastic) gradient descent finds it"
CONDITION = "Abstract: PL* is closely related to the condition number of the tangent kernel"
WIDE = "Abstract: wide networks satisfy PL*, which explains convergence to a global minimum"
ALMOST = "Abstract: a relaxation of PL* applies to almost over-parameterised systems"
HEADLINES = (NOT_CONVEX, MOST, GUARANTEE, CONDITION, WIDE, ALMOST)
OUTPUT = "Section on wide networks: PL* survives a non-linear output, under which K is not constant"
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
        criterion="beforehand",
    ),
    Claim(
        "radius_and_spectrum",
        "R is 2‖r_0‖/√μ or 2 L_F‖r_0‖/μ with ‖r_0‖ = √6, σ_min, σ_max are those of the closed "
        "kernel (1/m) Σ σ'(w_jᵀx) σ'(w_jᵀz) xᵀz, β_F is sup|tanh''| ‖X‖₂/√m, and the largest β_F "
        "that leaves an R is what a search over R finds.",
        paper="R = 2 L_F ‖r_0‖/μ",
        source="theorem on gradient descent; absolute values",
        statistic=constants_error,
        passes=Range(high=1e-8),
        tolerance="largest relative error; σ_min² is known to ε κ = 1e-14 or so, and a grid of "
        "10^5 finds a maximum to 10^-9 of it",
        where={"measure": "certificate"},
        kind="identity",
        criterion="arithmetic",
    ),
    Claim(
        "certified_step",
        "The certified step is 1/(L_F² + β_F‖r_0‖) with L_F = σ_max + β_F R, by the closed kernel.",
        paper="η = 1/(L_F² + β_F‖r_0‖)",
        source="theorem on gradient descent; absolute values",
        statistic=farthest_from_1("step_over"),
        passes=Range(high=1e-8),
        tolerance="relative, as for the radius",
        where=CERTIFIED,
        kind="identity",
        criterion="arithmetic",
    ),
    Claim(
        "step_of_sgd",
        "SGD's step is μ/(λ(nλ + μ(s − 1))), and its bound falls by ημs/n a step.",
        paper="as corrected: see the steps that are safe and those that diverge",
        source="theorem on SGD; absolute values",
        statistic=farthest_from_1("lr_over", "decrease_over"),
        passes=Range(high=1e-8),
        tolerance="relative, worst batch and seed; a rate is 1 less a part of 10^-6 or so, which "
        "is then known to 10^-10",
        where={"measure": "sgd"},
        smallest="smoke",
        kind="identity",
        criterion="arithmetic",
    ),
    Claim(
        "steps_down_to_epsilon",
        "The steps that PL*_ε allows are those after which (1 − μ/β)^t L_0 is ε, multiplied out.",
        paper="log(L_0/ε)/(ημ)",
        source="theorem on almost over-parameterised systems; absolute values",
        statistic=largest("allowed_off"),
        passes=Range(high=0),
        tolerance="difference in steps, worst seed",
        where={"measure": "almost"},
        smallest="smoke",
        kind="identity",
        criterion="arithmetic",
    ),
    Claim(
        "not_convex_near_a_solution",
        "At every distance from 0.1 down to 10^-4 of a solution there is a point at which ∇²L has "
        "a negative eigenvalue of order the distance.",
        paper="no neighbourhood is convex if an output's Hessian has rank above 2n",
        source="proposition on local non-convexity",
        statistic=smallest("negative_share"),
        passes=Range(low=0.1),
        weaker=Range(low=1e-6),
        tolerance="-λ_min over δ‖Σ (Ju)_i ∇²f_i‖, best of four directions, worst distance and seed;"
        " to first order that is what the curvature keeps outside of 5 of 60 dimensions",
        where={"measure": "convexity", "kind": "network"},
        smallest="smoke",
        kind="paper",
        sentence=NOT_CONVEX,
        criterion="beforehand",
    ),
    Claim(
        "linear_is_convex_near_a_solution",
        "Of a model that is linear in its parameters ∇²L has none there.",
        paper="convex",
        source="control: no curvature of the outputs",
        statistic=smallest("relative_curvature"),
        passes=Range(low=-1e-12),
        tolerance="smallest over largest eigenvalue; rounding is about 60 ε = 1e-14",
        where={"measure": "convexity", "kind": "linear"},
        smallest="smoke",
        kind="control",
        criterion="arithmetic",
    ),
    Claim(
        "most_parameters_are_regular",
        "Of random parameters with 60 numbers for 5 examples 99 % have a regular kernel, and the "
        "zero vector has none.",
        paper="the singular set has measure zero and is not empty",
        source="section on over-parameterised systems",
        statistic=lambda rows: smallest("regular")(rows) - float(largest("at_zero")(rows) > 0),
        passes=Range(low=0.99),
        tolerance="share with σ_min above 10^-6 σ_max, worst seed; less 1 if zero were regular",
        where={"measure": "most"},
        kind="paper",
        sentence=MOST,
        criterion="beforehand",
    ),
    Claim(
        "almost_reaches_epsilon",
        "Where inputs occur twice with different labels gradient descent with the step 1/β is down "
        "to ε in the steps that PL*_ε allows, from ten times ε or more.",
        paper="log(L_0/ε)/(ημ) steps",
        source="theorem on almost over-parameterised systems",
        statistic=lambda rows: float(
            np.max(
                np.where(
                    rows["start_over_epsilon"].to_numpy(float) < 10,
                    np.inf,
                    rows["steps_over_bound"].to_numpy(float),
                )
            )
        ),
        passes=Range(high=1),
        tolerance="steps over those allowed, worst seed; ε is 4 times the least loss",
        where={"measure": "almost"},
        smallest="smoke",
        kind="paper",
        sentence=ALMOST,
        criterion="theory",
    ),
    Claim(
        "almost_is_not_pl",
        "There PL* itself fails: near the least loss ½‖∇L‖²/L is 10^-6 of its μ above ε.",
        paper="no zero loss, hence no PL*",
        source="control: without ε there is nothing to satisfy",
        statistic=largest("floor_ratio"),
        passes=Range(high=1e-6),
        tolerance="worst seed; within 10^-8 of the least loss L* the ratio is of that order",
        where={"measure": "almost"},
        smallest="smoke",
        kind="control",
        criterion="beforehand",
    ),
    Claim(
        "sgd_bound_on_a_wide_network",
        "On 1024 units SGD's mean loss stays below (1 − μsη/n)^t L_0 with μ = λ_min(K(w_0))/2.",
        paper="at most 1",
        source="theorem on SGD for wide networks",
        statistic=largest("bound_ratio"),
        passes=Range(high=1),
        tolerance="mean of six runs after 2000 steps over its bound, worst batch (1, 6) and seed",
        where={"measure": "wide sgd"},
        kind="paper",
        sentence=WIDE,
        criterion="theory",
    ),
    Claim(
        "pl_on_the_path_of_sgd",
        "On all of those runs λ_min(K) stays above that μ.",
        paper="PL* in a ball that holds the path",
        source="theorem on SGD for wide networks",
        statistic=smallest("mu_kept"),
        passes=Range(low=1),
        tolerance="smallest λ_min of ten looks at each run over μ, worst seed",
        where={"measure": "wide sgd"},
        kind="paper",
        sentence=WIDE,
        criterion="theory",
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
        kind="paper",
        sentence=GUARANTEE,
        criterion="theory",
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
        kind="paper",
        sentence=GUARANTEE,
        criterion="theory",
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
        criterion="seen",
    ),
    Claim(
        "mu_holds_in_the_ball",
        "Neither on the path nor on the ball's rim is λ_min(K) below the certified μ.",
        paper="at most 1 (certified over smallest found)",
        source="PL* from the tangent kernel",
        statistic=largest("mu_share"),
        passes=Range(high=1),
        tolerance="a theorem; five points of the path and five of the rim, two where it moves most",
        where=CERTIFIED,
        kind="paper",
        sentence=CONDITION,
        criterion="theory",
    ),
    Claim(
        "lipschitz_holds_in_the_ball",
        "Neither on the path nor on the ball's rim does the Jacobian's norm exceed L_F.",
        paper="at most 1",
        source="theorem on gradient descent",
        statistic=largest("lipschitz_share"),
        passes=Range(high=1),
        tolerance="a theorem; five points of the path and five of the rim, two where it moves most",
        where=CERTIFIED,
        criterion="theory",
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
        kind="identity",
        criterion="arithmetic",
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
        kind="paper",
        sentence=GUARANTEE,
        criterion="theory",
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
        criterion="theory",
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
        criterion="beforehand",
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
        kind="control",
        criterion="beforehand",
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
        kind="paper",
        sentence=OUTPUT,
        criterion="beforehand",
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
        kind="paper",
        sentence=OUTPUT,
        criterion="beforehand",
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
        kind="identity",
        criterion="arithmetic",
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
        kind="paper",
        sentence=CONDITION,
        criterion="theory",
    ),
]
