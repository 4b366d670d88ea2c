"""Tangent kernels: time and memory beside torch.func, nngeometry and a matrix product.

    x.py bench ntk [--quick] [--cases …] [--neural-tangents] [--json FILE]
    x.py bench ntk out-of-core [--n 10000] [--folder DIR]

Every measurement runs in a process of its own: median of the repeats after one that does not
count, and the peak of resident memory less what importing took. The floor is the time of plain
matrix products with as many flops as ours executed, in the same process right after; the step is
what a step of training costs, a forward and a backward pass of the network over the same examples.
nngeometry and neural-tangents run in environments of their own, made on first use. Ratios are of
medians, or with `--cpu`, for a machine that others use too, of the least processor time on one
thread.

`out-of-core` writes the trace kernel of MNIST to a file, once in one go and once killed with
SIGKILL half way and resumed, compares the bits, and reports the memory beside the result.
"""

import argparse
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from itertools import combinations_with_replacement
from pathlib import Path

import torch
from measuring import GIB, hold, in_a_new_process, measure, peak
from ntk_cases import CASES, Case, inputs, mlp
from peer_environment import environment
from peer_neural_tangents import REQUIREMENTS as NEURAL_TANGENTS
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.utils.flop_counter import FlopCounterMode

from overparam.datasets import load
from overparam.tangents import empirical_ntk, empirical_ntk_blocks, empirical_ntk_to_file

HERE = Path(__file__).parent
NNGEOMETRY = ("--no-deps", "nngeometry==0.4", "numpy==2.4.6")
# Frobenius norms of two implementations may differ by this much, relatively, in float32.
AGREE = 1e-4


def ours(case: Case, model: nn.Module, x: Tensor) -> Tensor:
    return empirical_ntk_blocks(model, x) if case.kernel == "blocks" else empirical_ntk(model, x)


def with_torch_func(case: Case, model: nn.Module, x: Tensor) -> Tensor:
    """Jacobian contraction as well as torch.func can: one Jacobian, in parts, half the products."""
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


def with_tutorial(case: Case, model: nn.Module, x: Tensor) -> Tensor:
    """torch.func as its tutorial has it: both Jacobians whole, and a product per tensor."""
    params = {name: p.detach() for name, p in model.named_parameters()}

    def one(values: dict[str, Tensor], example: Tensor) -> Tensor:
        return functional_call(model, values, (example[None],))[0]

    left, right = (vmap(jacrev(one), in_dims=(None, 0))(params, x) for _ in range(2))
    parts = [
        torch.einsum("Naf,Mbf->NMab", left[name].flatten(2), right[name].flatten(2))
        for name in params
    ]
    return torch.stack(parts).sum(0)


METHODS = {"ours": ours, "torch.func": with_torch_func, "torch.func, tutorial": with_tutorial}


def flop_rates() -> tuple[float, float]:
    """Flops of a large matrix product a second by the clock, and a second of processor time."""
    a = torch.randn(2048, 2048)
    row = measure(lambda: a @ a, 5)
    return 2 * 2048**3 / row["minimum"], 2 * 2048**3 / row["cpu"]


def in_place(out: list[int], a: list[int], b: list[int], *_: object, **__: object) -> int:
    """Flops of addmm_, which the counter does not know."""
    return 2 * a[0] * a[1] * b[1]


def child(name: str, method: str, repeats: int) -> dict[str, float]:
    """Times, peak memory, floor and step of one method on one case, in this process."""
    case, model, x = inputs(name)
    row = measure(lambda: METHODS[method](case, model, x), repeats)
    params = list(model.parameters())
    step = measure(lambda: torch.autograd.grad(model(x).sum(), params), repeats)
    rate, cpu_rate = flop_rates()
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: in_place})
    with counter:
        kernel = METHODS[method](case, model, x)
    flops = counter.get_total_flops()
    norm = float(kernel.double().norm())
    floors = {"floor": flops / rate, "cpu_floor": flops / cpu_rate}
    steps = {"step": step["median"], "cpu_step": step["cpu"]}
    return {**row, **floors, **steps, "flops": flops, "norm": norm}


def commands(name: str, repeats: int, threads: int, peers: list[str]) -> dict[str, list]:
    """What to run for one case, by method."""
    case = CASES[name]
    few = ["--repeats", str(min(repeats, 3)), "--threads", str(threads)]
    here = [sys.executable, __file__, "--child", name]
    found: dict[str, list] = {"ours": [*here, "ours", "--repeats", str(repeats), *few[2:]]}
    if case.part:
        found["torch.func"] = [*here, "torch.func", *few]
    if case.tutorial:
        found["torch.func, tutorial"] = [*here, "torch.func, tutorial", *few]
    if case.nngeometry and "nngeometry" in peers:
        python = environment("nngeometry", NNGEOMETRY)
        found["nngeometry"] = [python, HERE / "peer_nngeometry.py", name, *few]
    if case.stax and "neural-tangents" in peers:
        python = environment("neural-tangents", NEURAL_TANGENTS, with_torch=False)
        script = [python, HERE / "peer_neural_tangents.py", "--child", "time"]
        found["neural-tangents"] = [*script, "--network", case.stax, "--n", str(case.n), *few]
    return found


def show(rows: list[dict], cpu: bool) -> None:
    """The table of all measurements."""
    time, floor, step = ("cpu", "cpu_floor", "cpu_step") if cpu else ("median", "floor", "step")
    columns = ("C", "n", "method", "median", "cpu", "/ ours", "peak", "/ floor", "/ step")
    table = Table("kernel", *columns)
    mine = {row["case"]: row for row in rows if row["method"] == "ours"}
    for row in rows:
        case, reference = CASES[row["case"]], mine[row["case"]]
        table.add_row(
            f"{case.title}, {case.kernel}",
            str(case.outputs),
            str(case.n),
            row["method"],
            f"{row['median']:.3f} s",
            f"{row['cpu']:.3f} s",
            f"{row[time] / reference[time]:.1f}",
            f"{row['peak_bytes'] / GIB:.2f} GiB",
            f"{row[time] / reference[floor]:.1f}",
            f"{row[time] / reference[step]:.1f}",
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def expect_agreement(rows: list[dict]) -> None:
    """Stop if two methods on the same network and examples give other norms."""
    for row in rows:
        if row["method"] == "neural-tangents":  # it has random weights of its own
            continue
        reference = next(r for r in rows if r["case"] == row["case"] and r["method"] == "ours")
        difference = abs(row["norm"] / reference["norm"] - 1)
        if difference > AGREE:
            raise RuntimeError(f"{row['case']}: {row['method']} differs by {difference:.1e}")


def to_file(folder: Path, name: str, n: int, tile: int | None) -> None:
    """The trace kernel of n images of MNIST; prints the most memory used, the result left out."""
    images = torch.from_numpy(load("mnist").x_train[:n]).float().reshape(n, -1) / 255
    torch.manual_seed(0)
    before = peak()
    kernel = empirical_ntk_to_file(mlp(), images, path=folder / name, tile=tile)
    # Pages of the file that are mapped count as resident: they are the result's.
    print(json.dumps({"bytes": peak() - before, "result": kernel.nbytes}))


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def out_of_core(folder: Path, n: int, tile: int | None = None) -> None:
    """Once in one go, once killed half way and resumed."""

    def start(name: str) -> subprocess.Popen:
        words = [sys.executable, __file__, "out-of-core", "--write", name, "--n", str(n)]
        words += [] if tile is None else ["--tile", str(tile)]
        return subprocess.Popen([*words, "--folder", folder], stdout=subprocess.PIPE, text=True)

    def finished(name: str) -> tuple[float, dict]:
        begun = time.perf_counter()
        process = start(name)
        answer = process.communicate(timeout=4 * 3600)[0]
        if process.returncode:
            raise RuntimeError(f"writing {name} failed")
        return time.perf_counter() - begun, json.loads(answer.splitlines()[-1])

    seconds, memory = finished("whole.npy")
    journal = folder / "killed.npy.journal"
    tiles = len((folder / "whole.npy.journal").read_bytes().splitlines()) - 1
    process = start("killed.npy")
    while not journal.exists() or journal.read_bytes().count(b"\n") <= tiles // 2:
        time.sleep(0.01)
        if process.poll() is not None:
            raise RuntimeError("it ended before it was killed")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    left = tiles - (journal.read_bytes().count(b"\n") - 1)
    again, _ = finished("killed.npy")
    equal = digest(folder / "whole.npy") == digest(folder / "killed.npy")
    print(
        f"MNIST, n = {n}, MLP 784-1024-1024-10, trace: {tiles} tiles, {seconds:.1f} s in one go; "
        f"{memory['bytes'] / GIB:.2f} GiB at most, of which the mapped result "
        f"{memory['result'] / GIB:.2f} GiB\n"
        f"killed with SIGKILL when {left} of {tiles} tiles were missing, resumed in {again:.1f} s: "
        f"{'the same bits' if equal else 'OTHER BITS'}"
    )
    if not equal:
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("kernels", "out-of-core"), default="kernels")
    parser.add_argument("--quick", action="store_true", help="few repeats, without slow cases")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=None)
    parser.add_argument("--neural-tangents", action="store_true", help="time it too")
    parser.add_argument("--no-peers", action="store_true", help="without nngeometry")
    parser.add_argument("--repeats", type=int, default=None)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cpu", action="store_true", help="compare processor time, on one thread")
    parser.add_argument("--n", type=int, default=10_000, help="examples of out-of-core")
    parser.add_argument("--tile", type=int, help="examples on a tile's side")
    parser.add_argument("--folder", type=Path, help="where out-of-core writes; default: temporary")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.threads = 1 if options.cpu else options.threads
    torch.set_num_threads(options.threads)
    if options.child:
        hold(options.threads)
        name, method = options.child
        print(json.dumps(child(name, method, options.repeats)))
        return
    if options.write:
        to_file(options.folder, options.write, options.n, options.tile)
        return
    if options.what == "out-of-core":
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            out_of_core(Path(folder), options.n, options.tile)
        return
    repeats = options.repeats or (3 if options.quick else 10)
    peers = [] if options.no_peers else ["nngeometry"]
    peers += ["neural-tangents"] if options.neural_tangents else []
    rows = []
    for name in options.cases or [n for n, c in CASES.items() if c.quick or not options.quick]:
        for method, words in commands(name, repeats, options.threads, peers).items():
            row = in_a_new_process(words, options.threads)
            rows.append({"case": name, "n": CASES[name].n, "method": method, **row})
            print(f"{name} {method}: {row['median']:.3f} s", file=sys.stderr, flush=True)
    show(rows, options.cpu)
    expect_agreement(rows)
    if options.json:
        facts = {
            "torch": torch.__version__, "threads": options.threads, "cpus": os.cpu_count(),
            "processor": platform.processor() or platform.machine(), "repeats": repeats,
        }  # fmt: skip
        options.json.write_text(json.dumps({"environment": facts, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
