"""Clusters with noise of three kinds, and the divergences of each."""

from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from overparam.clustering.k_means import BregmanKMeans

MATCHED = {"gaussian": "euclidean", "poisson": "kl", "gamma": "itakura_saito"}
MEMBERS, STARTS, LEAST = 100, 10, 0.5
SPREAD, SHAPE = 5.0, 4.0


def scores_of_noise(noise: str, d: int, seed: int) -> dict[str, Any]:
    """Adjusted Rand index of three clusters found by every divergence, on the same numbers."""
    draw = np.random.default_rng(seed)
    means = np.repeat([1.0, 4.0, 16.0] if noise == "gamma" else [10.0, 20.0, 40.0], MEMBERS)
    shape = (len(means), d)
    if noise == "gaussian":
        x = means[:, None] + SPREAD * draw.normal(size=shape)
    elif noise == "poisson":
        x = draw.poisson(means[:, None], size=shape).astype(float)
    else:
        x = means[:, None] * draw.gamma(SHAPE, 1 / SHAPE, size=shape)
    if noise != "gamma":
        x = np.maximum(x, LEAST)
    truth = np.repeat(np.arange(3), MEMBERS)
    return {
        divergence: adjusted_rand_score(
            truth,
            BregmanKMeans(3, divergence=divergence, n_init=STARTS, random_state=seed)
            .fit(x)
            .labels_,
        )
        for divergence in MATCHED.values()
    }
