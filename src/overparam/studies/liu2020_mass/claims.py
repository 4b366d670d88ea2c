"""What the paper claims, and what must fail."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Range
from overparam.claims.statistics import mean_at, select, slope

Statistic: TypeAlias = Callable[[pd.DataFrame], float]
Where: TypeAlias = Mapping[str, Any]

EXACT = {"measure": "spectrum", "data": "decoupled"}
# Condition numbers over which exponents are fitted: beyond the first few decades.
LARGE = [6 * 2.0**k for k in range(9, 15)]
NETWORK, PATHS, KERNEL = {"measure": "network"}, {"measure": "path"}, {"measure": "kernel"}


def exponent_of(column: str) -> Statistic:
    """Exponent of an exact rate against the condition number, over the large ones."""
    x = "condition_number"
    return lambda rows: slope(select(rows, {x: LARGE}), x, column)


def extreme(column: str, *, largest: bool, where: Where | None = None) -> Statistic:
    """Largest or smallest value of a column; NaN if one is, or if there is none."""

    def statistic(rows: pd.DataFrame) -> float:
        values = select(rows, where or {})[column].to_numpy(float)
        if not len(values):
            return math.nan
        return float(np.max(values) if largest else np.min(values))

    return statistic


def ratio(top: str, bottom: str, *, largest: bool, where: Where | None = None) -> Statistic:
    """Extreme ratio of two columns over the rows."""

    def statistic(rows: pd.DataFrame) -> float:
        ratios = rows.assign(ratio=rows[top] / rows[bottom])
        return extreme("ratio", largest=largest, where=where)(ratios)

    return statistic


def between(low: int, high: int) -> Where:
    """Batch sizes from 2^low to 2^high."""
    return {"batch_size": [2**k for k in range(low, high + 1)]}


def worst_network_ratio(rows: pd.DataFrame) -> float:
    """Best loss of MaSS over that of Nesterov at γ = 0.9, each over its grid; worst seed."""
    ratios = []
    for seed in set(rows["seed"]):
        best = [
            extreme("loss", largest=False, where={"seed": seed, "method": method})(rows)
            for method in ("MaSS", "Nesterov")
        ]
        ratios.append(best[0] / best[1])
    return float(np.max(ratios))


def accuracy_of(method: str, lr: float) -> Statistic:
    """Mean test accuracy over the seeds."""
    return lambda rows: mean_at(select(rows, {"method": method}), "lr", "accuracy", lr)


def lead_over(other: str, lr: float) -> Statistic:
    """Points of accuracy by which MaSS leads."""
    return lambda rows: accuracy_of("MaSS", lr)(rows) - accuracy_of(other, lr)(rows)


EXACT_CLAIMS = [
    Claim(
        "nesterov_threshold",
        "With step 1/L₁, SGD with Nesterov momentum diverges in mean square from γ = 0.564 on.",
        paper="diverges for γ in [0.6, 1]",
        source="theorem on divergence",
        statistic=extreme("nesterov_threshold", largest=True),
        passes=Range(0.5629, 0.5649),
        tolerance="the exact threshold is 0.5639; the paper states an interval within",
        where={**EXACT, "exponent": 9},
        smallest="smoke",
    ),
    Claim(
        "nesterov_exponent",
        "The best rate of SGD with Nesterov momentum falls with κ at least as κ^(-0.93).",
        paper=-1.0,
        source="theorem on non-acceleration",
        statistic=exponent_of("nesterov_rate"),
        passes=Range(high=-0.93),
        tolerance="the exponent reaches -1 only as κ grows without bound",
        where=EXACT,
    ),
    Claim(
        "mass_exponent",
        "The rate of MaSS at its optimal settings falls as κ^(-1/2).",
        paper=-0.5,
        source="theorem on acceleration",
        statistic=exponent_of("mass_rate"),
        passes=Range(-0.52, -0.44),
        tolerance="the exponent reaches -1/2 only as κ grows without bound",
        where=EXACT,
    ),
    *(
        Claim(
            f"mass_over_nesterov_{exponent}",
            f"At κ = {6 * 2**exponent}, MaSS is {times} times as fast as the best Nesterov.",
            paper="order √κ",
            source="both theorems",
            statistic=ratio(
                "mass_rate", "nesterov_rate", largest=False, where={"exponent": exponent}
            ),
            passes=Range(low=times),
            tolerance="one-sided; the ratio grows as √κ",
            where=EXACT,
            smallest=smallest,
        )
        for exponent, times, smallest in ((9, 4.5, "smoke"), (14, 25.0, "quick"))
    ),
    Claim(
        "mass_keeps_its_bound",
        "The exact rate of MaSS is at least α* = 1/√(κκ̃), on both data sets and every κ.",
        paper="1 - α* per step",
        source="theorem on convergence",
        statistic=ratio("mass_rate", "alpha", largest=False),
        passes=Range(low=1.0),
        tolerance="a bound: none",
        where={"measure": "spectrum"},
        smallest="smoke",
    ),
    Claim(
        "flipped_sign_diverges",
        "With the sign of the compensation flipped, second moments grow 1.5 times per step.",
        paper="plus sign",
        source="the update",
        statistic=extreme("flipped_radius", largest=False),
        passes=Range(low=1.5),
        tolerance="a control: smallest spectral radius over both data sets and every κ",
        where={"measure": "spectrum"},
        smallest="smoke",
    ),
]
REGIME_CLAIMS = [
    Claim(
        f"{method}_{name}",
        f"{label} gains as m^{power} from a larger batch {part}.",
        paper=float(power),
        source="section on regimes of the batch size",
        statistic=extreme(f"{method}_slope", largest=largest, where=between(low, high)),
        passes=passes,
        tolerance=f"the {'largest' if largest else 'smallest'} local exponent from m = 2^{low} on",
        where={"measure": "regime"},
        smallest="quick",
    )
    for method, label, name, power, part, low, high, largest, passes in (
        ("mass", "MaSS", "linear", "1", "up to m = 8", 0, 3, False, Range(low=0.95)),
        ("mass", "MaSS", "diminishing_above", "0.5", "from 2^12 to 2^16", 12, 16, False,
         Range(0.45, 0.56)),
        ("mass", "MaSS", "diminishing_below", "0.5", "from 2^12 to 2^16", 12, 16, True,
         Range(0.45, 0.56)),
        ("mass", "MaSS", "saturation", "0", "from 2^25 on", 25, 30, True, Range(high=0.03)),
        ("sgd", "SGD", "linear", "1", "up to m = 8", 0, 3, False, Range(low=0.85)),
        ("sgd", "SGD", "saturation", "0", "from 2^12 on", 12, 30, True, Range(high=0.03)),
    )
]  # fmt: skip
PATH_CLAIMS = [
    Claim(
        f"path_{name}",
        f"Sampled paths: {statement}, on both data sets.",
        paper=paper,
        source="experiments on synthetic data",
        statistic=extreme("error", largest=worst == "max", where={"method": method}),
        passes=passes,
        tolerance=f"{worst} over the data sets of the median of 200 replicas, from 1 per axis",
        where=PATHS,
        smallest="quick",
    )
    for name, statement, paper, method, worst, passes in (
        ("mass", "MaSS reaches 1e-12", "converges fastest", "MaSS", "max", Range(high=1e-12)),
        ("nesterov", "Nesterov at the settings of MaSS passes 1e20", "diverges",
         "Nesterov at the rate of MaSS", "min", Range(low=1e20)),
        ("sgd", "SGD at 1/L₁ keeps 5 % of the error", "slow", "SGD", "min", Range(low=0.05)),
    )
]  # fmt: skip
KERNEL_CLAIMS = [
    Claim(
        "kernel_mass_over_nesterov",
        "On kernel regression MaSS leaves 0.6 times the error of the best of 16 Nesterov runs.",
        paper="10^(-4.05) against 10^(-3.90) after 30 epochs",
        source="figure on Gaussian kernel regression",
        statistic=ratio("mass", "best_nesterov", largest=True),
        passes=Range(high=0.6),
        weaker=Range(high=1.0),
        tolerance="worst seed; MaSS has one fixed setting, chosen on seed 0",
        where=KERNEL,
    ),
    Claim(
        "kernel_mass_over_sgd",
        "On kernel regression MaSS leaves 3 % of the error of SGD with the same step size.",
        paper="10^(-4.05) against 10^(-3.86) after 30 epochs",
        source="figure on Gaussian kernel regression",
        statistic=ratio("mass", "sgd", largest=True),
        passes=Range(high=0.03),
        tolerance="worst seed; 20 epochs of batches of 16",
        where=KERNEL,
    ),
    Claim(
        "kernel_nesterov_diverges",
        "On kernel regression Nesterov with γ = 0.95 diverges at the step size of MaSS.",
        paper="diverges",
        source="theorem on divergence",
        statistic=extreme("nesterov_at_lr", largest=False),
        passes=Range(low=1.0),
        tolerance="smallest error over the seeds; all methods start at 1",
        where=KERNEL,
    ),
]
NETWORK_CLAIMS = [
    Claim(
        "network_nesterov_fails_at_large_rate",
        "At lr 0.3 the network keeps a loss above 1 with Nesterov momentum 0.9, on every seed.",
        paper="some runs diverge",
        source="table of test accuracies, large learning rate",
        statistic=extreme("loss", largest=False),
        passes=Range(low=1.0),
        tolerance="smallest over the seeds; log 10 = 2.3 is the loss of guessing",
        where={**NETWORK, "method": "Nesterov", "lr": 0.3},
    ),
    Claim(
        "network_mass_holds_at_large_rate",
        "At lr 0.3 MaSS(0.05, 12) trains the network to a loss below 0.05, on every seed.",
        paper="improves with the rate",
        source="table of test accuracies, large learning rate",
        statistic=extreme("loss", largest=True),
        passes=Range(high=0.05),
        tolerance="largest over the seeds",
        where={**NETWORK, "method": "MaSS", "lr": 0.3, "alpha": 0.05, "kappa_t": 12.0},
    ),
    Claim(
        "network_best_mass_over_best_nesterov",
        "The best MaSS has half the training loss of the best Nesterov with γ = 0.9.",
        paper="5.8e-5 against 2.9e-4",
        source="figure on the fully connected network",
        statistic=worst_network_ratio,
        passes=Range(high=0.5),
        weaker=Range(high=1.0),
        tolerance="worst seed; 10 settings against 5, as the paper tunes no momentum",
        where=NETWORK,
    ),
]


IMAGE_CLAIMS = [
    Claim(
        name,
        statement,
        paper=paper,
        source="table of test accuracies",
        statistic=statistic,
        passes=passes,
        tolerance="mean of three seeds; the paper's own spread is about 0.3 points",
        where={"measure": "images", "architecture": architecture},
        smallest="full",
    )
    for name, architecture, statement, paper, statistic, passes in (
        ("resnet_mass", "resnet", "A ResNet-32 reaches 92.3 % on CIFAR-10 with MaSS at lr 0.1.",
         92.8, accuracy_of("MaSS", 0.1), Range(low=92.3)),
        ("resnet_mass_over_sgd", "resnet", "There MaSS is 0.3 points above SGD.", 0.85,
         lead_over("SGD", 0.1),
         Range(low=0.3)),
        ("resnet_mass_over_nesterov", "resnet", "At lr 0.3 MaSS is 0.8 points above Nesterov.",
         1.58, lead_over("Nesterov", 0.3),
         Range(low=0.8)),
        ("cnn_mass", "cnn", "A small CNN reaches 82.5 % with MaSS at lr 0.3.", 84.48,
         accuracy_of("MaSS", 0.3), Range(low=82.5)),
        ("cnn_mass_over_nesterov", "cnn", "There MaSS is 3 points above Nesterov.", 8.69,
         lead_over("Nesterov", 0.3),
         Range(low=3.0)),
    )
]  # fmt: skip
CLAIMS = [*EXACT_CLAIMS, *REGIME_CLAIMS, *PATH_CLAIMS, *KERNEL_CLAIMS, *NETWORK_CLAIMS,
          *IMAGE_CLAIMS]  # fmt: skip
