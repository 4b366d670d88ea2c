"""Best test loss of a network and of its Taylor polynomials, by learning rate."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from overparam.datasets.named import load
from overparam.expansions.gate_frozen import GateFrozenNetwork, freeze_gates
from overparam.nets.mlp import ntk_mlp
from overparam.tangents.empirical import empirical_ntk

PAIRS = {"digits": (3, 8), "mnist": (3, 8), "cifar10": (0, 2)}  # the last: airplane and bird
SCALINGS = ("mean row", "own mean")  # the paper's is not stated: both
EVERY = 10  # steps between two looks at the test loss


def two_classes(
    data: str, n_train: int, n_test: int, draw: torch.Generator, scaling: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two classes as ±1, rows scaled to norm √d; a random draw.

    Before that the mean training row is taken off, or each row's own mean.
    """
    source = load(data)
    x = np.concatenate([source.x_train, source.x_test]).reshape(
        len(source.x_train) + len(source.x_test), -1
    )
    y = np.concatenate([source.y_train, source.y_test])
    low, high = PAIRS[data]
    kept = torch.as_tensor(np.flatnonzero((y == low) | (y == high)))
    chosen = kept[torch.randperm(len(kept), generator=draw)[: n_train + n_test]].numpy()
    rows = torch.as_tensor(x[chosen], dtype=torch.float32)
    rows = rows - (rows[:n_train].mean(0) if scaling == "mean row" else rows.mean(1, keepdim=True))
    rows = math.sqrt(rows.shape[1]) * rows / rows.norm(dim=1, keepdim=True)
    signs = torch.as_tensor(np.where(y[chosen] == low, -1.0, 1.0), dtype=torch.float32)[:, None]
    return rows[:n_train], signs[:n_train], rows[n_train:], signs[n_train:]


def best_test_losses(
    data: str,
    width: int,
    n_train: int,
    n_test: int,
    steps: int,
    factor: float,
    scaling: str,
    draw: torch.Generator,
) -> dict[str, Any]:
    """Least test loss along gradient descent at `factor` times the critical rate, by model."""
    x, y, x_test, y_test = two_classes(data, n_train, n_test, draw, scaling)
    start = ntk_mlp([x.shape[1], width, 1], "relu", seed=draw)
    kernel = empirical_ntk(start, x).double()
    lr = factor * n_train / float(torch.linalg.eigvalsh(kernel)[-1])
    best, losses = linear_descent(start, kernel, (x, y), (x_test, y_test), lr, steps)
    found: dict[str, Any] = {"linear_best": best, "linear_diverged": is_lost(losses)}
    for name in ("quadratic", "network"):
        frozen = freeze_gates(start)
        function: Callable[[Tensor, Tensor], Tensor] = {
            "quadratic": frozen,
            "network": lambda inputs, gates, frozen=frozen: frozen.network(inputs),
        }[name]
        best, diverged = descend(function, frozen, (x, y), (x_test, y_test), lr, steps)
        found |= {f"{name}_best": best, f"{name}_diverged": diverged}
    return found


def is_lost(losses: Sequence[float]) -> bool:
    """Whether a training diverged, by its losses."""
    return not losses[-1] <= 1e6 * losses[0]


def linear_descent(
    start: nn.Module,
    kernel: Tensor,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    lr: float,
    steps: int,
    batches: Iterator[Tensor] | None = None,
) -> tuple[float, list[float]]:
    """Descent of a network's first Taylor polynomial, by its outputs: f ← f − η K ∂L/∂f.

    That is descent on its parameters, in as many numbers as there are examples: `kernel` is K of
    the training examples at `start`, in double precision. On the mean square of all of them, or
    of those that `batches` names step by step. The best test loss, and the losses of training.
    """
    (x, y), (x_test, y_test) = train, test
    cross = empirical_ntk(start, x_test, x).double()
    with torch.no_grad():
        outputs, test_outputs = start(x).double()[:, 0], start(x_test).double()[:, 0]
    y, y_test = y.double()[:, 0], y_test.double()[:, 0]
    whole, best, losses = torch.arange(len(x)), math.inf, []
    for step in range(steps + 1):
        residual = outputs - y
        losses.append(float(residual.square().mean()))
        if is_lost(losses):
            break
        if step % EVERY == 0:
            best = min(best, float((test_outputs - y_test).square().mean()))
        rows = whole if batches is None else next(batches)
        slope = 2 / len(rows) * lr * residual[rows]
        outputs = outputs - kernel[:, rows] @ slope
        test_outputs = test_outputs - cross[:, rows] @ slope
    return best, losses


def descend(
    function: Callable[[Tensor, Tensor], Tensor],
    frozen: GateFrozenNetwork,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    lr: float,
    steps: int,
) -> tuple[float, bool]:
    """Gradient descent on the mean square; best test loss, and whether it diverged."""
    gates, test_gates = (frozen.gates(part[0]).float() for part in (train, test))
    optimizer = torch.optim.SGD([p for p in frozen.parameters() if p.requires_grad], lr=lr)
    best = first = math.inf
    for step in range(steps + 1):
        loss = nn.functional.mse_loss(function(train[0], gates), train[1])
        value = loss.item()
        first = value if step == 0 else first
        if not value <= 1e6 * first:
            return best, True
        if step % EVERY == 0:
            with torch.no_grad():
                best = min(
                    best, float(nn.functional.mse_loss(function(test[0], test_gates), test[1]))
                )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return best, False
