"""What the paper says of the three methods, each statement asked of runs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Moved, Range
from overparam.claims.statistics import select
from overparam.studies.liu2018_parametrized_acceleration.runs import RHOS

Statistic = Callable[[pd.DataFrame], float]
EXPLICIT = "Abstract: a spectral analysis of several accelerated methods gives explicit expressions"
IMPROVED = "Abstract: and improves their worst-case rates"
MISTAKEN = "Abstract: they converge exponentially even with a condition number that is mistaken"
UNKNOWN = "Abstract: the condition number can be unbounded; it is treated as a free parameter"
HEADLINES = (EXPLICIT, IMPROVED, MISTAKEN, UNKNOWN)


def largest(column: str) -> Statistic:
    """Largest value of a column, NaN if one is."""
    return lambda rows: float(np.max(rows[column].to_numpy(float)))


def smallest(column: str) -> Statistic:
    """Smallest value of a column, NaN if one is."""
    return lambda rows: float(np.min(rows[column].to_numpy(float)))


def farthest_from_one(column: str) -> Statistic:
    """Value of a column that is farthest from 1; NaN if one is."""
    return lambda rows: float(
        max(rows[column].to_numpy(float), key=lambda one: (one != one, abs(one - 1)))
    )


def error_at(rows: pd.DataFrame, rho: float, horizon: int) -> float:
    """Training error of one setting, mean over the seeds."""
    return float(np.mean(select(rows, {"rho": rho})[f"error_{horizon}"].to_numpy(float)))


def lead_of_the_best(rows: pd.DataFrame) -> float:
    """Error with ρ = 1e-4 after 300 steps over the smallest with the other decades."""
    others = [error_at(rows, rho, 300) for rho in RHOS if rho != 1e-4]
    return error_at(rows, 1e-4, 300) / min(others)


def gain(rows: pd.DataFrame) -> float:
    """Error of gradient descent after 300 steps over the best Nesterov's."""
    best = min(error_at(select(rows, {"method": "nesterov"}), rho, 300) for rho in RHOS)
    return error_at(select(rows, {"method": "gradient descent"}), 1.0, 300) / best


CLOSED, REGRESSION = {"measure": "closed form"}, {"measure": "regression"}
UNBOUNDED, WORST = {"measure": "unbounded"}, {"measure": "worst case"}
TOO_LARGE = {"measure": "guess", "guess": "too large"}
TOO_SMALL = {"measure": "guess", "guess": "too small"}
GUESSED: dict[str, Any] = {
    "paper": "exponential convergence under mis-estimation",
    "source": "abstract",
    "kind": "paper",
    "sentence": MISTAKEN,
}
CLAIMS = [
    Claim(
        "closed_forms",
        "The closed forms equal the methods as they are run to 1e-9, for eigenvalues down to 1e-8.",
        paper="exact",
        source="spectral analysis of the three methods",
        statistic=largest("difference"),
        passes=Range(high=1e-9),
        tolerance="rounding over the steps, near double roots: t²ε is 4e-11 after 400",
        where=CLOSED,
        smallest="smoke",
        kind="paper",
        sentence=EXPLICIT,
        criterion="arithmetic",
    ),
    Claim(
        "worst_case_is_attained",
        "Run with the right ρ, the largest error over s in [ρ, 1] is the explicit one, to 1e-6.",
        paper="(1 + t√ρ)(1 − √ρ)^t for Nesterov, z^t (1 + 2t√ρ/(1 + ρ)) with "
        "z = (1 − √ρ)/(1 + √ρ) for Richardson, 1/cosh(t arcosh σ) for Chebyshev",
        source="spectral analysis of the three methods; an absolute value each",
        statistic=farthest_from_one("over_envelope"),
        passes=Range(1 - 1e-6, 1 + 1e-6),
        tolerance="ratio after 2000 steps at ρ = 10^-4: rounding at the double root is t²ε = 1e-9",
        where={**WORST, "method": ["nesterov", "heavy_ball", "chebyshev"]},
        smallest="smoke",
        kind="paper",
        sentence=EXPLICIT,
        criterion="arithmetic",
    ),
    Claim(
        "worst_case_exponent_nesterov",
        "In the worst direction Nesterov's loss falls as exp(−2t√ρ), not as exp(−t√ρ).",
        paper="twice the classical exponent",
        source="worst case of Nesterov's method",
        statistic=largest("loss_exponent"),
        passes=Range(1.8, 2.05),
        weaker=Range(low=1.2),
        tolerance="between 1000 and 2000 steps at ρ = 10^-4 the factor (1 + t√ρ)² takes 0.13",
        where={**WORST, "method": "nesterov"},
        smallest="smoke",
        kind="paper",
        sentence=IMPROVED,
        criterion="theory",
    ),
    Claim(
        "worst_case_exponent_others",
        "Richardson's and Chebyshev's losses fall as exp(−4t√ρ) in their worst directions.",
        paper="4",
        source="worst case of second-order Richardson and the Chebyshev semi-iteration",
        statistic=smallest("loss_exponent"),
        passes=Range(3.8, 4.05),
        weaker=Range(low=2.4),
        tolerance="as above: Richardson's linear factor takes 0.13",
        where={**WORST, "method": ["heavy_ball", "chebyshev"]},
        smallest="smoke",
        kind="paper",
        sentence=IMPROVED,
        criterion="theory",
    ),
    Claim(
        "gradient_descent_has_no_such_exponent",
        "Without momentum the loss in the worst direction falls as exp(−2tρ): the exponent in "
        "units of √ρ is 0.02.",
        paper="1 − ρ per step",
        source="control: gradient descent with step 1/L",
        statistic=largest("loss_exponent"),
        passes=Range(0.019, 0.021),
        tolerance="2√ρ at ρ = 10^-4, to 5 %",
        where={**WORST, "method": "gradient descent"},
        smallest="smoke",
        kind="control",
        criterion="theory",
    ),
    Claim(
        "unbounded_condition_number",
        "With κ = 10^12 and ρ = 10^-3 every slow direction falls (1+√ρ)/(2√ρ) times as fast as "
        "under gradient descent with Nesterov's method, 1/√ρ times with the others, to 1 %.",
        paper="exponential without a bound on the condition number",
        source="spectral analysis, over-damped directions",
        statistic=largest("speed_up_error"),
        passes=Range(high=0.01),
        tolerance="largest relative difference in runs of 5000 steps; the next order is "
        "s/ρ = 1e-3, the transient below 1 %",
        where=UNBOUNDED,
        smallest="smoke",
        kind="paper",
        sentence=UNKNOWN,
        criterion="theory",
    ),
    Claim(
        "overestimate_is_exponential",
        "With ρ 1000 times too large, log|e_t| is straight in t: R² > 0.999 in every direction, "
        "for all three methods as they are run.",
        statistic=largest("unexplained"),
        passes=Range(high=1e-3),
        tolerance="largest 1 - R² over directions with s ≤ ρ/10, t from 200 to 3000",
        where=TOO_LARGE,
        criterion="beforehand",
        **GUESSED,
    ),
    Claim(
        "overestimate_has_the_predicted_rate",
        "With ρ 1000 times too large, each slow direction falls at its own rate log z₊, to 0.1 %.",
        statistic=largest("slope_error"),
        passes=Range(high=1e-3),
        tolerance="largest relative error of the slope of a run",
        where=TOO_LARGE,
        criterion="beforehand",
        **GUESSED,
    ),
    Claim(
        "underestimate_keeps_its_envelope",
        "With ρ 1000 times too small, every |e_t| of a run stays below the worst case for that ρ.",
        statistic=largest("over_envelope"),
        passes=Range(high=1 + 1e-8),
        tolerance="a bound that is attained; rounding is t²ε = 2e-9 after 3000 steps",
        where=TOO_SMALL,
        criterion="arithmetic",
        moved=Moved(
            "at most 1 + 1e-9",
            "at most 1 + 1e-8",
            "1e-9 was asked of a closed form; a run of t = 3000 steps rounds by t²ε = 2e-9, and "
            "Chebyshev's attains its bound",
            arithmetic=True,
        ),
        **GUESSED,
    ),
    *(
        Claim(
            f"{name}_is_exponential_in_the_end",
            f"With ρ 1000 times too {what}, over the second half of 40 000 steps the largest error "
            "falls at the predicted rate of the slowest direction, for all three methods.",
            statistic=farthest_from_one("over_prediction"),
            passes=Range(0.85, 1.05),
            weaker=Range(0.5, 1.5),
            tolerance="measured over predicted rate, the farthest from 1; a factor t in front "
            "would take log 2 of 5.4",
            where=where,
            criterion="theory",
            **GUESSED,
        )
        for name, what, where in (
            ("overestimate", "large", TOO_LARGE), ("underestimate", "small", TOO_SMALL),
        )
    ),
    Claim(
        "wrong_guesses_still_accelerate",
        "With ρ wrong by 1000 either way each of the three methods is faster than gradient descent "
        "in the end.",
        paper="not stated as such",
        source="ours: √ρ, and s/(2√ρ), against s",
        statistic=smallest("over_gradient_descent"),
        passes=Range(low=1.0),
        tolerance="smallest ratio of the rates over methods, guesses and seeds",
        where={"measure": "guess"},
        criterion="beforehand",
    ),
    Claim(
        "rho_suits_the_budget",
        "After 300 steps of kernel regression ρ = 1e-4 is the best decade of Nesterov's method.",
        paper="ρ is a free parameter",
        source="experiments on kernel regression",
        statistic=lead_of_the_best,
        passes=Range(high=1.0),
        tolerance="error over the best other decade's; below 1 is better",
        where={**REGRESSION, "method": "nesterov"},
        criterion="beforehand",
    ),
    Claim(
        "gain_over_gradient_descent",
        "After 300 steps the best ρ leaves 100 times less error than gradient descent.",
        paper="order of 1/√ρ in the rate",
        source="experiments on kernel regression",
        statistic=gain,
        passes=Range(low=100),
        tolerance="one-sided",
        where={**REGRESSION, "method": ["nesterov", "gradient descent"]},
        criterion="beforehand",
    ),
]  # fmt: skip
