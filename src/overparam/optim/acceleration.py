"""Accelerated methods for quadratics with the condition number as a free parameter."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect, unknown

Method = Literal["nesterov", "heavy_ball", "chebyshev"]
METHODS = ("nesterov", "heavy_ball", "chebyshev")


def expect_rho(rho: float, where: str) -> None:
    """Raise unless ρ is in (0, 1)."""
    expect(
        0 < rho < 1,
        f"{where}(rho=...)",
        "a number in (0, 1)",
        rho,
        hint="it stands for 1/κ; rho_for_budget(steps) is a start if that is not known.",
    )


@checked
def nesterov_momentum(rho: float) -> float:
    """Momentum of Nesterov's method that is fastest for the condition number 1/ρ.

        γ = (1 − √ρ)/(1 + √ρ)

    `SGD(lr=1/L, momentum=γ, nesterov=True)` is then the method on full batches.

    Args:
        rho: ρ in (0, 1).

    Example:
        >>> nesterov_momentum(0.25)
        0.3333333333333333

    References:
        Liu, Belkin (2018), arXiv:1802.10235: ρ as a parameter, not a property of the data.
    """
    expect_rho(rho, "nesterov_momentum")
    return (1 - math.sqrt(rho)) / (1 + math.sqrt(rho))


@checked
def heavy_ball_parameters(rho: float, largest: float) -> dict[str, Any]:
    """Learning rate and momentum of Polyak's method for the condition number 1/ρ.

        lr = 4/(L(1+√ρ)²),    β = ((1−√ρ)/(1+√ρ))²

    The keyword arguments of `torch.optim.SGD`, up to the first step, which is 2/(L(1+ρ)).

    Args:
        rho: ρ in (0, 1).
        largest: L > 0, an upper bound of the largest eigenvalue.

    Example:
        >>> heavy_ball_parameters(0.25, 1.0)["momentum"]
        0.1111111111111111
    """
    expect_rho(rho, "heavy_ball_parameters")
    where = "heavy_ball_parameters(largest=...)"
    expect(0 < largest < math.inf, where, "a positive number", largest)
    root = 1 + math.sqrt(rho)
    return {"lr": 4 / (largest * root**2), "momentum": nesterov_momentum(rho) ** 2}


@checked
def chebyshev_weights(rho: float) -> Iterator[float]:
    """Weights ω₁ = 1, ω₂, … of the Chebyshev semi-iteration, without end.

        x_{t+1} = ω_{t+1}(x_t − τ∇f(x_t)/L − x_{t−1}) + x_{t−1},    τ = 2/(1+ρ)
        ω₂ = 1/(1 − 1/(2σ²)),    ω_{t+1} = 1/(1 − ω_t/(4σ²)),    σ = (1+ρ)/(1−ρ)

    They fall to 2(1+ρ)/(1+√ρ)², with which the recursion is the heavy ball.

    Args:
        rho: ρ in (0, 1).

    Example:
        >>> from itertools import islice
        >>> [round(w, 4) for w in islice(chebyshev_weights(0.25), 3)]
        [1.0, 1.2195, 1.1233]
    """
    expect_rho(rho, "chebyshev_weights")
    return _chebyshev_weights(((1 + rho) / (1 - rho)) ** 2)


def _chebyshev_weights(sigma_squared: float) -> Iterator[float]:
    yield 1.0
    weight = 1 / (1 - 1 / (2 * sigma_squared))
    while True:
        yield weight
        weight = 1 / (1 - weight / (4 * sigma_squared))


@checked
def spectral_error(
    method: Method, s: Float[Tensor, "*spectrum"], rho: float, steps: int
) -> Float[Tensor, "*spectrum"]:
    """Error left in an eigen-direction after t steps, over what was there at the start.

        ‖x_t − x*‖ along an eigenvector with eigenvalue sL is |e_t(s)| times its first value

    in closed form, whatever relation s has to ρ. Where s ≥ ρ, Nesterov's obeys
    |e_t| ≤ (1 + t√ρ)(1 − √ρ)^t; where s < ρ it still falls exponentially, at `spectral_rate`.

    Args:
        method: "nesterov", "heavy_ball" or "chebyshev".
        s: Eigenvalues over L, in [0, 1].
        rho: ρ in (0, 1), the guess of the inverse condition number.
        steps: t ≥ 0.

    Returns:
        e_t(s) in float64, signed.

    Raises:
        ValueError: An argument out of range; above 1 the methods may diverge.

    Cost:
        A few operations per eigenvalue, for any t.

    Example:
        One step of Nesterov's method from rest is a gradient step with 1/L, so e₁ = 1 − s:

        >>> spectral_error("nesterov", torch.tensor([0.25, 1.0]), 0.1, 1)
        tensor([0.7500, 0.0000], dtype=torch.float64)

    References:
        Liu, Belkin (2018), arXiv:1802.10235: the analysis by eigen-direction. The closed forms
        are derived here and checked against the recursions.
    """
    s = _fractions(method, s, rho, "spectral_error")
    expect(steps >= 0, "spectral_error(steps=...)", "a whole number ≥ 0", steps)
    if method == "chebyshev":
        return _chebyshev_ratio(s, rho, steps)
    first = 1 - s if method == "nesterov" else 1 - 2 * s / (1 + rho)
    if steps == 0:
        return torch.ones_like(s)
    # With P_t = (z₊ᵗ − z₋ᵗ)/(z₊ − z₋) for the roots z of the recursion, e_t is
    return first * _powers(method, s, rho, steps) - _product(method, s, rho) * _powers(
        method, s, rho, steps - 1
    )


@checked
def spectral_rate(
    method: Method, s: Float[Tensor, "*spectrum"], rho: float
) -> Float[Tensor, "*spectrum"]:
    """Rate at which the error in an eigen-direction falls per step in the end, 1 − |z₊|.

    About s(1+√ρ)/(2√ρ) for Nesterov's method and s/√ρ for the other two where s ≪ ρ, in place
    of s for gradient descent; √ρ and 2√ρ/(1+√ρ) where s ≥ ρ.

    Args:
        method: "nesterov", "heavy_ball" or "chebyshev".
        s: Eigenvalues over L, in [0, 1].
        rho: ρ in (0, 1).

    Returns:
        The rate in float64, 0 where s is 0.

    Raises:
        ValueError: An argument out of range.

    Example:
        >>> spectral_rate("heavy_ball", torch.tensor([1e-6, 1.0]), 0.25)
        tensor([2.0000e-06, 6.6667e-01], dtype=torch.float64)
    """
    s = _fractions(method, s, rho, "spectral_rate")
    root, outer = math.sqrt(rho), torch.sqrt(1 - s)
    inner = torch.sqrt((rho - s).clamp(min=0))
    # 1 − z₊ where the roots are real, with its leading digits cancelled by hand.
    if method == "nesterov":
        real = (s + s * (1 + rho - s) / (root + outer * inner)) / (1 + root)
        modulus = math.sqrt(nesterov_momentum(rho)) * outer
    else:
        less = (s / (1 + outer) + s / (root + inner)) / (1 + root)
        real = less * (2 - less)
        modulus = torch.full_like(s, nesterov_momentum(rho))
    return torch.where(s < rho, real, 1 - modulus)


@checked
def rho_for_budget(steps: int) -> float:
    """A ρ that suits a given number of steps, where the condition number is not known.

        ρ = 10/t², at most ½

    With it the error along eigenvalues above ρL falls by about e^(−√10); eigenvalues far below
    would not be reached in so few steps. Where κ is known, do not go below 1/κ. The 10 was
    best among powers of √10 on kernel regression for t from 100 to 300.

    Args:
        steps: t ≥ 1.

    Example:
        >>> rho_for_budget(100)
        0.001
    """
    expect(steps >= 1, "rho_for_budget(steps=...)", "a positive number", steps)
    return min(10 / steps**2, 0.5)


def _fractions(method: str, s: Tensor, rho: float, where: str) -> Tensor:
    if method not in METHODS:
        unknown(f"{where}(method=...)", "a method", method, METHODS)
    expect_rho(rho, where)
    s = torch.as_tensor(s, dtype=torch.float64)
    valid = bool(((s >= 0) & (s <= 1)).all())
    expect(valid, f"{where}(s=...)", "eigenvalues over L, in [0, 1]", s.flatten()[:6].tolist())
    return s


def _product(method: str, s: Tensor, rho: float) -> Tensor:
    """Product of the two roots of the recursion."""
    gamma = nesterov_momentum(rho)
    return gamma * (1 - s) if method == "nesterov" else torch.full_like(s, gamma**2)


def _powers(method: str, s: Tensor, rho: float, t: int) -> Tensor:
    """(z₊ᵗ − z₋ᵗ)/(z₊ − z₋), without cancellation where the roots z meet."""
    if t == 0:
        return torch.zeros_like(s)
    scale = 1 + math.sqrt(rho)
    spread = torch.sqrt((1 - s) * (rho - s).abs()) / scale
    mean = (1 - s) / scale
    if method != "nesterov":
        mean, spread = (1 + rho - 2 * s) / scale**2, 2 * spread / scale
    # Real roots, from the logarithm of their ratio: a quotient of two exponentials less 1.
    log_ratio = -2 * torch.atanh((spread / mean).clamp(max=1))
    quotient = torch.expm1(t * log_ratio) / torch.expm1(log_ratio)
    real = (mean + spread) ** (t - 1) * torch.where(log_ratio == 0, t, quotient)
    # Complex roots, from their angle, taken at the nearer end of (0, π).
    angle = torch.atan2(spread, mean.abs())
    sine = torch.where(spread == 0, t, torch.sin(t * angle) / torch.sin(angle))
    turned = torch.where(mean < 0, (-1.0) ** (t - 1), 1.0)
    modulus = torch.sqrt(_product(method, s, rho))
    return torch.where(s < rho, real, turned * modulus ** (t - 1) * sine)


def _chebyshev_ratio(s: Tensor, rho: float, steps: int) -> Tensor:
    """T_t((1+ρ−2s)/(1−ρ))/T_t(σ), by angles: the polynomials themselves overflow."""

    def angle(distance: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """arccos(1−x) or arccosh(1+x) at x = 2·distance/(1−ρ), accurate at small x."""
        return 2 * function(torch.sqrt(distance.clamp(min=0) / (1 - rho)))

    top = steps * float(angle(torch.tensor(rho, dtype=torch.float64), torch.asinh))
    left = steps * angle((s - rho).clamp(max=(1 - rho) / 2), torch.asin)
    right = steps * angle((1 - s).clamp(max=(1 - rho) / 2), torch.asin)
    nearer = torch.where(s < (1 + rho) / 2, torch.cos(left), (-1.0) ** steps * torch.cos(right))
    beyond = steps * angle(rho - s, torch.asinh)
    # cosh(a)/cosh(b) = e^(a−b) (1 + e^(−2a))/(1 + e^(−2b)), and 1/cosh(b) is twice that.
    fall = torch.exp(beyond - top) / (1 + math.exp(-2 * top))
    return torch.where(s < rho, fall * (1 + torch.exp(-2 * beyond)), 2 * fall * nearer)
