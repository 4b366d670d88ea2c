"""Tangent kernels: time and memory, beside torch.func's Jacobians and beside a matrix product.

Every measurement runs in a process of its own: minimum and median of the repeats, and the
peak of resident memory less what importing took. The floor is the time of plain matrix
products with as many flops as ours executed, in the same process right after.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.utils.flop_counter import FlopCounterMode

from overparam.tangents import empirical_ntk, empirical_ntk_blocks

GIB = 2**30


def mlp(width: int = 1024) -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )


def small_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 64, 10),
    )  # fmt: skip


def colour_cnn() -> nn.Module:
    """Channels 32, 32, 64, each of the first two halved in resolution, and a dense head."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 64, 10),
    )  # fmt: skip


def full_resolution_cnn() -> nn.Module:
    """Channels 32, 32, 64 at full resolution, averaged over places before the head."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A kernel to compute; `part` is how many examples torch.func differentiates at a time."""

    title: str
    model: Callable[[], nn.Module]
    shape: tuple[int, ...]
    n: int
    kernel: str
    part: int | None = None  # None: not run with torch.func
    quick: bool = True


CASES = {
    "mlp-64": Case("MLP 784-1024-1024-10", mlp, (784,), 64, "blocks", 16),
    "mlp-256": Case("MLP 784-1024-1024-10", mlp, (784,), 256, "blocks"),
    "mlp-2000": Case("MLP 784-1024-1024-10", mlp, (784,), 2000, "trace"),
    "cnn-100": Case("CNN 1×8×8, 16-16", small_cnn, (1, 8, 8), 100, "blocks", 100),
    "cnn-64": Case("CNN 3×32×32, 32-32-64 pooled", colour_cnn, (3, 32, 32), 64, "blocks", 16),
    "cnn-64-full": Case(
        "CNN 3×32×32, 32-32-64", full_resolution_cnn, (3, 32, 32), 64, "blocks", 16, quick=False
    ),
}


def ours(case: Case, model: nn.Module, x: Tensor) -> Tensor:
    return empirical_ntk_blocks(model, x) if case.kernel == "blocks" else empirical_ntk(model, x)


def with_torch_func(case: Case, model: nn.Module, x: Tensor) -> Tensor:
    """Jacobian contraction: vmap(jacrev) over parts of the batch, then a product per tensor."""
    params = {name: p.detach() for name, p in model.named_parameters()}

    def one(values: dict[str, Tensor], example: Tensor) -> Tensor:
        return functional_call(model, values, (example[None],))[0]

    size = case.part or len(x)
    jacobian = vmap(jacrev(one), in_dims=(None, 0))
    jacobians = [jacobian(params, part) for part in x.split(size)]
    outputs = jacobians[0][next(iter(params))].shape[1]
    kernel = x.new_empty(len(x), len(x), outputs, outputs)
    for (i, a), (j, b) in combinations_with_replacement(enumerate(jacobians), 2):
        block = sum(
            torch.einsum("icp,jdp->ijcd", a[name].flatten(2), b[name].flatten(2)) for name in params
        )
        assert isinstance(block, Tensor)
        rows, columns = slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size)
        kernel[rows, columns] = block
        kernel[columns, rows] = block.permute(1, 0, 3, 2)
    return kernel if case.kernel == "blocks" else kernel.diagonal(dim1=2, dim2=3).mean(-1)


METHODS = {"ours": ours, "torch.func": with_torch_func}


def inputs(case: Case) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return case.model(), torch.randn(case.n, *case.shape)


def flop_rate() -> float:
    """Flops a second of a large matrix product."""
    a = torch.randn(2048, 2048)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(seconds)


def in_place(out: list[int], a: list[int], b: list[int], *_: object, **__: object) -> int:
    """Flops of addmm_, which the counter does not know."""
    return 2 * a[0] * a[1] * b[1]


def measure(case: Case, method: str, repeats: int) -> dict[str, float]:
    """Times, peak memory and floor of one method on one case, in this process."""
    unit = 1 if sys.platform == "darwin" else 1024
    model, x = inputs(case)
    baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        METHODS[method](case, model, x)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - baseline
    timed = seconds[1:] or seconds
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: in_place})
    with counter:
        METHODS[method](case, model, x)
    flops = counter.get_total_flops()
    return {
        "minimum": min(timed),
        "median": statistics.median(timed),
        "peak_bytes": peak,
        "flops": flops,
        "floor": flops / flop_rate(),
    }


def in_a_new_process(name: str, method: str, repeats: int, threads: int) -> dict[str, float]:
    """`measure` in a fresh interpreter."""
    command = [sys.executable, __file__, "--child", name, method, "--repeats", str(repeats)]
    command += ["--threads", str(threads)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)


def show(rows: list[dict]) -> None:
    """The table of all measurements."""
    table = Table("kernel", "n", "method", "min", "median", "torch.func /", "peak", "/ floor")
    reference = {row["case"]: row["minimum"] for row in rows if row["method"] == "torch.func"}
    floors = {row["case"]: row["floor"] for row in rows if row["method"] == "ours"}
    for row in rows:
        case = CASES[row["case"]]
        slower = reference.get(row["case"])
        table.add_row(
            f"{case.title}, {case.kernel}",
            str(case.n),
            row["method"],
            f"{row['minimum']:.3f} s",
            f"{row['median']:.3f} s",
            f"{slower / row['minimum']:.1f}" if slower else "",
            f"{row['peak_bytes'] / GIB:.2f} GiB",
            f"{row['minimum'] / floors[row['case']]:.1f}",
        )
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repeats, without the slow case")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--repeats", type=int, default=None)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        name, method = options.child
        print(json.dumps(measure(CASES[name], method, options.repeats)))
        return
    repeats = options.repeats or (3 if options.quick else 10)
    rows = []
    for name in options.cases:
        case = CASES[name]
        if options.quick and not case.quick:
            continue
        for method in METHODS if case.part else ("ours",):
            count = repeats if method == "ours" else min(repeats, 3)
            row = in_a_new_process(name, method, count, options.threads)
            rows.append({"case": name, "n": case.n, "method": method, **row})
    show(rows)
    if options.json:
        environment = {
            "torch": torch.__version__, "threads": options.threads, "cpus": os.cpu_count(),
            "processor": platform.processor() or platform.machine(), "repeats": repeats,
        }  # fmt: skip
        options.json.write_text(json.dumps({"environment": environment, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
