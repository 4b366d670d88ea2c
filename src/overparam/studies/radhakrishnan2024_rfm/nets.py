"""Fully connected networks on the same target: their features, and those of the machine."""

import copy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from overparam.kernels.functions import Laplace
from overparam.kernels.recursion import feature_recursion
from overparam.studies.radhakrishnan2024_rfm.low_rank import (
    BANDWIDTH,
    DIMENSIONS,
    RIDGE,
    ROUNDS,
    target,
)

WIDTH, HIDDEN, BATCH, RATE = 256, 3, 128, 1e-3
# All weights start at this part of torch's own: features are learned, not inherited.
SHRINK = 0.1
# So far are coordinates shifted for the control: none of the target's falls on another.
SHIFT = 7


def deep(points: int, epochs: int, seed: int) -> dict[str, Any]:
    """A network with three hidden layers and a machine on the same points.

    Features of layer l are W_lᵀW_l; beside them the average outer product of the gradients by
    that layer's inputs. Correlations are Pearson's, over all entries of both matrices.
    """
    draw = torch.Generator().manual_seed(seed)
    x = 0.5 * torch.randn(points + 2000, DIMENSIONS, generator=draw, dtype=torch.float64)
    train, test = x[:points], x[points:]
    y, scale = target(train), target(train).std()
    net = network(seed)
    start = copy.deepcopy(net)
    inputs, targets = train.float(), (y / scale).float()
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(epochs):
        for rows in torch.randperm(points, generator=draw).split(BATCH):
            optimizer.zero_grad()
            nn.functional.mse_loss(net(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    *_, last = feature_recursion(train, y, Laplace(BANDWIDTH), ridge=RIDGE, n_iter=ROUNDS)
    metric = last.predictor.feature_matrix
    assert metric is not None
    found = features(net, inputs)
    first, shifted = found[0][0].double(), metric.roll((SHIFT, SHIFT), (0, 1))
    with torch.no_grad():
        error = (net(test.float()).double() * scale - target(test)).square().mean().item()
    machine_error = (last.predictor(test) - target(test)).square().mean().item()
    return {
        "ansatz": [correlation(*pair) for pair in found],
        "ansatz_at_start": [correlation(*pair) for pair in features(start, inputs)],
        "ansatz_shifted": [
            correlation(weights, outer.roll((SHIFT, SHIFT), (0, 1))) for weights, outer in found
        ],
        "same_features": correlation(first, metric),
        "shifted_features": correlation(first, shifted),
        "network_error": error,
        "error_ratio": machine_error / error,
    }


def network(seed: int) -> nn.Sequential:
    """Three hidden layers of ReLU, without biases, all weights small."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = [DIMENSIONS, *[WIDTH] * HIDDEN]
        layers = [
            part for a, b in pairwise(widths) for part in (nn.Linear(a, b, bias=False), nn.ReLU())
        ]
        net = nn.Sequential(*layers, nn.Linear(WIDTH, 1, bias=False))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(SHRINK)
    return net


def features(net: nn.Sequential, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """W_lᵀW_l and the AGOP by the layer's inputs, for every hidden layer."""
    found, current = [], x.clone().requires_grad_()
    inputs, weights = [], []
    for part in net:
        if isinstance(part, nn.Linear):
            inputs.append(current)
            weights.append(part.weight.detach())
        current = part(current)
    slopes = torch.autograd.grad(current.sum(), inputs)
    for weight, slope in zip(weights[:HIDDEN], slopes[:HIDDEN], strict=True):
        found.append((weight.T @ weight, slope.T @ slope / len(x)))
    return found


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's correlation of entries."""
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]).double())[0, 1])
