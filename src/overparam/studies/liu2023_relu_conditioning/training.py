"""ReLU networks beside linear ones of the same widths: on the same data, and in training."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from overparam.linalg.spectra import condition_number
from overparam.nets.mlp import ntk_mlp
from overparam.tangents.empirical import empirical_ntk

STEPS = 500


def network(
    linear: bool, inputs: int, depth: int, width: int, draw: torch.Generator
) -> nn.Sequential:
    """Depth hidden layers, with the gain that keeps the variance of every layer."""
    gain, activation = (1.0, "identity") if linear else (2.0, "relu")
    scale = math.sqrt(gain)
    widths = [inputs, *[width] * depth, 1]
    return ntk_mlp(widths, activation, weight_scale=scale, seed=draw, dtype=torch.float64)


def beside_linear(x: Tensor, depth: int, width: int, draw: torch.Generator) -> dict[str, Any]:
    """Condition number and smallest angle of both networks' kernels on the same inputs.

    The linear network of finite width changes both by fluctuations of order √(L/width); the
    linear model, which it stands for, has those of the Gram matrix.
    """
    found = {}
    for name, linear in (("relu", False), ("linear", True)):
        kernel = empirical_ntk(network(linear, x.shape[1], depth, width, draw), x)
        found[f"{name}_condition"] = condition_number(kernel)
        found[f"{name}_angle"] = smallest_angle(kernel)
    gram = x @ x.T
    return {
        **found,
        "model_condition": condition_number(gram),
        "model_angle": smallest_angle(gram),
        "condition_over": found["relu_condition"] / found["linear_condition"],
        "condition_over_model": found["relu_condition"] / condition_number(gram),
        "angle_over": found["relu_angle"] / found["linear_angle"],
    }


def speed(
    linear: bool, x: Tensor, y: Tensor, depth: int, width: int, draw: torch.Generator
) -> dict[str, Any]:
    """Loss left by gradient descent on ½ Σ r² with the step 1/λ_max(K(w_0)), over its start."""
    net = network(linear, x.shape[1], depth, width, draw)
    rate = 1 / float(torch.linalg.eigvalsh(empirical_ntk(net, x))[-1])
    net, x, y = net.float(), x.float(), y.float()
    parameters = list(net.parameters())
    with torch.no_grad():
        first = float((net(x)[:, 0] - y).square().sum())
    for _ in range(STEPS):
        gradients = torch.autograd.grad((net(x)[:, 0] - y).square().sum() / 2, parameters)
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                p -= rate * g
    with torch.no_grad():
        return {"loss_ratio": float((net(x)[:, 0] - y).square().sum()) / first}


def smallest_angle(kernel: Tensor) -> float:
    """Smallest angle between two gradients in degrees."""
    lengths = kernel.diagonal().sqrt()
    cosines = (kernel / lengths / lengths[:, None]).fill_diagonal_(-1)
    return math.degrees(math.acos(min(1.0, float(cosines.max()))))
