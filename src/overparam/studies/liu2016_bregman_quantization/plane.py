"""Best centres of a sample in the plane."""

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from overparam.clustering.k_means import BregmanKMeans
from overparam.clustering.quantization import quantization_constant

LOW, HIGH = 0.1, 1.0
RELAXED, RELAXED_STEPS, PLAIN_STEPS = 1.7, 100, 40


def flat(x: np.ndarray) -> np.ndarray:
    """The uniform density of the square."""
    return np.full(len(x), (HIGH - LOW) ** -2)


def best_in_the_plane(phi: str, k: int, points: int, seed: int) -> dict[str, Any]:
    """Inertia over n of k centres over its limit, and the coordinates of the centres.

    Lloyd's iteration moves a density of centres slowly: most steps go 1.7 times as far.
    """
    x = np.random.default_rng(seed).uniform(LOW, HIGH, size=(points, 2))

    def steps(centres: np.ndarray | str, count: int) -> BregmanKMeans:
        model = BregmanKMeans(
            k, divergence=phi, init=centres, n_init=1, max_iter=count, tol=0, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(x)

    model = steps("k-means++", 2)
    centres = model.cluster_centers_
    for _ in range(RELAXED_STEPS):
        labels = model.predict(x)
        sizes = np.bincount(labels, minlength=k)
        sums = np.column_stack([np.bincount(labels, column, k) for column in x.T])
        # Of an empty cluster the centre stays.
        means = np.divide(sums, sizes[:, None], out=centres.copy(), where=sizes[:, None] > 0)
        centres = np.clip(centres + RELAXED * (means - centres), LOW, HIGH)
        model.cluster_centers_ = centres
    model = steps(centres, PLAIN_STEPS)
    constant = quantization_constant(flat, phi, bounds=[(LOW, HIGH)] * 2)
    return {
        "ratio": k * model.inertia_ / points / constant,
        "error": model.inertia_ / points,
        "coordinates": np.sort(model.cluster_centers_.ravel()).tolist(),
    }
