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
    10⁻³. Errors are against the noiseless target. Of the paper's grid of networks 4 of 90 are
    trained, with the best of all epochs on the test set, which favours them. How the number of
    points grows with the dimension is measured for the leap-1 target; the exponents of the
    theorems could not be established. Of the exponents, of which kernel regression needs 3, only
    those up to 1 can come out: what is tested is that 180 points suffice in 200 dimensions, 240 in
    400 at full, and that 30 do not; 0.21 was measured, and 0.47 at full. Permuted labels are a
    control, and derivatives are held to automatic differentiation.
    "Not learned with any seed", which is asked of the leap-3 target, may be too much: with 800
    points in 60 dimensions 1 run out of 14 put the three columns ahead by chance, and reweighting
    took the error from 1.09 to 0.002; the others ended between 1.11 and 1.20.
Cost:
    Processor time: smoke 4 s, quick 60 s, full 37 minutes and 2 GB per job.
Failure:
    If reweighting did not help, derivatives of a kernel predictor that predicts nothing would
    not show what the target depends on. If it solved the leap-3 target as well, the order in
    which columns can be found would not be what limits it.
"""

from typing import Any

from overparam.claims.study import Study
from overparam.studies.zhu2025_irkm.claims import CLAIMS, HEADLINES
from overparam.studies.zhu2025_irkm.experiments import derivatives, machine, networks
from overparam.studies.zhu2025_irkm.pictures import figures

__all__ = ["STUDY"]

# What is run: (target, kernel, weight floor, sample, d, n).
RUNS = (
    ("leap 1", "laplace", 1e-3, "reused", 200, 120),
    ("leap 1", "laplace", 1e-3, "reused", 200, 250),
    ("leap 1", "laplace", 1e-2, "reused", 200, 250),
    ("leap 1", "laplace", 1e-3, "fresh", 200, 250),
    ("leap 1", "laplace", 1e-3, "permuted", 200, 250),
    ("leap 1", "laplace", 1e-3, "reused", 60, 800),
    ("leap 3", "laplace", 1e-3, "reused", 60, 800),
    ("pair", "exponential", 1e-3, "reused", 100, 1000),
)
SIZES = {
    "smoke": {
        "points": (),
        "dimensions": (),
        "needed": ((50,), (60,)),
        "epochs": 2,
        "replicates": 1,
    },
    "quick": {
        "points": (200, 400, 1000),
        "dimensions": (200,),
        "needed": ((50, 100, 200), (30, 45, 60, 90, 120, 180)),
        "epochs": 200,
        "replicates": 6,
    },
    "full": {
        "points": (200, 400, 1000, 2000, 5000, 10000),
        "dimensions": (200, 500, 1000),
        "needed": ((50, 100, 200, 400), (30, 45, 60, 90, 120, 180, 240)),
        "epochs": 1000,
        "replicates": 6,
    },
}
NETWORKS = 3  # seeds of them
NAMES = ("target", "kernel", "floor", "sample", "d", "n")


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Every run with every seed, the largest first."""
    dimensions, counts = config["needed"]
    curve = [("reused", d, n) for d in config["dimensions"] for n in config["points"]]
    needed = [("needed", d, n) for d in dimensions for n in counts]
    more = [("leap 1", "laplace", 1e-3, *run) for run in curve + needed]
    plan = [
        {"measure": "machine", **dict(zip(NAMES, run, strict=True))}
        for run in sorted((*RUNS, *more), key=lambda run: -run[-1])
    ]
    trained = {"measure": "network", "d": 200, "n": 250, "epochs": config["epochs"]}
    plan = [trained, *plan, {"measure": "derivatives"}]
    return [
        {**cell, "replicate": replicate}
        for cell in plan
        for replicate in range(config["replicates"])
        if cell["measure"] != "network" or replicate < NETWORKS
    ]


def cell(measure: str, seed: int, **settings: Any) -> dict[str, Any]:
    """A machine and its reweightings, networks on the same points, or an oracle of derivatives."""
    measures = {"machine": machine, "network": networks, "derivatives": derivatives}
    return measures[measure](seed=seed, **settings)


STUDY = Study(cells, cell, SIZES, CLAIMS, figures, headlines=HEADLINES)
