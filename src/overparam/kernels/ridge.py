"""Kernel ridge regression by a direct solve that says when it had to help itself."""

import math
import warnings
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam._memory import expect_room
from overparam._switches import full_precision
from overparam._user_line import user_level
from overparam.errors import NumericalError
from overparam.kernels.functions import FeatureMatrix, Kernel
from overparam.kernels.preconditioned import conjugate_gradients

RidgeSolver = Literal["auto", "cg", "cholesky", "lstsq"]
# Residual of a solution, relative to the targets, that is corrected, and that is given up.
CORRECTED, GIVEN_UP = 1e-3, 1e-2
# Rows from which conjugate gradients are quicker than a factor, in single precision.
ITERATE_FROM = 1500
_SMALLER = "use solver='eigenpro', which needs memory proportional to n, or fewer rows."


@checked
@full_precision()
def fit_ridge(
    kernel: Kernel,
    x: Float[Tensor, "n d"],
    targets: Float[Tensor, "n c"],
    *,
    ridge: float,
    feature_matrix: FeatureMatrix = None,
    weights: Float[Tensor, "n"] | None = None,
    solver: RidgeSolver = "auto",
) -> Float[Tensor, "n c"]:
    """Coefficients α of kernel ridge regression, f(x) = k_M(x, X) α.

        (K + λ diag(1/w)) α = Y,     min_f Σᵢ wᵢ ‖f(xᵢ) − yᵢ‖² + λ ‖f‖²

    λ is *not* multiplied by n, and there is no intercept: centre the targets. The solve runs in
    the dtype of `x`; if its residual shows that single precision cannot resolve so small a
    ridge, the system is formed and solved again in double precision. The coefficients of so small
    a ridge are large and cancel, so that rounding them to the dtype of `x` can still lose the
    fit: a warning says how much of it.

    Args:
        kernel: k.
        x: Points, distinct unless λ > 0.
        targets: Y, one column an output.
        ridge: λ ≥ 0.
        feature_matrix: M.
        weights: w > 0, one a point: a weight of 2 is a point that occurs twice.
        solver: ``"cholesky"`` is exact; where the matrix is not positive definite, 10⁻¹⁰ of its
            mean diagonal is added, and if that does not help, ``"lstsq"`` is used, each with a
            warning. ``"lstsq"`` is the least-norm solution from all eigenpairs. ``"cg"`` is
            `conjugate_gradients` to a residual of 10⁻⁴, as small as single precision gets it,
            and Cholesky if that takes more than a hundred products. ``"auto"`` is ``"cg"`` in
            single precision from 1500 rows on and Cholesky otherwise.

    Returns:
        α, in the dtype of `x`.

    Raises:
        ValueError: A negative ridge, an unknown solver.
        MemoryError: If the matrix and its factor do not fit.

    Cost:
        n³/3 flops and 2 n² numbers; ``"lstsq"`` about 9 n³ and 3 n²; ``"cg"`` 2 n² c an
        iteration, mostly 10 to 50, and n² numbers.

    Example:
        One point with kernel 1 and λ = 1 is fitted half way:

        >>> from overparam.kernels import Laplace
        >>> fit_ridge(Laplace(), torch.zeros(1, 1), torch.ones(1, 1), ridge=1.0)
        tensor([[0.5000]])
    """
    expect(math.isfinite(ridge) and ridge >= 0, "fit_ridge(ridge=...)", "a number ≥ 0", ridge)
    if solver not in ("auto", "cg", "cholesky", "lstsq"):
        choices = ["auto", "cg", "cholesky", "lstsq"]
        unknown("fit_ridge(solver=...)", "a solver", str(solver), choices)
    single = x.dtype == torch.float32
    if solver == "auto":
        solver = "cg" if single and len(x) >= ITERATE_FROM and ridge > 0 else "cholesky"
    words = 1.2 if solver == "cg" else 2.2
    needed = words * len(x) ** 2 * x.element_size() - kernel.held
    expect_room(needed, x.device, "fit_ridge(x=...)", _SMALLER)
    shift = torch.full_like(targets[:, 0], ridge) if weights is None else ridge / weights
    matrix = kernel.matrix(x, None, feature_matrix)
    if solver == "cg" and ridge > 0:
        dual, residual = conjugate_gradients(matrix, targets, shift)
        if residual <= 1e-4:
            return dual
    matrix.diagonal().add_(shift)
    dual, residual = _solve(matrix, targets, solver)
    if not residual < GIVEN_UP and single:
        del matrix
        expect_room(2.2 * len(x) ** 2 * 8, x.device, "fit_ridge(x=...)", _SMALLER)
        double = None if feature_matrix is None else feature_matrix.double()
        matrix = kernel.matrix(x.double(), None, double)
        matrix.diagonal().add_(shift.double())
        dual, residual = _solve(matrix, targets.double(), solver)
        lost = matrix @ (dual.to(x.dtype).double() - dual)
        residual += float(lost.norm()) / (float(targets.norm()) or 1.0)
    if GIVEN_UP <= residual < math.inf:
        warnings.warn(
            f"the coefficients miss {residual:.2g} of the targets: {x.dtype} does not resolve "
            f"the ridge {ridge:.1e}. Raise it, or give x and targets in double precision.",
            RuntimeWarning,
            stacklevel=user_level(),
        )
    expect(
        bool(torch.isfinite(dual).all()),
        "fit_ridge(x=..., targets=...)",
        "a system with a finite solution",
        "NaN or inf",
        hint="check that the inputs are finite and not huge, or raise ridge.",
        error=NumericalError,
    )
    return dual.to(x.dtype)


def _solve(matrix: Tensor, targets: Tensor, solver: str) -> tuple[Tensor, float]:
    """The solution, and its residual relative to the targets."""
    if solver == "lstsq":
        return _least_norm(matrix, targets), 0.0
    factor, info = torch.linalg.cholesky_ex(matrix)
    if info.item() and matrix.dtype == torch.float32:
        return targets, math.inf  # double precision first
    if info.item():
        del factor
        jitter = 1e-10 * matrix.diagonal().mean().item()
        warnings.warn(
            f"the kernel matrix is not positive definite: added {jitter:.1e} to its diagonal. "
            "Duplicate rows without a ridge do that; raise the ridge to choose the amount.",
            RuntimeWarning,
            stacklevel=user_level(),
        )
        matrix.diagonal().add_(jitter)
        factor, info = torch.linalg.cholesky_ex(matrix)
    if info.item():
        del factor
        warnings.warn(
            "the kernel matrix is singular: using its least-norm solution, from all eigenpairs.",
            RuntimeWarning,
            stacklevel=user_level(),
        )
        return _least_norm(matrix, targets), 0.0
    dual = _substitute(factor, targets)
    scale = float(targets.norm()) or 1.0
    error = targets - matrix @ dual
    residual = float(error.norm()) / scale
    if residual > CORRECTED:
        dual += _substitute(factor, error)
        residual = float((targets - matrix @ dual).norm()) / scale
    return dual, residual


def _substitute(factor: Tensor, targets: Tensor) -> Tensor:
    """L⁻ᵀ L⁻¹ times targets; `torch.cholesky_solve` would copy the factor."""
    half = torch.linalg.solve_triangular(factor, targets, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True)


def _least_norm(matrix: Tensor, targets: Tensor) -> Tensor:
    """Pseudo-inverse times targets, eigenvalues below n eps λ_max counting as 0."""
    values, vectors = torch.linalg.eigh(matrix)
    smallest = len(values) * torch.finfo(values.dtype).eps * values[-1]
    inverse = torch.where(values > smallest, 1 / values, torch.zeros_like(values))
    return vectors @ (inverse[:, None] * (vectors.T @ targets))
