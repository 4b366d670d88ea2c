"""Reweighting columns learns a leap-1 target in 200 dimensions from 250 points, 100-fold better.

Reference:
    Zhu, Davis, Drusvyatskiy, Fazel (2025), "Iteratively reweighted kernel machines efficiently
    learn sparse functions", arXiv:2505.08277: the method, its first figure (the target
    x₁ + x₂ + x₃ + x₁x₂x₃ + noise on the cube in 200 dimensions, five steps), and the role of
    leap complexity.
Changed:
    One sample serves every step, where the theory draws a fresh one; a run with fresh samples
    is beside it. How the safeguard enters the weights and how they are normalised is ours: w is
    the mean squared derivative plus 10⁻³ of its maximum, scaled to mean 1. Bandwidth √(2d), ridge
    10⁻³. Errors are against the noiseless target. The paper's networks are not trained here.
    "Not learned with any seed" is too much to ask of the leap-3 target: with 800 points in 60
    dimensions 1 run out of 14 (seeds 0 to 13) put the three columns ahead by chance, and
    reweighting took the error from 1.09 to 0.002; the others ended between 1.11 and 1.20. So
    5 of 6 seeds are asked for.
Cost:
    Processor time: smoke 4 s, quick 40 s, full 10 minutes.
Failure:
    If reweighting did not help, derivatives of a kernel predictor that predicts nothing would
    not show what the target depends on. If it solved the leap-3 target as well, the order in
    which columns can be found would not be what limits it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from overparam.claims.claim import Claim, Range
from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import mean_at, seed_means, select
from overparam.claims.study import Study
from overparam.kernels.feature_matrix import KernelPredictor, predictor_agop_diagonal
from overparam.kernels.functions import DotExponential, Kernel, Laplace
from overparam.kernels.recursion import next_feature_matrix
from overparam.kernels.ridge import fit_ridge

# What is run: (target, kernel, weight floor, sample, d, n).
RUNS = (
    ("leap 1", "laplace", 1e-3, "reused", 200, 120),
    ("leap 1", "laplace", 1e-3, "reused", 200, 250),
    ("leap 1", "laplace", 1e-2, "reused", 200, 250),
    ("leap 1", "laplace", 1e-3, "fresh", 200, 250),
    ("leap 1", "laplace", 1e-3, "reused", 60, 800),
    ("leap 3", "laplace", 1e-3, "reused", 60, 800),
    ("pair", "exponential", 1e-3, "reused", 100, 1000),
)
SIZES = {
    "smoke": {"points": (), "dimensions": (), "replicates": 1},
    "quick": {"points": (200, 400, 1000), "dimensions": (200,), "replicates": 6},
    "full": {
        "points": (200, 400, 1000, 2000, 5000, 10000),
        "dimensions": (200, 500, 1000),
        "replicates": 6,
    },
}
STEPS, RIDGE, NOISE, TEST_POINTS = 5, 1e-3, 0.1, 2000
NAMES = ("target", "kernel", "floor", "sample", "d", "n")

Statistic = Callable[[pd.DataFrame], float]


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Every run with every seed, the largest first."""
    curve = [
        ("leap 1", "laplace", 1e-3, "reused", d, n)
        for d in config["dimensions"]
        for n in config["points"]
    ]
    return [
        dict(zip(NAMES, run, strict=True), replicate=replicate)
        for run in sorted((*RUNS, *curve), key=lambda run: -run[-1])
        for replicate in range(config["replicates"])
    ]


def value(target: str, x: Tensor) -> Tensor:
    """The noiseless target."""
    product = x[:, :3].prod(1)
    if target == "leap 1":
        product = product + x[:, :3].sum(1)
    elif target == "pair":
        product = x[:, :2].prod(1)
    return product[:, None]


def cell(
    target: str, kernel: str, floor: float, sample: str, d: int, n: int, seed: int
) -> dict[str, Any]:
    """Test error after every step, and whether the heaviest columns are the target's."""
    draw = torch.Generator().manual_seed(seed)

    def points(count: int) -> Tensor:
        return 2 * torch.randint(0, 2, (count, d), generator=draw).double() - 1

    def drawn() -> tuple[Tensor, Tensor]:
        x = points(n)
        return x, value(target, x) + NOISE * torch.randn(n, 1, generator=draw).double()

    test = points(TEST_POINTS)
    function: Kernel = Laplace(math.sqrt(2 * d)) if kernel == "laplace" else DotExponential(d)
    x, y = drawn()
    errors, weight, first = [], None, None
    for step in range(STEPS + 1):
        if step and sample == "fresh":
            x, y = drawn()
        dual = fit_ridge(function, x, y, ridge=RIDGE, feature_matrix=weight)
        predictor = KernelPredictor(function, x, dual, weight)
        errors.append((predictor(test) - value(target, test)).square().mean().item())
        weight = next_feature_matrix(predictor_agop_diagonal(predictor), 1.0, "trace", floor)
        first = weight if first is None else first
    relevant = 2 if target == "pair" else 3
    assert first is not None
    heaviest = first.topk(relevant).indices.sort().values
    return {
        "errors": errors,
        "ridge_error": errors[0],
        "final_error": errors[-1],
        "ratio": errors[0] / errors[-1],
        "found": bool((heaviest == torch.arange(relevant)).all()),
    }


CUBE = {"target": "leap 1", "floor": 1e-3, "sample": "reused", "d": 200}
FIGURE_1 = {**CUBE, "n": 250}
LEAP = {"d": 60, "n": 800, "floor": 1e-3, "sample": "reused"}
PAIR = {"target": "pair"}
SOURCE = "Figure 1, test loss against the number of points"


def floor_ratio(rows: pd.DataFrame) -> float:
    """Mean final error with the larger floor as a multiple of that with the smaller."""
    means = seed_means(rows, "floor", "final_error")
    return means[1e-2] / means[1e-3]


def fresh_ratio(rows: pd.DataFrame) -> float:
    """Mean final error with one sample as a multiple of that with fresh ones."""
    reused, fresh = (
        mean_at(select(rows, {"sample": sample}), "n", "final_error")
        for sample in ("reused", "fresh")
    )
    return reused / fresh


def max_of(column: str) -> Statistic:
    """Largest value of a column, NaN if any is."""
    return lambda rows: float(np.max(rows[column].to_numpy(float)))


def mean_of(column: str) -> Statistic:
    """Mean value of a column, NaN if any is."""
    return lambda rows: float(np.mean(rows[column].to_numpy(float)))


def share_above(column: str, least: float) -> Statistic:
    """Share of the rows in which a column is at least a number."""
    return lambda rows: float(np.mean(rows[column].to_numpy(float) >= least))


def min_of(column: str) -> Statistic:
    """Smallest value of a column, NaN if any is."""
    return lambda rows: float(np.min(rows[column].to_numpy(float)))


CLAIMS = [
    Claim(
        "ridge_regression_fails",
        "Kernel ridge regression has a test error of at least 2 at 250 points, of a variance of 4.",
        paper="fails at the sizes shown",
        source=SOURCE,
        statistic=min_of("ridge_error"),
        passes=Range(low=2),
        weaker=Range(low=1),
        tolerance="the best seed; half the target's variance",
        where=FIGURE_1,
    ),
    Claim(
        "reweighted_learns",
        "After five reweightings the test error is at most 0.02.",
        paper="near the noise",
        source=SOURCE,
        statistic=max_of("final_error"),
        passes=Range(high=0.02),
        weaker=Range(high=0.2),
        tolerance="the worst seed; twice the variance of the noise, 0.01",
        where=FIGURE_1,
    ),
    Claim(
        "hundredfold",
        "Reweighting divides the test error at 250 points by 100 or more.",
        paper="orders of magnitude",
        source=SOURCE,
        statistic=min_of("ratio"),
        passes=Range(low=100),
        weaker=Range(low=10),
        tolerance="the worst seed",
        where=FIGURE_1,
    ),
    Claim(
        "fewer_points_than_columns",
        "With 120 points in 200 dimensions the test error is below 0.05 with every seed.",
        paper="learns sparse functions from few samples",
        source="abstract",
        statistic=max_of("final_error"),
        passes=Range(high=0.05),
        weaker=Range(high=0.5),
        tolerance="the worst seed; a hundredth of the variance",
        where={**CUBE, "n": 120},
    ),
    Claim(
        "leap_1_learned",
        "In 60 dimensions 800 points suffice for the leap-1 target: error at most 0.01.",
        paper="finite leap complexity is learned",
        source="abstract, hierarchical polynomials",
        statistic=max_of("final_error"),
        passes=Range(high=0.01),
        weaker=Range(high=0.1),
        tolerance="the worst seed; the variance of the noise",
        where={**LEAP, "target": "leap 1"},
    ),
    Claim(
        "leap_3_not_learned",
        "With 5 of 6 seeds the same points do not suffice for x₁x₂x₃ alone: error at least 0.8.",
        paper="the sample size grows with the leap",
        source="theory, role of the leap; control",
        statistic=share_above("final_error", 0.8),
        passes=Range(low=5 / 6 - 1e-9),
        tolerance="share of the seeds; a lucky draw of the noise may find the columns",
        where={**LEAP, "target": "leap 3"},
    ),
    Claim(
        "derivatives_come_first",
        "The first derivatives name both columns of x₁x₂ in at least 5 of 6 runs.",
        paper="derivatives expose coordinates of the next degree",
        source="abstract",
        statistic=mean_of("found"),
        passes=Range(low=5 / 6 - 1e-9),
        weaker=Range(low=0.5),
        tolerance="share of the seeds in which the two heaviest columns are the target's",
        where=PAIR,
    ),
    Claim(
        "prediction_comes_later",
        "While they do, the prediction itself still has an error of at least 0.8 of variance 1.",
        paper="ridge regression has not learned degree 2 there",
        source="abstract",
        statistic=min_of("ridge_error"),
        passes=Range(low=0.8),
        weaker=Range(low=0.6),
        tolerance="the best seed",
        where=PAIR,
    ),
    Claim(
        "floor_must_be_small",
        "A floor of 10⁻² instead of 10⁻³ leaves at least 5 times the error: distances drown.",
        paper="a small safeguard",
        source="method; control",
        statistic=floor_ratio,
        passes=Range(low=5),
        weaker=Range(low=2),
        tolerance="ratio of means over seeds; 197 columns of weight 10⁻² outweigh the other three",
        where={"target": "leap 1", "sample": "reused", "d": 200, "n": 250, "floor": [1e-3, 1e-2]},
    ),
    Claim(
        "one_sample_suffices",
        "One sample for every step is no worse than fresh samples by more than a factor of 2.",
        paper="fresh samples, for the proof",
        source="theory",
        statistic=fresh_ratio,
        passes=Range(high=2),
        weaker=Range(high=10),
        tolerance="ratio of means over seeds",
        where={**FIGURE_1, "sample": ["reused", "fresh"]},
    ),
]


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Error by number of points and by step."""
    main = select(table, CUBE)
    smallest = min(main["n"])
    steps = select(main, {"n": 250})
    return {
        "by_points": figure(
            "line",
            f"From {smallest} points in 200 dimensions on, the error is "
            f"{main.loc[main['n'] == smallest, 'final_error'].mean():.3f} or less",
            [
                line_of_means("kernel ridge regression", main, "n", "ridge_error"),
                line_of_means("after five reweightings", main, "n", "final_error"),
            ],
            x="training points",
            y="mean squared test error",
            caption="Mean over seeds; target x₁ + x₂ + x₃ + x₁x₂x₃ of variance 4, without its "
            "noise, on the cube.",
            x_scale="log",
            y_scale="log",
        ),
        "by_step": figure(
            "line",
            f"Five steps divide the error by {steps['ratio'].mean():.0f}",
            [
                {"name": f"seed {seed}", "x": list(range(STEPS + 1)), "y": list(errors)}
                for seed, errors in zip(steps["seed"], steps["errors"], strict=True)
            ],
            x="reweightings",
            y="mean squared test error",
            caption=f"{steps['n'].iloc[0]} points in 200 dimensions, one line a seed.",
            y_scale="log",
        ),
    }


STUDY = Study(cells, cell, SIZES, CLAIMS, figures)
