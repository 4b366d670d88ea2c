"""Products of normal inputs: training runs, their catapults, features and test errors."""

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from overparam.dynamics.catapult_counter import CatapultCounter
from overparam.dynamics.catapult_scheduler import CatapultScheduler
from overparam.nets.mlp import ntk_mlp
from overparam.optim.critical_rate import critical_learning_rate
from overparam.tangents.input_gradients import agop, agop_alignment

D, N, N_TEST, DONE = 30, 256, 2000, 1e-3
# Losses below this part of the first open no catapult: they are the last examples being fitted.
FLOOR = 1e-2
# Pairs of inputs that are multiplied and added.
TASKS = {
    "x1x2": ((0, 1),),
    "x1x2+x2x3": ((0, 1), (1, 2)),
    "x1x2+x3x4": ((0, 1), (2, 3)),
}
mse = nn.functional.mse_loss


@dataclass(frozen=True)
class Problem:
    """Training and test examples, a network at its start, and the target's AGOP."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    net: nn.Sequential
    target_agop: Tensor
    draw: torch.Generator

    def critical(self, optimizer: torch.optim.Optimizer | None = None) -> float:
        """Critical learning rate on all examples, now; NaN after a training that diverged."""
        if not self.finite():
            return math.nan
        return critical_learning_rate(self.net, self.x, self.y, mse, optimizer)

    def finite(self) -> bool:
        """Whether the network's outputs, squared and summed as well, are still numbers."""
        with torch.no_grad():
            return all(bool(self.net(x).square().sum() < 1e30) for x in (self.x, self.x_test))

    def outcome(self) -> dict[str, float]:
        """Test error over the target's variance, and alignments of the AGOP.

        NaN after a training that diverged: at the same rate some seeds do with small batches.
        """
        if not self.finite():
            return dict.fromkeys(("test", "cosine", "control_cosine"), math.nan)
        found = agop(self.net, self.x_test)
        with torch.no_grad():
            error = mse(self.net(self.x_test), self.y_test).item()
        # The control: the projector onto two inputs that the target does not use.
        unused = torch.diag(torch.arange(D) >= D - 2).to(found)
        return {
            "test": error / self.y_test.square().mean().item(),
            "cosine": agop_alignment(found, self.target_agop),
            "control_cosine": agop_alignment(found, unused),
        }


def problem(task: str, width: int, seed: int) -> Problem:
    """The target y = Σ x_a x_b over the task's pairs, and a network: all of them of this seed."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(N + N_TEST, D, generator=draw)
    y = torch.stack([x[:, a] * x[:, b] for a, b in TASKS[task]]).sum(0)[:, None]
    # E ∇f*∇f*ᵀ of a sum of products: at a, b the count of products that share an input.
    slopes = torch.zeros(D, D)
    for a, b in TASKS[task]:
        slopes[a, a] += 1
        slopes[b, b] += 1
    if task == "x1x2+x2x3":  # ∂₁ = x₂ = ∂₃
        slopes[0, 2] = slopes[2, 0] = 1
    net = ntk_mlp([D, width, 1], "relu", seed=draw)
    return Problem(x[:N], y[:N], x[N:], y[N:], net, slopes, draw)


def tangent_kernel(net: nn.Sequential, x: Tensor) -> Tensor:
    """The kernel of a two-layer ReLU network in NTK parametrisation, in closed form."""
    first, last = (p.detach() for p in net.parameters())
    last = last[0]
    inputs = x / math.sqrt(x.shape[1])
    hidden = inputs @ first.T
    gates = (hidden > 0).to(x)
    hidden = hidden * gates
    return (hidden @ hidden.T + (inputs @ inputs.T) * ((gates * last.square()) @ gates.T)) / len(
        last
    )


def batches(n: int, size: int, draw: torch.Generator) -> Tensor:
    """A random order of the examples in rows of `size`, remainders dropped."""
    return torch.randperm(n, generator=draw)[: n // size * size].view(-1, size)


def train(
    at: Problem,
    optimizer: torch.optim.Optimizer,
    batch: int,
    steps: int,
    after: Callable[[float, Tensor], bool] | None = None,
) -> int:
    """Train until the full loss is small; return the steps taken.

    `after` is called with the full loss and the batch before every step, and may say to go on
    regardless. Without it, the full loss is looked at once an epoch.
    """
    taken, whole = 0, batch >= N
    while taken < steps:
        full = math.inf
        for index in [torch.arange(N)] if whole else batches(N, batch, at.draw):
            optimizer.zero_grad()
            loss = mse(at.net(at.x[index]), at.y[index])
            loss.backward()
            more = False
            if after or whole:
                full = loss.item() if whole else full_loss(at)
                more = after(full, index) if after else False
            if not full <= 1e6 and (after or whole):
                return taken
            if full < DONE and not more:
                return taken
            optimizer.step()
            taken += 1
            if taken == steps:
                return taken
        if not after and not whole and not DONE < full_loss(at) <= 1e6:
            return taken
    return taken


def full_loss(at: Problem) -> float:
    """The loss on all training examples."""
    with torch.no_grad():
        return mse(at.net(at.x), at.y).item()


def by_batch_size(width: int, batch: int, factor: float, steps: int, seed: int) -> dict[str, Any]:
    """Stochastic gradient descent at a fixed rate, below the full batch's critical one."""
    at = problem("x1x2", width, seed)
    start = at.critical()
    lr = factor * start
    optimizer = torch.optim.SGD(at.net.parameters(), lr=lr)
    counter, ratios, seen = CatapultCounter(floor=FLOOR), list[bool](), itertools.count()

    def after(full: float, index: Tensor) -> bool:
        counter.update(full)
        # A large batch's kernel costs more than the step, and changes as little.
        if next(seen) % max(1, len(index) // 8) == 0:
            kernel = tangent_kernel(at.net, at.x[index])
            largest = torch.linalg.eigvalsh(kernel.double())[-1].item()
            ratios.append(lr > len(index) / largest)
        return False

    taken = train(at, optimizer, batch, steps, after)
    return {
        **at.outcome(),
        "catapults": counter.count,
        "super_critical": sum(ratios) / len(ratios),
        "kept": start / at.critical(),
        "steps_taken": taken,
    }


def by_catapults(width: int, count: int, mult: float, steps: int, seed: int) -> dict[str, Any]:
    """Full-batch descent with that many catapults provoked by the scheduler."""
    at = problem("x1x2", width, seed)
    start = at.critical()
    optimizer = torch.optim.SGD(at.net.parameters(), lr=0.5 * start)
    schedule = None
    if count:
        schedule = CatapultScheduler(optimizer, at.critical, n_catapults=count, mult=mult)

    def after(full: float, _: Tensor) -> bool:
        if schedule is None:
            return False
        schedule.step(full)
        return schedule.phase != "finished"

    taken = train(at, optimizer, N, steps, after)
    return {
        **at.outcome(),
        "catapults": schedule.n_done if schedule else 0,
        "kept": start / at.critical(),
        "steps_taken": taken,
    }


# Optimizer, learning rate (a factor of the critical one if it begins with ×), batch size.
OPTIMIZERS: dict[str, tuple[str, str, int]] = {
    "sgd 256": ("SGD", "×0.7", 256),
    "sgd 16": ("SGD", "×0.7", 16),
    "sgd 4": ("SGD", "×0.7", 4),
    "gd 1.5": ("SGD", "×1.5", 256),
    "momentum 256": ("momentum", "×0.2", 256),
    "momentum 32": ("momentum", "×0.2", 32),
    "adam 256": ("Adam", "0.02", 256),
    "adam 32": ("Adam", "0.02", 32),
    "rmsprop 32": ("RMSprop", "0.005", 32),
    "adagrad 32": ("Adagrad", "0.1", 32),
    "adadelta 32": ("Adadelta", "5", 32),
}


def by_optimizer(task: str, width: int, setting: str, steps: int, seed: int) -> dict[str, Any]:
    """One optimizer on one task."""
    at = problem(task, width, seed)
    kind, rate, batch = OPTIMIZERS[setting]
    lr = float(rate.removeprefix("×")) * (at.critical() if rate.startswith("×") else 1)
    if kind == "momentum":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(at.net.parameters(), lr=lr, momentum=0.9)
    else:
        optimizer = getattr(torch.optim, kind)(at.net.parameters(), lr=lr)
    taken = train(at, optimizer, batch, steps)
    return {**at.outcome(), "steps_taken": taken}


def spike_location(width: int, mult: float, seed: int) -> dict[str, Any]:
    """One catapult of full-batch descent: where in the kernel's spectrum the loss rises."""
    at = problem("x1x2", width, seed)
    optimizer = torch.optim.SGD(at.net.parameters(), lr=0.5 * at.critical())

    def step() -> None:
        optimizer.zero_grad()
        mse(at.net(at.x), at.y).backward()
        optimizer.step()

    for _ in range(20):
        step()
    before, kernel = split(at, at.net), tangent_kernel(at.net, at.x).norm().item()
    optimizer.param_groups[0]["lr"] = mult * at.critical()
    highest, at_peak, loss = before["total"], at.net, before["total"]
    for _ in range(300):
        step()
        loss = full_loss(at)
        if loss > highest:
            highest, at_peak = loss, copy.deepcopy(at.net)
        if highest > 1.5 * before["total"] and loss < before["total"]:
            break
    peak = split(at, at_peak)
    rise = peak["total"] - before["total"]
    return {
        "rise": peak["total"] / before["total"],
        "share_one": (peak["one"] - before["one"]) / rise if rise > 0 else math.nan,
        "rest_ratio": peak["rest"] / before["rest"],
        "kernel_kept": tangent_kernel(at.net, at.x).norm().item() / kernel,
        "returned": loss < before["total"],
    }


def split(at: Problem, net: nn.Sequential) -> dict[str, float]:
    """Loss in the top eigenvector of the network's kernel, beyond the fifth, and in all."""
    with torch.no_grad():
        residual = (net(at.x) - at.y)[:, 0].double()
    vectors = torch.linalg.eigh(tangent_kernel(net, at.x).double())[1]
    parts = (vectors.T @ residual).square() / N
    return {
        "one": parts[-1].item(),
        "rest": parts[:-5].sum().item(),
        "total": parts.sum().item(),
    }
