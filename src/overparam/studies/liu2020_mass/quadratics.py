"""Exact and sampled convergence on quadratics whose second moments close."""

import math
from typing import Any

import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from overparam.optim.hyperparameters import MassHyperparameters, mass_hyperparameters
from overparam.optim.mass import MaSS
from overparam.optim.second_moment import (
    SampledQuadratic,
    decoupled_quadratic,
    gaussian_quadratic,
    second_moment_rate,
)

REPLICAS = 200
DIVERGING = (0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # momenta out of the theorem's interval
STEPS = (0.1, 0.5, 1.0, 1.5, 1.9)  # times 1/L₁: SGD is stable below 2/L₁
FULL = 2**60
NOISE = 0.1  # standard deviation of labels without interpolation
# Two groups of eigenvalues that set the critical batch sizes four decades apart.
GROUPS = {"variances": [1.0, 1e-6], "counts": [100, 1e6 - 100]}


def problem(data: str, exponent: int) -> SampledQuadratic:
    """The paper's two data sets, with smallest variance 2^−exponent."""
    small = 2.0**-exponent
    if data == "decoupled":
        return decoupled_quadratic([1.0, small])
    return gaussian_quadratic([1.0, 1.0, small])


def alpha_of(momentum: float | Tensor) -> Any:
    """α of MaSS for a momentum γ."""
    return (1 - momentum) / (1 + momentum)


def rate_of(quadratic: SampledQuadratic, best: MassHyperparameters, m: float = 1) -> float:
    """Exact rate of MaSS."""
    return float(second_moment_rate(quadratic, best.lr, best.alpha, best.kappa_t, m))


def best_nesterov(quadratic: SampledQuadratic) -> tuple[float, float, float]:
    """Learning rate, momentum and rate of the fastest SGD with Nesterov momentum."""
    limit = 1 / quadratic.constants.single

    def rate(lr: Tensor, momentum: Tensor) -> Tensor:
        return second_moment_rate(quadratic, lr, alpha_of(momentum))

    lr = torch.logspace(-3, 0.3, 40, dtype=torch.float64) * limit
    momentum = 1 - torch.logspace(-5, 0, 40, dtype=torch.float64)
    grid = rate(lr[:, None], momentum[None])
    row, column = divmod(int(grid.argmax()), len(momentum))

    def slowness(point: Any) -> float:
        step, decay = torch.tensor(point, dtype=torch.float64).exp()
        return -float(rate(step, 1 - decay)) if decay <= 1 else math.inf

    start = [math.log(float(lr[row])), math.log(1 - float(momentum[column]))]
    found = minimize(slowness, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 0})
    return math.exp(found.x[0]), 1 - math.exp(found.x[1]), -float(found.fun)


def spectrum(data: str, exponent: int, seed: int) -> dict[str, Any]:
    """Exact rates of every method on one problem; no randomness."""
    quadratic = problem(data, exponent)
    constants = quadratic.constants
    best = mass_hyperparameters(constants, 1)
    _, _, nesterov = best_nesterov(quadratic)
    limit = 1 / constants.single
    momenta = torch.tensor(DIVERGING, dtype=torch.float64)
    steps = torch.tensor(STEPS, dtype=torch.float64) * limit
    # The best settings for a step size below 2/L₁: αδκ̃ = 2η − η²L₁ and δ = α/μ, where the
    # optimizer's δ is η/(α κ̃) with a κ̃ of its own.
    strengths = constants.kappa_t / (2 - steps / limit)
    alphas = torch.sqrt(steps * constants.smallest / strengths)
    flipped = second_moment_rate(quadratic, best.lr, best.alpha, 1 / (2 - 1 / best.kappa_t))
    return {
        "condition_number": constants.single / constants.smallest,
        "mass_rate": rate_of(quadratic, best),
        "alpha": best.alpha,
        "sgd_rate": float(second_moment_rate(quadratic, best.lr)),
        "nesterov_rate": nesterov,
        "flipped_radius": 1 - float(flipped),
        "nesterov_threshold": threshold(quadratic, best.lr),
        "nesterov_at_sgd": float(second_moment_rate(quadratic, limit, alpha_of(momenta)).max()),
        "sgd_least": float(second_moment_rate(quadratic, steps).min()),
        "mass_least": float(second_moment_rate(quadratic, steps, alphas, strengths).min()),
    }


def batches(data: str, batch_size: int, seed: int) -> dict[str, Any]:
    """Exact rates of MaSS at its optimal settings and of SGD at its best step, at one batch size.

    At `FULL` examples a batch is as good as the whole: 1/m is below the rounding of float64.
    Then E‖w − w*‖² must fall as the square of Nesterov's (1 − 1/√κ)^t.
    """
    quadratic = problem(data, 9)
    constants = quadratic.constants
    best = mass_hyperparameters(constants, batch_size)
    steps = torch.linspace(0.02, 2, 400, dtype=torch.float64) * best.lr
    kappa = constants.largest / constants.smallest
    return {
        "mass_rate": rate_of(quadratic, best, batch_size),
        "sgd_rate": float(second_moment_rate(quadratic, steps, batch_size=batch_size).max()),
        "nesterov_full": 1 - (1 - kappa**-0.5) ** 2,
    }


def update(steps: int, seed: int) -> dict[str, Any]:
    """The optimizer against the authors' three sequences w, u, v on a stochastic problem."""
    draw = torch.Generator().manual_seed(seed)
    lr, alpha, kappa_t = 0.05, 0.1, 3.0
    delta = lr / (alpha * kappa_t)
    w = nn.Parameter(torch.randn(5, generator=draw, dtype=torch.float64))
    u = v = w.detach().clone()
    optimizer, worst = MaSS([w], lr, alpha, kappa_t), 0.0
    for _ in range(steps):
        x = torch.randn(5, generator=draw, dtype=torch.float64)
        w.grad = x * (x @ w.detach())
        g = x * (x @ u)
        moved, v = u - lr * g, (1 - alpha) * v + alpha * u - delta * g
        u = (alpha * v + moved) / (1 + alpha)
        optimizer.step()
        worst = max(worst, float((w.detach() - u).norm() / u.norm()))
    return {"update_error": worst}


def threshold(quadratic: SampledQuadratic, lr: float) -> float:
    """Momentum from which on SGD with Nesterov momentum diverges at this rate, by bisection."""
    low, high = 0.0, 1 - 1e-9
    for _ in range(40):
        middle = (low + high) / 2
        if float(second_moment_rate(quadratic, lr, alpha_of(middle))) > 0:
            low = middle
        else:
            high = middle
    return low


def regimes(batch_size: int, seed: int) -> dict[str, Any]:
    """How the exact rate grows from this batch size to twice it, at the best settings."""
    quadratic = gaussian_quadratic(**GROUPS)
    rates = []
    for m in (batch_size, 2 * batch_size):
        best = mass_hyperparameters(quadratic.constants, m)
        sgd = float(second_moment_rate(quadratic, best.lr, batch_size=m))
        rates.append((rate_of(quadratic, best, m), sgd))
    (mass, sgd), (mass_double, sgd_double) = rates
    return {
        "mass_rate": mass,
        "sgd_rate": sgd,
        "mass_slope": math.log2(mass_double / mass),
        "sgd_slope": math.log2(sgd_double / sgd),
    }


def sample_paths(data: str, method: str, steps: int, seed: int) -> dict[str, Any]:
    """Median over replicas of ‖w − w*‖² at the end, batch size 1, from distance 1 per axis."""
    quadratic = problem(data, 9)
    best = mass_hyperparameters(quadratic.constants, 1)
    scale = torch.tensor([1.0, 2.0**-4.5] if data == "decoupled" else [1.0, 1.0, 2.0**-4.5])
    w = nn.Parameter(torch.ones(REPLICAS, len(scale), dtype=torch.float64))
    optimizer = path_optimizer(method, w, quadratic, best)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = torch.randn(REPLICAS, len(scale), generator=draw, dtype=torch.float64) * scale
        if data == "decoupled":
            axis = torch.randint(2, (REPLICAS, 1), generator=draw)
            x = torch.zeros_like(x).scatter(1, axis, x.gather(1, axis))
        residual = (x * w.detach()).sum(1, keepdim=True)
        if method == "MaSS without interpolation":
            residual += NOISE * torch.randn(REPLICAS, 1, generator=draw, dtype=torch.float64)
        w.grad = x * residual
        optimizer.step()
    error = w.detach().square().sum(1).nan_to_num(nan=math.inf).median()
    return {"error": float(error)}


def path_optimizer(
    method: str, w: nn.Parameter, quadratic: SampledQuadratic, best: MassHyperparameters
) -> Optimizer:
    """One of those that are compared."""
    if method.startswith("MaSS"):
        return MaSS([w], best.lr, best.alpha, best.kappa_t)
    if method == "SGD":
        return SGD([w], best.lr)
    if method == "Nesterov at the rate of MaSS":
        return SGD([w], best.lr, best.momentum, nesterov=True)
    lr, momentum, _ = best_nesterov(quadratic)
    return SGD([w], lr, momentum, nesterov=True)
