"""An iteration of k-means with a divergence beside one of scikit-learn's k-means.

    python3 x.py bench clustering            four shapes, on one thread and on two, and memory
    python3 x.py bench clustering --quick    one small shape on one thread, seconds

Both start from the same rows, on the same positive numbers, and stop after so many iterations and
not before; the time of one is the difference of a fit with 25 and one with 5, over 20. Pairs are
taken in turn, and the median of their ratios is told. Written down before the run: at most 1.05 on
one thread and 1.0 on two, on all four shapes, for the path taken by default; labels equal to those
of the definition on every row, and after 25 iterations to those of plain products; a million rows
of 16 columns and 64 clusters in memory linear in the rows.

On a machine that others use as well --processor-time says more: all threads' computing time.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

sys.path.insert(0, str(Path(__file__).parent))
from measuring import hold, in_a_new_process, peak

from overparam.clustering import BregmanKMeans

SHAPES = ((100_000, 16, 32), (100_000, 64, 64), (200_000, 2, 64), (50_000, 128, 256))
SMALL = ((4000, 4, 8),)
SHORT, LONG = 5, 25
METHODS = {
    "lifted": {"divergence": "itakura_saito"},
    "gemm": {"divergence": "itakura_saito", "algorithm": "gemm"},
    "euclidean": {},
}
MOST = {1: 1.05, 2: 1.0}


def numbers(n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows without clusters, so that no fit ends early, and rows to start from."""
    draw = np.random.default_rng(0)
    x = draw.gamma(2.0, size=(n, d)) + 0.1
    return x, x[draw.choice(n, k, replace=False)]


def fitted(name: str, x: np.ndarray, start: np.ndarray, max_iter: int):
    """A fit that takes exactly so many iterations."""
    options = {"init": start, "n_init": 1, "max_iter": max_iter, "tol": 0}
    if name == "scikit-learn":
        model = KMeans(len(start), algorithm="lloyd", **options)
    else:
        model = BregmanKMeans(len(start), **METHODS[name], **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x)
    return model


def an_iteration(name: str, x: np.ndarray, start: np.ndarray, clock) -> float:
    """Seconds of one, from a short fit and a long one."""
    times = []
    for max_iter in (SHORT, LONG):
        begin = clock()
        model = fitted(name, x, start, max_iter)
        times.append(clock() - begin)
        if model.n_iter_ != max_iter:
            raise RuntimeError(f"{name} ended after {model.n_iter_} of {max_iter} iterations")
    return (times[1] - times[0]) / (LONG - SHORT)


def paired(shape: tuple[int, int, int], repeats: int, clock) -> dict:
    """Milliseconds of every method, and ratios to scikit-learn's in the same turn."""
    x, start = numbers(*shape)
    for name in ("scikit-learn", *METHODS):
        fitted(name, x[:5000], start[: min(len(start), 100)], 2)  # what is loaded once
    turns: dict[str, list[float]] = {name: [] for name in ("scikit-learn", *METHODS)}
    for _ in range(repeats):
        for name, found in turns.items():
            found.append(an_iteration(name, x, start, clock))
    theirs = turns["scikit-learn"]
    return {
        name: {
            "ms": 1e3 * statistics.median(found),
            "ratio": statistics.median(a / b for a, b in zip(found, theirs, strict=True)),
        }
        for name, found in turns.items()
    } | {"agreement": agreement(x, start)}


def agreement(x: np.ndarray, start: np.ndarray) -> float:
    """Share of the rows whose label is that of the definition and that of plain products."""
    model, plain = (fitted(name, x, start, LONG) for name in ("lifted", "gemm"))
    # The definition a centre at a time, of so many rows that they stay in the cache.
    labels = np.empty(len(x), dtype=int)
    for begin in range(0, len(x), 1024):
        part = slice(begin, begin + 1024)
        apart = [model.divergence_(x[part], centre[None]) for centre in model.cluster_centers_]
        labels[part] = np.argmin(apart, axis=0)
    return float(((labels == model.labels_) & (plain.labels_ == model.labels_)).mean())


def memory(n: int, d: int, k: int) -> dict:
    """Bytes a number of the table that a fit adds to the peak, ours and scikit-learn's."""
    x, start = numbers(n, d, k)
    before, added = peak(), {}
    for name in ("lifted", "scikit-learn"):  # the first sees the lower peak: ours is judged
        begin = time.perf_counter()
        fitted(name, x, start, 10)
        added[name] = {
            "bytes": (peak() - before) / x.size,
            "seconds": time.perf_counter() - begin,
        }
    return added


def child(options: argparse.Namespace) -> dict:
    """What one process measures."""
    hold(options.threads)
    clock = time.process_time if options.processor_time else time.perf_counter
    if options.child == "memory":
        return memory(*options.shape)
    return paired(tuple(options.shape), options.repeats, clock)


def asked(what: str, shape: tuple[int, int, int], threads: int, options) -> dict:
    """`child` in a process of its own."""
    command = [sys.executable, __file__, "--child", what, "--threads", threads]
    command += ["--repeats", options.repeats, "--shape", *shape]
    command += ["--processor-time"] * options.processor_time
    return in_a_new_process(command, threads)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.child:
        print(json.dumps(child(options)))
        return
    console = Console(width=110)
    table = Table(
        title="Milliseconds an iteration; in brackets over scikit-learn's, median of pairs"
    )
    for column in ("n", "d", "k", "threads", "scikit-learn", *METHODS, "labels", "holds"):
        table.add_column(column, justify="right")
    results = []
    for threads in (1,) if options.quick else (1, 2):
        for shape in SMALL if options.quick else SHAPES:
            found = asked("time", shape, threads, options)
            results.append({"shape": shape, "threads": threads, **found})
            holds = found["lifted"]["ratio"] <= MOST[threads] and found["agreement"] == 1
            cells = [f"{found[name]['ms']:.2f} ({found[name]['ratio']:.2f})" for name in METHODS]
            table.add_row(
                *map(str, shape), str(threads), f"{found['scikit-learn']['ms']:.2f}", *cells,
                f"{found['agreement']:.2%}", "yes" if holds else "no",
            )  # fmt: skip
    console.print(table)
    sizes = [(10_000, 16, 64)] if options.quick else [(10**5, 16, 64), (10**6, 16, 64)]
    for shape in sizes:
        found = asked("memory", shape, 1, options)
        results.append({"memory": shape, **found})
        console.print(
            f"n = {shape[0]:,} of {shape[1]} columns, {shape[2]} clusters: "
            f"{found['lifted']['bytes']:.1f} bytes for each number of the table, of which it has "
            f"8 itself; ten iterations in {found['lifted']['seconds']:.1f} s"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
