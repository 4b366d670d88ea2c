"""Leading eigenpairs of a symmetric operator that is known by its products with vectors."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam._switches import full_precision
from overparam.errors import NumericalError
from overparam.linalg._multiplied import Multiplied, takes_operator


@dataclass(frozen=True)
class Eigenpairs:
    """Leading eigenpairs, and what they cost.

    Attributes:
        values: Descending; by |λ| if that was asked for.
        vectors: Unit columns, in the order of `values`.
        residuals: ‖A v − λ v‖ of each pair, as the recurrence estimates it.
        products: Multiplications with the operator.
    """

    values: Float[Tensor, "k"]
    vectors: Float[Tensor, "size k"]
    residuals: Float[Tensor, "k"]
    products: int


@takes_operator
@checked
@full_precision()
def top_eigenpairs(
    operator: Multiplied,
    k: int = 1,
    *,
    v0: Float[Tensor, "size"] | None = None,
    which: Literal["largest", "magnitude"] = "largest",
    tolerance: float = 1e-6,
    max_products: int | None = None,
    seed: int = 0,
) -> Eigenpairs:
    """The k leading eigenpairs of a symmetric operator, by Lanczos.

        A Q_m = Q_m T_m + β_m q_{m+1} e_mᵀ,   T_m = Q_mᵀ A Q_m tridiagonal,

    with every new vector orthogonalised against all before it, twice, so that no eigenvalue
    appears as a ghost copy. A multiple eigenvalue is found once for each invariant subspace
    that is exhausted; after that a new random direction is taken. The ends of the spectrum
    converge first: eigenvalues at the *bottom* of a kernel matrix are not worth asking for.

    Args:
        operator: A `SymmetricOperator`, A. Vectors are in its dtype and on its device, the
            recurrence's scalars in float64.
        k: Number of pairs.
        v0: Where to start; a good guess of the leading vector saves products.
        which: "largest" for the algebraically largest, "magnitude" for the largest |λ|, which
            is the same where the operator is marked positive semi-definite.
        tolerance: Stop when every residual is at most this times the largest |λ|.
        max_products: Stop at the latest after so many products; by default max(20 k, 300),
            never more than the order of A.
        seed: Of the start vector, if `v0` is not given.

    Returns:
        The pairs; check `residuals` where `max_products` may have ended the search.

    Raises:
        ValueError: If `k` is not between 1 and the order of A, or `v0` is zero or of another size.
        NumericalError: If a product is not finite.

    Cost:
        One product with A per step and 4 m² n flops in all for m steps of order n; memory m n
        numbers. On kernel matrices about 20 products give six digits of the largest.

    Example:
        >>> from overparam.linalg import MatrixOperator
        >>> A = MatrixOperator(torch.diag(torch.tensor([3.0, 1.0, 2.0])))
        >>> top_eigenpairs(A, k=2).values.round(decimals=4)
        tensor([3., 2.])

    References:
        Lanczos (1950); Parlett, The Symmetric Eigenvalue Problem (1998), §13: residual bounds.
    """
    size, dtype, device = operator.size, operator.dtype, operator.device
    where = "top_eigenpairs(k=...)"
    expect(1 <= k <= size, where, f"a number of pairs between 1 and {size}", k)
    if operator.psd:
        which = "largest"
    if v0 is None:
        generator = torch.Generator().manual_seed(seed)
        v0 = torch.randn(size, generator=generator, dtype=torch.float64, device="cpu")
    start = v0.detach().to(device, dtype)
    usable = v0.shape == (size,) and bool(torch.isfinite(start).all()) and bool(start.any())
    expect(usable, "top_eigenpairs(v0=...)", f"a non-zero finite vector of {size}", v0.shape)

    limit = min(size, max_products or max(20 * k, 300))
    limit = max(limit, k)
    basis = start.new_empty(min(limit, 32), size)
    basis[0] = _unit(start)
    tridiagonal = torch.zeros(limit + 1, limit + 1, dtype=torch.float64, device="cpu")
    fresh, earliest = torch.Generator().manual_seed(seed + 1), 0
    for m in range(1, limit + 1):
        w, known = operator._matvec(basis[m - 1]).detach(), basis[:m]
        rayleigh = w.double() @ known[-1].double()
        w = _orthogonal(w.to(dtype), known)
        # Both in one go: for each number that is read, the host waits for an accelerator.
        tridiagonal[m - 1, m - 1], beta = torch.stack([rayleigh, w.double().norm()]).tolist()
        expect(
            math.isfinite(beta),  # the length of a vector with NaN or infinity is none
            "top_eigenpairs(operator=...)",
            "finite products",
            "NaN or infinity",
            hint="the operator overflows, or the model's weights are not finite.",
            error=NumericalError,
        )
        scale = float(tridiagonal[:m, :m].abs().max())
        if beta <= 10 * torch.finfo(dtype).eps * scale * m**0.5:
            beta = 0.0  # the subspace is invariant: go on in a direction of its own,
            earliest = m + 2 * k + 10  # which must have time to show what it holds
        if m == limit or (m >= max(k, earliest) and (m < 40 or m % 5 == 0)):
            values, vectors = torch.linalg.eigh(tridiagonal[:m, :m])
            size_of = values if which == "largest" else values.abs()
            order = size_of.argsort(descending=True)[:k]
            residuals = beta * vectors[-1, order].abs()
            if m == limit or float(residuals.max()) <= tolerance * float(values.abs().max()):
                return Eigenpairs(
                    values[order].to(device, dtype),
                    known.T @ vectors[:, order].to(device, dtype),
                    residuals.to(device, dtype),
                    m,
                )
        if beta == 0.0:
            w = torch.randn(size, generator=fresh, dtype=torch.float64, device="cpu").to(start)
            w = _orthogonal(w, known)
        if m == len(basis):
            basis = torch.cat([basis, basis.new_empty(min(m, limit - m), size)])
        basis[m] = _unit(w)
        tridiagonal[m, m - 1] = tridiagonal[m - 1, m] = beta
    raise AssertionError("the loop ends by returning")


def _unit(w: Tensor) -> Tensor:
    """The vector over its length, of which squares in single precision may hold nothing."""
    w64 = w.double()
    return (w64 / w64.norm()).to(w.dtype)


def _orthogonal(w: Tensor, basis: Tensor) -> Tensor:
    """The part of w orthogonal to the rows of `basis`; twice is enough."""
    for _ in range(2):
        w = w - (basis @ w) @ basis
    return w


@takes_operator
@checked
@full_precision()
def power_iteration(
    operator: Multiplied, v0: Float[Tensor, "size"], *, products: int = 2
) -> tuple[float, Float[Tensor, "size"]]:
    """Rayleigh quotient after a few steps of power iteration, and the vector reached.

        v ← A v / ‖A v‖,   λ = vᵀ A v  of the last vector multiplied.

    Meant for a matrix that changes slowly, with `v0` the vector of last time; from a random
    start use `top_eigenpairs`. λ is a lower bound of the largest eigenvalue. For a matrix with
    eigenvalues of both signs the iteration follows the largest |λ|, and need not settle.

    Args:
        operator: A `SymmetricOperator`, A.
        v0: Where to start; any length but zero.
        products: Multiplications with A, at least one.

    Returns:
        λ, and the next unit vector; `v0` normalised if A v is zero.

    Raises:
        ValueError: If `v0` is zero or not finite, or `products` < 1.
        NumericalError: If a product is not finite.

    Cost:
        `products` products with A.

    Example:
        >>> from overparam.linalg import DiagonalOperator
        >>> A = DiagonalOperator(torch.tensor([2.0, 1.0]))
        >>> value, vector = power_iteration(A, torch.tensor([1.0, 0.0]), products=1)
        >>> value, vector
        (2.0, tensor([1., 0.]))
    """
    expect(products >= 1, "power_iteration(products=...)", "a number ≥ 1", products)
    usable = bool(torch.isfinite(v0).all()) and bool(v0.any())
    expect(usable, "power_iteration(v0=...)", "a finite vector that is not zero", v0)
    fits = v0.shape == (operator.size,)
    expect(fits, "power_iteration(v0=...)", f"a vector of {operator.size}", tuple(v0.shape))
    start = v0.detach().to(operator.device, operator.dtype)
    v, value = _unit(start), 0.0
    for _ in range(products):
        w = operator._matvec(v)
        w64 = w.double()  # squares of small numbers are 0 in single precision
        length = w64.norm()
        value, size = torch.stack([v.double() @ w64, length]).tolist()
        if size == 0:
            break
        v = (w64 / length).to(w.dtype)
    return value, v
