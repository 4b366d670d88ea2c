"""What a larger batch is worth per step, on a network's tangent features of handwritten digits.

    python3 x.py bench batch_size [--json FILE]

A ReLU network with two hidden layers of 256 tells even digits from odd ones; the features are
those of its linearization at the start, on 256 digits. MaSS runs at the settings of
`mass_hyperparameters` for each batch size, SGD at 1/L_m, both from the constants of these
features; batches are drawn with replacement. Counted are the steps until the training loss
is a tenth of what it was, the median of 16 runs. Twice the batch is worth the ratio of two
counts: 2 where gains are linear, 1.4 where they diminish, 1 where they have ended.
"""

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from overparam.datasets import load, prepare
from overparam.optim import (
    InterpolationConstants,
    critical_batch_sizes,
    interpolation_constants,
    mass_hyperparameters,
)
from overparam.tangents import empirical_ntk

RUNS, LIMIT, TARGET = 16, 20_000, 0.1
SIZES = [2**k for k in range(9)]


def tangent_features(n: int) -> tuple[Tensor, Tensor]:
    """Features whose Gram matrix is the tangent kernel, and centred labels ±1."""
    data = prepare(load("digits"))
    x = torch.from_numpy(data.x_train[:n]).double()
    y = 2.0 * (torch.from_numpy(data.y_train[:n]) % 2) - 1
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
        nn.Linear(256, 1),
    ).double()  # fmt: skip
    values, vectors = torch.linalg.eigh(empirical_ntk(model, x))
    return vectors * values.clamp(min=0).sqrt(), (y - y.mean()).double()


def steps_needed(
    features: Tensor, y: Tensor, lr: float, alpha: float, kappa_t: float, size: int
) -> float:
    """Median over runs of the steps until the loss is a tenth; `inf` beyond the limit."""
    n, d = features.shape
    generator = torch.Generator().manual_seed(size)
    u, momentum = torch.zeros(RUNS, d).double(), torch.zeros(RUNS, d).double()
    gamma, damping = (1 - alpha) / (1 + alpha), (1 / kappa_t - alpha) / (1 - alpha)
    taken = torch.full((RUNS,), torch.inf)
    for step in range(LIMIT):
        loss = (u @ features.T - y).square().mean(1)
        taken = torch.where(taken.isinf() & (loss <= TARGET * y.square().mean()), step, taken)
        if not taken.isinf().any():
            break
        index = torch.randint(n, (RUNS, size), generator=generator)
        rows = features[index]
        error = torch.einsum("rbd,rd->rb", rows, u) - y[index]
        gradient = torch.einsum("rb,rbd->rd", error, rows) / size
        momentum = gamma * momentum + damping * gradient
        u = u - lr * (gradient + gamma * momentum)
    return float(taken.median())


def measure(features: Tensor, y: Tensor, constants: InterpolationConstants) -> list[dict]:
    """A row for each batch size."""
    rows = []
    for size in SIZES:
        best = mass_hyperparameters(constants, size)
        plain = best.lr, 0.5, 2.0  # α κ̃ = 1 is SGD
        rows.append(
            {
                "size": size,
                "mass": steps_needed(features, y, best.lr, best.alpha, best.kappa_t, size),
                "sgd": steps_needed(features, y, *plain, size),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    features, y = tangent_features(256)
    gram = (features @ features.T)[:, None, :, None]
    constants = interpolation_constants(gram, y[:, None], share=0.9)
    first, second = critical_batch_sizes(constants)
    rows = measure(features, y, constants)
    table = Table(title=f"steps to a tenth of the loss; m1* = {first:.3g}, m2* = {second:.3g}")
    for column in ("batch", "MaSS", "twice is worth", "SGD", "twice is worth"):
        table.add_column(column, justify="right")
    for row, before in zip(rows, [None, *rows], strict=False):
        worth = [
            "" if before is None else f"{before[name] / row[name]:.2f}" for name in ("mass", "sgd")
        ]
        table.add_row(str(row["size"]), f"{row['mass']:g}", worth[0], f"{row['sgd']:g}", worth[1])
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps({"m1": first, "m2": second, "rows": rows}))


if __name__ == "__main__":
    main()
