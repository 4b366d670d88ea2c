"""Numbers that claims are about, what they select, and the sentences of the paper they test."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from overparam.claims.statistics import select

PHASE, PEAK, MODELS = {"measure": "phase"}, {"measure": "peak"}, {"measure": "general"}
LINE, DATA = {"measure": "line"}, {"measure": "generalisation"}
MODEL_NAMES = ("linear", "quadratic", "network")
WINDOW = [2.1, 2.5, 3.0, 3.5, 3.9]
THEOREM_1 = "theorem on the catapult of a single example"
# Sentences of the abstract and of the theorems.
PHASES = (
    "A quadratic model has the network's catapult phase between the critical rate and twice it."
)
DIRECTIONS = "With several examples directions catapult apart, each beyond its own critical rate."
GENERAL = "General quadratic models have the same phases."
TEST = (
    "Below the critical rate linear and quadratic models and networks agree; above it the last two "
    "generalise better."
)
DEEPER = "So it is with SGD, other activations, a third layer and convolutions."
HEADLINES = (PHASES, DIRECTIONS, TEST, DEEPER)


def largest(column: str) -> Callable[[pd.DataFrame], float]:
    """Largest value of a column over cells; NaN if any is."""
    return lambda rows: float(np.max(rows[column].to_numpy(float)))


def smallest(column: str) -> Callable[[pd.DataFrame], float]:
    """Smallest value of a column over cells; NaN if any is."""
    return lambda rows: float(np.min(rows[column].to_numpy(float)))


def share(column: str) -> Callable[[pd.DataFrame], float]:
    """Share of cells in which something is true; NaN if unknown in any."""
    return lambda rows: float(np.mean(rows[column].to_numpy(float)))


def median_slope(rows: pd.DataFrame, x: str) -> float:
    """Exponent of the median peak loss in `x`, by least squares through the logarithms."""
    values = sorted(set(rows[x]))
    medians = [np.median(rows.loc[rows[x] == value, "peak"].to_numpy(float)) for value in values]
    if len(values) < 2 or not np.isfinite(medians).all():
        return float("nan")
    return float(np.polyfit(np.log(values), np.log(medians), 1)[0])


def farthest_slope(rows: pd.DataFrame) -> float:
    """The exponent, of the three rates, that is farthest from 1."""
    slopes = [
        median_slope(rows.loc[rows["edge"] == edge], "width") for edge in sorted(set(rows["edge"]))
    ]
    return float(slopes[int(np.argmax(np.abs(np.array(slopes) - 1)))]) if slopes else float("nan")


def reflected_error(rows: pd.DataFrame) -> float:
    """Largest relative distance of the final η λ from that of the map, at widths from 4096."""
    wide = rows.loc[rows["width"] >= 4096]
    if not len(wide):
        return float("nan")
    return float(np.max(np.abs(wide["final_edge"].to_numpy(float) / limit(2.5) - 1)))


def limit(edge: float) -> float:
    """Where the two-number map takes η λ from an edge and a small error, by the paper's recursion.

    Written out here, so that it is no function of the library that is compared with itself.
    """
    v, u = edge, 1e-6
    for _ in range(3000):
        v, u = v - u * (4 - v), (1 - v + u) ** 2 * u
    return v


def apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Draws whose two critical rates differ by 5 % or more.

    With others the middle lies within the slow band above the edge.
    """
    return rows.loc[rows["gap"] >= 1.05]


def draws_apart(rows: pd.DataFrame) -> int:
    """How many draws that are."""
    return len(set(apart(rows)["seed"]))


def outside(rows: pd.DataFrame, column: str, low: float, high: float) -> float:
    """How far the farthest value lies outside a band; 0 if all are inside."""
    values = rows[column].to_numpy(float)
    return float(np.max(np.maximum(np.maximum(low - values, values - high), 0.0 * values)))


def map_gaps(rows: pd.DataFrame) -> np.ndarray:
    """By draw, the farther of both eigenvalues from where the map takes it; over draws apart."""
    rows = apart(rows)
    if not len(rows):
        return np.array([np.nan])
    return np.abs(rows[["first_kept", "second_kept"]].to_numpy(float) - predicted(rows)).max(1)


def map_error(rows: pd.DataFrame) -> float:
    """Largest distance of an eigenvalue from where the map takes it; NaN if any is."""
    return float(np.max(map_gaps(rows)))


def map_share(rows: pd.DataFrame) -> float:
    """Share of the draws in which both eigenvalues end within 0.03 of where the map takes them."""
    gaps = map_gaps(rows)
    return float(np.mean(gaps <= 0.03)) if not np.isnan(gaps).all() else float("nan")


def pattern_share(
    first: tuple[float, float], second: tuple[float, float]
) -> Callable[[pd.DataFrame], float]:
    """Share of the draws in which what is left of both eigenvalues lies between these."""

    def statistic(rows: pd.DataFrame) -> float:
        rows = apart(rows)
        kept = rows["first_kept"].between(*first) & rows["second_kept"].between(*second)
        return float(kept.to_numpy(bool).mean()) if len(rows) else float("nan")

    return statistic


def predicted(rows: pd.DataFrame) -> np.ndarray:
    """Final over initial η λ by the two-number map, at each draw's own edges."""
    edges = rows[["first_edge", "second_edge"]].to_numpy(float)
    if not np.isfinite(edges).all():
        return np.full_like(edges, np.nan)
    return np.vectorize(lambda edge: limit(edge) / edge)(edges)


def kernel_spread(rows: pd.DataFrame) -> float:
    """Largest over smallest median of what is left of the curvature, minus 1, over γ."""
    small = rows.loc[rows["gamma"] <= 0.01]
    medians = [np.median(np.asarray(part["kept"], float)) for _, part in small.groupby("gamma")]
    return float(np.max(medians) / np.min(medians) - 1) if medians else float("nan")


def at(rows: pd.DataFrame, model: str, factor: float) -> np.ndarray:
    """Best test losses of a model at a learning rate, seed by seed."""
    here = select(rows, {"edge": factor}).sort_values("seed")
    return here[f"{model}_best"].to_numpy(float)


def spread_below(rows: pd.DataFrame) -> float:
    """Largest relative spread of the three models' mean best test losses below the edge."""
    found = []
    for scaling in sorted(set(rows["scaling"])):
        here = select(rows, {"scaling": scaling})
        for factor in sorted(set(here["edge"])):
            if factor < 1:
                means = [at(here, model, factor).mean() for model in MODEL_NAMES]
                spread = (max(means) - min(means)) / min(means)
                found.append(spread if np.isfinite(means).all() else np.nan)
    return float(np.max(found)) if found else float("nan")


def deep_catapults(rows: pd.DataFrame) -> float:
    """Share of draws at 1.5 in which the linear model diverges, the others rise and come back."""
    here = select(rows, {"edge": 1.5})
    if not len(here):
        return float("nan")
    seen = here["linear_diverged"].to_numpy(bool)
    for model in ("quadratic", "network"):
        rises = here[f"{model}_rise"].to_numpy(float) >= 1.2
        seen = seen & rises & here[f"{model}_returned"].to_numpy(bool)
    return float(seen.mean())


def deep_gain(rows: pd.DataFrame) -> float:
    """Mean best test loss at 1.5 over that at 0.6, of the network or the quadratic model."""
    found = []
    for model in ("quadratic", "network"):
        above, below = at(rows, model, 1.5), at(rows, model, 0.6)
        if not len(above) or not len(below):
            return float("nan")
        found.append(above.mean() / below.mean())
    return float(np.max(found))


def gain(model: str) -> Callable[[pd.DataFrame], float]:
    """Mean best test loss at 1.5 times the critical rate over that at 0.6, worst scaling."""

    def of_one(rows: pd.DataFrame) -> float:
        above, below = at(rows, model, 1.5), at(rows, model, 0.6)
        return float(above.mean() / below.mean()) if len(above) and len(below) else float("nan")

    def statistic(rows: pd.DataFrame) -> float:
        found = [of_one(part) for _, part in rows.groupby("scaling")]
        return float(np.max(found)) if found else float("nan")

    return statistic
