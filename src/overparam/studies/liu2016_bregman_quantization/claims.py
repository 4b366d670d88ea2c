"""What the two theorems and the choice of a divergence say, as numbers that may fail."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Range
from overparam.claims.statistics import mean_at, slope
from overparam.clustering.quantization import asymptotic_center_density
from overparam.studies.liu2016_bregman_quantization.noise import MATCHED
from overparam.studies.liu2016_bregman_quantization.plane import HIGH, LOW, flat

ERROR = "Theorem 1: k^(r/d) times the error of the best centres tends to a constant in closed form."
LAW = "Theorem 2: the best centres follow a law that has the determinant of φ's Hessian in it."
MATCH = "Banerjee et al. (2005), section 6: the divergence of the noise finds clusters best."
HEADLINES = (ERROR, LAW, MATCH)
LARGEST = 128  # clusters at which the limit is compared with
Statistic = Callable[[pd.DataFrame], float]


def at_largest(column: str) -> Statistic:
    """Mean of a column at 128 clusters."""
    return lambda rows: mean_at(rows, "k", column, LARGEST)


def mean_ratio(rows: pd.DataFrame) -> float:
    """Mean of the errors over their limits, NaN if one is."""
    return float(np.mean(rows["ratio"].to_numpy(float)))


def rate(rows: pd.DataFrame) -> float:
    """Exponent of the error in the number of clusters, up to 128."""
    return slope(rows.loc[rows["k"] <= LARGEST], "k", "error")


def on_a_line(density: str, phi: str) -> list[Claim]:
    """The claims about one density and one φ.

    Where neither the density nor φ'' varies, the best centres are the quantiles that the iteration
    starts from: then they guard the code, and confirm no theorem.
    """
    where = {"measure": "line", "density": density, "phi": phi}
    words, name = f"{density} density, φ of {phi}", f"{density}_{phi.replace(' ', '_')}"
    known = (density, phi) == ("uniform", "euclidean")
    start = "; identity: equal cells, where the iteration starts" if known else ""

    def theorem(sentence: str) -> dict[str, Any]:
        if known:
            return {"kind": "identity", "criterion": "arithmetic"}
        return {"kind": "paper", "sentence": sentence, "criterion": "theory"}

    claims = [
        Claim(
            f"constant_{name}",
            f"{words}: k² times the error of 128 best centres is the limit to 0.5 %.",
            paper=1.0,
            source=f"Theorem 1 with r = 2, d = 1{start}",
            **theorem(ERROR),
            statistic=at_largest("ratio"),
            passes=Range(0.995, 1.005),
            tolerance="the next order is 1/k where the density vanishes",
            where=where,
        ),
        Claim(
            f"rate_{name}",
            f"{words}: the error of the best centres falls as k^-2.",
            paper=-2.0,
            source=f"Theorem 1 with r = 2, d = 1{start}",
            **theorem(ERROR),
            statistic=rate,
            passes=Range(-2.03, -1.97),
            tolerance="from 8 clusters on, where the next order is 3 %",
            where=where,
        ),
        Claim(
            f"law_{name}",
            f"{words}: 128 best centres are within 0.005 of the law, in probability.",
            paper=0.0,
            source=f"Theorem 2 with r = 2, d = 1{start}",
            **theorem(LAW),
            statistic=at_largest("distance"),
            passes=Range(high=0.005),
            tolerance="Kolmogorov's distance at mid-ranks; less than one centre of 128",
            where=where,
        ),
    ]
    if phi != "euclidean":
        claims.append(
            Claim(
                f"law_without_hessian_{name}",
                f"{words}: the law without φ'' is further than 0.05 from them, as a control must.",
                paper="the Hessian is in the law",
                source="Theorem 2; a control",
                kind="control",
                statistic=at_largest("distance_without"),
                passes=Range(low=0.05),
                tolerance="ten times what the law itself is allowed",
                where=where,
            )
        )
    return claims


def of_order(r: int) -> list[Claim]:
    """The claims about one order."""
    where = {"measure": "order", "r": r}
    return [
        Claim(
            f"order_{r}",
            f"200 centres put by the law of order {r} have the error of Theorem 1 to 0.5 %.",
            paper=1.0,
            source=f"Theorems 1 and 2 with r = {r}, d = 1",
            kind="paper",
            sentence=ERROR,
            criterion="theory",
            statistic=mean_ratio,
            passes=Range(0.995, 1.005),
            tolerance="the next order is k^-2",
            where={**where, "hessian": True},
            smallest="smoke",
        ),
        Claim(
            f"order_{r}_without_hessian",
            f"Put by the density alone, their error of order {r} is 5 % above it or more.",
            paper="the Hessian is in the law",
            source="Theorem 2; a control",
            kind="control",
            statistic=mean_ratio,
            passes=Range(low=1.05),
            tolerance="one-sided; ten times what the law itself is allowed",
            where={**where, "hessian": False},
            smallest="smoke",
        ),
    ]


def in_the_plane(phi: str) -> list[Claim]:
    """The claims about one φ in two dimensions."""
    where = {"measure": "plane", "phi": phi}
    return [
        Claim(
            f"plane_constant_{phi}",
            f"φ of {phi}: k times the inertia of 128 centres in the plane is 0.99 to 1.05 of the "
            "limit of hexagons.",
            paper=1.0,
            source="Theorem 1 with r = 2, d = 2",
            kind="paper",
            sentence=ERROR,
            criterion="theory",
            statistic=at_largest("ratio"),
            passes=Range(0.99, 1.05),
            tolerance="cells at the edge, local minima (above) and the sample (below)",
            where=where,
        ),
        Claim(
            f"plane_rate_{phi}",
            f"φ of {phi}: the inertia in the plane falls as k^-1.",
            paper=-1.0,
            source="Theorem 1 with r = 2, d = 2",
            kind="paper",
            sentence=ERROR,
            criterion="theory",
            statistic=rate,
            passes=Range(-1.05, -0.95),
            tolerance="from 16 clusters on",
            where=where,
        ),
    ]


def marginal_distance(phi: str) -> Statistic:
    """Kolmogorov's distance of all coordinates of 128 centres to a law's, which is a product."""

    def statistic(rows: pd.DataFrame) -> float:
        found = rows.loc[rows["k"] == LARGEST, "coordinates"]
        if not len(found) or not all(isinstance(each, list) for each in found):
            return float("nan")
        values = np.sort(np.concatenate([np.asarray(each) for each in found]))
        grid = np.linspace(LOW, HIGH, 4001)
        law = asymptotic_center_density(flat, phi, bounds=[(LOW, HIGH)] * 2)
        density = law(np.stack([grid, np.full_like(grid, HIGH)], axis=1))
        below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
        at = np.interp(values, grid, below / below[-1])
        ranks = np.arange(len(values) + 1) / len(values)
        return float(max(np.abs(at - ranks[1:]).max(), np.abs(at - ranks[:-1]).max()))

    return statistic


def lead(divergence: str) -> Statistic:
    """Mean score of a divergence less the best mean of the others."""

    def statistic(rows: pd.DataFrame) -> float:
        means = {name: float(np.mean(rows[name].to_numpy(float))) for name in MATCHED.values()}
        return means.pop(divergence) - max(means.values())

    return statistic


IS_IN_THE_PLANE = {"measure": "plane", "phi": "itakura_saito"}
CLAIMS = [
    *(
        claim
        for density in ("uniform", "linear")
        for phi in ("euclidean", "kl", "itakura_saito", "power 3")
        for claim in on_a_line(density, phi)
    ),
    *(claim for r in (1, 2, 3, 4) for claim in of_order(r)),
    *(claim for phi in ("euclidean", "kl", "itakura_saito") for claim in in_the_plane(phi)),
    Claim(
        "plane_law",
        "Coordinates of 128 Itakura-Saito centres in the plane are within 0.06 of the law.",
        paper=0.0,
        source="Theorem 2 with r = 2, d = 2",
        kind="paper",
        sentence=LAW,
        criterion="theory",
        statistic=marginal_distance("itakura_saito"),
        passes=Range(high=0.06),
        tolerance="Kolmogorov's distance of all coordinates; cells at the edge are as wide",
        where=IS_IN_THE_PLANE,
    ),
    Claim(
        "plane_law_without_hessian",
        "The law without the Hessian is further than 0.1 from them, as a control must.",
        paper="the Hessian is in the law",
        source="Theorem 2; a control",
        kind="control",
        statistic=marginal_distance("euclidean"),
        passes=Range(low=0.1),
        tolerance="one-sided",
        where=IS_IN_THE_PLANE,
    ),
    *(
        Claim(
            f"matched_{noise}_{d}",
            f"Clusters with {noise} noise in {d} dimension(s) are found best by {divergence}.",
            paper="the divergence of the noise",
            source="Banerjee et al. (2005), section 6; means and sizes are ours",
            kind="paper",
            sentence=MATCH,
            criterion="paper",
            statistic=lead(divergence),
            passes=Range(low=1e-6),
            tolerance="mean adjusted Rand index less the best of the others; level is not best",
            where={"measure": "noise", "noise": noise, "d": d},
        )
        for noise, divergence in MATCHED.items()
        for d in (1, 2)
    ),
    Claim(
        "matched_gamma_gain",
        "With gamma noise in one dimension Itakura-Saito is 0.25 ahead of squared distances.",
        paper="the divergence of the noise",
        source="Banerjee et al. (2005), section 6; the size is ours",
        kind="ours",
        statistic=lambda rows: float(
            np.mean(rows["itakura_saito"].to_numpy(float) - rows["euclidean"].to_numpy(float))
        ),
        passes=Range(low=0.25),
        tolerance="mean adjusted Rand index",
        where={"measure": "noise", "noise": "gamma", "d": 1},
    ),
]
