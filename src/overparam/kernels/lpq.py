"""Kernels of p-norm distances, from the Laplace kernel to products over coordinates."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._switches import full_precision
from overparam.kernels._pairs import BLOCK, apply_metric
from overparam.kernels.functions import LOG2E, FeatureMatrix, Kernel
from overparam.kernels.powers import matrix_power_psd


@checked
@dataclass(frozen=True)
class Lpq(Kernel):
    """exp(−‖S(x − z)‖_p^q / L^q) with S = M^{1/2}; positive definite for 0 < q ≤ p ≤ 2.

    p = 2, q = 1 is `Laplace`; p = 2, q = 2 a Gaussian with 2 L² replaced by L²; p = q a product
    over the coordinates of Sx, exp(−Σ_k |u_k|^q / L^q).

    Args:
        bandwidth: L > 0.
        p: Of the norm, in (0, 2].
        q: The exponent, in (0, p].

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
        >>> Lpq(bandwidth=1.0, p=1.0, q=1.0).matrix(x).log()[0, 1].item()
        -7.0
    """

    bandwidth: float = 10.0
    p: float = 2.0
    q: float = 1.0

    def __post_init__(self) -> None:
        good = isinstance(self.bandwidth, int | float) and 0 < self.bandwidth < math.inf
        expect(good, "Lpq(bandwidth=...)", "a positive number", self.bandwidth)
        expect(
            0 < self.q <= self.p <= 2,
            "Lpq(p=..., q=...)",
            "exponents with 0 < q ≤ p ≤ 2",
            (self.p, self.q),
            hint="outside that range the kernel is not positive definite.",
        )

    @renamed(x="x1", z="x2")
    @full_precision()
    def matrix(
        self, x1: Tensor, x2: Tensor | None = None, feature_matrix: FeatureMatrix = None
    ) -> Tensor:
        """Kernel of every pair, as `Kernel.matrix`."""
        root = _root(feature_matrix)
        left = apply_metric(x1, root)
        right = left if x2 is None else apply_metric(x2, root)
        kernel = torch.cdist(left, right, self.p, compute_mode="donot_use_mm_for_euclid_dist")
        return kernel.pow_(self.q).mul_(-LOG2E * self.bandwidth**-self.q).exp2_()

    def gradient_blocks(
        self, x: Tensor | None, centres: Tensor, dual: Tensor, feature_matrix: FeatureMatrix = None
    ) -> Iterator[tuple[slice, Tensor]]:
        """As `Kernel.gradient_blocks`."""
        root = _root(feature_matrix)
        right = apply_metric(centres, root)
        left = right if x is None else apply_metric(x, root)
        step = max(1, BLOCK // max(1, len(right)))
        scale = -self.q * self.bandwidth**-self.q
        for start in range(0, len(left), step):
            rows = slice(start, min(start + step, len(left)))
            points = left[rows]
            norm = torch.cdist(points, right, self.p, compute_mode="donot_use_mm_for_euclid_dist")
            kernel = norm.pow(self.q).mul_(-LOG2E * self.bandwidth**-self.q).exp2_()
            weight = kernel.mul_(norm.pow_(self.q - self.p)).mul_(scale)
            part = points.new_empty(len(points), dual.shape[1], right.shape[1])
            for k in range(right.shape[1]):
                difference = points[:, k, None] - right[None, :, k]
                # |u|^(p−1) is infinite where p < 1 and two coordinates coincide, the weight
                # where two points do: such a term is 0, each coordinate on its own.
                term = difference.abs().pow_(self.p - 1).mul_(difference.sign()).mul_(weight)
                term.masked_fill_(difference == 0, 0)
                part[:, :, k] = term @ dual
            yield rows, apply_metric(part.flatten(0, 1), root).view_as(part)

    def diagonal(self, x: Tensor, feature_matrix: FeatureMatrix = None) -> Tensor:
        """k_M(x, x), as `Kernel.diagonal`."""
        return x.new_ones(len(x))


def _root(feature_matrix: FeatureMatrix) -> FeatureMatrix:
    return None if feature_matrix is None else matrix_power_psd(feature_matrix, 0.5)
