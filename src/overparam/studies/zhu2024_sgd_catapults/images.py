"""Classes of images as one-hot targets: test error by batch size, and with one catapult."""

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from overparam.datasets.named import load
from overparam.dynamics.catapult_scheduler import CatapultScheduler
from overparam.nets.mlp import ntk_mlp
from overparam.optim.critical_rate import critical_learning_rate
from overparam.studies.zhu2024_sgd_catapults.synthetic import batches
from overparam.tangents.input_gradients import agop, agop_alignment

# Classes, and how many examples the strong network sees that gives the reference AGOP.
CLASSES = {"digits": tuple(range(10)), "mnist": tuple(range(10)), "cifar10": (0, 2)}
STRONG = {"digits": 1400, "mnist": 10_000, "cifar10": 1400}
DONE = 1e-3
SCALINGS = ("mean row", "own mean", "as they are")  # the paper's is not stated: all of them
SEEN = 400  # test inputs that the AGOP is averaged over


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """(1/n) Σ ‖f − y‖²: a sum over classes, a mean over examples."""
    return (outputs - targets).square().sum(1).mean()


def on_images(
    data: str, width: int, n: int, setting: str, factor: float, steps: int, seed: int
) -> dict[str, Any]:
    """Training on n examples at `factor` of the critical rate, in batches or with a catapult."""
    (x, y, x_test, y_test), reference, strong_wrong = strong_network(data, width, steps, seed)
    draw = torch.Generator().manual_seed(seed + 1_000_000)
    net = ntk_mlp([x.shape[1], width, y.shape[1]], "relu", seed=draw)
    start = agop(net, x_test[:SEEN])
    if setting == "catapult":
        taken = one_catapult(net, x[:n], y[:n], factor, steps)
    else:
        taken = descend(net, x[:n], y[:n], min(n, int(setting)), factor, steps, draw)
    with torch.no_grad():
        outputs = net(x_test)
    return {
        "wrong": share_wrong(outputs, y_test),
        "test": squared_error(outputs, y_test).item(),
        "cosine": agop_alignment(agop(net, x_test[:SEEN]), reference),
        "start_cosine": agop_alignment(start, reference),
        "strong_wrong": strong_wrong,
        "steps_taken": taken,
    }


@functools.lru_cache(maxsize=16)
def strong_network(
    data: str, width: int, steps: int, seed: int
) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor, float]:
    """Split and scaling, the strong network's AGOP, and its share of wrong classes.

    They are the seed's, the same in every setting of a seed, and are computed once for all.
    """
    shared = torch.Generator().manual_seed(seed)
    x, y, x_test, y_test = images(data, SCALINGS[seed % len(SCALINGS)], shared)
    strong = ntk_mlp([x.shape[1], width, y.shape[1]], "relu", seed=shared)
    train_strong(strong, x, y, min(steps, len(x) * 15 // 100), shared)
    with torch.no_grad():
        wrong = share_wrong(strong(x_test), y_test)
    return (x, y, x_test, y_test), agop(strong, x_test[:SEEN]), wrong


def share_wrong(outputs: Tensor, targets: Tensor) -> float:
    """Share of examples whose largest output is not that of their class."""
    return (outputs.argmax(1) != targets.argmax(1)).float().mean().item()


def images(data: str, scaling: str, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows scaled to norm √d, targets one-hot; the strong part first.

    Before that the mean row is taken off, or each row's own mean, or nothing.
    """
    source = load(data)
    x = np.concatenate([source.x_train, source.x_test])
    y = np.concatenate([source.y_train, source.y_test])
    kept = np.flatnonzero(np.isin(y, CLASSES[data]))
    cut = STRONG[data]
    kept = kept[torch.randperm(len(kept), generator=draw).numpy()[: cut + 2000]]
    rows = torch.as_tensor(x[kept].reshape(len(kept), -1), dtype=torch.float32)
    if scaling == "mean row":
        rows = rows - rows[:cut].mean(0)
    elif scaling == "own mean":
        rows = rows - rows.mean(1, keepdim=True)
    rows = math.sqrt(rows.shape[1]) * rows / rows.norm(dim=1, keepdim=True)
    places = torch.as_tensor(np.searchsorted(CLASSES[data], y[kept]))
    targets = nn.functional.one_hot(places, len(CLASSES[data])).float()
    return rows[:cut], targets[:cut], rows[cut:], targets[cut:]


def train_strong(net: nn.Module, x: Tensor, y: Tensor, steps: int, draw: torch.Generator) -> None:
    """Batches of 100 with momentum, at half of the critical rate of plain descent."""
    lr = 0.5 * critical_learning_rate(net, x[:500], y[:500], squared_error)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    taken = 0
    while taken < steps:
        for index in torch.randperm(len(x), generator=draw).split(100):
            step(net, optimizer, x[index], y[index])
            taken += 1


def step(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    """One step; the loss before it."""
    optimizer.zero_grad()
    loss = squared_error(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def descend(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    batch: int,
    factor: float,
    steps: int,
    draw: torch.Generator,
) -> int:
    """Train at `factor` of the first critical rate until the loss is small; steps taken."""
    lr = factor * critical_learning_rate(net, x, y, squared_error)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    taken, full = 0, 1.0
    while taken < steps and DONE < full <= 1e6:
        if batch >= len(x):
            full = step(net, optimizer, x, y)
            taken += 1
            continue
        for index in batches(len(x), batch, draw):
            step(net, optimizer, x[index], y[index])
            taken += 1
        with torch.no_grad():
            full = squared_error(net(x), y).item()
    return taken


def one_catapult(net: nn.Module, x: Tensor, y: Tensor, mult: float, steps: int) -> int:
    """Full-batch descent with one catapult at `mult` of the critical rate; steps taken."""

    def critical() -> float:
        return critical_learning_rate(net, x, y, squared_error)

    optimizer = torch.optim.SGD(net.parameters(), lr=0.5 * critical())
    schedule = CatapultScheduler(optimizer, critical, n_catapults=1, mult=mult)
    taken, full, loss = 0, 1.0, squared_error(net(x), y)
    while taken < steps and full <= 1e6 and (full > DONE or schedule.phase != "finished"):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss = squared_error(net(x), y)  # after this step, and what the next descends
        full = loss.item()
        if full <= 1e6:
            schedule.step(full)
        taken += 1
    return taken
