"""Class codes that decode to the prior where a predictor has learned nothing."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from overparam._checked import checked

SMALLEST = 1e-3


@checked
@dataclass(frozen=True)
class ClassCodes:
    """Regression targets for K classes, and probabilities from what was regressed.

        code(k) = Q_k − Qᵀπ,     p(f) = π + Q f,     clipped to [10⁻³, 1 − 10⁻³], normalised

    and then, where an exponent is known, (1 − δ) p^T / Σ p^T + δ/K. The columns of Q (K × (K−1))
    are an orthonormal basis of the vectors that sum to 0, so codes average to 0 under the priors
    π, and an output of 0 decodes to them.

    Outputs have m = K − 1 columns.

    Attributes:
        basis: Q.
        priors: π.
        exponent: T.
        drawn: δ, the share of 1/K.

    Example:
        >>> codes = ClassCodes.of(np.array([0, 0, 0, 1]))
        >>> codes.probabilities(np.zeros((1, 1)))
        array([[0.75, 0.25]])
    """

    basis: Float[np.ndarray, "K K-1"]
    priors: Float[np.ndarray, "K"]
    exponent: float = 1.0
    drawn: float = 0.0

    @classmethod
    @checked
    def of(cls, labels: Int[np.ndarray, "n"], weights: np.ndarray | None = None) -> "ClassCodes":
        """Codes for labels 0…K-1, of which each occurs."""
        counts = np.bincount(labels, weights)
        number = len(counts)
        spanning = np.eye(number)[:, :-1] - np.eye(number)[:, [-1]]
        basis, triangle = np.linalg.qr(spanning)
        # The sign that makes the first class's own coordinate positive, on any LAPACK.
        return cls(basis * np.sign(np.diag(triangle)), counts / counts.sum())

    @checked
    def targets(self, labels: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n m"]:
        """The code of each label."""
        return (self.basis - self.priors @ self.basis)[labels]

    @checked
    def decoded(self, outputs: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n K"]:
        """π + Q f: sums to 1, but may leave [0, 1]."""
        return self.priors + outputs @ self.basis.T

    @checked
    def probabilities(self, outputs: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n K"]:
        """The same, clipped, to the power T, normalised, and drawn to 1/K by δ."""
        clipped = self.decoded(outputs).clip(SMALLEST, 1 - SMALLEST)
        if self.exponent != 1.0:
            clipped /= clipped.max(1, keepdims=True)
            clipped **= self.exponent
        shares = clipped / clipped.sum(1, keepdims=True)
        if self.drawn == 0.0:
            return shares
        return (1 - self.drawn) * shares + self.drawn / len(self.priors)
