"""Paths of SGD on a two-layer tanh network: the constant along them, and races of batch sizes."""

import math
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from overparam.dynamics.aiming_monitor import AimingMonitor
from overparam.optim.aiming import aiming_step_size
from overparam.optim.interpolation import project_to_interpolation, square_loss_constants

POINTS, INPUTS, SNAPSHOTS = 24, 10, (0, 10, 30, 100, 300, 1000)
PAIR, PAIR_WIDTH, PATIENCE = 200, 512, 20_000


class Net:
    """f(x) = aᵀtanh(Wx/√d)/√m on fixed inputs, as a function of flat parameters (W, a)."""

    def __init__(self, x: Tensor, width: int, draw: torch.Generator) -> None:
        self.x, self.width = x / math.sqrt(x.shape[1]), width
        self.start = torch.randn(width * (x.shape[1] + 1), generator=draw, dtype=torch.float64)

    def __call__(self, w: Tensor) -> Tensor:
        """One output for each input."""
        hidden, outer = self.split(w)
        return torch.tanh(self.x @ hidden.T) @ outer / math.sqrt(self.width)

    def split(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden and output weights, as views."""
        return w[: -self.width].view(self.width, -1), w[-self.width :]

    def descend(self, w: Tensor, y: Tensor, batch: Tensor | slice, lr: float) -> None:
        """One gradient step on (1/2m)Σ(f − y)² of a batch, in place."""
        hidden, outer = self.split(w)
        x, scale = self.x[batch], math.sqrt(self.width)
        active = torch.tanh(x @ hidden.T)
        residual = (active @ outer / scale - y[batch]) / (len(x) * scale)
        back = residual[:, None] * (1 - active.square()) * outer
        outer -= lr * (residual @ active)
        hidden -= lr * (back.T @ x)


def path(width: int, steps: int, projection_steps: int, seed: int) -> dict[str, Any]:
    """θ along single-example SGD: smallest, and late."""
    draw = torch.Generator().manual_seed(seed)
    net, y = small_problem(width, draw)
    constants = square_loss_constants(net, net.start, y)
    monitor = AimingMonitor(lambda w: (net(w) - y).square().sum() / (2 * POINTS), SNAPSHOTS)
    w, lr = net.start.clone(), 0.5 / constants.beta
    for step in range(steps):
        monitor.record(step, w)
        net.descend(w, y, torch.randint(POINTS, (1,), generator=draw), lr)
    # The end of training, brought to the nearby solution by Newton's method.
    final = project_to_interpolation(net, w, y, w, max_iterations=0).point

    def project(snapshot: Tensor):
        return project_to_interpolation(net, snapshot, y, final, max_iterations=projection_steps)

    table = monitor.finalize(final, project=project if projection_steps else None)
    found = {str(name): table[name].to_numpy(float) for name in table}
    bare = monitor.finalize(w)["theta_final"]
    result = {
        "beta": constants.beta,
        "theta_final": float(found["theta_final"].min()),
        "shortfall_final": 2 - float(found["theta_final"].min()),
        "shortfall_last": 2 - float(bare.to_numpy(float).min()),
        "late_theta": float(found["theta_final"][-1]),
        "pl_excess": excess(found["pl"], found["theta_final"], found["growth_final"]),
    }
    if projection_steps:
        result |= {
            "theta": float(found["theta"].min()),
            "pl_excess_projected": excess(found["pl"], found["theta"], found["growth"]),
            "tangential": float(found["tangential"].max()),
        }
    return result


def excess(pl: np.ndarray, theta: np.ndarray, growth: np.ndarray) -> float:
    """Smallest ratio of ½‖∇L‖²/L to αθ²/4 over the snapshots."""
    return float((pl / (growth * theta**2 / 4)).min())


def pair_problem(seed: int) -> tuple[Net, Tensor, Any]:
    """200 zeros and ones of the digits, rows of norm 8, a network, and its constants."""
    draw = torch.Generator().manual_seed(seed)
    pixels, classes = load_digits(return_X_y=True)
    chosen = np.flatnonzero(classes < 2)
    chosen = chosen[torch.randperm(len(chosen), generator=draw)[:PAIR].numpy()]
    x = torch.as_tensor(pixels[chosen])
    x *= 8 / x.norm(dim=1, keepdim=True)
    y = torch.as_tensor(2.0 * classes[chosen] - 1, dtype=torch.float64)
    net = Net(x, PAIR_WIDTH, draw)
    return net, y, square_loss_constants(net, net.start, y)


def race(batch_size: int, reduction: float, seed: int) -> dict[str, Any]:
    """Iterations until the loss has fallen to `reduction` of its start, looked at every tenth."""
    net, y, constants = pair_problem(seed)
    draw = torch.Generator().manual_seed(seed)
    full = batch_size == len(y)
    beta = constants.beta_full if full else constants.batch_beta(batch_size)
    w, lr = net.start.clone(), aiming_step_size(2.0, beta)
    result = {"beta": beta, "condition": constants.beta / constants.beta_full}
    for step in range(PATIENCE):
        if step % 10 == 0:
            loss = float((net(w) - y).square().sum()) / (2 * len(y))
            if loss <= reduction * constants.loss:
                return {**result, "iterations": step}
        batch = slice(None) if full else torch.randint(len(y), (batch_size,), generator=draw)
        net.descend(w, y, batch, lr)
    return {**result, "iterations": math.inf}


def timid(steps: int, seed: int) -> dict[str, Any]:
    """What the step size that is safe without aiming, μ/(Λβ), leaves of the loss."""
    net, y, constants = pair_problem(seed)
    lr = constants.pl_bound / (constants.beta_full * constants.beta)
    w = net.start.clone()
    for _ in range(steps):
        net.descend(w, y, slice(None), lr)
    left = float((net(w) - y).square().sum()) / (2 * len(y)) / constants.loss
    return {"left": left, "lr_ratio": lr * constants.beta}


def small_problem(width: int, draw: torch.Generator) -> tuple[Net, Tensor]:
    """Points on the sphere of radius √d with random labels, and a network."""
    x = torch.randn(POINTS, INPUTS, generator=draw, dtype=torch.float64)
    x *= math.sqrt(INPUTS) / x.norm(dim=1, keepdim=True)
    y = torch.randn(POINTS, generator=draw, dtype=torch.float64)
    return Net(x, width, draw), y
