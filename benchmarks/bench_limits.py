"""Is the critical learning rate the one at which real steps begin to diverge?

    python3 x.py bench limits [--json FILE]                 the networks to develop on
    python3 x.py bench limits --kept-aside [--json FILE]    the others, once
    python3 x.py bench limits --quick                       two networks, fewer rates, a minute

Written down before the networks kept aside were looked at:

Each network (limit_networks.py) takes some steps of its own training on one batch. From there
copies of it and of its optimizer, history and all, take 200 steps on the same batch, each at a
constant rate. Such a run *begins to diverge* where its loss, in training mode, is not finite or
more than a tenth above its start; whether it then recovers, as after a catapult, is another
matter. The rate at which that begins is the smallest that does so of those scanned upwards by √2
from a quarter of the smaller prediction, and of the one half-way between it and the one before.

Wanted of the networks kept aside: that rate over `critical_learning_rate` within a factor of 2, as
it is called (by 20 real steps) and with `steps=0` (the limit of linear stability); with a bias
before each normalisation and without, at the same weights, within a factor of 1.5; and 100 forward
passes in training mode on other numbers change neither it nor the kernel by more than 5 %.

Told beside it, and not judged: the rate at which the loss doubles, and the one at which it is at
some step a fifth above the smallest before it (one below a hundredth of the first counts as that
much): errors grow there, or momentum swings.
"""

import argparse
import copy
import json
import math
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from limit_networks import CASES, Case
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.optim import SGD, Optimizer

from overparam.optim import critical_learning_rate
from overparam.tangents import kernel_change
from overparam.tangents.batch_kernel import batch_ntk

STEPS = 200
ABOVE = 1.1
FACTOR, BIAS, MOVED = 2.0, 1.5, 0.05
QUICK = ("U-Net, momentum", "CNN, Adam")
RATIOS = {"linear": "steps=0", "ahead": "as called"}


class Run:
    """A network in training on one batch."""

    def __init__(self, case: Case, bias: bool, like: nn.Module | None = None) -> None:
        torch.manual_seed(0)
        self.case, self.model = case, case.build(bias)
        if like is not None:
            self.model.load_state_dict(like.state_dict(), strict=False)
        self.x, self.y = case.data()
        self.optimizer: Optimizer = case.optimizer(self.model.parameters())

    def warm(self) -> None:
        """The steps before the measurement."""
        if isinstance(self.optimizer, SGD) and self.case.warm:
            self.optimizer.param_groups[0]["lr"] = 0.1 * self.limit(steps=0)
        for _ in range(self.case.warm):
            self.step(self.model, self.optimizer)

    def step(self, model: nn.Module, optimizer: Optimizer) -> float:
        """A step, and the loss before it."""
        optimizer.zero_grad()
        loss = self.case.loss(model(self.x), self.y)
        loss.backward()
        optimizer.step()
        return loss.item()

    def limit(self, **options: Any) -> float:
        """What is predicted, at the present weights."""
        return critical_learning_rate(
            self.model, self.x, self.y, self.case.loss, self.optimizer, **options
        )

    def losses(self, rate: float, steps: int) -> list[float]:
        """Of a copy, at a constant rate, until nothing more can come of it."""
        memo: dict[int, Any] = {}
        model = copy.deepcopy(self.model, memo)
        optimizer = copy.deepcopy(self.optimizer, memo)
        optimizer.param_groups[0]["lr"] = rate
        found: list[float] = []
        for _ in range(steps + 1):
            found.append(self.step(model, optimizer))
            if not math.isfinite(found[-1]) or all(rule(found) for rule in RULES.values()):
                break
        return found


def begins(losses: Sequence[float], above: float = ABOVE) -> bool:
    """Whether the loss is not finite or more than `above` times its start."""
    return any(not loss <= above * losses[0] or math.isinf(loss) for loss in losses)


def turns(losses: Sequence[float]) -> bool:
    """Whether it rises by a fifth above the smallest before it."""
    smallest = math.inf
    for loss in losses:
        if loss > 1.2 * max(smallest, 0.01 * losses[0]):
            return True
        smallest = min(smallest, loss)
    return False


RULES = {
    "begins": begins,
    "doubles": lambda losses: begins(losses, 2.0),
    "turns": lambda losses: begins(losses) or turns(losses),
}


def measured(case: Case, steps: int = STEPS, octaves: float = 7) -> dict[str, Any]:
    """One network: what was predicted, what real steps did, and what must not matter."""
    began, run = time.process_time(), Run(case, bias=True)
    run.warm()
    linear, ahead = run.limit(steps=0), run.limit()
    lowest, first = min(linear, ahead) / 4, dict[str, float]()
    for k in range(round(2 * octaves)):
        losses = run.losses(lowest * 2 ** (k / 2), steps)
        for name in [name for name, rule in RULES.items() if name not in first and rule(losses)]:
            first[name] = k
        if len(first) == len(RULES) or k >= first.get("begins", math.inf) + 2:
            break
    between = first.get("begins", 0) - 0.5
    if between > 0 and begins(run.losses(lowest * 2 ** (between / 2), steps)):
        first["begins"] = between
    rates = {name: lowest * 2 ** (first.get(name, math.inf) / 2) for name in RULES}
    bare = Run(case, bias=False, like=Run(case, bias=True).model)
    bare.warm()
    kernel = batch_ntk(run.model, run.x[:16], directions=2)
    with torch.no_grad():
        for _ in range(100):
            run.model(2 * run.x + 1)
    again = run.limit(steps=0), run.limit()
    moved = [abs(a / b - 1) for a, b in zip(again, (linear, ahead), strict=True)]
    moved.append(float(kernel_change(batch_ntk(run.model, run.x[:16], directions=2), kernel)))
    return {
        "network": case.name, "linear": linear, "ahead": ahead, "rates": rates,
        "bias": [linear / bare.limit(steps=0), ahead / bare.limit()], "moved": max(moved),
        "first loss": run.losses(0.0, 0)[0], "seconds": time.process_time() - began,
    }  # fmt: skip


def within(ratio: float, factor: float) -> bool:
    return 1 / factor <= ratio <= factor


def criteria(rows: Sequence[dict[str, Any]]) -> dict[str, bool]:
    """What is promised of the networks kept aside."""
    found = {
        f"{words}: within a factor of {FACTOR:g} of where real steps begin to diverge": all(
            within(row["rates"]["begins"] / row[name], FACTOR) for row in rows
        )
        for name, words in RATIOS.items()
    }
    found[f"with bias and without within a factor of {BIAS:g}"] = all(
        within(ratio, BIAS) for row in rows for ratio in row["bias"]
    )
    found[f"100 forward passes move nothing by more than {MOVED:.0%}"] = all(
        row["moved"] <= MOVED for row in rows
    )
    return found


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Rates of real steps over the limit, by rule."""
    table = Table(
        "network", "first loss", "limit", "as called", "begins / limit",
        "begins / as called", *(f"{name} / limit" for name in list(RULES)[1:]),
        "bias / none", "moved", "s", box=box.SIMPLE,
    )  # fmt: skip
    for row in rows:
        over = [rate / row["linear"] for rate in row["rates"].values()]
        table.add_row(
            row["network"], f"{row['first loss']:.3g}", f"{row['linear']:.3g}",
            f"{row['ahead']:.3g}", f"{over[0]:.2f}", f"{row['rates']['begins'] / row['ahead']:.2f}",
            *(f"{ratio:.2f}" for ratio in over[1:]),
            " ".join(f"{ratio:.3f}" for ratio in row["bias"]), f"{row['moved']:.1e}",
            f"{row['seconds']:.0f}",
        )  # fmt: skip
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two networks, fewer rates and steps")
    parser.add_argument("--kept-aside", action="store_true", help="the networks to judge on, once")
    parser.add_argument("--networks", nargs="+", choices=[case.name for case in CASES])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    cases = [case for case in CASES if case.kept_aside == options.kept_aside]
    if options.quick or options.networks:
        names = options.networks or QUICK
        cases = [case for case in CASES if case.name in names]
    rows = []
    for case in cases:
        rows.append(measured(case, 40, 4) if options.quick else measured(case))
        print(case.name, file=sys.stderr, flush=True)
    console = Console(width=200)
    show(rows, console)
    for what, held in criteria(rows).items():
        console.print(f"{'yes' if held else 'NO '}  {what}", highlight=False)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), "utf-8")


if __name__ == "__main__":
    main()
