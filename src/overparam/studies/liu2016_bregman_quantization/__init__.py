"""The inertia of 128 best Bregman centres in one dimension is its limit law to 0.5 %.

Reference:
    Liu, Belkin (2016), "Clustering with Bregman divergences: an asymptotic analysis", NIPS 29:
    the rate k^(-r/d) of the quantization error with its constant (Theorem 1) and the law of the
    centres (Theorem 2), with the determinant of the Hessian of φ in both. Banerjee, Merugu,
    Dhillon, Ghosh (2005), "Clustering with Bregman divergences", JMLR 6:1705: that the divergence
    of the noise clusters best.
Changed:
    The paper's own illustrations give no numbers: what is compared is what its theorems say. In
    one dimension the best centres of a uniform and of a linear density on [0.05, 1] are found by
    Lloyd's iteration with moments in closed form, from the quantiles of the density; centres are
    compared with a law at their mid-ranks, (j - 1/2)/k, since a step function of k steps is 1/(2k)
    from any law. Under the uniform density and squared distances those quantiles are the best
    centres: the three claims about them guard the code and are none of the paper's. In two
    dimensions centres are of a sample of 40 000 points (full: 60 000), by k-means++ and
    over-relaxed iterations; 1/k of the points is at least 300. The order r is checked with 200
    centres put where the law says. Noise: three equal clusters of 100 points with means 10, 20, 40
    (gamma: 1, 4, 16), numbers below 0.5 set to 0.5 for all three divergences, ten starts; the
    scores are means over 20 data sets (full: 40). Best centres on a line and centres put by the law
    are computed without any draw: 25 of the 38 claims of the papers are the same with every seed,
    and no more certain for three of them.
Cost:
    Processor time: smoke a few seconds, quick 40 s, full 70 s.
Failure:
    If the constant were another, the inertia of many clusters could not be told beforehand. If
    the law without the Hessian fitted as well, a divergence would not move centres. If the
    divergence of the noise did not cluster best, there would be no reason to choose one.
"""

from typing import Any

from overparam.claims.study import Study
from overparam.studies.liu2016_bregman_quantization.claims import CLAIMS, HEADLINES
from overparam.studies.liu2016_bregman_quantization.line import best_on_a_line, placed_by_law
from overparam.studies.liu2016_bregman_quantization.noise import scores_of_noise
from overparam.studies.liu2016_bregman_quantization.pictures import figures
from overparam.studies.liu2016_bregman_quantization.plane import best_in_the_plane

__all__ = ["STUDY"]

SIZES = {
    "smoke": {"line": (8, 16), "plane": (16,), "points": 1000, "planes": 1, "tables": 1},
    "quick": {
        "line": (8, 16, 32, 64, 128),
        "plane": (16, 32, 64, 128),
        "points": 40_000,
        "planes": 2,
        "tables": 20,
    },
    "full": {
        "line": (8, 16, 32, 64, 128, 256),
        "plane": (16, 32, 64, 128),
        "points": 60_000,
        "planes": 3,
        "tables": 40,
    },
}
PHI = ("euclidean", "kl", "itakura_saito", "power 3")


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Best centres on a line and in the plane, centres put by the law, and clusters with noise."""
    plan: list[dict[str, Any]] = [
        {"measure": "plane", "phi": phi, "k": k, "points": config["points"], "replicate": r}
        for r in range(config["planes"])
        for k in reversed(config["plane"])
        for phi in PHI[:3]
    ]
    plan += [
        {"measure": "line", "density": density, "phi": phi, "k": k, "replicate": 0}
        for density in ("uniform", "linear")
        for phi in PHI
        for k in config["line"]
    ]
    plan += [
        {"measure": "order", "r": r, "hessian": hessian, "replicate": 0}
        for r in (1, 2, 3, 4)
        for hessian in (True, False)
    ]
    plan += [
        {"measure": "noise", "noise": noise, "d": d, "replicate": r}
        for noise in ("gaussian", "poisson", "gamma")
        for d in (1, 2)
        for r in range(config["tables"])
    ]
    return plan


def cell(measure: str, seed: int, **settings: Any) -> dict[str, Any]:
    """One computation."""
    if measure == "line":
        return best_on_a_line(**settings)
    if measure == "order":
        return placed_by_law(**settings)
    if measure == "plane":
        return best_in_the_plane(seed=seed, **settings)
    return scores_of_noise(seed=seed, **settings)


STUDY = Study(cells, cell, SIZES, CLAIMS, figures, headlines=HEADLINES)
