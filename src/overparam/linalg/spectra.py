"""The ends of a symmetric matrix's spectrum, with float noise told from eigenvalues."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam.errors import NumericalError
from overparam.linalg._multiplied import Multiplied
from overparam.linalg.lanczos import top_eigenpairs

LARGEST_FORMED = 20_000
"""Order up to which a matrix is formed and decomposed; beyond, only its top is computed."""


@dataclass(frozen=True)
class ExtremeEigenvalues:
    """Both ends of the spectrum of a positive semi-definite matrix.

    Attributes:
        largest: λ_max.
        smallest: λ_min, never negative: what float noise hides is 0.
        exact: Whether `smallest` is the matrix's own. If not it is an upper bound, the
            smallest eigenvalue of a principal submatrix (Cauchy interlacing).
        size: Order of the matrix.
    """

    largest: float
    smallest: float
    exact: bool
    size: int

    @property
    def condition_number(self) -> float:
        """λ_max / λ_min, infinite for a singular matrix; a lower bound unless `exact`."""
        return self.largest / self.smallest if self.smallest > 0 else float("inf")


@checked
def matrix_extremes(
    matrix: Float[Tensor, "n n"], *, noise: torch.dtype | None = None
) -> ExtremeEigenvalues:
    """Largest and smallest eigenvalue of a positive semi-definite matrix.

    Computed in float64 from all eigenvalues. Those below n · ε · λ_max, with ε of the
    precision the matrix was made in, are noise and count as 0.

    Args:
        matrix: Symmetric positive semi-definite up to rounding; only its lower half is read.
        noise: Precision in which the entries were computed; that of `matrix` by default.

    Raises:
        ValueError: If the matrix is empty or not square.
        NumericalError: If it holds NaN or infinity, or a negative eigenvalue beyond rounding.

    Cost:
        n³ flops, 8 n² bytes.

    Example:
        Two equal rows make a matrix singular:

        >>> matrix_extremes(torch.ones(2, 2)).condition_number
        inf
    """
    values = eigenvalues(matrix, "matrix_extremes(matrix=...)")
    threshold = noise_level(values, noise or matrix.dtype)
    largest, smallest = float(values[0]), float(values[-1])
    # Rounding in a float32 product of many terms may exceed the level for one matrix entry.
    expect(
        smallest >= -max(100 * threshold, 1e-300),
        "matrix_extremes(matrix=...)",
        "a positive semi-definite matrix",
        f"an eigenvalue {smallest:.3g} beside the largest {largest:.3g}",
        hint="this takes kernels; for an indefinite matrix use torch.linalg.eigvalsh.",
        error=NumericalError,
    )
    smallest = smallest if smallest > threshold else 0.0
    return ExtremeEigenvalues(max(largest, 0.0), smallest, True, len(matrix))


@checked(result="not NaN")
def condition_number(matrix: Float[Tensor, "n n"]) -> float:
    """Largest over smallest eigenvalue of a positive semi-definite matrix; infinite if singular.

    Args:
        matrix: As for `matrix_extremes`, which also gives the two eigenvalues.

    Raises:
        ValueError: If the matrix is empty or not square.
        NumericalError: If it is not finite, or clearly not semi-definite.

    Cost:
        n³ flops.

    Example:
        >>> condition_number(torch.diag(torch.tensor([4.0, 2.0])))
        2.0
    """
    return matrix_extremes(matrix).condition_number


def bounded_extremes(
    operator: Multiplied, submatrix: Float[Tensor, "m m"], *, seed: int = 0
) -> ExtremeEigenvalues:
    """λ_max by Lanczos and an upper bound of λ_min, for a matrix too large to form.

    Args:
        operator: A, marked positive semi-definite.
        submatrix: A principal submatrix of A: λ_min of it is at least that of A.
        seed: Of the start vector.

    Cost:
        About 20 products with A, and m³ flops.

    Example:
        >>> from overparam.linalg import MatrixOperator
        >>> A = torch.diag(torch.tensor([5.0, 2.0, 1.0]))
        >>> ends = bounded_extremes(MatrixOperator(A, psd=True), A[:2, :2])
        >>> round(ends.largest, 4), ends.smallest, ends.exact
        (5.0, 2.0, False)
    """
    where = "bounded_extremes(operator=...)"
    expect(operator.psd, where, "one known to be positive semi-definite", "no such mark")
    size = operator.size
    top = top_eigenpairs(operator, seed=seed)
    values = eigenvalues(submatrix, "bounded_extremes(submatrix=...)")
    largest = max(float(top.values[0]), float(values[0]))
    smallest = float(values[-1])
    noisy = smallest <= len(values) * torch.finfo(submatrix.dtype).eps * float(values[0])
    return ExtremeEigenvalues(largest, 0.0 if noisy else smallest, len(values) == size, size)


def eigenvalues(matrix: Float[Tensor, "n n"], where: str) -> Float[Tensor, "n"]:
    """All eigenvalues in float64, descending, after the checks every spectrum needs."""
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and len(matrix) > 0
    expect(square, where, "a non-empty square matrix", f"shape {tuple(matrix.shape)}")
    expect(
        bool(torch.isfinite(matrix).all()),
        where,
        "finite entries",
        f"{int((~torch.isfinite(matrix)).sum())} that are NaN or infinite",
        error=NumericalError,
    )
    return torch.linalg.eigvalsh(matrix.detach().double()).flip(0)


def noise_level(values: Float[Tensor, "n"], dtype: torch.dtype) -> float:
    """The level n · ε · λ_max, below which eigenvalues are rounding errors."""
    return len(values) * torch.finfo(dtype).eps * float(values.abs().max())
