"""Other activations, a third layer, convolutions and SGD: networks and their Taylor polynomials."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from overparam.expansions.gate_frozen import freeze_gates
from overparam.expansions.quadratized import quadratize
from overparam.nets.cnn import ntk_cnn
from overparam.nets.mlp import ntk_mlp
from overparam.studies.zhu2024_quadratic_catapult.generalisation import (
    EVERY,
    is_lost,
    linear_descent,
    two_classes,
)
from overparam.tangents.empirical import empirical_ntk

SETTINGS = ("sgd", "tanh", "swish", "three layers", "convolutions")
# SGD at rates in units of the least critical rate of four batches, not of the whole one.
BY_BATCH = "sgd at rates of its batches"
PARTS = 4  # of the training examples, a batch of SGD each


class Swish(nn.Module):
    """x · sigmoid(x), whose own kernel in torch has no second derivative in forward mode."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return x * torch.sigmoid(x)


def start(setting: str, width: int, inputs: int, draw: torch.Generator) -> nn.Sequential:
    """The network of a setting, in NTK parametrisation."""
    if setting == "convolutions":
        side = math.isqrt(inputs)
        layers = ntk_cnn((1, side, side), [max(2, width // 4)], head="flatten", seed=draw)
        return nn.Sequential(nn.Unflatten(1, (1, side, side)), layers)
    if setting == "three layers":
        return ntk_mlp([inputs, width, width, 1], "relu", seed=draw)
    net = ntk_mlp([inputs, width, 1], "relu" if "sgd" in setting else "tanh", seed=draw)
    if setting == "swish":
        net = nn.Sequential(*(Swish() if isinstance(part, nn.Tanh) else part for part in net))
    return net


def deep(setting: str, width: int, steps: int, factor: float, seed: int) -> dict[str, Any]:
    """48 digits of two classes at `factor` of the critical rate, by the network and polynomials.

    For each its best test loss, whether it diverged, the largest training loss over the first,
    and whether it came back below that.
    """
    draw = torch.Generator().manual_seed(seed)
    x, y, x_test, y_test = two_classes("digits", 48, 200, draw, "mean row")
    net = start(setting, width, x.shape[1], draw)
    kernel = empirical_ntk(net, x).double()
    batches = [torch.arange(len(x))]
    if setting == BY_BATCH:
        batches = list(torch.randperm(len(x), generator=draw).chunk(PARTS))
    lr = factor * min(
        len(rows) / float(torch.linalg.eigvalsh(kernel[rows][:, rows])[-1]) for rows in batches
    )
    by_parts, order = "sgd" in setting, draw.get_state()
    seen: dict[str, tuple[float, list[float]]] = {}
    for name in ("linear", "quadratic", "network"):
        draw.set_state(order)  # the same batches
        rows = in_turn(len(x), draw, by_parts=by_parts)
        if name == "linear":
            seen[name] = linear_descent(net, kernel, (x, y), (x_test, y_test), lr, steps, rows)
        else:
            model = polynomial(net) if name == "quadratic" else copy.deepcopy(net)
            seen[name] = descend(model, (x, y), (x_test, y_test), lr, steps, rows)
    found: dict[str, Any] = {}
    for name, (best, losses) in seen.items():
        lost = is_lost(losses)
        found |= {
            f"{name}_best": best,
            f"{name}_diverged": lost,
            f"{name}_rise": math.inf if lost else max(losses) / losses[0],
            f"{name}_returned": not lost and losses[-1] < losses[0],
        }
    return found


def polynomial(net: nn.Sequential) -> nn.Module:
    """The second Taylor polynomial; of two layers of ReLU the one that costs what the net costs."""
    two_layers = len(net) == 3 and isinstance(net[1], nn.ReLU)
    return freeze_gates(net) if two_layers else quadratize(net)


def in_turn(n: int, draw: torch.Generator, *, by_parts: bool) -> Iterator[Tensor]:
    """Step by step the examples that it sees: all of them, or a random quarter of those left."""
    while True:
        parts = torch.randperm(n, generator=draw).chunk(PARTS) if by_parts else [torch.arange(n)]
        yield from reversed(parts)


def descend(
    model: nn.Module,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    lr: float,
    steps: int,
    batches: Iterator[Tensor],
) -> tuple[float, list[float]]:
    """Descent on the mean square of `batches`; the best test loss, and the losses of training."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
    x, y = train
    best = math.inf
    losses: list[float] = []
    for step in range(steps + 1):
        outputs = model(x)
        losses.append(nn.functional.mse_loss(outputs, y).item())
        if is_lost(losses):
            break
        if step % EVERY == 0:
            with torch.no_grad():
                best = min(best, nn.functional.mse_loss(model(test[0]), test[1]).item())
        rows = next(batches)
        optimizer.zero_grad()
        nn.functional.mse_loss(outputs[rows], y[rows]).backward()
        optimizer.step()
    return best, losses
