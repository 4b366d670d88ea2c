"""How circulant a matrix is, and the circulant matrix nearest to it.

A square matrix is *circulant* if its entries depend on row − column modulo m, and *Hankel*
(anti-circulant) if they depend on row + column modulo m.
"""

import torch
from jaxtyping import Float, Real
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect, unknown

KINDS = ("circulant", "hankel")


@checked
def circulant_deviation(matrix: Float[Tensor, "m m"], *, kind: str = "auto") -> float:
    """Share of a square matrix's energy that its nearest circulant matrix misses.

        D(A) = ‖A − P(A)‖_F² / ‖A‖_F²

    P takes the *mean* along every wrapped diagonal. 0 is exactly circulant; independent
    entries of mean 0 have 1 − 1/m on average. The norm in the denominator is squared.

    Args:
        matrix: A.
        kind: "circulant", "hankel", or "auto", the smaller of both. Say which one you saw: see
            `circulant_kind`.

    Returns:
        A number in [0, 1]; 0 for the zero matrix, which is circulant.

    Raises:
        ValueError: If the matrix is not square, empty or not finite, or the kind is unknown.

    Cost:
        O(m²).

    Example:
        >>> shift = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        >>> circulant_deviation(shift), round(circulant_deviation(shift, kind="hankel"), 3)
        (0.0, 0.667)

    References:
        Mallinar et al. (2025), arXiv:2407.20199. It prints a variance and ‖A‖_F, and describes
        the sum of squares over ‖A‖_F² that is used here.
    """
    if kind == "auto":
        return min(circulant_deviation(matrix, kind=each) for each in KINDS)
    nearest = nearest_circulant(matrix, kind=kind)
    size = matrix.abs().max()
    if size == 0:
        return 0.0
    matrix, nearest = matrix / size, nearest / size  # the squares of 1e200 are not numbers
    return float((matrix - nearest).square().sum() / matrix.square().sum())


@checked
def circulant_kind(matrix: Float[Tensor, "m m"]) -> str:
    """The kind, "circulant" or "hankel", that a matrix deviates from less.

    Args, Raises: As for `circulant_deviation`.

    Example:
        >>> circulant_kind(torch.tensor([[0.0, 1.0, 2.0], [1.0, 2.0, 0.0], [2.0, 0.0, 1.0]]))
        'hankel'
    """
    return min(KINDS, key=lambda kind: circulant_deviation(matrix, kind=kind))


@checked
def nearest_circulant(
    matrix: Float[Tensor, "m m"], *, kind: str = "circulant"
) -> Float[Tensor, "m m"]:
    """The circulant matrix nearest to a matrix in the Frobenius norm.

        P(A)[i, j] = (1/m) Σ_k A[i + k, j + k]        (Hankel: A[i + k, j − k]), modulo m

    Args:
        matrix: A.
        kind: "circulant" or "hankel".

    Raises:
        ValueError: If the matrix is not square, empty or not finite, or the kind is unknown.

    Cost:
        O(m²).

    Example:
        >>> nearest_circulant(torch.tensor([[1.0, 5.0], [7.0, 3.0]]))
        tensor([[2., 6.],
                [6., 2.]])
    """
    expect_square(matrix, "nearest_circulant(matrix=...)")
    index = _diagonals(len(matrix), kind, "nearest_circulant").to(matrix.device)
    means = torch.zeros_like(matrix[0]).index_add_(0, index.flatten(), matrix.flatten())
    return (means / len(matrix))[index]


@checked
def circulant(vector: Real[Tensor, "m"], *, kind: str = "circulant") -> Real[Tensor, "m m"]:
    """The circulant matrix whose first *column* is a vector.

        C[i, j] = c[(i − j) mod m]        (Hankel: c[(i + j) mod m])

    Args:
        vector: c.
        kind: "circulant" or "hankel".

    Raises:
        ValueError: If `vector` is no vector or empty, or the kind is unknown.

    Example:
        >>> circulant(torch.tensor([1, 2, 3]), kind="hankel")
        tensor([[1, 2, 3],
                [2, 3, 1],
                [3, 1, 2]])
    """
    expect(
        isinstance(vector, Tensor) and vector.ndim == 1 and len(vector) > 0,
        "circulant(vector=...)",
        "a vector that is not empty",
        tuple(vector.shape) if isinstance(vector, Tensor) else type(vector).__name__,
    )
    return vector[_diagonals(len(vector), kind, "circulant").to(vector.device)]


def _diagonals(m: int, kind: str, where: str) -> Tensor:
    """For every entry, the number of the wrapped diagonal it stands on."""
    if kind not in KINDS:
        unknown(f"{where}(kind=...)", "a kind", str(kind), KINDS)
    rows, columns = torch.arange(m)[:, None], torch.arange(m)
    return (rows - columns if kind == "circulant" else rows + columns) % m


def expect_square(matrix: Tensor, where: str) -> None:
    """Complain unless it is a square matrix of finite floating-point numbers."""
    expect(
        isinstance(matrix, Tensor)
        and matrix.ndim == 2
        and matrix.shape[0] == matrix.shape[1] > 0
        and matrix.is_floating_point(),
        where,
        "a square matrix of floating-point numbers",
        f"{matrix.dtype} of shape {tuple(matrix.shape)}"
        if isinstance(matrix, Tensor)
        else type(matrix).__name__,
    )
    expect(
        bool(matrix.isfinite().all()),
        where,
        "finite numbers",
        f"{int((~matrix.isfinite()).sum())} that are NaN or infinite",
    )
