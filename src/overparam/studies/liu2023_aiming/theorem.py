"""The theorem on SGD under aiming: its rate and probability, and where it is an equality."""

import math
from typing import Any

import torch
from torch import Tensor

from overparam.dynamics.aiming_monitor import AimingMonitor
from overparam.optim.aiming import aiming_step_size, iterations_bound
from overparam.optim.interpolation import project_to_interpolation, square_loss_constants
from overparam.studies.liu2023_aiming.paths import POINTS, SNAPSHOTS, small_problem

# ε and δ₂: dist² falls to ε of its start with probability 1 − δ₂ or more, the ball left aside.
EPSILON, DELTA = 0.1, 0.1


def bound(width: int, runs: int, seed: int) -> dict[str, Any]:
    """Distances to the solutions that SGD from one start leaves, over the theorem's.

    α is the tangent kernel's bound at the start, λ_min/n, and β its largest diagonal entry; θ is
    the smallest of snapshots of a first run, to the solution that run ends at. Runs are looked
    at after as many steps as reduce E dist² to ε, and after those for ε with probability 1 − δ₂.
    """
    draw = torch.Generator().manual_seed(seed)
    net, y = small_problem(width, draw)
    found = square_loss_constants(net, net.start, y)
    monitor = AimingMonitor(lambda w: (net(w) - y).square().sum() / (2 * POINTS), SNAPSHOTS)
    w = net.start.clone()
    for step in range(SNAPSHOTS[-1] + 1):
        monitor.record(step, w)
        net.descend(w, y, torch.randint(POINTS, (1,), generator=draw), 0.5 / found.beta)
    table = monitor.finalize(solution(net, w, y))
    theta = float(table["theta_final"].to_numpy(float).min())
    lr = aiming_step_size(theta, found.beta)
    steps = [
        math.ceil(iterations_bound(theta, found.pl_bound, found.beta, part))
        for part in (EPSILON, EPSILON * DELTA)
    ]
    start = float((net.start - solution(net, net.start, y)).square().sum())
    left: list[list[float]] = [[], []]
    for _ in range(runs):
        w = net.start.clone()
        for step in range(1, steps[1] + 1):
            net.descend(w, y, torch.randint(POINTS, (1,), generator=draw), lr)
            if step in steps:
                gap = float((w - solution(net, w, y)).square().sum())
                left[steps.index(step)].append(gap / start)
    means = [sum(part) / runs for part in left]
    return {
        "theta": theta,
        "steps": steps,
        "kept": sum(part <= EPSILON for part in left[1]) / runs,
        "over_bound": max(means[0] / EPSILON, means[1] / (EPSILON * DELTA)),
        "speed": math.log(means[0]) / math.log(EPSILON),
    }


def solution(net: Any, w: Tensor, y: Tensor) -> Tensor:
    """The solution Newton's method reaches from w, by steps of least length."""
    return project_to_interpolation(net, w, y, w, max_iterations=0).point


def equality(seed: int) -> dict[str, float]:
    """Orthogonal inputs of one length and a linear model: every constant has a closed form.

    With c = ‖xᵢ‖², α = c/n, β = c and θ = 2, and a step of SGD leaves (1 − ηα(θ − βη)) of dist²
    in expectation, not less. The mean over all n examples is that expectation.
    """
    draw = torch.Generator().manual_seed(seed)
    n, d = 5, 8
    basis, _ = torch.linalg.qr(torch.randn(d, n, generator=draw, dtype=torch.float64))
    scale = float(torch.rand(1, generator=draw)) + 1.0
    x = scale * basis.T
    goal, start = (torch.randn(d, generator=draw, dtype=torch.float64) for _ in range(2))
    y = x @ goal

    def outputs(w: Tensor) -> Tensor:
        return x @ w

    c = scale**2
    found = square_loss_constants(outputs, start, y)
    # The nearest solution differs from the start within the span of the inputs alone.
    nearest = start + x.T @ (y - x @ start) / c
    monitor = AimingMonitor(lambda w: (x @ w - y).square().sum() / (2 * n), [0])
    monitor.record(0, start)
    row = monitor.finalize(nearest).iloc[0]
    # Of inputs of several lengths β is the square of the longest, α that of the shortest over n.
    lengths = torch.linspace(1.0, 2.0, n, dtype=torch.float64)
    uneven = square_loss_constants(lambda w: lengths * (basis.T @ w), start, y)
    lr = 0.3 * aiming_step_size(2.0, c) + 0.1 / c
    residual = x @ start - y
    after = [start - lr * residual[i] * x[i] - nearest for i in range(n)]
    before = float((start - nearest).square().sum())
    factor = sum(float(gap.square().sum()) for gap in after) / n / before
    predicted = math.exp(math.log(0.5) / iterations_bound(2.0, c / n, c, 0.5, lr=lr))
    pairs = [
        (found.pl_bound, c / n),
        (found.beta, c),
        (found.beta_full, c / n),
        (uneven.pl_bound, 1.0 / n),
        (uneven.beta, 4.0),
        (uneven.beta_full, 4.0 / n),
        (aiming_step_size(2.0, c), 1.0 / c),  # where 1 − ηα(θ − βη) is least
        (float(row["pl"]), c / n),
        (float(row["theta_final"]), 2.0),
        (float(row["growth_final"]), c / n),
        (factor, 1 - lr * c / n * (2 - c * lr)),
        (predicted, 1 - lr * c / n * (2 - c * lr)),
    ]
    return {"constants_error": max(abs(a / b - 1) for a, b in pairs)}
