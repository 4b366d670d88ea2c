"""What the theorems say, asked of exact rates and of sampled paths."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Moved, Range
from overparam.claims.statistics import select, slope

Statistic: TypeAlias = Callable[[pd.DataFrame], float]
Where: TypeAlias = Mapping[str, Any]

EXACT = {"measure": "spectrum", "data": "decoupled"}
# Condition numbers over which exponents are fitted: beyond the first few decades.
LARGE = [6 * 2.0**k for k in range(9, 15)]
NETWORK, PATHS, KERNEL = {"measure": "network"}, {"measure": "path"}, {"measure": "kernel"}


NO_ACCELERATION = (
    "Abstract: Nesterov SGD with any parameters does not in general accelerate over SGD"
)
DIVERGES = "Abstract: Nesterov SGD may diverge for step sizes at which SGD converges"
SAME_STEPS = "Abstract: MaSS converges for the same step sizes as SGD"
ACCELERATES = (
    "Abstract: MaSS has accelerated rates over SGD for any batch size in the linear setting"
)
FULL_BATCH = "Abstract: for full batch the rate of MaSS is the accelerated one of Nesterov's method"
REGIMES = (
    "Abstract: three regimes of the batch size: linear scaling, diminishing returns, saturation"
)
NETWORKS = "Abstract: MaSS improves over SGD, Nesterov SGD and Adam on several deep networks"
HEADLINES = (
    NO_ACCELERATION, DIVERGES, SAME_STEPS, ACCELERATES, FULL_BATCH, REGIMES, NETWORKS,
)  # fmt: skip
THEOREM = "Theorem on convergence: E‖w − w*‖² falls as (1 − 1/√(κκ̃))^t"
KERNELS = "Figure on Gaussian kernel regression: MaSS is ahead of SGD and of Nesterov SGD"
TABLE = "Table of test accuracies: larger rates help SGD and MaSS and hurt Nesterov SGD"


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


def column(rows: pd.DataFrame, name: str) -> np.ndarray:
    """A column as numbers."""
    return rows[name].to_numpy(float)


def between(low: int, high: int) -> Where:
    """Batch sizes from 2^low to 2^high."""
    return {"batch_size": [2**k for k in range(low, high + 1)]}


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
        criterion="beforehand",
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
        kind="paper",
        sentence=NO_ACCELERATION,
        criterion="beforehand",
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
        kind="paper",
        sentence=ACCELERATES,
        criterion="beforehand",
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
            criterion="beforehand",
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
        kind="paper",
        sentence=THEOREM,
        criterion="theory",
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
        kind="control",
        criterion="beforehand",
    ),
]
BATCH, SPECTRUM = {"measure": "batch"}, {"measure": "spectrum"}
BATCH_CLAIMS = [
    Claim(
        "mass_over_sgd_at_any_batch",
        "At every batch size MaSS is faster than SGD with its best step, on both data sets.",
        paper="1/√(κ_m κ̃_m) against 1/κ_m",
        source="theorem on acceleration",
        statistic=ratio("mass_rate", "sgd_rate", largest=False),
        passes=Range(low=1 + 1e-9),
        tolerance="smallest ratio of exact rates over batch sizes of 1, 4, …, 4^8 and all",
        where=BATCH,
        smallest="smoke",
        kind="paper",
        sentence=ACCELERATES,
        criterion="theory",
    ),
    Claim(
        "full_batch_is_nesterovs_rate",
        "With a full batch MaSS is at the deterministic rate 1 − (1 − 1/√κ)², to 1 part in 1000.",
        paper="(1 − 1/√κ)^t; squared for the squared error",
        source="theorem on convergence, m → ∞; an absolute value",
        statistic=lambda rows: max(
            column(rows, "mass_rate") / column(rows, "nesterov_full"),
            key=lambda one: (one != one, abs(one - 1)),
        ),
        passes=Range(0.999, 1.001),
        tolerance="a triple eigenvalue: a third root of ε is 6e-6, over a rate of 0.06 or more",
        where={**BATCH, "batch_size": 2**60},
        smallest="smoke",
        kind="paper",
        sentence=FULL_BATCH,
        criterion="arithmetic",
    ),
    Claim(
        "nesterov_diverges_where_sgd_converges",
        "On decoupled data at step 1/L₁ SGD converges, and Nesterov SGD diverges for every "
        "momentum tried in [0.6, 1).",
        paper="diverges for γ in [0.6, 1]",
        source="theorem on divergence",
        statistic=lambda rows: float(
            np.minimum(column(rows, "sgd_rate"), -column(rows, "nesterov_at_sgd")).min()
        ),
        passes=Range(low=1e-9),
        tolerance="the smaller of SGD's exact rate and the slowest growth of Nesterov's, every κ",
        where=EXACT,
        smallest="smoke",
        kind="paper",
        sentence=DIVERGES,
        criterion="paper",
    ),
    Claim(
        "mass_converges_at_sgds_steps",
        "At steps from 0.1/L₁ to 1.9/L₁, below SGD's limit 2/L₁, MaSS converges as SGD does.",
        paper="the same step sizes",
        source="theorem on convergence",
        statistic=lambda rows: float(
            np.minimum(column(rows, "sgd_least"), column(rows, "mass_least")).min()
        ),
        passes=Range(low=1e-12),
        tolerance="smallest exact rate over steps, data sets and κ; settings from the theorem",
        where=SPECTRUM,
        smallest="smoke",
        kind="paper",
        sentence=SAME_STEPS,
        criterion="theory",
        moved=Moved(
            "with α from the theorem and the κ̃ of the data at every step",
            "with α and κ̃/(2 − ηL₁) from the theorem",
            "αδκ̃ ≤ 2η − η²L₁, the theorem's condition, is ηκ̃/κ̃' ≤ 2η − η²L₁ in the optimizer's "
            "own κ̃': with κ̃' = κ̃ it holds up to 1/L₁ only",
            arithmetic=True,
        ),
    ),
    Claim(
        "update_is_the_authors",
        "Over 200 stochastic steps the optimizer gives what the authors' sequences w, u, v give.",
        paper="exact",
        source="the update in three sequences; an oracle without a compensation whose sign could "
        "be mistaken",
        statistic=extreme("update_error", largest=True),
        passes=Range(high=1e-11),
        tolerance="relative difference; rounding, amplified over a contraction of some 10 steps",
        where={"measure": "update"},
        smallest="smoke",
        kind="identity",
        criterion="arithmetic",
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
        kind="paper",
        sentence=REGIMES,
        criterion="beforehand",
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
        kind=kind,  # type: ignore[arg-type]
        sentence=sentence,
        criterion="beforehand",
    )
    for name, statement, paper, method, worst, passes, kind, sentence in (
        ("mass", "MaSS reaches 1e-12", "converges fastest", "MaSS", "max", Range(high=1e-12),
         "paper", ACCELERATES),
        ("nesterov", "Nesterov at the settings of MaSS passes 1e20", "diverges",
         "Nesterov at the rate of MaSS", "min", Range(low=1e20), "paper", DIVERGES),
        ("sgd", "SGD at 1/L₁ keeps 5 % of the error", "slow", "SGD", "min", Range(low=0.05),
         "ours", ""),
        ("without_interpolation", "with noise of 0.1 in the labels MaSS stays above 1e-6",
         "needs interpolation", "MaSS without interpolation", "min", Range(low=1e-6),
         "control", ""),
    )
]  # fmt: skip
