"""Is the advised learning rate any good? Against the best of a grid, on handwritten digits.

    python3 x.py bench advice [--quick] [--optimizers SGD "SGD 0.9" Adam] [--json FILE]

Six settings: three networks, two losses, plain SGD with batches of 32. The best rate is that
with the lowest mean training loss after ten epochs, over 3 seeds and a grid of 11 rates in
factors of 2. Beside the advice stand 2/λ_max at initialisation, and a learning-rate range
test (Smith 2017, arXiv:1506.01186: the rate of the steepest descent while the rate grows
exponentially). A rate is good if it is within a factor of 2 of the best. `--optimizers` repeats
the comparison for momentum 0.9 and Adam.
"""

import argparse
import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from overparam import critical_learning_rate, diagnose
from overparam.datasets import load, prepare
from overparam.diagnosis.edge import batches
from overparam.diagnosis.task import squared_error_of_labels

GRID = [2.0**k for k in range(-7, 4)]
MODELS: dict[str, Callable[[], nn.Module]] = {
    "ReLU 256×2": lambda: perceptron(nn.ReLU, 256, 2),
    "tanh 128×5": lambda: perceptron(nn.Tanh, 128, 5),
    "CNN 16-32": lambda: nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 10),
    ),
}  # fmt: skip
LOSSES = {"squared error": squared_error_of_labels, "cross-entropy": nn.functional.cross_entropy}
OPTIMIZERS: dict[str, Callable] = {
    "SGD": lambda params, lr: torch.optim.SGD(params, lr=lr),
    "SGD 0.9": lambda params, lr: torch.optim.SGD(params, lr=lr, momentum=0.9),
    "Adam": lambda params, lr: torch.optim.Adam(params, lr=lr),
}


def perceptron(activation: type[nn.Module], width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for i in range(depth):
        layers += [nn.Linear(64 if i == 0 else width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return make()


def final_loss(make, loss, optimizer, rate: float, seed: int, x, y, epochs: int) -> float:
    """Training loss over the whole set after some epochs; infinite if it was lost."""
    model = seeded(make, seed)
    stepper = optimizer(model.parameters(), rate)
    order = batches(len(y), 32, torch.Generator().manual_seed(seed))
    for _ in range(epochs * (len(y) // 32)):
        index = next(order)
        stepper.zero_grad()
        value = loss(model(x[index]), y[index])
        value.backward()
        stepper.step()
        if not math.isfinite(float(value.detach())):
            return math.inf
    with torch.no_grad():
        value = float(loss(model(x), y))
    return value if math.isfinite(value) else math.inf


def range_test(make, loss, optimizer, seed: int, x, y, steps: int = 100) -> float:
    """The rate at which the smoothed loss falls fastest while the rate grows from 1e-5 to 10."""
    model = seeded(make, seed)
    stepper = optimizer(model.parameters(), 1e-5)
    order = batches(len(y), 32, torch.Generator().manual_seed(seed))
    rates, smooth = [], []
    average = 0.0
    for step in range(steps):
        rate = 1e-5 * 1e6 ** (step / (steps - 1))
        stepper.param_groups[0]["lr"] = rate
        index = next(order)
        stepper.zero_grad()
        value = loss(model(x[index]), y[index])
        value.backward()
        stepper.step()
        average = 0.9 * average + 0.1 * float(value.detach())
        rates.append(rate)
        smooth.append(average / (1 - 0.9 ** (step + 1)))
        if not smooth[-1] < 4 * min(smooth):
            break
    slopes = [b - a for a, b in pairwise(smooth)]
    return rates[min(range(10, len(slopes)), key=slopes.__getitem__)]


def compare(name: str, loss_name: str, kind: str, quick: bool, x, y) -> dict:
    """One setting: the grid, its best, and what each method says."""
    make, loss, optimizer = MODELS[name], LOSSES[loss_name], OPTIMIZERS[kind]
    seeds, epochs = ((0,), 1) if quick else ((0, 1, 2), 10)
    grid = GRID if kind == "SGD" else [rate / 64 for rate in GRID]
    losses = [
        fmean(final_loss(make, loss, optimizer, rate, s, x, y, epochs) for s in seeds)
        for rate in grid
    ]
    best = min(range(len(grid)), key=losses.__getitem__)
    model = seeded(make, 0)
    found = diagnose(
        model, (x, y, x[:64], y[:64]), loss,
        None if kind == "SGD" else lambda params: optimizer(params, 1.0),
        budget="6s" if quick else "20s", batch_size=32,
    )  # fmt: skip
    stepper = optimizer(model.parameters(), 1.0)
    at_start = critical_learning_rate(model, x[:512], y[:512], loss, stepper)
    rates = {
        "advised": found.advice["learning_rate"],
        "2/λ at start": at_start,
        "range test": range_test(make, loss, optimizer, 0, x, y),
    }
    return {
        "network": name, "loss": loss_name, "optimizer": kind, "grid": grid, "losses": losses,
        "best": grid[best], "rates": rates,
        "factor": {method: rate / grid[best] for method, rate in rates.items()},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one epoch, one seed")
    parser.add_argument("--optimizers", nargs="+", choices=list(OPTIMIZERS), default=["SGD"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = prepare(load("digits"))
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    rows = [
        compare(name, loss, kind, options.quick, x, y)
        for kind in options.optimizers
        for loss in LOSSES
        for name in MODELS
    ]
    console, methods = Console(), ("advised", "2/λ at start", "range test")
    table = Table(title="learning rate (and its factor to the best of the grid)")
    for column in ("optimizer", "loss", "network", "best", *methods):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row["optimizer"], row["loss"], row["network"], f"{row['best']:.3g}",
            *(f"{row['rates'][m]:.3g} (×{row['factor'][m]:.2g})" for m in methods),
        )  # fmt: skip
    console.print(table)
    for kind in dict.fromkeys(row["optimizer"] for row in rows):
        of = [row for row in rows if row["optimizer"] == kind]
        told = ", ".join(
            f"{m}: {sum(0.5 <= row['factor'][m] <= 2 for row in of)} of {len(of)}" for m in methods
        )
        console.print(f"{kind}: within a factor of 2 of the best: {told}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
