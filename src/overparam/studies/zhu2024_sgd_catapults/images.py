"""Classes of images as one-hot targets: test error by batch size, and with one catapult."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from overparam.datasets.named import load
from overparam.dynamics.agop import agop, agop_alignment
from overparam.nets.mlp import ntk_mlp
from overparam.optim.stability import critical_learning_rate

# Classes, and how many examples the strong network sees that gives the reference AGOP.
CLASSES = {"digits": tuple(range(10)), "mnist": tuple(range(10)), "cifar10": (0, 2)}
STRONG = {"digits": 1400, "mnist": 10_000, "cifar10": 1400}
DONE = 1e-2


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """(1/n) Σ ‖f − y‖²: a sum over classes, a mean over examples."""
    return (outputs - targets).square().sum(1).mean()


def on_images(
    data: str, width: int, n: int, setting: str, factor: float, steps: int, seed: int
) -> dict[str, Any]:
    """Training on n examples at `factor` of the critical rate, in batches or with a catapult."""
    draw = torch.Generator().manual_seed(seed)
    x, y, x_test, y_test = images(data, draw)
    sizes = [x.shape[1], width, y.shape[1]]
    strong = ntk_mlp(sizes, "relu", seed=draw)
    descend(strong, x, y, 100, 0.5, steps=min(steps, len(x) * 15 // 100), momentum=0.9, draw=draw)
    reference = agop(strong, x_test[:200])
    net = ntk_mlp(sizes, "relu", seed=draw)
    batch = n if setting == "catapult" else min(n, int(setting))
    start = agop(net, x_test[:200])
    taken = descend(net, x[:n], y[:n], batch, factor, steps=steps, momentum=0.0, draw=draw)
    with torch.no_grad():
        outputs = net(x_test)
    wrong = (outputs.argmax(1) != y_test.argmax(1)).float().mean().item()
    with torch.no_grad():
        strong_wrong = (strong(x_test).argmax(1) != y_test.argmax(1)).float().mean().item()
    return {
        "wrong": wrong,
        "test": squared_error(outputs, y_test).item(),
        "cosine": agop_alignment(agop(net, x_test[:200]), reference),
        "start_cosine": agop_alignment(start, reference),
        "strong_wrong": strong_wrong,
        "steps_taken": taken,
    }


def images(data: str, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows centred and scaled to norm √d, targets one-hot; the strong network's part first."""
    source = load(data)
    x = np.concatenate([source.x_train, source.x_test])
    y = np.concatenate([source.y_train, source.y_test])
    kept = np.flatnonzero(np.isin(y, CLASSES[data]))
    kept = kept[torch.randperm(len(kept), generator=draw).numpy()[: STRONG[data] + 2000]]
    rows = torch.as_tensor(x[kept].reshape(len(kept), -1), dtype=torch.float32)
    rows = rows - rows.mean(1, keepdim=True)
    rows = math.sqrt(rows.shape[1]) * rows / rows.norm(dim=1, keepdim=True)
    places = torch.as_tensor(np.searchsorted(CLASSES[data], y[kept]))
    targets = nn.functional.one_hot(places, len(CLASSES[data])).float()
    cut = STRONG[data]
    return rows[:cut], targets[:cut], rows[cut:], targets[cut:]


def descend(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    batch: int,
    factor: float,
    *,
    steps: int,
    momentum: float,
    draw: torch.Generator,
) -> int:
    """Train at `factor` of the first critical rate until the loss is small."""
    part = slice(0, min(len(x), 500))
    lr = factor * critical_learning_rate(net, x[part], y[part], squared_error)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    taken = 0
    while taken < steps:
        for index in torch.randperm(len(x), generator=draw).split(batch):
            optimizer.zero_grad()
            loss = squared_error(net(x[index]), y[index])
            loss.backward()
            optimizer.step()
            taken += 1
        if taken % 10 == 0 or batch < len(x):
            with torch.no_grad():
                full = squared_error(net(x[part]), y[part]).item()
            if not full <= 1e6 or (full < DONE and momentum == 0):
                break
    return taken
