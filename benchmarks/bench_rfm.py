"""Feature machines beside xRFM, boosting, forests and kernel ridge regression.

    bench_rfm.py [speed]     fit time and peak memory beside xRFM's feature machine, same settings
    bench_rfm.py tables      losses on public tables, everybody with defaults, mean ranks, times;
                             `--part confirm` are those that no default was chosen by
    bench_rfm.py eigenpro    EigenPro beside the exact solve on two larger tables
    bench_rfm.py large       the estimator on --n rows of --d columns, too many for a matrix
    bench_rfm.py blocks      EigenPro over a Parquet file block by block, of --n rows, --d columns

Speed is of single fits in processes of their own, ours and xRFM's in turn, each after a small
fit that loads the libraries; of xRFM's two Euclidean kernels the one that was faster counts.
Peers live in environments of their own, made on first use.
"""

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from peer_environment import environment
from table_blocks import blocks, large
from table_ranks import MORE, tables
from table_sets import part_of

from overparam._memory import available
from overparam.kernels import EigenProSolver, Laplace, RFMRegressor, fit_ridge

PEERS = ("xrfm", ["xrfm==0.4.5"])
CONSOLE = Console(width=130)


def peer(jobs: dict[str, dict]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Predictions and seconds of jobs for `xrfm_peer.py`, run one after another."""
    with tempfile.TemporaryDirectory() as folder:
        job, result = f"{folder}/job.npz", f"{folder}/result.npz"
        np.savez(job, **{f"{name}/{k}": v for name, j in jobs.items() for k, v in j.items()})
        script = Path(__file__).with_name("xrfm_peer.py")
        subprocess.run(
            [environment(*PEERS), "-W", "ignore", script, job, result], check=True, timeout=4 * 3600
        )
        with np.load(result) as file:
            return {name: (file[f"{name}/prediction"], file[f"{name}/seconds"]) for name in jobs}


# Speed.

N_ITER, BANDWIDTH, RIDGE = 5, 10.0, 1e-3


def low_rank(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws of x, standard normal, and y = 3 x₀ x₁ 1{x₅ > 0}."""
    x = np.random.default_rng(seed).normal(size=(n, d))
    return x, 3 * x[:, 0] * x[:, 1] * (x[:, 5] > 0)


def ours(n_iter: int = N_ITER, dtype: str = "float32", solver: str = "auto") -> RFMRegressor:
    return RFMRegressor(
        bandwidth=BANDWIDTH,
        alpha=RIDGE,
        n_iter=n_iter,
        early_stopping=False,
        agop_power=1.0,
        standardize=False,
        dtype=dtype,
        solver=solver,
    )


def oracle(x: np.ndarray, y: np.ndarray, z: np.ndarray, n_iter: int = N_ITER) -> np.ndarray:
    """The same recursion in double precision with SciPy, written as its formulas are."""
    from scipy.linalg import solve, sqrtm
    from scipy.spatial.distance import cdist

    matrix, mean = np.eye(x.shape[1]), y.mean()
    for iteration in range(n_iter + 1):
        root = np.real(sqrtm(matrix))
        u, v = x @ root, z @ root
        distances = cdist(u, u)
        kernel = np.exp(-distances / BANDWIDTH)
        dual = solve(kernel + RIDGE * np.eye(len(x)), y - mean, assume_a="pos")
        if iteration == n_iter:
            return np.exp(-cdist(v, u) / BANDWIDTH) @ dual + mean
        np.fill_diagonal(distances, np.inf)
        slopes = -kernel / (BANDWIDTH * distances)
        gradients = np.stack(
            [((slopes[i] * dual)[:, None] * (x[i] - x)).sum(0) @ matrix for i in range(len(x))]
        )
        matrix = gradients.T @ gradients / len(x)
        matrix = matrix / matrix.max()
    raise AssertionError


def resident(name: str) -> int:
    """Bytes in memory now ("VmRSS") or at most so far ("VmHWM"); Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def one_fit(n: int, d: int, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """In this process: our time, test predictions, and the peak of memory in words of n²."""
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.processor_time else time.perf_counter
    x, y = low_rank(n + 1000, d)
    ours(1, solver="cg").fit(x[:200], y[:200])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = resident("VmRSS")
    start = clock()
    model = ours().fit(x[:n], y[:n])
    seconds = clock() - start
    peak = resident("VmHWM") - before
    return {
        "seconds": np.array(seconds),
        "prediction": model.predict(x[n:]),
        "words": np.array(peak / 4 / n**2),
    }


def ours_alone(n: int, d: int, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """`one_fit` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "one", "--n", n, "--d", d, "--to", folder]
        command += ["--threads", options.threads]
        command += ["--processor-time"] * options.processor_time
        subprocess.run([*map(str, command)], check=True, timeout=4 * 3600)
        with np.load(f"{folder}/one.npz") as file:
            return {name: file[name] for name in file.files}


def xrfm_alone(n: int, d: int, options: argparse.Namespace) -> tuple[np.ndarray, float]:
    """Predictions and seconds of xRFM's feature machine on the same data."""
    x, y = low_rank(n + 1000, d)
    mean = y[:n].mean()
    job = {
        "method": "rfm", "task": "regression", "threads": options.threads,
        "processor_time": options.processor_time,
        "bandwidth": BANDWIDTH, "ridge": RIDGE, "n_iter": N_ITER,
        "solver": options.solver, "x_train": x[:n], "y_train": y[:n] - mean,
        "x_valid": x[n : n + 20], "y_valid": y[n : n + 20] - mean, "x_test": x[n:],
    }  # fmt: skip
    prediction, seconds = peer({"job": job})["job"]
    return prediction + mean, float(seconds.min())


def speed(options: argparse.Namespace) -> None:
    """Print the comparison for every size."""
    x, y = low_rank(600, 10)
    difference = np.abs(
        ours(dtype="float64").fit(x[:400], y[:400]).predict(x[400:])
        - oracle(x[:400], y[:400], x[400:])
    ).max()
    CONSOLE.print(f"double precision against SciPy, n = 400, d = 10: {difference:.1e} at most")
    table = Table(
        title=f"{N_ITER} rounds and a last fit, single precision, {options.threads} thread(s), "
        f"{'processor' if options.processor_time else 'elapsed'} time, least of "
        f"{options.repeats}; in brackets the least and largest ratio of one turn"
    )
    for column in ("n", "d", "ours s", "xRFM s", "ratio", "test MSE ours", "xRFM", "peak / n²"):
        table.add_column(column, justify="right")
    for n in options.n:
        for d in options.d:
            turns = [
                (ours_alone(n, d, options), xrfm_alone(n, d, options))
                for _ in range(options.repeats)
            ]
            y = low_rank(n + 1000, d)[1][n:]
            mine, theirs = turns[0]
            errors = [np.mean((p - y) ** 2) for p in (mine["prediction"], theirs[0])]
            times = np.array([(float(m["seconds"]), t[1]) for m, t in turns])
            fastest, ratios = times.min(0), times[:, 1] / times[:, 0]
            words = max(float(m["words"]) for m, _ in turns)
            table.add_row(
                str(n), str(d), f"{fastest[0]:.2f}", f"{fastest[1]:.2f}",
                f"{fastest[1] / fastest[0]:.2f} [{ratios.min():.2f}, {ratios.max():.2f}]",
                f"{errors[0]:.5f}", f"{errors[1]:.5f} ({errors[0] / errors[1] - 1:+.2%})",
                f"{words:.2f}",
            )  # fmt: skip
    CONSOLE.print(table)


# EigenPro.


RIDGE_OF_TABLES = 1.0


def rows_solved_exactly(share: float = 0.5) -> int:
    """As many as a double precision matrix and its factor leave that share of the memory for."""
    room = available(torch.device("cpu"))
    return 20_000 if room is None else int(math.sqrt(share * room / (2.2 * 8)))


def eigenpro(options: argparse.Namespace) -> None:
    """Test error, time and peak memory of EigenPro and, where it fits, of the exact solve."""
    torch.set_num_threads(options.threads)
    most = options.exact or rows_solved_exactly()
    table = Table(
        title=f"Laplace kernel, L = {BANDWIDTH:g}, ridge {RIDGE_OF_TABLES:g}; EigenPro in single, "
        f"the exact solve in double precision, up to {most} rows; {options.threads} thread(s)"
    )
    for column in ("table", "n", "EigenPro RMSE", "exact", "difference", "EigenPro s", "exact s",
                   "epochs", "batch", "EigenPro memory", "exact memory"):  # fmt: skip
        table.add_column(column, justify="right")
    for name in options.names or ("california_housing", "protein"):
        table = part_of(name, 50_000)
        y = table.y
        whole = int(0.9 * len(y))
        for n in options.sizes or sorted({min(most, whole), whole}):
            train, test = np.arange(n), np.arange(whole, len(y))
            x = torch.from_numpy(table.coordinates(train))
            mean, scale = y[train].mean(), y[train].std()
            target = torch.from_numpy((y - mean) / scale)[:, None]
            solved = ["does not fit", "–", "–", "–"]
            error, seconds, memory, solver = by_eigenpro(
                x.float(), target.float(), n, test, options
            )
            if n <= most:
                exact, exact_seconds, exact_memory = exactly(x, target, n, test)
                solved = [
                    f"{exact:.4f}", f"{error / exact - 1:+.2%}",
                    f"{exact_seconds:.1f}", f"{exact_memory:.0f} MB",
                ]  # fmt: skip
            table.add_row(
                name, str(n), f"{error:.4f}", *solved[:2], f"{seconds:.1f}", solved[2],
                str(len(solver.history)), str(solver.batch_size_), f"{memory:.0f} MB", solved[3],
            )  # fmt: skip
    CONSOLE.print(table)


def by_eigenpro(
    x: torch.Tensor, target: torch.Tensor, n: int, test: np.ndarray, options: argparse.Namespace
) -> tuple[float, float, float, EigenProSolver]:
    """Root mean squared test error, seconds and megabytes of a fit to n rows, and the solver."""
    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident("VmRSS"), time.perf_counter()
    solver = EigenProSolver(Laplace(BANDWIDTH), ridge=RIDGE_OF_TABLES)
    solver.fit(x[:n], target[:n], epochs=options.epochs, tolerance=0.01)
    seconds, memory = time.perf_counter() - start, (resident("VmHWM") - before) / 1e6
    error = float((solver.predict(x[test]) - target[test]).square().mean().sqrt())
    return error, seconds, memory, solver


def exactly(
    x: torch.Tensor, target: torch.Tensor, n: int, test: np.ndarray
) -> tuple[float, float, float]:
    """The same of the exact solution."""
    kernel = Laplace(BANDWIDTH)
    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident("VmRSS"), time.perf_counter()
    dual = fit_ridge(kernel, x[:n], target[:n], ridge=RIDGE_OF_TABLES)
    seconds, memory = time.perf_counter() - start, (resident("VmHWM") - before) / 1e6
    prediction = kernel.product(x[test], x[:n], dual)
    return float((prediction - target[test]).square().mean().sqrt()), seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", default="speed",
                        choices=["speed", "tables", "eigenpro", "large", "blocks", "one"],
                        )  # fmt: skip
    parser.add_argument("--n", type=int, nargs="+", default=[2000, 5000, 10000])
    parser.add_argument("--d", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processor-time", action="store_true",
                        help="instead of elapsed time, where the machine is busy")  # fmt: skip
    parser.add_argument("--solver", default="cholesky", help="of xRFM: cholesky, or solve")
    parser.add_argument("--rows", type=int, default=800, help="of a table, at most")
    parser.add_argument("--folds", type=int, default=3, help="of every table")
    parser.add_argument("--part", choices=["choose", "confirm", "all"], default="choose",
                        help="tables that defaults are chosen by, those kept, or all")  # fmt: skip
    parser.add_argument("--variants", action="store_true", help="ours without parts of it, too")
    parser.add_argument("--more", nargs="*", default=[], choices=MORE,
                        help="peers that take long")  # fmt: skip
    parser.add_argument("--without", nargs="*", default=[], help="peers to leave out")
    parser.add_argument("--store", default=str(Path(__file__).with_name("table_scores.json")),
                        help="FILE.json of scores: what it has is not computed")  # fmt: skip
    parser.add_argument("--again", nargs="*", default=[], help="methods to compute all the same")
    parser.add_argument("--stored", action="store_true", help="compute nothing that is not there")
    parser.add_argument("--write", metavar="PAGE", help="put the tables between a page's marks")
    parser.add_argument("--peers", help="a Python that has them, instead of one of our making")
    parser.add_argument("--peers-only", action="store_true", help="fit them, print nothing")
    parser.add_argument("--names", nargs="*", help="of tables")
    parser.add_argument("--sizes", type=int, nargs="*", help="training rows for eigenpro")
    parser.add_argument("--epochs", type=int, default=15, help="of EigenPro, at most")
    parser.add_argument("--exact", type=int, help="rows to solve exactly, at most; "
                        "without it as many as half of the free memory is enough for")  # fmt: skip
    parser.add_argument("--to", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.what == "one":
        result = one_fit(options.n[0], options.d[0], options)
        np.savez(f"{options.to}/one.npz", **result)
    else:
        kinds = {"speed": speed, "tables": tables, "eigenpro": eigenpro, "large": large,
                 "blocks": blocks}  # fmt: skip
        kinds[options.what](options)


if __name__ == "__main__":
    main()
