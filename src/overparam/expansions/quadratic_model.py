"""Models that are quadratic in their parameters, and gradient descent on them, exactly."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._checked import checked
from overparam._errors import expect
from overparam._model import expect_inputs
from overparam._switches import full_precision


class QuadraticModel(nn.Module):
    """A model that is a quadratic polynomial of its weights, with one output.

        g(w; x) = wᵀφ(x) + (γ/2) wᵀΣ(x) w

    γ plays the part of 1/√width: small γ is a model close to a linear one that still has
    catapults, and its loss peaks at a height proportional to 1/γ².

    Args:
        phi: φ, maps n inputs to features (n, p).
        sigma: Σ, maps n inputs to symmetric matrices (n, p, p), or to one (p, p) for all.
        gamma: γ, the size of the quadratic part.
        weights: w at the start, p numbers; copied.

    Attributes:
        weights: w, the one parameter.

    Raises:
        ValueError: If γ or the weights are not finite. When called: inputs that are not
            finite, features or matrices of another shape, a matrix that is not symmetric.

    Example:
        With φ = x and Σ = 1, in one dimension, w = 3 gives 3x + 9γ/2:

        >>> model = QuadraticModel(
        ...     lambda x: x, lambda x: torch.eye(1), gamma=2.0, weights=torch.tensor([3.0])
        ... )
        >>> model(torch.tensor([[1.0]])).item()
        12.0

    References:
        Zhu, Liu, Radhakrishnan, Belkin (2022), arXiv:2205.11787: the general quadratic model.
    """

    @checked
    def __init__(
        self,
        phi: Callable[[Tensor], Tensor],
        sigma: Callable[[Tensor], Tensor],
        gamma: float,
        *,
        weights: Float[Tensor, "p"],
    ) -> None:
        super().__init__()
        expect(math.isfinite(gamma), "QuadraticModel(gamma=...)", "a finite number", gamma)
        expect_inputs(weights, "QuadraticModel(weights=...)")
        expect(
            weights.ndim == 1 and weights.is_floating_point(),
            "QuadraticModel(weights=...)",
            "a vector of floating-point numbers",
            f"shape {tuple(weights.shape)} {weights.dtype}",
        )
        self.phi, self.sigma, self.gamma = phi, sigma, gamma
        self.weights = nn.Parameter(weights.detach().clone())

    def forward(self, x: Float[Tensor, "n *input"]) -> Float[Tensor, "n 1"]:
        """g(w; x) for every input."""
        features, matrices = self.phi(x), self.sigma(x)
        n, p = len(x), len(self.weights)
        expect(
            features.shape == (n, p),
            "QuadraticModel(phi=...)",
            f"features of shape ({n}, {p}) for {n} inputs and {p} weights",
            tuple(features.shape),
        )
        expect(
            matrices.shape in ((n, p, p), (p, p)),
            "QuadraticModel(sigma=...)",
            f"matrices of shape ({n}, {p}, {p}) or ({p}, {p})",
            tuple(matrices.shape),
        )
        quadratic = (matrices @ self.weights) @ self.weights
        return (features @ self.weights + self.gamma / 2 * quadratic)[:, None]


class FunctionStep(NamedTuple):
    """A quadratic model after a step of gradient descent, seen from its outputs."""

    residual: Float[Tensor, "n"]
    kernel: Float[Tensor, "n n"]
    jacobian: Float[Tensor, "n p"]


@checked
@full_precision()
def quadratic_step(
    residual: Float[Tensor, "n"],
    jacobian: Float[Tensor, "n p"],
    hessians: Float[Tensor, "n p p"],
    lr: float,
) -> FunctionStep:
    """Residuals and tangent kernel of a quadratic model after one step of gradient descent.

        r⁺ = [I − η K + (η²/2) G Jᵀ] r
        K⁺ = K − η (G Jᵀ + J Gᵀ) + η² G Gᵀ,      J⁺ = J − η G,      G_i = rᵀJ H_i

    on L = **½ Σᵢ rᵢ²**, neither averaged over examples nor without the half: for the mean of
    squares pass ``lr * 2 / n``. H_i is the constant Hessian of output i. Exact for every model
    that is quadratic in its parameters, whatever its size.

    Args:
        residual: r = f − y.
        jacobian: J, one row per output.
        hessians: H_i, symmetric.
        lr: η.

    Returns:
        r⁺, K⁺ and J⁺, which are all that the next step needs.

    Raises:
        ValueError: If shapes disagree, a number is not finite, or `lr` is not positive.

    Cost:
        n p² + n² p flops.

    Example:
        For a linear model H = 0, and r⁺ = (I − ηK) r:

        >>> step = quadratic_step(torch.ones(1), torch.full((1, 1), 2.0), torch.zeros(1, 1, 1), 0.1)
        >>> round(step.residual.item(), 4), step.kernel.item()
        (0.6, 4.0)

    References:
        Zhu, Liu, Radhakrishnan, Belkin (2022), arXiv:2205.11787: the recursion of r. That of K
        is printed there with other factors, and not symmetric; brute force gives this one.
    """
    where = "quadratic_step"
    n, p = jacobian.shape if jacobian.ndim == 2 else (-1, -1)
    expect(n >= 1, f"{where}(jacobian=...)", "a matrix", f"shape {tuple(jacobian.shape)}")
    expect(residual.shape == (n,), f"{where}(residual=...)", f"{n} numbers", tuple(residual.shape))
    expect(
        hessians.shape == (n, p, p),
        f"{where}(hessians=...)",
        f"shape ({n}, {p}, {p})",
        tuple(hessians.shape),
    )
    for name, value in (("residual", residual), ("jacobian", jacobian), ("hessians", hessians)):
        expect_inputs(value, f"{where}({name}=...)")
    expect(math.isfinite(lr) and lr > 0, f"{where}(lr=...)", "a positive number", lr)
    kernel = jacobian @ jacobian.T
    change = torch.einsum("p,npq->nq", residual @ jacobian, hessians)
    cross = change @ jacobian.T
    return FunctionStep(
        residual - lr * kernel @ residual + lr**2 / 2 * cross @ residual,
        kernel - lr * (cross + cross.T) + lr**2 * change @ change.T,
        jacobian - lr * change,
    )
