"""The estimators in the leaves of a tree: made anew for each, seeded, fitted side by side."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from joblib import delayed
from sklearn.utils.validation import has_fit_parameter

from overparam._workers import results


def fit_leaves(
    leaf: Callable[[np.ndarray, int], Any],
    x: np.ndarray,
    y: np.ndarray,
    parts: Sequence[np.ndarray],
    seeds: np.ndarray,
    n_jobs: int | None,
    where: str,
    weights: np.ndarray | None,
) -> list[Any]:
    """An estimator for every part of the rows; `leaf` makes it from the targets and a seed."""
    return results(
        lambda: (
            delayed(fitted)(
                leaf(y[part], int(seed)),
                x[part],
                y[part],
                None if weights is None else weights[part],
            )
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


def takes_weights(estimator: Any) -> bool:
    """Whether its `fit` has sample weights."""
    return has_fit_parameter(estimator, "sample_weight")


def fitted(estimator: Any, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> Any:
    """The estimator, fitted with weights if there are any and it takes them."""
    if weights is None or (weights == 1).all() or not takes_weights(estimator):
        return estimator.fit(x, y)
    return estimator.fit(x, y, sample_weight=weights)
