"""The low-rank target of the authors' notebook: machines, their controls, and an oracle."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from overparam.kernels.feature_matrix import KernelPredictor, predictor_agop
from overparam.kernels.functions import Laplace
from overparam.kernels.recursion import feature_recursion

DIMENSIONS, RELEVANT = 20, (0, 1, 5)
ROUNDS, BANDWIDTH, RIDGE = 5, 10.0, 1e-3
# Labels, form of the feature matrix, its power in the quadratic form, and precision.
VARIANTS = {
    "rfm": ("true", "full", 1.0, "float64"),
    "diagonal": ("true", "diagonal", 1.0, "float64"),
    "power 1/4": ("true", "full", 0.25, "float64"),
    "single precision": ("true", "full", 1.0, "float32"),
    "permuted labels": ("permuted", "full", 1.0, "float64"),
}


def target(x: Tensor) -> Tensor:
    """x₀ x₁ 1{x₅ > 0}."""
    return (x[:, 0] * x[:, 1] * (x[:, 5] > 0))[:, None]


def low_rank(variant: str, points: int, seed: int) -> dict[str, Any]:
    """Test error of every round, and the share of M's diagonal on the relevant coordinates."""
    labels, form, power, precision = VARIANTS[variant]
    draw = torch.Generator().manual_seed(seed)
    x = 0.5 * torch.randn(points + 2000, DIMENSIONS, generator=draw, dtype=torch.float64)
    order = torch.randperm(points, generator=draw)
    train, test = x[:points], x[points:]
    y = target(train)[order] if labels == "permuted" else target(train)
    dtype = getattr(torch, precision)
    train, y, test = train.to(dtype), y.to(dtype), test.to(dtype)
    rounds = feature_recursion(
        train,
        y,
        Laplace(BANDWIDTH),
        ridge=RIDGE,
        n_iter=ROUNDS,
        diagonal=form == "diagonal",
        power=power,
    )
    errors, shares = [], []
    for current in rounds:
        difference = (current.predictor(test) - target(test)).double()
        errors.append(difference.square().mean().item())
        matrix = current.predictor.feature_matrix
        if matrix is not None:
            diagonal = matrix if matrix.ndim == 1 else matrix.diagonal()
            shares.append((diagonal[list(RELEVANT)].sum() / diagonal.sum()).item())
    return {
        "errors": errors,
        "shares": shares,
        "ratio": errors[-1] / errors[0],
        "largest_step": max(after / before for before, after in pairwise(errors)),
        "share": shares[-1],
        "final_error": errors[-1],
    }


def oracle(seed: int) -> dict[str, float]:
    """Relative error of a machine's AGOP against automatic differentiation, and of its diagonal.

    Distances between normal points in four dimensions differ, so that a factor 1/r shows; the
    metric is not diagonal, so that a diagonal in its place shows as well.
    """
    draw = torch.Generator().manual_seed(seed)
    x, z = (torch.randn(size, 4, generator=draw).double() for size in (7, 9))
    dual = torch.randn(9, 2, generator=draw).double()
    root = torch.randn(4, 4, generator=draw).double()
    metric = root @ root.T / 4

    def average(centres: Tensor, weights: Tensor, points: Tensor, present: Tensor) -> Tensor:
        """The AGOP of the machine under the metric, without the pairs that are not present."""

        def plain(point: Tensor, here: Tensor) -> Tensor:
            # A distance of 0 has no derivative: it is taken as 1, and its term as 0.
            offsets = point - centres
            squares = (offsets @ metric * offsets).sum(1)
            kernel = torch.exp(-torch.where(here, squares, 1.0).sqrt() / 3)
            return (here * kernel) @ weights

        slopes = torch.func.vmap(torch.func.jacrev(plain))(points, present)
        return torch.einsum("nca,ncb->ab", slopes, slopes) / len(points)

    truth = average(z, dual, x, torch.ones(7, 9).bool())
    machine = KernelPredictor(Laplace(3.0), z, dual, metric)
    errors = [
        float((predictor_agop(machine, x, method=method) - truth).norm() / truth.norm())
        for method in ("gram", "streamed")
    ]
    # And as the recursion has it: at its centres, where a term with its own centre counts 0.
    metric = torch.eye(4).double()
    first, second = feature_recursion(x, x[:, :1] * x[:, 1:2], Laplace(3.0), n_iter=1)
    others = ~torch.eye(7).bool()
    truth = average(x, first.predictor.dual, x, others)
    found = second.predictor.feature_matrix
    assert found is not None
    errors.append(float((found - truth / truth.max()).norm()))
    return {"agop_error": max(errors)}
