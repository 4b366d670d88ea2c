"""Aiming: does the negative gradient point at the nearest interpolating solution?"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._deprecated import old_names
from overparam._errors import expect
from overparam.errors import NumericalError


@checked
def aiming_constant(
    loss: Callable[[Tensor], Tensor],
    w: Float[Tensor, "p"],
    reference: Float[Tensor, "p"],
    *,
    infimum: float = 0.0,
) -> float:
    """How well the gradient at w aims at a reference solution.

        θ = ⟨∇L(w), w − ŵ⟩ / (L(w) − L*)

    2 for a linear model with squared error, whatever its conditioning; at least 1 where L is
    convex; negative where the gradient points away, which is not clipped. The constant of the
    theory has the *nearest* solution as ŵ, see `project_to_interpolation`; with the final
    iterate of a run in its place θ is that of uniform aiming, and larger.

    Args:
        loss: L of all examples, of the flat parameters, deterministic.
        w: Where to measure.
        reference: ŵ, a solution.
        infimum: L*, 0 under interpolation; for cross-entropy, L of the reference.

    Returns:
        θ, in float64 arithmetic of the last products.

    Raises:
        ValueError: Shapes that differ, or a loss within 1e-12 of the infimum: 0/0.
        NumericalError: A loss or gradient that is not finite.

    Cost:
        One forward and one backward pass.

    Example:
        >>> half_square = lambda w: w.square().sum() / 2
        >>> aiming_constant(half_square, torch.tensor([3.0, 4.0]), torch.zeros(2))
        2.0

    References:
        Liu, Drusvyatskiy, Belkin, Davis, Ma (2023), arXiv:2306.02601: the condition.
    """
    where = "aiming_constant(reference=...)"
    expect(w.shape == reference.shape, where, f"shape {tuple(w.shape)}", tuple(reference.shape))
    value, gradient = value_and_gradient(loss, w, "aiming_constant(loss=...)")
    excess = value - infimum
    expect(
        excess > 1e-12,
        "aiming_constant(w=...)",
        "a loss above its infimum by more than 1e-12",
        excess,
        hint="stop measuring before training has converged to rounding.",
    )
    return float(gradient.double() @ (w - reference).double()) / excess


@checked
def aiming_step_size(theta: float, beta: float) -> float:
    """The step of SGD with the fastest guaranteed rate under aiming, θ/(2β).

    That of SGD under PL*, from μ and the smoothness, is `overparam.tangents.sgd_step_size`.

    Args:
        theta: θ > 0.
        beta: β > 0, of the mini-batches that are used.

    Example:
        >>> aiming_step_size(2.0, 4.0)
        0.25
    """
    _expect_positive("aiming_step_size", theta=theta, beta=beta)
    return theta / (2 * beta)


@checked(result="anything")
def iterations_bound(
    theta: float, alpha: float, beta: float, reduction: float, *, lr: float | None = None
) -> float:
    """Steps after which E dist² has fallen to `reduction` of its start, at most.

        E dist²(w_{t+1}) ≤ (1 − ηα(θ − βη)) E dist²(w_t)

    Args:
        theta: θ, of aiming.
        alpha: α, of quadratic growth: L ≥ (α/2) dist².
        beta: β, of expected smoothness: E‖∇ℓ‖² ≤ 2βL.
        reduction: In (0, 1).
        lr: η in (0, θ/β); by default `aiming_step_size`, where the factor is 1 − αθ²/(4β).

    Raises:
        ValueError: An argument out of range.

    Example:
        >>> round(iterations_bound(2.0, 1.0, 10.0, 0.01), 1)
        43.7

    References:
        Liu, Drusvyatskiy, Belkin, Davis, Ma (2023), arXiv:2306.02601: the global theorem.
    """
    _expect_positive("iterations_bound", theta=theta, alpha=alpha, beta=beta)
    expect(0 < reduction < 1, "iterations_bound(reduction=...)", "a number in (0, 1)", reduction)
    lr = aiming_step_size(theta, beta) if lr is None else lr
    expect(
        0 < lr < theta / beta, "iterations_bound(lr=...)", f"a rate in (0, {theta / beta:.6g})", lr
    )
    gain = lr * alpha * (theta - beta * lr)
    return math.log(reduction) / math.log1p(-gain) if gain < 1 else 1.0


def value_and_gradient(
    loss: Callable[[Tensor], Tensor], w: Tensor, where: str
) -> tuple[float, Tensor]:
    """L and its gradient, both finite."""
    leaf = w.detach().clone().requires_grad_()
    with torch.enable_grad():
        value = loss(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
    finite = bool(torch.isfinite(value)) and bool(torch.isfinite(gradient).all())
    number = float(value.detach())
    expect(finite, where, "a finite loss and gradient", number, error=NumericalError)
    return number, gradient


def _expect_positive(where: str, **numbers: float) -> None:
    for name, number in numbers.items():
        expect(0 < number < math.inf, f"{where}({name}=...)", "a positive number", number)


__getattr__ = old_names(
    __name__,
    AimingMonitor="overparam.dynamics.aiming_monitor.AimingMonitor",
    sgd_step_size="overparam.optim.aiming.aiming_step_size",
)
