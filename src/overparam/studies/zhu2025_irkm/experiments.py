"""Machines that are refitted under their own derivatives, networks beside them, and an oracle."""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from overparam.kernels.feature_matrix import KernelPredictor, predictor_agop_diagonal
from overparam.kernels.functions import DotExponential, Kernel, Laplace
from overparam.kernels.recursion import next_feature_matrix
from overparam.kernels.ridge import fit_ridge

STEPS, RIDGE, NOISE, TEST_POINTS = 5, 1e-3, 0.1, 2000
# Hidden layers and rates of the networks of width and batch 256 and 128, out of the paper's grid.
GRID = ((2, 1e-3), (2, 1e-4), (4, 1e-3), (4, 1e-4))


def value(target: str, x: Tensor) -> Tensor:
    """The noiseless target."""
    product = x[:, :3].prod(1)
    if target == "leap 1":
        product = product + x[:, :3].sum(1)
    elif target == "pair":
        product = x[:, :2].prod(1)
    return product[:, None]


def cube(count: int, d: int, draw: torch.Generator) -> Tensor:
    """Uniform on the corners of the cube."""
    return 2 * torch.randint(0, 2, (count, d), generator=draw).double() - 1


def examples(target: str, n: int, d: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points with noisy labels."""
    x = cube(n, d, draw)
    return x, value(target, x) + NOISE * torch.randn(n, 1, generator=draw).double()


def machine(
    target: str, kernel: str, floor: float, sample: str, d: int, n: int, seed: int
) -> dict[str, Any]:
    """Test error after every step, and whether the heaviest columns are the target's."""
    draw = torch.Generator().manual_seed(seed)
    test = cube(TEST_POINTS, d, draw)
    function: Kernel = Laplace(math.sqrt(2 * d)) if kernel == "laplace" else DotExponential(d)
    x, y = examples(target, n, d, draw)
    if sample == "permuted":
        y = y[torch.randperm(n, generator=draw)]
    errors, weight, first = [], None, None
    for step in range(STEPS + 1):
        if step and sample == "fresh":
            x, y = examples(target, n, d, draw)
        dual = fit_ridge(function, x, y, ridge=RIDGE, feature_matrix=weight)
        predictor = KernelPredictor(function, x, dual, weight)
        errors.append((predictor(test) - value(target, test)).square().mean().item())
        weight = next_feature_matrix(predictor_agop_diagonal(predictor), 1.0, "trace", floor)
        first = weight if first is None else first
    relevant = 2 if target == "pair" else 3
    assert first is not None
    heaviest = first.topk(relevant).indices.sort().values
    return {
        "errors": errors,
        "ridge_error": errors[0],
        "final_error": errors[-1],
        "ratio": errors[0] / errors[-1],
        "found": bool((heaviest == torch.arange(relevant)).all()),
    }


def networks(d: int, n: int, epochs: int, seed: int) -> dict[str, float]:
    """Least test error of fully connected networks, over a grid and over all their epochs."""
    draw = torch.Generator().manual_seed(seed)
    test = cube(TEST_POINTS, d, draw)
    x, y = (part.float() for part in examples("leap 1", n, d, draw))
    truth, seen, best = value("leap 1", test).float(), test.float(), math.inf
    for depth, rate in GRID:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            widths = [d, *[256] * depth]
            layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
            net = nn.Sequential(*layers, nn.Linear(256, 1))
        optimizer = torch.optim.Adam(net.parameters(), lr=rate)
        for epoch in range(epochs):
            for rows in torch.randperm(n, generator=draw).split(128):
                optimizer.zero_grad()
                nn.functional.mse_loss(net(x[rows]), y[rows]).backward()
                optimizer.step()
            if epoch % 5 == 4 or epoch == epochs - 1:
                with torch.no_grad():
                    best = min(best, nn.functional.mse_loss(net(seen), truth).item())
    return {"network_error": best}


def derivatives(seed: int) -> dict[str, float]:
    """Relative error of the mean squared derivatives, and weights, against autograd.

    Points are normal and so is their spread of distances; on the cube all distances are almost
    equal, and a factor 1/r that is forgotten would not show.
    """
    draw = torch.Generator().manual_seed(seed)
    x, z = (torch.randn(size, 4, generator=draw).double() for size in (7, 9))
    dual = torch.randn(9, 1, generator=draw).double()
    weight = torch.rand(4, generator=draw).double() + 0.5

    def laplace(point: Tensor, present: Tensor) -> Tensor:
        # The distance to a centre at the point itself is taken as 1: its root has no derivative.
        squares = ((point - z).square() * weight).sum(1)
        distances = torch.where(present, squares, 1.0).sqrt()
        return (present * torch.exp(-distances / 3)) @ dual[:, 0]

    def exponential(point: Tensor, present: Tensor) -> Tensor:
        return torch.exp((z * weight) @ point / 4) @ dual[:, 0]

    errors = []
    everywhere, others = torch.ones(7, 9).bool(), ~torch.eye(9).bool()
    for kernel, plain in ((Laplace(3.0), laplace), (DotExponential(4), exponential)):
        predictor = KernelPredictor(kernel, z, dual, weight)
        # At the centres a Laplace kernel's term with its own centre counts 0.
        for points, present, given in ((x, everywhere, x), (z, others, None)):
            closed = predictor_agop_diagonal(predictor, given)
            slopes = torch.stack(
                [torch.func.grad(plain)(*pair) for pair in zip(points, present, strict=True)]
            )
            truth = slopes.square().mean(0)
            errors.append(float((closed - truth).norm() / truth.norm()))
            # What the next machine sees of it: with a floor, and 1 on average.
            floored = truth + 0.1 * truth.max()
            reweighed = next_feature_matrix(closed, 1.0, "trace", 0.1)
            errors.append(float((reweighed - floored / floored.mean()).norm() / 2))
    return {"derivative_error": max(errors)}
