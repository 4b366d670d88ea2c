"""Two-layer quadratic networks on the same tasks, trained with decay and regularisers."""

import math
from typing import Any

import torch
from torch import Tensor

from overparam.kernels.modular.arithmetic import ModularTask, modular_arithmetic
from overparam.kernels.modular.circulance import circulant_deviation
from overparam.kernels.modular.operand_features import operand_block, random_circulant_features
from overparam.kernels.modular.quadratic_network import (
    QuadraticNetwork,
    quadratic_agop,
    quadratic_agop_trace,
)
from overparam.kernels.powers import matrix_power_psd

REGULARISERS = {
    "AdamW": {"decay": 1.0, "trace": 0.0},
    "none": {"decay": 0.0, "trace": 0.0},
    "weight decay": {"decay": 1e-5, "trace": 0.0},
    "AGOP trace": {"decay": 0.0, "trace": 1e-3},
}


def network(
    regulariser: str,
    operation: str,
    p: int,
    fraction: float,
    width: int,
    epochs: int,
    batch: int,
    every: int,
    seed: int,
) -> dict[str, Any]:
    """Accuracies and feature measures after every so many epochs, as lists.

    The loss is the mean squared error over pairs and outputs. "AdamW" has the paper's rate,
    betas and decoupled decay; the others are gradient descent at rate 1, whose decay is that of
    torch's SGD.
    """
    draw = torch.Generator().manual_seed(seed)
    dtype = torch.get_default_dtype()
    task = modular_arithmetic(operation, p, train_fraction=fraction, seed=draw, dtype=dtype)
    net = QuadraticNetwork(2 * p, width, outputs=p, seed=draw, dtype=dtype)
    strength = REGULARISERS[regulariser]
    if regulariser == "AdamW":
        optimizer = torch.optim.AdamW(
            net.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=strength["decay"]
        )
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=1.0, weight_decay=strength["decay"])
    result: dict[str, list] = {}
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(task.x_train), generator=draw).split(batch):
            x, y = task.x_train[rows], task.y_train[rows]
            loss = (net(x) - y).square().mean()
            if strength["trace"]:
                loss = loss + strength["trace"] * quadratic_agop_trace(net, x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % every == 0:
            for name, value in measures(net, task).items():
                result.setdefault(name, []).append(value)
            result.setdefault("epoch", []).append(epoch)
    return result | milestones(result)


def given_features(
    kind: str, operation: str, p: int, fraction: float, width: int, epochs: int, batch: int,
    every: int, seed: int,
) -> dict[str, list]:  # fmt: skip
    """Accuracies of a network whose inputs are seen under random features, or as they are.

    As a kernel machine would, it sees M^½ x for a matrix M of `random_circulant_features`.
    Training is by AdamW, as in `network`.
    """
    draw = torch.Generator().manual_seed(seed)
    task = modular_arithmetic(operation, p, train_fraction=fraction, seed=draw, dtype=torch.float32)
    root = torch.eye(2 * p)
    if kind != "none":
        matrix = random_circulant_features(operation, p, kind=kind, seed=draw)
        root = matrix_power_psd(matrix, 0.5).float()
    x, x_test = task.x_train @ root, task.x_test @ root
    net = QuadraticNetwork(2 * p, width, outputs=p, seed=draw, dtype=torch.float32)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)
    result: dict[str, list] = {"accuracy": [], "train_accuracy": [], "epoch": []}
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(x), generator=draw).split(batch):
            optimizer.zero_grad()
            (net(x[rows]) - task.y_train[rows]).square().mean().backward()
            optimizer.step()
        if epoch % every == 0:
            result["accuracy"].append(accuracy(net, x_test, task.y_test))
            result["train_accuracy"].append(accuracy(net, x, task.y_train))
            result["epoch"].append(epoch)
    return result


@torch.no_grad()
def measures(net: QuadraticNetwork, task: ModularTask) -> dict[str, float]:
    """Accuracies; correlation of W₁ᵀW₁ with AGOP^½; how circulant AGOP^½ is."""
    features = matrix_power_psd(quadratic_agop(net, task.x_train).double(), 0.5)
    weights = net.first.weight.double()
    pair = torch.stack([(weights.T @ weights).flatten(), features.flatten()])
    block = operand_block(features, task.operation)
    return {
        "train_accuracy": accuracy(net, task.x_train, task.y_train),
        "accuracy": accuracy(net, task.x_test, task.y_test),
        "correlation": float(torch.corrcoef(pair)[0, 1]),
        "circulant": circulant_deviation(block, kind="circulant"),
        "hankel": circulant_deviation(block, kind="hankel"),
    }


@torch.no_grad()
def accuracy(net: QuadraticNetwork, x: Tensor, y: Tensor) -> float:
    """Share of pairs whose largest output is the correct one."""
    return float((net(x).argmax(1) == y.argmax(1)).double().mean())


def milestones(result: dict[str, list]) -> dict[str, float]:
    """How long after the training pairs the test pairs are learned, and the test accuracy then."""
    trained, tested = (
        next((i for i, value in enumerate(result[name]) if value >= 0.999), None)
        for name in ("train_accuracy", "accuracy")
    )
    delay = math.nan
    if trained is not None and tested is not None:
        delay = result["epoch"][tested] - result["epoch"][trained]
    return {
        "delay": delay,
        "accuracy_when_trained": math.nan if trained is None else result["accuracy"][trained],
    }
