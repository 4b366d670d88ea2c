"""A condition number guessed 1000 times too small leaves accelerated methods exponential.

Reference:
    Liu, Belkin (2018), "Parametrized accelerated methods free of condition number",
    arXiv:1802.10235: the error of Nesterov's method, second-order Richardson and the Chebyshev
    semi-iteration in each eigen-direction, for any value of the parameter that stands for the
    inverse condition number, and the experiments with kernel regression.
Changed:
    The closed forms were derived anew, since the paper's tables could not be consulted, and are
    checked against the methods themselves, which are run wherever a claim is about them: on
    kernel regression with 1000 of scikit-learn's digits and a Gaussian kernel, in the coordinates
    of its eigenvectors, and on spectra whose worst case is known. The full size repeats it on
    MNIST with 10 000 digits. There 40 000 steps are 1.3/√ρ of the ρ that is guessed too small, and
    the factor 1 + 2t√ρ of second-order Richardson still grows: by that its error falls at 0.65 of
    its rate, 2√ρ, in the second half, and did at 0.63 to 0.64, that of the others at 0.93 and 1.0.
    After 300 steps the best ρ leaves 74 times less error than gradient descent, 367 times on the
    digits.
Cost:
    Smoke 3 s, quick 10 s on one core. Full decomposes three kernel matrices of order 10 000: 14
    minutes and 4 GB.
Failure:
    If the closed forms failed, nothing that is derived from them would hold. If errors did not
    fall exponentially under a wrong ρ, the condition number would have to be known. If the ordering
    at 300 steps were another, `rho_for_budget` would mislead.
"""

from typing import Any

from overparam.claims.study import Study
from overparam.optim.acceleration import METHODS
from overparam.studies.liu2018_parametrized_acceleration.claims import CLAIMS, HEADLINES
from overparam.studies.liu2018_parametrized_acceleration.pictures import figures
from overparam.studies.liu2018_parametrized_acceleration.runs import FACTORS, RHOS, cell

__all__ = ["STUDY"]

SIZES = {
    "smoke": {"data": "digits", "examples": 300, "steps": 100, "long": 2000, "replicates": 1},
    "quick": {"data": "digits", "examples": 1000, "steps": 400, "long": 40_000, "replicates": 3},
    "full": {"data": "mnist", "examples": 10_000, "steps": 400, "long": 40_000, "replicates": 3},
}


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Kernel regression by every method and ρ, wrong guesses, and the closed forms."""
    data = {"data": config["data"], "examples": config["examples"]}
    plan: list[dict[str, Any]] = [
        {"measure": "guess", "method": method, "guess": guess, **data, "steps": config["long"],
         "replicate": r}
        for r in range(config["replicates"])
        for method in METHODS
        for guess in FACTORS
    ]  # fmt: skip
    plan += [
        {"measure": "regression", "method": method, "rho": rho, **data, "replicate": r}
        for r in range(config["replicates"])
        for method in ("gradient descent", *METHODS)
        for rho in (RHOS if method != "gradient descent" else (1.0,))
    ]
    plan += [
        {"measure": measure, "method": method, "rho": rho, "steps": config["steps"],
         "replicate": 0}
        for method in METHODS
        for measure, rhos in (
            ("closed form", (1e-1, 1e-3, 1e-5)), ("unbounded", (1e-3,)), ("worst case", (1e-4,)),
        )
        for rho in rhos
    ]  # fmt: skip
    plan += [
        {"measure": "worst case", "method": "gradient descent", "rho": 1e-4, "steps": 0,
         "replicate": 0}
    ]  # fmt: skip
    return plan


STUDY = Study(cells, cell, SIZES, CLAIMS, figures, data=("mnist",), headlines=HEADLINES)
