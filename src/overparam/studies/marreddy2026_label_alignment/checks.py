"""A convolutional network, the bound on the test loss, and bounds against brute force."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from overparam.nets.cnn import ntk_cnn
from overparam.tangents.empirical import empirical_ntk
from overparam.tangents.loss_bounds import (
    classical_loss_bound,
    generalization_bound,
    linearized_loss,
    spectral_loss_bound,
)

CHANNELS = (16, 32, 32)
STEPS = 100  # of brute force


class Images(nn.Module):
    """A convolutional ReLU network that takes 8 × 8 digits as rows of 64."""

    def __init__(self, outputs: int, draw: torch.Generator) -> None:
        super().__init__()
        self.net = ntk_cnn(
            (1, 8, 8), CHANNELS, outputs=outputs, padding="zeros", head="flatten",
            weight_scale=math.sqrt(2), seed=draw, dtype=torch.float64,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the images."""
        return self.net(x.view(-1, 1, 8, 8))


def fit_loss(net: nn.Module, x: Tensor, y: Tensor, n: int) -> dict[str, Any]:
    """The kernel's minimum-norm fit of n examples: its loss on the others, and bounds on that.

    The loss is mean min(|f − y|, 1), which is bounded and Lipschitz as the bounds ask; the kernel
    is scaled to tr K = n/2, for which √(2 yᵀK⁻¹y/n) is the Rademacher bound.
    """
    kernel = empirical_ntk(net, x)
    kernel = kernel / (2 * kernel[:n, :n].diagonal().mean())
    fit = kernel[n:, :n] @ torch.linalg.solve(kernel[:n, :n], y[:n])
    loss = float((fit - y[n:]).abs().clamp(max=1).mean())
    found = generalization_bound(kernel[:n, :n], y[:n])
    return {
        "test_loss": loss,
        "trace_over_test": found.trace / loss,
        "classical_over_test": found.classical / loss,
        "trace_over_classical": found.trace / found.classical,
    }


def brute_force(draw: torch.Generator) -> dict[str, Any]:
    """Every bound against powers of a matrix, on a kernel of order 20."""
    a = torch.randn(20, 40, generator=draw, dtype=torch.float64)
    kernel, r0 = a @ a.T / 40, torch.randn(20, generator=draw, dtype=torch.float64)
    values = torch.linalg.eigvalsh(kernel)
    lr = 1 / float(values[-1])
    step = torch.eye(20, dtype=torch.float64) - lr * kernel
    r, power = r0.clone(), torch.eye(20, dtype=torch.float64)
    for _ in range(STEPS):
        r, power = step @ r, step @ power
    first = float(r0 @ r0) / 2
    expected = {
        linearized_loss: float(r @ r) / 2,
        spectral_loss_bound: first
        / float(kernel.trace())
        * float((power @ power @ kernel).trace()),
        classical_loss_bound: first * (1 - lr * float(values[0])) ** (2 * STEPS),
    }
    errors = [float(f(kernel, r0, lr, (STEPS,))[0]) / value - 1 for f, value in expected.items()]
    y = torch.randn(20, generator=draw, dtype=torch.float64)
    squares = float(y @ torch.linalg.solve(kernel, y))
    bound = generalization_bound(kernel, y)
    aligned = float(y @ y) / float(kernel.square().sum()) * float(kernel.trace())
    errors += [bound.classical / math.sqrt(2 * squares / 20) - 1]
    errors += [bound.trace / math.sqrt(2 * aligned / 20) - 1]
    return {"bound_error": max(map(abs, errors))}
