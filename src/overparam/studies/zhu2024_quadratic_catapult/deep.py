"""Other activations, a third layer, convolutions and SGD: networks and their Taylor polynomials."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from overparam.expansions.linearized import linearize
from overparam.expansions.quadratized import quadratize
from overparam.nets.cnn import ntk_cnn
from overparam.nets.mlp import ntk_mlp
from overparam.studies.zhu2024_quadratic_catapult.generalisation import two_classes
from overparam.tangents.empirical import empirical_ntk

SETTINGS = ("sgd", "tanh", "swish", "three layers", "convolutions")
# SGD at rates in units of the least critical rate of four batches, not of the whole one.
BY_BATCH = "sgd at rates of its batches"
PARTS = 4  # of the training examples, a batch of SGD each
EVERY = 10  # steps between two looks at the test loss


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
    models = {"linear": linearize(net), "quadratic": quadratize(net), "network": copy.deepcopy(net)}
    order = draw.get_state()
    found: dict[str, Any] = {}
    for name, model in models.items():
        draw.set_state(order)  # the same batches
        run = descend(model, (x, y), (x_test, y_test), lr, steps, draw, by_parts="sgd" in setting)
        found |= {f"{name}_{key}": value for key, value in run.items()}
    return found


def descend(
    model: nn.Module,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    lr: float,
    steps: int,
    draw: torch.Generator,
    *,
    by_parts: bool,
) -> dict[str, Any]:
    """Descent on the mean square, of all examples or of a quarter of them in turn."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
    x, y = train
    best = math.inf
    losses: list[float] = []
    parts: list[Tensor] = []
    for step in range(steps + 1):
        outputs = model(x)
        whole = nn.functional.mse_loss(outputs, y)
        losses.append(whole.item())
        if not losses[-1] <= 1e6 * losses[0]:
            break
        if step % EVERY == 0:
            with torch.no_grad():
                best = min(best, nn.functional.mse_loss(model(test[0]), test[1]).item())
        loss = whole
        if by_parts:
            parts = parts or list(torch.randperm(len(x), generator=draw).chunk(PARTS))
            rows = parts.pop()
            loss = nn.functional.mse_loss(outputs[rows], y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    diverged = not losses[-1] <= 1e6 * losses[0]
    return {
        "best": best,
        "diverged": diverged,
        "rise": math.inf if diverged else max(losses) / losses[0],
        "returned": not diverged and losses[-1] < losses[0],
    }
