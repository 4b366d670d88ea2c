"""Training with mini-batches: a kernel machine, a small network, a residual network."""

import math
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from overparam.optim.hyperparameters import InterpolationConstants, mass_hyperparameters
from overparam.optim.mass import MaSS

KERNEL_SIZE, KERNEL_BATCH, BANDWIDTH = 1000, 16, 1.5
# Nesterov's method is tuned on these; MaSS has the one setting that seed 0 chose among nine.
NESTEROV_RATES, NESTEROV_MOMENTA = (0.2, 0.3, 0.4, 0.5), (0.9, 0.93, 0.95, 0.97)
KERNEL_ALPHA, KERNEL_KAPPA = 0.01, 8.0
NETWORK_SIZE, NETWORK_BATCH = 1400, 16


def digits(seed: int) -> tuple[Tensor, Tensor]:
    """The 8 × 8 digits in a random order, pixels in [0, 1], and their classes."""
    pixels, classes = load_digits(return_X_y=True)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    return torch.as_tensor(pixels / 16)[order], torch.as_tensor(classes)[order]


def gaussian_kernel(x1: Tensor, x2: Tensor) -> Tensor:
    """exp(−‖x−x'‖²/(2·1.5²))."""
    return torch.exp(-torch.cdist(x1, x2).square() / (2 * BANDWIDTH**2))


def kernel_regression(epochs: int, seed: int) -> dict[str, Any]:
    """Mean squared error, summed over outputs, that each method leaves."""
    x, classes = digits(seed)
    kernel = gaussian_kernel(x[:KERNEL_SIZE], x[:KERNEL_SIZE])
    y = nn.functional.one_hot(classes[:KERNEL_SIZE], 10).double()
    top = float(torch.linalg.eigvalsh(kernel)[-1]) / KERNEL_SIZE
    # The diagonal is 1: so is L1, what a single example sees. The others do not enter here.
    constants = InterpolationConstants(top, 1.0, top, KERNEL_SIZE, KERNEL_SIZE)
    lr = mass_hyperparameters(constants, KERNEL_BATCH).lr

    def error(make: Any) -> float:
        weights = nn.Parameter(torch.zeros_like(y))
        fit_kernel(kernel, y, weights, make([weights]), epochs, seed)
        return finite((kernel @ weights.detach() - y).square().sum(1).mean())

    grid = [
        error(lambda p, f=factor, g=gamma: SGD(p, f * lr, g, nesterov=True))
        for factor in NESTEROV_RATES
        for gamma in NESTEROV_MOMENTA
    ]
    return {
        "lr": lr,
        "sgd": error(lambda p: SGD(p, lr)),
        "best_nesterov": min(grid),
        "nesterov_at_lr": error(lambda p: SGD(p, lr, 0.95, nesterov=True)),
        "mass": error(lambda p: MaSS(p, lr, KERNEL_ALPHA, KERNEL_KAPPA)),
    }


def fit_kernel(
    kernel: Tensor, y: Tensor, weights: nn.Parameter, optimizer: Optimizer, epochs: int, seed: int
) -> None:
    """Stochastic gradients in the kernel's function space: a batch moves its own weights."""
    draw = torch.Generator().manual_seed(seed)
    weights.grad = torch.zeros_like(weights)
    for _ in range(epochs):
        for batch in torch.randperm(len(y), generator=draw).split(KERNEL_BATCH):
            weights.grad.zero_()
            weights.grad[batch] = (kernel[batch] @ weights.detach() - y[batch]) / len(batch)
            optimizer.step()


def network(
    method: str, lr: float, alpha: float, kappa_t: float, epochs: int, seed: int
) -> dict[str, Any]:
    """Final training loss and test error of a small network on digits, cross-entropy."""
    x, classes = digits(seed)
    x, n = x.float(), NETWORK_SIZE
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )
    optimizer = optimizer_of(method, model, lr, alpha, kappa_t)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(n, generator=draw).split(NETWORK_BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), classes[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        outputs = model(x)
        loss = nn.functional.cross_entropy(outputs[:n], classes[:n])
        wrong = (outputs.argmax(1) != classes)[n:].double().mean()
    return {"loss": finite(loss), "test_error": float(wrong)}


def optimizer_of(
    method: str, model: nn.Module, lr: float, alpha: float, kappa_t: float, **options: Any
) -> Optimizer:
    """SGD, SGD with Nesterov momentum 0.9, Adam, or MaSS."""
    if method == "Adam":
        return Adam(model.parameters(), lr, **options)
    if method == "MaSS":
        return MaSS(model.parameters(), lr, alpha, kappa_t, **options)
    momentum = 0.9 if method == "Nesterov" else 0.0
    return SGD(model.parameters(), lr, momentum, nesterov=momentum > 0, **options)


def finite(value: Tensor) -> float:
    """The number, infinity for what overflowed: a run that diverged must not look missing."""
    number = float(value)
    return number if math.isfinite(number) else math.inf
