"""What is said of the landscape beside the certificate: convexity, most of space, noise, SGD."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overparam.tangents.pl.step_sizes import pl_down_to, sgd_step_size

DISTANCES = (1e-1, 1e-2, 1e-3, 1e-4)  # from a solution
DIRECTIONS = 4
UNITS, INPUTS, POINTS = 12, 4, 5  # 60 parameters for 5 examples
NOISE, ABOVE = 0.1, 4.0  # of labels where inputs occur twice; ε over the loss that is left
DEEPEST = 20_000  # steps
WIDE, WIDE_POINTS, WIDE_INPUTS, WIDE_STEPS = 1024, 6, 20, 2000


def outputs(w: Tensor, x: Tensor, units: int) -> Tensor:
    """m^(−1/2) Σ v_j tanh(w_jᵀx) of all parameters in one vector."""
    hidden, last = w[: units * x.shape[1]].view(units, -1), w[units * x.shape[1] :]
    return torch.tanh(x @ hidden.T) @ last / math.sqrt(units)


def convexity(kind: str, draw: torch.Generator) -> dict[str, Any]:
    """Smallest eigenvalue of ∇²L around a zero of the loss, from 0.1 down to 10^-4 from it.

    At w* + δu the Hessian is JᵀJ + δ Σ (Ju)_i ∇²f_i up to δ², and JᵀJ has rank 5 of 60. The
    control is linear in its parameters, so that its Hessian is JᵀJ everywhere.
    """
    x = torch.randn(POINTS, INPUTS, generator=draw, dtype=torch.float64)
    solution = torch.randn(UNITS * (INPUTS + 1), generator=draw, dtype=torch.float64)
    features = torch.func.jacrev(outputs)(solution, x, UNITS)

    def values(w: Tensor) -> Tensor:
        return features @ w if kind == "linear" else outputs(w, x, UNITS)

    targets = values(solution)  # so that the loss is exactly 0 there
    hessian = torch.func.hessian(lambda w: (values(w) - targets).square().sum() / 2)
    curvatures = torch.func.hessian(values)(solution)
    shares, relative = [], []
    for distance in DISTANCES:
        lowest = []
        for _ in range(DIRECTIONS):
            u = torch.randn(len(solution), generator=draw, dtype=torch.float64)
            u /= u.norm()
            spectrum = torch.linalg.eigvalsh(hessian(solution + distance * u))
            relative.append(float(spectrum[0] / spectrum[-1]))
            bend = torch.einsum("i,ijk->jk", features @ u, curvatures)
            scale = distance * float(torch.linalg.matrix_norm(bend, 2))
            lowest.append(-float(spectrum[0]) / scale if scale else math.nan)
        shares.append(max(lowest))
    return {"negative_share": min(shares), "relative_curvature": min(relative)}


def most_of_space(draws: int, draw: torch.Generator) -> dict[str, Any]:
    """How many random parameters of any size have a regular kernel, and whether zero has one."""
    x = torch.randn(POINTS, INPUTS, generator=draw, dtype=torch.float64)
    jacobian = torch.func.jacrev(outputs)
    regular = 0
    for _ in range(draws):
        size = 3 * torch.rand(1, generator=draw, dtype=torch.float64)
        w = size * torch.randn(UNITS * (INPUTS + 1), generator=draw, dtype=torch.float64)
        sigma = torch.linalg.svdvals(jacobian(w, x, UNITS))
        regular += bool(sigma[-1] > 1e-6 * sigma[0])
    nowhere = jacobian(torch.zeros(UNITS * (INPUTS + 1), dtype=torch.float64), x, UNITS)
    return {"regular": regular / draws, "at_zero": float(torch.linalg.svdvals(nowhere)[-1])}


def almost(draw: torch.Generator) -> dict[str, Any]:
    """Gradient descent on five inputs that occur twice with different labels, down to ε.

    No parameters fit them: the least loss is a quarter of the squared differences of the labels.
    """
    inputs = torch.randn(POINTS, INPUTS, generator=draw, dtype=torch.float64).repeat(2, 1)
    size = UNITS * (INPUTS + 1)
    teacher = torch.randn(size, generator=draw, dtype=torch.float64)
    noise = NOISE * torch.randn(2 * POINTS, generator=draw, dtype=torch.float64)
    y = outputs(teacher, inputs, UNITS) + noise
    start = torch.randn(size, generator=draw, dtype=torch.float64).numpy()
    hessian = torch.func.hessian(
        lambda w: (outputs(w, inputs, UNITS) - y).square().sum() / 2  # the loss
    )
    x, targets = inputs.numpy(), y.numpy()
    least = float(((targets[:POINTS] - targets[POINTS:]) ** 2).sum() / 4)
    epsilon = ABOVE * least

    def residual(w: np.ndarray) -> np.ndarray:
        hidden, last = np.split(w, [UNITS * INPUTS])
        return np.tanh(x @ hidden.reshape(UNITS, -1).T) @ last / math.sqrt(UNITS) - targets

    def jacobian(w: np.ndarray) -> np.ndarray:
        hidden, last = np.split(w, [UNITS * INPUTS])
        t = np.tanh(x @ hidden.reshape(UNITS, -1).T)
        inner = ((1 - t**2) * last)[:, :, None] * x[:, None, :]
        return np.concatenate([inner.reshape(len(x), -1), t], 1) / math.sqrt(UNITS)

    # A first run, with half the step, measures β and μ on the path, and goes on below ε.
    w, curvature, losses, ratios = start, 0.0, [], []
    for step in range(DEEPEST):
        if step % 200 == 0:
            curvature = max(curvature, float(torch.linalg.matrix_norm(hessian(torch.tensor(w)), 2)))
        r = residual(w)
        g = jacobian(w).T @ r
        losses.append(float(r @ r) / 2)
        ratios.append(float(g @ g / (r @ r)))
        if losses[-1] < (1 + 1e-8) * least:
            break
        w = w - g / (2.2 * curvature)
    if losses[0] < epsilon or losses[-1] >= epsilon:  # nothing to see, or not seen
        return {"start_over_epsilon": losses[0] / epsilon, "floor_ratio": math.nan,
                "steps_over_bound": math.nan, "allowed_off": math.nan}  # fmt: skip
    mu = min(ratio for ratio, loss in zip(ratios, losses, strict=True) if loss >= epsilon)
    schedule = pl_down_to(mu, 1.1 * curvature, losses[0], epsilon)
    allowed, level = 0, losses[0]
    while level > epsilon:  # by which (1 − μ/β)^t L_0 is down to ε
        allowed, level = allowed + 1, level * (1 - mu / (1.1 * curvature))
    w, steps = start, 0
    while (residual(w) ** 2).sum() / 2 > epsilon and steps <= schedule.steps:
        w, steps = w - schedule.lr * (jacobian(w).T @ residual(w)), steps + 1
    return {
        "start_over_epsilon": losses[0] / epsilon,
        "steps_over_bound": steps / schedule.steps,
        "allowed_off": abs(schedule.steps - allowed),
        "floor_ratio": ratios[-1] / mu,
    }


def sgd_on_a_wide_network(batch: int, runs: int, draw: np.random.Generator) -> dict[str, Any]:
    """Mean loss of SGD on 1024 units over its bound with half the kernel's λ_min at the start."""
    x = draw.normal(size=(WIDE_POINTS, WIDE_INPUTS))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = draw.choice([-1.0, 1.0], size=WIDE_POINTS)
    v = draw.choice([-1.0, 1.0], size=WIDE // 2)
    v = np.concatenate([v, -v]) / math.sqrt(WIDE)
    half = draw.normal(size=(WIDE // 2, WIDE_INPUTS))
    w = np.repeat(np.concatenate([half, half])[None], runs, 0)  # the output is 0 at the start

    def lowest(w: np.ndarray) -> float:
        slopes = 1 - np.tanh(x @ w.swapaxes(1, 2)) ** 2
        kernels = (slopes @ slopes.swapaxes(1, 2)) * (x @ x.T) / WIDE
        return float(np.linalg.eigvalsh(kernels)[:, 0].min())

    mu = lowest(w) / 2
    # ∇²ℓ_i = ∇f ∇fᵀ + r ∇²f with ‖∇f‖ ≤ 1, ‖∇²f‖ ≤ 0.77/√m and residuals of at most 2.
    smoothness = 1 + 2 * 4 / (3 * math.sqrt(3)) / math.sqrt(WIDE)
    schedule = sgd_step_size(mu, smoothness, WIDE_POINTS, batch)
    kept = lowest(w)
    for step in range(WIDE_STEPS):
        z = np.zeros_like(w)
        for _ in range(batch):
            chosen = draw.integers(WIDE_POINTS, size=runs)
            t = np.tanh(np.einsum("rmd,rd->rm", w, x[chosen]))
            scale = ((t @ v - y[chosen])[:, None] * v) * (1 - t**2)
            z += scale[:, :, None] * x[chosen][:, None, :]
        w = w - schedule.lr * z
        if step % 200 == 199:
            kept = min(kept, lowest(w))
    losses = ((np.tanh(x @ w.swapaxes(1, 2)) @ v - y) ** 2).sum(1) / (y**2).sum()
    return {
        "loss": float(losses.mean()),
        "bound_ratio": float(losses.mean()) / schedule.rate**WIDE_STEPS,
        "mu_kept": kept / mu,
    }
