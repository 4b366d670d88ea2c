"""Classes with a normal law each, of one covariance: what labels projections."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import softmax

from overparam.transport.scatter import class_scatter


@dataclass(frozen=True, eq=False)
class GaussianClasses:
    """log P(class) + log density up to a constant: x ↦ x·slopes + offsets."""

    slopes: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(
        cls, rows: np.ndarray, memberships: np.ndarray, priors: np.ndarray, shrinkage: float
    ) -> "GaussianClasses":
        """From rows ``(n, d)`` with their weights in each class, ``(n, C)``."""
        sizes = memberships.sum(0)
        means = memberships.T @ rows / np.where(sizes > 0, sizes, 1)[:, None]
        _, within = class_scatter(rows, memberships)
        level = np.trace(within) / len(within) or 1.0
        within = (1 - shrinkage) * within
        within[np.diag_indices(len(within))] += max(shrinkage, 1e-10) * level
        slopes = cho_solve(cho_factor(within), means.T)
        # A class without a share is never the likeliest, and its score is finite.
        offsets = np.log(np.maximum(priors, 1e-300)) - (means * slopes.T).sum(1) / 2
        return cls(slopes, offsets)

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Shape ``(n, C)``, rows that add up to 1."""
        return softmax(rows @ self.slopes + self.offsets, axis=1)
