"""Run time of training with a monitor over run time without, at several budgets.

Two models, the same at the start, train in turn, an epoch each, so that a machine that slows
down slows both. A repeat is the ratio of the two totals; printed are the median, lowest and
highest of the repeats, what is allowed, the overhead the monitor itself reports, the share of
losses kept, how often the sharpness was measured, and whether the weights of both are the same
bit for bit. Allowed are the budget and three hundredths, for what a call costs the caches and
the clock does not see.
"""

import argparse
import copy
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from overparam.dynamics import Monitor

BATCH, CLASSES = 128, 10


def tiny_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, CLASSES))


def small_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, CLASSES),
    )  # fmt: skip


class SmallTransformer(nn.Module):
    """One layer over 16 tokens of 32 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.out = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits from the mean token."""
        return self.out(self.layer(x).mean(1))


MODELS = {
    "tiny MLP": (tiny_mlp, (64,)),
    "small CNN": (small_cnn, (1, 28, 28)),
    "small Transformer": (SmallTransformer, (16, 32)),
}
ALLOWANCE = 0.03
CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time}


class Stopwatch:
    """Seconds of the epochs that it was running for; also the monitor's clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.total = self.started = 0.0
        self.clock = clock

    def __call__(self) -> float:
        """Seconds so far, while running."""
        return self.total + self.clock() - self.started

    def __enter__(self) -> None:
        self.started = self.clock()

    def __exit__(self, *exception: object) -> None:
        self.total = self()


class Run:
    """A training run that can be continued epoch by epoch."""

    def __init__(
        self, model: nn.Module, x: Tensor, y: Tensor, limit: float | None, clock: Callable
    ) -> None:
        self.model, self.x, self.y, self.watch = model, x, y, Stopwatch(clock)
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        self.loss, self.steps = nn.CrossEntropyLoss(), 0
        self.monitor = None
        if limit is not None:
            self.monitor = Monitor(
                model, self.loss, self.optimizer, max_overhead=limit,
                n_classes=CLASSES, n_samples=len(x), clock=self.watch,
            )  # fmt: skip

    def epoch(self) -> None:
        """Train on every batch once."""
        with self.watch:
            for ids in torch.arange(len(self.x)).split(BATCH):
                inputs, targets = self.x[ids], self.y[ids]
                self.optimizer.zero_grad()
                logits = self.model(inputs)
                value = self.loss(logits, targets)
                value.backward()
                if self.monitor is not None:
                    batch = (inputs, targets)
                    self.monitor.step(value, batch=batch, ids=ids, logits=logits)
                self.optimizer.step()
                self.steps += 1
            if self.monitor is not None:
                self.monitor.epoch_end()


def measure(
    name: str, limit: float, seconds: float, repeats: int, clock: Callable = time.perf_counter
) -> dict:
    build, shape = MODELS[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16 * BATCH, *shape, generator=generator)
    y = torch.randint(0, CLASSES, (16 * BATCH,), generator=generator)
    torch.manual_seed(0)
    model = build()
    Run(copy.deepcopy(model), x, y, None, clock).epoch()
    ratios, reported, steps, same, measured = [], [], [], True, []
    for _ in range(repeats):
        gc.collect()  # a collection of everything that imports left takes a tenth of a second
        plain, watched = (Run(copy.deepcopy(model), x, y, how, clock) for how in (None, limit))
        while plain.watch.total < seconds:
            plain.epoch()
            watched.epoch()
        ratios.append(watched.watch.total / plain.watch.total)
        reported.append(watched.monitor.overhead)
        steps.append(plain.watch.total / plain.steps)
        pairs = zip(plain.model.parameters(), watched.model.parameters(), strict=True)
        same = same and all(torch.equal(one, other) for one, other in pairs)
        history = watched.monitor.history
        measured.append({name: int(history[name].notna().sum()) for name in history})
    return {
        "model": name,
        "budget": limit,
        "step_ms": 1e3 * statistics.median(steps),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "reported": statistics.median(reported),
        "allowed": 1 + limit + ALLOWANCE,
        "bitwise": same,
        "steps": plain.steps,
        "measured": measured[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.01, 0.05, 0.2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--clock", choices=list(CLOCKS), default="wall", help="cpu: for a machine that is busy"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    columns = ("ratio (range)", "allowed", "own", "losses", "λ", "weights")
    table = Table("model", "budget", "step", *columns, padding=0)
    rows = []
    for name in options.models:
        for limit in options.budgets:
            clock = CLOCKS[options.clock]
            row = measure(name, limit, options.seconds, options.repeats, clock)
            rows.append(row)
            table.add_row(
                name,
                f"{limit:.0%}",
                f"{row['step_ms']:.2f} ms",
                f"{row['ratio']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f})",
                f"{row['allowed']:.2f}",
                f"{row['reported']:.3f}",
                f"{row['measured']['loss'] / row['steps']:.0%}",
                str(row["measured"].get("sharpness", 0)),
                "same" if row["bitwise"] else "DIFFERENT",
            )
    Console().print(table)
    if options.json:
        environment = {
            "torch": torch.__version__, "threads": options.threads,
            "processor": platform.machine(), "repeats": options.repeats, "clock": options.clock,
        }  # fmt: skip
        options.json.write_text(json.dumps({"environment": environment, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
