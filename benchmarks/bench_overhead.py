"""Run time of training with a monitor over run time without, at several budgets.

Two models, the same at the start, train in turn, an epoch each and each first every other time,
so that a machine that slows down slows both. Printed are the ratio of the two totals over all
repeats, with what 5 and 95 in a hundred draws of as many pairs of epochs give, what is allowed,
the overhead the monitor itself reports, the share of losses kept, how often the sharpness was
measured, and whether the weights of both are the same bit for bit. Allowed are the budget and
three hundredths, for what a call costs the caches and the clock does not see.

A second table tells how often each probe measured, or why it did not. The memory is what the
process of a watched run takes at most beyond that of the same run without; both are of their own.
"""

import argparse
import copy
import gc
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from overparam.dynamics import Monitor

CLASSES = 10


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


def cnn_with_bn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, CLASSES),
    )  # fmt: skip


class Block(nn.Module):
    """Two convolutions with batch normalisation, around a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways, cut off."""
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet_18() -> nn.Module:
    widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
    blocks = [Block(*width) for a, b, s in widths for width in ((a, b, s), (b, b, 1))]
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1), *blocks,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES),
    )  # fmt: skip


def gpt2_small() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))


def next_token_logits(model: nn.Module, ids: Tensor) -> Tensor:
    """Logits in the shape that cross-entropy takes: tokens last."""
    return model(input_ids=ids).logits.transpose(1, 2)


@dataclass(frozen=True)
class Case:
    """A network with its data; whole numbers below `tokens` where that is given."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch: int = 128
    batches: int = 16
    tokens: int = 0
    forward: Callable[[nn.Module, Tensor], Tensor] | None = None
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.SGD

    def data(self) -> tuple[Tensor, Tensor]:
        """Noise."""
        generator = torch.Generator().manual_seed(0)
        n = self.batch * self.batches
        if self.tokens:
            x = torch.randint(0, self.tokens, (n, *self.shape), generator=generator)
            return x, x.roll(-1, 1)
        x = torch.randn(n, *self.shape, generator=generator)
        return x, torch.randint(0, CLASSES, (n,), generator=generator)


MODELS = {
    "tiny MLP": Case(tiny_mlp, (64,)),
    "small CNN": Case(small_cnn, (1, 28, 28)),
    "CNN + BN": Case(cnn_with_bn, (1, 28, 28)),
    "small Transformer": Case(SmallTransformer, (16, 32)),
    "ResNet-18": Case(resnet_18, (3, 64, 64), batch=8, batches=4),
}
# 124 million parameters: minutes, and several GB.
LARGE = {
    "GPT-2 small": Case(
        gpt2_small, (64,), 2, 1, 50257, next_token_logits, torch.optim.AdamW
    ),
}  # fmt: skip
CASES = MODELS | LARGE
ALLOWANCE = 0.03
MIB = 2**20
CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time}


class Stopwatch:
    """Seconds of the epochs that it was running for."""

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
        self, case: Case, model: nn.Module, limit: float | None, clock: Callable[[], float]
    ) -> None:
        self.case, self.model, self.watch = case, model, Stopwatch(clock)
        # The monitor's own is the usual one: to ask for processor time is a call of the system,
        # which costs short steps more than all that it measures.
        self.lap = Stopwatch(time.perf_counter)
        self.x, self.y = case.data()
        rate = 1e-4 if case.tokens else 0.05
        self.optimizer = case.optimizer(model.parameters(), lr=rate)
        self.loss, self.steps = nn.CrossEntropyLoss(), 0
        self.monitor = None
        if limit is not None:
            labels = {} if case.tokens else {"n_classes": CLASSES, "n_samples": len(self.x)}
            self.monitor = Monitor(
                model, self.loss, self.optimizer, max_overhead=limit, clock=self.lap,
                forward=case.forward, **labels,
            )  # fmt: skip

    def epoch(self) -> None:
        """Train on every batch once."""
        forward, scored = self.case.forward, not self.case.tokens
        with self.watch, self.lap:
            for ids in torch.arange(len(self.x)).split(self.case.batch):
                inputs, targets = self.x[ids], self.y[ids]
                self.optimizer.zero_grad()
                logits = self.model(inputs) if forward is None else forward(self.model, inputs)
                value = self.loss(logits, targets)
                value.backward()
                if self.monitor is not None:
                    batch = (inputs, targets)
                    given = logits if scored else None
                    self.monitor.step(value, batch=batch, ids=ids, logits=given)
                self.optimizer.step()
                self.steps += 1
            if self.monitor is not None:
                self.monitor.epoch_end()


def measure(
    name: str, limit: float, seconds: float, repeats: int, least: int,
    clock: Callable = time.perf_counter,
) -> dict:  # fmt: skip
    case = CASES[name]
    torch.manual_seed(0)
    model = case.build()
    if not case.tokens:
        Run(case, copy.deepcopy(model), None, clock).epoch()
    pairs: list[tuple[float, float]] = []  # seconds of an epoch without and with
    reported, steps, same, measured, probes = [], [], True, {}, {}
    plain = watched = None
    for _ in range(repeats):
        plain = watched = None
        gc.collect()  # a collection of everything that imports left takes a tenth of a second
        plain, watched = (Run(case, copy.deepcopy(model), how, clock) for how in (None, limit))
        while plain.watch.total < seconds or plain.steps < least:
            before = plain.watch.total, watched.watch.total
            for run in (plain, watched) if len(pairs) % 2 else (watched, plain):
                run.epoch()
            pairs.append((plain.watch.total - before[0], watched.watch.total - before[1]))
        monitor = watched.monitor
        assert monitor is not None
        reported.append(monitor.overhead)
        steps.append(plain.watch.total / plain.steps)
        weights = zip(plain.model.parameters(), watched.model.parameters(), strict=True)
        same = same and all(torch.equal(one, other) for one, other in weights)
        history = monitor.history
        measured = {name: int(history[name].notna().sum()) for name in history}
        probes = {one.name: [one.times, one.status] for one in monitor.status()}
    assert plain is not None
    ratio, lowest, highest = ratio_of_totals(np.array(pairs))
    return {
        "model": name,
        "budget": limit,
        "step_ms": 1e3 * statistics.median(steps),
        "ratio": ratio,
        "lowest": lowest,
        "highest": highest,
        "reported": statistics.median(reported),
        "allowed": 1 + limit + ALLOWANCE,
        "within": ratio <= 1 + limit + ALLOWANCE,
        "epochs": len(pairs),
        "bitwise": same,
        "steps": plain.steps,
        "measured": measured,
        "probes": probes,
    }


def ratio_of_totals(pairs: np.ndarray, draws: int = 400) -> tuple[float, float, float]:
    """Of the second column over the first; and what 5 and 95 % of draws of as many rows give."""
    chosen = np.random.default_rng(0).integers(0, len(pairs), (draws, len(pairs)))
    totals = pairs[chosen].sum(1)
    low, high = np.quantile(totals[:, 1] / totals[:, 0], [0.05, 0.95])
    total = pairs.sum(0)
    return float(total[1] / total[0]), float(low), float(high)


def memory_of(name: str, limit: float | None, seconds: float) -> None:
    """Print the most memory that a run of its own took, for the process that asks."""
    from measuring import peak

    torch.manual_seed(0)
    case = CASES[name]
    run = Run(case, case.build(), limit, time.perf_counter)
    while run.watch.total < seconds or run.steps < 2:
        run.epoch()
    print(json.dumps({"peak": peak(), "steps": run.steps}))


def added_memory(name: str, limit: float, seconds: float, threads: int) -> dict[str, Any]:
    """Bytes at most, of a run without a monitor, and what one adds."""
    from measuring import in_a_new_process

    command = [sys.executable, __file__, "--memory-of", name, "--seconds", str(seconds)]
    plain = in_a_new_process(command, threads)["peak"]
    watched = in_a_new_process([*command, "--budgets", str(limit)], threads)["peak"]
    return {"peak_bytes": plain, "added_bytes": watched - plain}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument(
        "--steps", type=int, default=0,
        help="of each run at least: a probe of a large network comes round after hundreds at 5 %%",
    )  # fmt: skip
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=list(CASES), default=list(MODELS))
    parser.add_argument("--large", action="store_true", help=f"also {', '.join(LARGE)}")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.01, 0.05, 0.2])
    parser.add_argument("--memory-of", choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--clock", choices=list(CLOCKS), default="wall", help="cpu: for a machine that is busy"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        limit = options.budgets[0] if len(options.budgets) == 1 else None
        memory_of(options.memory_of, limit, options.seconds)
        return
    columns = ("ratio (range)", "allowed", "own", "losses", "λ", "memory", "weights")
    table = Table("model", "budget", "step", *columns, padding=0)
    seen = Table("model", "budget", "steps", "probe", "times", "status", padding=0)
    rows = []
    for name in [*options.models, *(LARGE if options.large else ())]:
        for limit in options.budgets:
            clock = CLOCKS[options.clock]
            row = measure(name, limit, options.seconds, options.repeats, options.steps, clock)
            row |= added_memory(name, limit, options.seconds, options.threads)
            rows.append(row)
            table.add_row(
                name,
                f"{limit:.0%}",
                f"{row['step_ms']:.2f} ms",
                f"{row['ratio']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f})",
                f"{row['allowed']:.2f}" + ("" if row["within"] else " EXCEEDED"),
                f"{row['reported']:.3f}",
                f"{row['measured']['loss'] / row['steps']:.0%}",
                str(row["measured"].get("sharpness", 0)),
                f"{row['peak_bytes'] / MIB:.0f} + {row['added_bytes'] / MIB:.0f} MiB",
                "same" if row["bitwise"] else "DIFFERENT",
            )
            for probe, (times, status) in row["probes"].items():
                seen.add_row(name, f"{limit:.0%}", str(row["steps"]), probe, str(times), status)
    Console().print(table)
    Console().print(seen)
    if options.json:
        environment = {
            "torch": torch.__version__, "threads": options.threads,
            "processor": platform.machine(), "repeats": options.repeats, "clock": options.clock,
        }  # fmt: skip
        options.json.write_text(json.dumps({"environment": environment, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
