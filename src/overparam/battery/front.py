"""Which designs no other beats in both objectives, and the search for them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from overparam._checked import checked
from overparam._errors import expect
from overparam.battery.packages import package
from overparam.battery.process import ProcessModel

GENERATIONS = 80


@checked
def nondominated(points: Float[np.ndarray, "n k"]) -> Bool[np.ndarray, "n"]:
    """Which points no other one beats: none is as large throughout and larger somewhere.

    Cost: n² comparisons of every objective.

    Example:
        >>> nondominated(np.array([[1.0, 3.0], [2.0, 2.0], [1.0, 2.0]])).tolist()
        [True, True, False]
    """
    as_large = np.all(points[None] >= points[:, None], axis=2)
    larger = np.any(points[None] > points[:, None], axis=2)
    return ~np.any(as_large & larger, axis=1)


@checked
def hypervolume(points: Float[np.ndarray, "n 2"], reference: Float[np.ndarray, "2"]) -> float:
    """Area that points dominate above a reference, both objectives to be large.

    Points that are not above it in both add nothing.

    Cost: that of sorting the points.

    Example:
        >>> hypervolume(np.array([[1.0, 3.0], [2.0, 2.0]]), np.zeros(2))
        5.0
    """
    above = points[(points > reference).all(1)] - reference
    if not len(above):
        return 0.0
    first, second = above[np.argsort(-above[:, 0], kind="stable")].T
    # From the largest first coordinate down, each point adds what is above all before it.
    height = np.maximum.accumulate(second)
    return float((first * np.diff(height, prepend=0.0)).sum())


def knee(points: Float[np.ndarray, "n 2"]) -> int:
    """The point of a front nearest to the best of both, each objective scaled to its range.

    Example:
        >>> knee(np.array([[0.0, 10.0], [0.8, 9.0], [1.0, 0.0]]))
        1
    """
    low, high = points.min(0), points.max(0)
    scaled = (high - points) / np.where(high > low, high - low, 1.0)
    return int(np.argmin((scaled**2).sum(1)))


def spread(points: Float[np.ndarray, "n 2"], count: int) -> list[int]:
    """Places of at most `count` points at even distances along a front, its ends among them."""
    order = np.argsort(points[:, 0], kind="stable")
    low, high = points.min(0), points.max(0)
    scaled = (points[order] - low) / np.where(high > low, high - low, 1.0)
    steps = np.sqrt((np.diff(scaled, axis=0) ** 2).sum(1))
    along = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0.0, along[-1], count)
    nearest = np.abs(along[None] - wanted[:, None]).argmin(1)
    return [int(order[place]) for place in dict.fromkeys(nearest.tolist())]


def search_front(
    evaluate: Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n 2"]],
    process: ProcessModel,
    *,
    population: int = 80,
    generations: int = GENERATIONS,
    seed: int = 0,
) -> Float[np.ndarray, "m d"]:
    """Designs of a Pareto front by NSGA-II, among those the process allows.

    Args:
        evaluate: Objectives of designs, to be large; such as `Surrogate.predict`.
        process: Whose window is searched; designs that are impossible, or below its smallest
            porosity, are left.
        population: Designs of a generation.
        generations: How many, the first random one included.
        seed: Of everything random.

    Returns:
        The designs, in the order of `process.bounds`; none where none was allowed.

    Raises:
        MissingPackage: Without pymoo.

    Cost:
        `population` × `generations` evaluations, and about half a second.

    References:
        Deb, Pratap, Agarwal, Meyarivan (2002), IEEE Trans. Evol. Comput. 6, 182: NSGA-II.
        Blank, Deb (2020), IEEE Access 8, 89497: pymoo.
    """
    expect(population > 1 and generations > 0, "search_front(...)", "two designs at least",
           f"{population} × {generations}")  # fmt: skip
    problem_class = package("pymoo.core.problem").Problem
    nsga2 = package("pymoo.algorithms.moo.nsga2").NSGA2
    low, high = np.array(list(process.bounds.values()), float).T

    class Trade(problem_class):
        def _evaluate(self, x: Any, out: Any, *_: Any, **__: Any) -> None:
            out["F"] = -evaluate(x)
            out["G"] = np.array([[lack(process, row)] for row in x])

    trade = Trade(n_var=len(low), n_obj=2, n_ieq_constr=1, xl=low, xu=high)
    minimize = package("pymoo.optimize").minimize
    found = minimize(
        trade, nsga2(pop_size=population), ("n_gen", generations), seed=seed, verbose=False
    )
    if found.X is None:
        return np.empty((0, len(low)))
    return np.atleast_2d(found.X)


def lack(process: ProcessModel, design: Float[np.ndarray, "d"]) -> float:
    """By how much a design misses what the process allows; not positive if it does not."""
    made = process.structure(named(process, design))
    return process.smallest_porosity - made.porosity if not made.impossible() else 1.0


def named(process: ProcessModel, design: Float[np.ndarray, "d"]) -> Mapping[str, float]:
    """A design as a mapping from the names of its parameters."""
    return dict(zip(process.bounds, map(float, design), strict=True))
