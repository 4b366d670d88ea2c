"""Linear systems by accelerated gradient descent, with the condition number left open."""

import math
from collections.abc import Callable, Iterator
from itertools import chain, islice, repeat
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam._types import Matvec
from overparam.errors import NumericalError
from overparam.linalg.operator import FunctionOperator, SymmetricOperator
from overparam.optim.acceleration import (
    METHODS,
    Method,
    chebyshev_weights,
    expect_rho,
    heavy_ball_parameters,
    nesterov_momentum,
    rho_for_budget,
)

# What Lanczos finds is below the largest eigenvalue, to the accuracy it was asked for.
_ACCURACY, _MARGIN = 1e-3, 1.02
_WHERE = "accelerated_solve"


@checked
def accelerated_solve(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    method: Method = "nesterov",
    rho: float | None = None,
    largest: float | None = None,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int = 1000,
    callback: Callable[[Any], None] | None = None,
) -> tuple[Any, int]:
    """Solution of A x = b for a positive semi-definite A, in the manner of SciPy's `cg`.

        x_{t+1} = x_t − (1/L)(A x_t − b) + momentum,    the momentum set by ρ

    ρ stands for the inverse condition number and need not be it: eigen-directions above ρL
    converge at rate √ρ, those below at their own slower rate, still exponentially. Stopped
    early it regularises like a spectral cut-off at ρL. For the last digit of a system whose
    conditioning is the problem, `cg` is the better tool.

    Args:
        A: Symmetric positive semi-definite: a torch or NumPy matrix, a SciPy sparse matrix or
            `LinearOperator`, an operator of this library, or a function that multiplies.
        b: Right-hand side, one axis; a tensor on any device, or an array. Its dtype is that
            of the computation.
        x0: Start; 0 by default. Where A is singular, its components there stay.
        method: "nesterov", "heavy_ball" or "chebyshev". The last two have the faster rate and
            a transient that rises before it falls.
        rho: ρ in (0, 1); by default `rho_for_budget(maxiter)`.
        largest: L, an upper bound of the largest eigenvalue; by default from Lanczos, with
            2 % to spare.
        rtol: Stop when ‖A x − b‖ ≤ max(rtol ‖b‖, atol).
        atol: See `rtol`.
        maxiter: Steps at most.
        callback: Called with x after every step.

    Returns:
        The solution, in the form of `b`, and 0 if it meets the tolerance or else the number
        of steps made.

    Raises:
        ValueError: An argument out of range, or shapes that do not match.
        NumericalError: If the iteration diverges: `largest` is too small, or A has negative
            eigenvalues.

    Cost:
        One product with A per step and four vectors; some 10 to 30 products for L.

    Example:
        >>> A, b = torch.diag(torch.tensor([1.0, 0.25])), torch.tensor([1.0, 1.0])
        >>> x, info = accelerated_solve(A, b, rho=0.25, rtol=1e-6)
        >>> x.round(decimals=4), info
        (tensor([1., 4.]), 0)

    References:
        Liu, Belkin (2018), arXiv:1802.10235: ρ as a free parameter.
    """
    if method not in METHODS:
        unknown(f"{_WHERE}(method=...)", "a method", method, METHODS)
    expect(maxiter >= 1, f"{_WHERE}(maxiter=...)", "a positive number of steps", maxiter)
    rho = rho_for_budget(maxiter) if rho is None else rho
    expect_rho(rho, _WHERE)
    target = _vector(b, "b", None)
    product = _product(A, target)
    x = torch.zeros_like(target) if x0 is None else _vector(x0, "x0", target).clone()
    bound = _largest(product, target) if largest is None else largest
    expect(0 < bound < math.inf, f"{_WHERE}(largest=...)", "a positive number", bound)

    goal = max(rtol * float(target.norm()), atol)
    limit = 1e8 * max(float(target.norm()), float((product(x) - target).norm()), goal)
    give = (lambda v: v.numpy()) if isinstance(b, np.ndarray) else (lambda v: v)
    for step, (point, residual) in enumerate(
        islice(_iterates(method, product, target, x, rho, bound), maxiter + 1)
    ):
        size = float(residual.norm())
        expect(
            size <= limit,
            f"{_WHERE}(largest=...)",
            "an upper bound of the largest eigenvalue",
            f"{bound:.6g}, with which the residual is {size:.3g} after {step} steps",
            hint="leave it out, or raise it; and see whether A has negative eigenvalues.",
            error=NumericalError,
        )
        if callback is not None and step:
            callback(give(point))
        if size <= goal:
            return give(point), 0
    return give(point), maxiter


def _iterates(
    method: str, product: Matvec, b: Tensor, x: Tensor, rho: float, largest: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """The points at which residuals are taken, with these, without end."""
    before, y = x, x
    tau, gamma = 2 / (1 + rho), nesterov_momentum(rho)
    weights = chebyshev_weights(rho)
    if method == "heavy_ball":
        weights = chain([1.0], repeat(heavy_ball_parameters(rho, 1.0)["lr"] / tau))
    while True:
        residual = product(y) - b
        yield y, residual
        if method == "nesterov":
            x, before = y - residual / largest, x
            y = x + gamma * (x - before)
        else:
            y, before = next(weights) * (y - tau / largest * residual - before) + before, y


def _vector(values: Any, name: str, like: Tensor | None) -> Tensor:
    """`values` as a finite floating-point tensor of one axis, on the device of `like`."""
    where = f"{_WHERE}({name}=...)"
    vector = torch.as_tensor(values)
    vector = vector if vector.is_floating_point() else vector.double()
    vector = vector.detach() if like is None else vector.detach().to(like)
    shape = f"shape {tuple(like.shape)}" if like is not None else "a vector"
    right = vector.ndim == 1 and len(vector) > 0 and (like is None or vector.shape == like.shape)
    expect(right, where, shape, f"shape {tuple(vector.shape)}")
    expect(bool(torch.isfinite(vector).all()), where, "finite numbers", "NaN or infinity")
    return vector


def _product(A: Any, b: Tensor) -> Matvec:
    """Multiplication by A of vectors like `b`."""
    if isinstance(A, Tensor):
        shape, multiply = A.shape, (lambda v: A.to(v) @ v)
    elif isinstance(A, SymmetricOperator):
        shape, multiply = A.shape, (lambda v: A.matvec(v).to(v))
    elif isinstance(A, LinearOperator) or hasattr(A, "__array__") or hasattr(A, "tocsr"):
        operator = aslinearoperator(A)
        shape = operator.shape
        multiply = lambda v: torch.as_tensor(operator.matvec(v.cpu().numpy())).to(v)  # noqa: E731
    else:
        shape, multiply = (len(b), len(b)), A
    expect(
        callable(multiply),
        f"{_WHERE}(A=...)",
        "a matrix, an operator or a function",
        type(A).__name__,
        error=TypeError,
    )
    expect(
        tuple(shape) == (len(b), len(b)),
        f"{_WHERE}(A=...)",
        f"order {len(b)}, the length of `b`",
        f"shape {tuple(shape)}",
    )
    return multiply


def _largest(product: Matvec, b: Tensor) -> float:
    """An upper bound of the largest eigenvalue, almost surely."""
    operator = FunctionOperator(product, len(b), dtype=b.dtype, device=b.device)
    pairs = operator.eigenpairs(tolerance=_ACCURACY)
    return float(pairs.values[0]) * _MARGIN
