"""Powers of positive semi-definite matrices."""

from jaxtyping import Float
from torch import Tensor, linalg

from overparam._checked import checked
from overparam._errors import expect
from overparam._switches import full_precision


@checked
@full_precision()
def matrix_power_psd(
    matrix: Float[Tensor, "d d"] | Float[Tensor, "d"], power: float
) -> Float[Tensor, "d d"] | Float[Tensor, "d"]:
    """A symmetric positive semi-definite matrix to a positive power.

        M^s = Q max(Λ, 0)^s Qᵀ,     M = Q Λ Qᵀ

    The matrix is symmetrised first, and eigenvalues that rounding left below 0 count as 0. A
    vector stands for a diagonal matrix.

    Args:
        matrix: M, or its diagonal.
        power: s > 0.

    Returns:
        A tensor like `matrix`.

    Raises:
        ValueError: If the power is not positive.

    Cost:
        About 10 d³ flops; none for power 1 or a vector.

    Example:
        >>> import torch
        >>> matrix_power_psd(torch.tensor([4.0, 9.0]), 0.5)
        tensor([2., 3.])
    """
    expect(power > 0, "matrix_power_psd(power=...)", "a positive number", power)
    if matrix.ndim == 1:
        return matrix.clamp_min(0) ** power
    matrix = (matrix + matrix.T) / 2
    if power == 1:
        return matrix
    values, vectors = linalg.eigh(matrix)
    return (vectors * values.clamp_min(0) ** power) @ vectors.T
