"""The constant along SGD of deep networks, as wide in every layer or with a bottleneck."""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from overparam.dynamics.aiming_monitor import AimingMonitor
from overparam.errors import NumericalError
from overparam.optim.interpolation import project_to_interpolation, square_loss_constants
from overparam.studies.liu2023_aiming.paths import INPUTS, POINTS, SNAPSHOTS, small_problem

# Units of the bottleneck: at most so many keep the Hessian's norm of order 1 at any width.
NARROW = 4


class Deep:
    """f(x) of three tanh layers, W/√fan-in in each and no biases, as a function of flat weights."""

    def __init__(self, x: Tensor, width: int, middle: int) -> None:
        self.x = x
        self.shapes = [(b, a) for a, b in pairwise((INPUTS, width, middle, width, 1))]
        self.sizes = [a * b for a, b in self.shapes]

    def __call__(self, w: Tensor) -> Tensor:
        """One output for each input."""
        parts = [p.view(s) for p, s in zip(w.split(self.sizes), self.shapes, strict=True)]
        return self.outputs(parts, self.x)

    def outputs(self, parts: list[Tensor], x: Tensor) -> Tensor:
        """One output for each row, with the matrices as they are."""
        *hidden, last = parts
        for part in hidden:
            x = torch.tanh(x @ part.T / math.sqrt(part.shape[1]))
        return x @ last[0] / math.sqrt(last.shape[1])


def bottleneck(width: int, narrow: bool, steps: int, seed: int) -> dict[str, Any]:
    """Smallest θ along SGD, to the solution it ends at; NaN where Newton's method finds none.

    Points and labels are those of two layers, and so are the step, the snapshots and the reference.
    """
    draw = torch.Generator().manual_seed(seed)
    problem, y = small_problem(1, draw)
    x = problem.x * math.sqrt(INPUTS)
    net = Deep(x, width, NARROW if narrow else width)
    w = torch.randn(sum(net.sizes), generator=draw, dtype=torch.float64)
    lr = 0.5 / square_loss_constants(net, w, y).beta
    monitor = AimingMonitor(lambda w: (net(w) - y).square().sum() / (2 * POINTS), SNAPSHOTS)
    parts = [p.view(s) for p, s in zip(w.split(net.sizes), net.shapes, strict=True)]
    leaves = [p.detach().requires_grad_() for p in parts]  # of the same memory as w
    for step in range(steps):
        monitor.record(step, w)
        i = int(torch.randint(POINTS, (1,), generator=draw))
        loss = (net.outputs(leaves, x[i : i + 1]) - y[i]).square().sum() / 2
        gradients = torch.autograd.grad(loss, leaves)
        with torch.no_grad():
            for leaf, gradient in zip(leaves, gradients, strict=True):
                leaf.sub_(gradient, alpha=lr)
    try:
        final = project_to_interpolation(net, w, y, w, max_iterations=0).point
    except NumericalError:
        return {"theta_final": math.nan, "shortfall_final": math.nan}
    theta = float(monitor.finalize(final)["theta_final"].to_numpy(float).min())
    return {"theta_final": theta, "shortfall_final": 2 - theta}
