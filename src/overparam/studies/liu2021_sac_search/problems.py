"""Three scores to maximise over a cube [-1, 1]^D, each a deterministic function of its point."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

DIMENSIONS = {"hartmann6": 6, "kernel ridge": 4, "network": 5}

# The Hartmann function of six variables; its maximum on the unit cube is 3.32237.
ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
CURVATURE = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
# Training of the network.
STEPS, TRAINING = 120, 400


def hartmann6(u: np.ndarray) -> float:
    """A smooth function with six local maxima."""
    distances = (CURVATURE * ((u + 1) / 2 - CENTRES) ** 2).sum(1)
    return float(ALPHA @ np.exp(-distances))


def kernel_ridge(u: np.ndarray) -> float:
    """R² of kernel ridge regression on 192 patients, of 250 others: ridge, bandwidth, two scales.

    A small, rough landscape: its best few percent are noise of the split.
    """
    from sklearn.kernel_ridge import KernelRidge

    x_train, x_test, y_train, y_test = _patients()
    scale = np.repeat(10.0 ** (1.5 * u[2:]), 5)
    model = KernelRidge(kernel="rbf", alpha=10.0 ** (4 * u[0] - 1), gamma=10.0 ** (3 * u[1] - 2))
    model.fit(x_train * scale, y_train)
    return float(np.clip(model.score(x_test * scale, y_test), -1, 1))


@functools.cache
def _patients() -> Any:
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    x, y = map(np.asarray, load_diabetes(return_X_y=True))
    return train_test_split(20 * x, y / 77, train_size=250, random_state=0)


def network(u: np.ndarray) -> float:
    """Accuracy of a network of one hidden layer on 700 digits, after 120 steps on 400 others.

    Learning rate, weight decay, width, momentum, batch size. What diverges has none right.
    """
    rate, decay = 10.0 ** (2.5 * u[0] - 2.5), 10.0 ** (2.5 * u[1] - 3.5)
    width, batch = round(2.0 ** (5 + 2 * u[2])), round(2.0 ** (5 + 2 * u[4]))
    momentum = 0.5 + 0.49 * u[3]
    x, y, x_test, y_test = _digits()
    draw = torch.Generator().manual_seed(0)
    layers = [_layer(64, width, draw), _layer(width, 10, draw)]
    parameters = [p for layer in layers for p in layer]
    speed = [torch.zeros_like(p) for p in parameters]
    one_hot = torch.eye(10)
    for _ in range(STEPS):
        pick = torch.randint(TRAINING, (batch,), generator=draw)
        gradients = _gradients(parameters, x[pick], one_hot[y[pick]])
        for p, v, g in zip(parameters, speed, gradients, strict=True):
            v.mul_(momentum).add_(g).add_(p, alpha=decay)
            p.sub_(v, alpha=rate)
    outputs = _outputs(parameters, x_test)[1]
    if not bool(torch.isfinite(outputs).all()):
        return 0.0
    return float((outputs.argmax(1) == y_test).double().mean())


@functools.cache
def _digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from sklearn.datasets import load_digits

    x, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x.float()[order] / 16, y[order]
    return x[:TRAINING], y[:TRAINING], x[TRAINING : TRAINING + 700], y[TRAINING : TRAINING + 700]


def _layer(inputs: int, outputs: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    bound = inputs**-0.5
    weight = torch.rand(inputs, outputs, generator=draw)
    return (2 * weight - 1) * bound, (2 * torch.rand(outputs, generator=draw) - 1) * bound


def _outputs(parameters: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden units and outputs."""
    first, first_bias, second, second_bias = parameters
    hidden = torch.addmm(first_bias, x, first).relu()
    return hidden, torch.addmm(second_bias, hidden, second)


def _gradients(parameters: list[Tensor], x: Tensor, y: Tensor) -> list[Tensor]:
    """Of the mean cross-entropy, by hand: a run is 120 of them, and takes 10 ms."""
    hidden, outputs = _outputs(parameters, x)
    back = (outputs.softmax(1) - y) / len(x)
    below = (back @ parameters[2].T) * (hidden > 0)
    return [x.T @ below, below.sum(0), hidden.T @ back, back.sum(0)]


PROBLEMS: dict[str, Callable[[np.ndarray], float]] = {
    "hartmann6": hartmann6,
    "kernel ridge": kernel_ridge,
    "network": network,
}
