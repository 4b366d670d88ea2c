"""The ridge that leave-one-out errors prefer, in closed form."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._switches import full_precision
from overparam.kernels.functions import FeatureMatrix, Kernel

# Half decades from near interpolation to much noise.
RIDGES = tuple(10 ** (k / 2) for k in range(-10, 5))


@checked
@full_precision()
def leave_one_out_ridge(
    kernel: Kernel,
    x: Float[Tensor, "n d"],
    targets: Float[Tensor, "n c"],
    *,
    ridges: Sequence[float] = RIDGES,
    feature_matrix: FeatureMatrix = None,
    weights: Float[Tensor, "n"] | None = None,
) -> float:
    """The ridge with the smallest squared error of points left out one at a time.

        eᵢ(λ) = αᵢ / ((K + λ diag(1/w))⁻¹)ᵢᵢ,     min_λ Σᵢ wᵢ ‖eᵢ(λ)‖²

    Exact for a given feature matrix. One that was learned from the same targets knows them, and
    the errors are then too small, for small ridges above all. A point must not occur twice: its
    copy would answer for it; give it a weight.

    Args:
        kernel: k.
        x: Distinct points.
        targets: One column an output.
        ridges: The λ > 0 to choose from.
        feature_matrix: M.
        weights: w > 0, one a point.

    Returns:
        One of `ridges`.

    Cost:
        One symmetric eigendecomposition, about 9 n³ flops, and 2 n² a ridge.

    Example:
        Targets that do not depend on their inputs want much ridge:

        >>> from overparam.kernels import Laplace
        >>> noise = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
        >>> leave_one_out_ridge(Laplace(), noise[:, :2], noise[:, 2:], ridges=(0.001, 100.0))
        100.0
    """
    matrix = kernel.matrix(x.double(), None, _double(feature_matrix))
    root = matrix.new_ones(len(x)) if weights is None else weights.double().sqrt()
    values, vectors = torch.linalg.eigh(matrix * root * root[:, None])
    rotated = vectors.T @ (root[:, None] * targets.double())
    squares = vectors.square()
    errors = []
    for ridge in ridges:
        inverse = 1 / (values.clamp_min(0) + ridge)
        # In the scaled system both the solution and the diagonal carry their weights.
        left_out = (vectors @ (inverse[:, None] * rotated)) / (squares @ inverse)[:, None]
        errors.append(float(left_out.square().sum()))
    return ridges[errors.index(min(errors))]


def _double(feature_matrix: FeatureMatrix) -> FeatureMatrix:
    return None if feature_matrix is None else feature_matrix.double()
