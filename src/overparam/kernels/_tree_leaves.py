"""The estimators in the leaves of a tree: made anew for each, seeded, fitted side by side."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from joblib import delayed

from overparam._workers import results


def fit_leaves(
    leaf: Callable[[np.ndarray, int], Any],
    x: np.ndarray,
    y: np.ndarray,
    parts: Sequence[np.ndarray],
    seeds: np.ndarray,
    n_jobs: int | None,
    where: str,
) -> list[Any]:
    """An estimator for every part of the rows; `leaf` makes it from the targets and a seed."""
    return results(
        lambda: (
            delayed(_fitted)(leaf(y[part], int(seed)), x[part], y[part])
            for part, seed in zip(parts, seeds, strict=True)
        ),
        n_jobs,
        where,
    )


def seeded(estimator: Any, seed: int) -> Any:
    """The estimator, its random_state set if it has one."""
    if "random_state" in estimator.get_params(deep=False):
        estimator.set_params(random_state=seed)
    return estimator


def _fitted(leaf: Any, x: np.ndarray, y: np.ndarray) -> Any:
    return leaf.fit(x, y)
