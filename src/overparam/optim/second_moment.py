"""Exact mean-square convergence of SGD, Nesterov's method and MaSS on random quadratics."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam.optim.hyperparameters import InterpolationConstants


@checked
@dataclass(frozen=True)
class SampledQuadratic:
    """f(w) = E ½(xᵀw − xᵀw*)² for random x whose moments are aligned with the axes.

    The fourth moments are E[xxᵀ M xxᵀ] = diag(own · M) + cross · tr(MH) H for diagonal M.
    Make one with `gaussian_quadratic` or `decoupled_quadratic`.

    Attributes:
        eigenvalues: λ of H = E xxᵀ.
        own: What a coordinate's second moment contributes to its own.
        cross: Whether it contributes to the others': 1 for Gaussian x, 0 for decoupled.
        counts: How often each eigenvalue occurs.
    """

    eigenvalues: Float[Tensor, "k"]
    own: Float[Tensor, "k"]
    cross: float
    counts: Float[Tensor, "k"]

    @property
    def constants(self) -> InterpolationConstants:
        """L, L1, μ and κ̃, exact.

        Example:
            For Gaussian x, L1 = tr H + 2L and κ̃ = d + 2:

            >>> found = gaussian_quadratic([1.0, 1.0, 0.5]).constants
            >>> found.single, found.kappa_t
            (4.5, 5.0)
        """
        h, own, counts = self.eigenvalues, self.own, self.counts
        trace = float((h * counts).sum())
        return InterpolationConstants(
            largest=float(h.max()),
            single=float((own / h).max()) + self.cross * trace,
            smallest=float(h.min()),
            kappa_t=float((own / h.square()).max()) + self.cross * float(counts.sum()),
            directions=int(counts.sum()),
        )


@checked
def gaussian_quadratic(
    variances: Sequence[float], counts: Sequence[float] | None = None
) -> SampledQuadratic:
    """The quadratic of x ~ N(0, diag(variances)).

    Args:
        variances: Positive; the eigenvalues of H.
        counts: How often each occurs, 1 by default. Millions cost no more than one.

    Raises:
        ValueError: If a variance or count is not a positive number, or there is none.
    """
    h = _positive(variances, "gaussian_quadratic(variances=...)")
    c = torch.ones_like(h) if counts is None else _positive(counts, "gaussian_quadratic(counts=..)")
    expect(len(c) == len(h), "gaussian_quadratic(counts=...)", f"{len(h)} counts", len(c))
    return SampledQuadratic(h, 2 * h.square(), 1.0, c)


@checked
def decoupled_quadratic(variances: Sequence[float]) -> SampledQuadratic:
    """The quadratic of x = √variance · z e_i, the axis i drawn uniformly, z ~ N(0, 1).

    On it Nesterov's method with mini-batches provably does not accelerate.

    Args:
        variances: Positive, one for each axis.

    Raises:
        ValueError: If a variance is not a positive number, or there is none.

    References:
        Kidambi, Netrapalli, Jain, Kakade (2018), arXiv:1803.05591; Liu, Belkin (2020),
        arXiv:1810.13395.
    """
    h = _positive(variances, "decoupled_quadratic(variances=...)")
    return SampledQuadratic(h / len(h), 3 * h.square() / len(h), 0.0, torch.ones_like(h))


@checked
def second_moment_rate(
    problem: SampledQuadratic,
    lr: float | Float[Tensor, "*#grid"],
    alpha: float | Float[Tensor, "*#grid"] = 1.0,
    kappa_t: float | Float[Tensor, "*#grid"] = 1.0,
    batch_size: float | Float[Tensor, "*#grid"] = 1,
) -> Float[Tensor, "*grid"]:
    """Rate at which E‖w_t − w*‖² falls per step, 1 − ρ; negative where it grows.

        u' = a₁D + (1 − a₂H̃)u,    D' = b₁D − b₂H̃u

    is MaSS on one mini-batch with H̃ its matrix, u the distance to the minimum and D = v − u;
    ρ is the spectral radius of the linear map that E uu, E uD and E DD then obey. No
    approximation, no sampling, no limit of small steps. Batches are drawn with replacement.

    MaSS has κ̃ ≥ 1, Nesterov's method with momentum γ is κ̃ = 1 with α = (1−γ)/(1+γ), SGD is
    α = κ̃ = 1. A κ̃ below 1 is allowed: 1/(2 − 1/κ̃) is MaSS with the sign of the compensation
    flipped.

    Args:
        problem: The data's moments.
        lr: η ≥ 0; a number or a grid, as the next three, broadcast against each other.
        alpha: α in (0, 1].
        kappa_t: κ̃ > 0.
        batch_size: m ≥ 1.

    Returns:
        1 − ρ on the broadcast grid, float64, on the device of the first argument that is a grid.

    Raises:
        ValueError: An argument out of range or NaN.

    Cost:
        One eigendecomposition of order 3k per point, for k distinct eigenvalues, on the CPU.

    Example:
        One direction, λ = 1: SGD with step η has ρ = 1 − 2η + 3η², so it needs η < ⅔:

        >>> problem = gaussian_quadratic([1.0])
        >>> second_moment_rate(problem, torch.tensor([0.5, 1.0]))
        tensor([ 0.2500, -1.0000], dtype=torch.float64)

    References:
        Liu, Belkin (2020), arXiv:1810.13395: the statements this checks. The closed map in u
        and D is ours; in w and u it cancels to nothing at small α.
    """
    where = "second_moment_rate"
    given = (lr, alpha, kappa_t, batch_size)
    places = [value.device for value in given if isinstance(value, Tensor) and value.ndim]
    grid = [torch.as_tensor(value, dtype=torch.float64).cpu() for value in given]
    eta, a, kappa, m = torch.broadcast_tensors(*grid)
    for name, values, valid, expected in (
        ("lr", eta, (eta >= 0) & torch.isfinite(eta), "finite numbers ≥ 0"),
        ("alpha", a, (a > 0) & (a <= 1), "numbers in (0, 1]"),
        ("kappa_t", kappa, kappa > 0, "positive numbers"),
        ("batch_size", m, m >= 1, "numbers ≥ 1"),
    ):
        expect(bool(valid.all()), f"{where}({name}=...)", expected, values[~valid].tolist()[:3])
    values = torch.linalg.eigvals(_moment_map(problem, eta, a, kappa, m))
    rate = 1 - values.abs().amax(-1)
    return rate.to(places[0]) if places else rate


def _moment_map(
    problem: SampledQuadratic, eta: Tensor, alpha: Tensor, kappa_t: Tensor, m: Tensor
) -> Float[Tensor, "*grid order order"]:
    """The map of (E u², E uD, E D²), coordinate by coordinate, over one step."""
    h, own, counts = (t.cpu() for t in (problem.eigenvalues, problem.own, problem.counts))
    k = len(h)
    eta, alpha, kappa_t, m = (t[..., None, None] for t in (eta, alpha, kappa_t, m))
    delta = eta / (alpha * kappa_t)
    a1, a2 = alpha * (1 - alpha) / (1 + alpha), (eta + alpha * delta) / (1 + alpha)
    b1, b2 = (1 - alpha) / (1 + alpha), (delta - eta) / (1 + alpha)
    one, mean = torch.eye(k, dtype=torch.float64), torch.diag(h)
    # E[H̃ M H̃] of a batch: its own fourth moment in 1/m of the pairs, HMH in the others.
    single = torch.diag(own) + problem.cross * h[:, None] * (counts * h)
    square = single / m + (1 - 1 / m) * mean.square()
    rows = [
        [one - 2 * a2 * mean + a2**2 * square, 2 * a1 * (one - a2 * mean), a1**2 * one],
        [
            a2 * b2 * square - b2 * mean,
            b1 * one - (a1 * b2 + a2 * b1) * mean,
            a1 * b1 * one,
        ],
        [b2**2 * square, -2 * b1 * b2 * mean, b1**2 * one],
    ]
    shape = torch.broadcast_shapes(square.shape, a1.shape)
    return torch.cat([torch.cat([b.expand(shape) for b in row], -1) for row in rows], -2)


def _positive(values: Sequence[float], where: str) -> Float[Tensor, "k"]:
    numbers = torch.as_tensor(values, dtype=torch.float64)
    valid = numbers.ndim == 1 and len(numbers) > 0 and bool((numbers > 0).all())
    expect(valid and math.isfinite(float(numbers.sum())), where, "positive numbers", list(values))
    return numbers
