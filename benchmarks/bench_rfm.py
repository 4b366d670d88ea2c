"""Feature machines beside xRFM, boosting, forests and kernel ridge regression.

    bench_rfm.py [speed]     fit time and peak memory beside xRFM's feature machine, same settings
    bench_rfm.py tables      test error on public tables, everybody with defaults, mean ranks
    bench_rfm.py eigenpro    EigenPro beside the exact solve on two larger tables

Speed is of single fits in processes of their own, ours and xRFM's in turn, each after a small
fit that loads the libraries; of xRFM's two Euclidean kernels the one that was faster counts.
xRFM and LightGBM live in an environment of their own, made on first use.
"""

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import KFold, StratifiedKFold

sys.path.insert(0, str(Path(__file__).parent))
from peer_environment import environment

from overparam._memory import available
from overparam.datasets import load
from overparam.kernels import (
    EigenProSolver,
    IRKMClassifier,
    IRKMRegressor,
    Laplace,
    RFMClassifier,
    RFMRegressor,
    fit_ridge,
)
from overparam.kernels.encoding import (
    as_numbers,
    categorical_positions,
    find_levels,
    learn_encoding,
)

PEERS = ("xrfm", ["xrfm==0.4.5", "lightgbm==4.6.0"])
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


# Tables.

REGRESSION = (
    "abalone", "airfoil_centred", "california_housing", "concrete", "elevators", "energy",
    "kin8nm", "naval", "power_plant", "protein", "wine_red", "wine_white", "yacht",
)  # fmt: skip
CLASSIFICATION = (
    "adult", "bank", "banknote", "breast_cancer_wisconsin", "ionosphere", "letter", "mammography",
    "mushroom", "nursery", "pendigits", "sonar", "spambase", "splice", "vehicle", "vowel",
    "waveform", "wine_cultivars",
)  # fmt: skip
FOLDS = 5


def whole_table(name: str, rows: int) -> tuple[pd.DataFrame, np.ndarray, str]:
    """A random part of a data set as a frame; missing numbers become the mean, categories."""
    data = load(name)
    x = np.concatenate([data.x_train, data.x_test])
    y = np.concatenate([data.y_train, data.y_test])
    chosen = np.random.default_rng(0).permutation(len(x))[:rows]
    x, y = x[chosen], y[chosen]
    columns = {}
    for j, feature in enumerate(data.feature_names):
        column = pd.Series(x[:, j])
        if data.levels and data.levels[j]:
            columns[feature] = column.fillna(-1).astype(int).astype(str).astype("category")
        else:
            columns[feature] = column.fillna(column.mean())
    return pd.DataFrame(columns), y, data.task


def encoded(frame: pd.DataFrame, train: np.ndarray) -> np.ndarray:
    """What methods without categories are given: ours, standardised on the training rows."""
    levels = find_levels(frame, categorical_positions(frame, "from_dtype", "encoded"))
    numbers = np.asarray(as_numbers(frame, levels), dtype=float)
    names = list(map(str, frame.columns))
    return learn_encoding(numbers[train], levels, names, None, standardize=True).encode(numbers)


def in_process(task: str) -> dict[str, BaseEstimator]:
    """The methods that run here; those named after ours see the frame, the others the codes."""
    machine = RFMRegressor if task == "regression" else RFMClassifier
    weighted = IRKMRegressor if task == "regression" else IRKMClassifier
    forest = RandomForestRegressor if task == "regression" else RandomForestClassifier
    return {
        "RFM": machine(random_state=0),
        "RFM, power 1": machine(agop_power=1.0, random_state=0),
        "IRKM": weighted(random_state=0),
        "random forest": forest(random_state=0),
        "kernel ridge, RBF": KernelRidge(kernel="rbf"),
        "kernel ridge, Laplace": machine(n_iter=0, alpha=1e-3, standardize=True),
    }


def table_errors(name: str, options: argparse.Namespace) -> tuple[str, dict[str, float]]:
    """Mean over the folds: root mean squared error over the deviation, or share of errors."""
    frame, y, task = whole_table(name, options.rows)
    regression = task == "regression"
    splitter = (KFold if regression else StratifiedKFold)(FOLDS, shuffle=True, random_state=0)
    errors: dict[str, list[float]] = {}
    jobs, tests = {}, {}
    for fold, (train, test) in enumerate(splitter.split(frame, y)):
        x = encoded(frame, train)
        mean, scale = (y[train].mean(), y[train].std()) if regression else (0, 1)
        target = (y - mean) / scale if regression else y

        def score(method: str, prediction: np.ndarray, truth: np.ndarray) -> None:
            if regression:
                error = float(np.mean((prediction - truth) ** 2) ** 0.5)
            else:
                error = float(np.mean(prediction != truth))
            errors.setdefault(method, []).append(error)

        for method, model in in_process(task).items():
            ours = isinstance(model, RFMRegressor | RFMClassifier)
            given = frame if ours else x
            part = (given.iloc[train], given.iloc[test]) if ours else (given[train], given[test])
            if isinstance(model, KernelRidge) and not regression:
                one_hot = np.eye(int(y.max()) + 1)
                prediction = model.fit(part[0], one_hot[y[train]]).predict(part[1]).argmax(1)
            else:
                prediction = model.fit(part[0], target[train]).predict(part[1])
            score(method, prediction, target[test])
        held = max(20, len(train) // 10)
        for method in ("xrfm", "lightgbm"):
            jobs[f"{method}-{fold}"] = {
                "method": method, "task": task, "threads": options.threads,
                "x_train": x[train[held:]], "y_train": target[train[held:]],
                "x_valid": x[train[:held]], "y_valid": target[train[:held]], "x_test": x[test],
            }  # fmt: skip
        tests[fold] = (target[test], score)
    for job, (prediction, _) in peer(jobs).items():
        method, fold = job.split("-")
        truth, score = tests[int(fold)]
        score({"xrfm": "xRFM", "lightgbm": "LightGBM"}[method], prediction, truth)
    return task, {method: float(np.mean(values)) for method, values in errors.items()}


def tables(options: argparse.Namespace) -> None:
    """Errors on every table, and the mean ranks."""
    torch.set_num_threads(options.threads)
    start = time.perf_counter()
    for title, names in (("regression", REGRESSION), ("classification", CLASSIFICATION)):
        chosen = [n for n in names if not options.names or n in options.names]
        if not chosen or (title == "classification" and not options.classification):
            continue
        results = {}
        for name in chosen:
            results[name] = table_errors(name, options)[1]
            line = ", ".join(f"{m} {v:.3f}" for m, v in results[name].items())
            print(f"{name}: {line}", flush=True)
        errors = pd.DataFrame(results).T
        ranks = errors.round(6).rank(axis=1)
        table = Table(
            title=f"{title}: mean of {FOLDS} folds, at most {options.rows} rows, "
            "everybody with defaults"
        )
        table.add_column("table")
        for method in errors.columns:
            table.add_column(method, justify="right")
        for name, row in errors.iterrows():
            table.add_row(str(name), *(f"{value:.3f}" for value in row))
        table.add_row("mean rank", *(f"{value:.2f}" for value in ranks.mean()))
        CONSOLE.print(table)
        main_methods = errors.drop(columns="RFM, power 1").round(6).rank(axis=1).mean()
        CONSOLE.print(
            "mean rank without 'RFM, power 1': "
            + ", ".join(f"{m} {v:.2f}" for m, v in main_methods.items())
        )
    CONSOLE.print(f"{time.perf_counter() - start:.0f} s")


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
        frame, y, _ = whole_table(name, 50_000)
        whole = int(0.9 * len(y))
        for n in options.sizes or sorted({min(most, whole), whole}):
            train, test = np.arange(n), np.arange(whole, len(y))
            x = torch.from_numpy(encoded(frame, train))
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
                        choices=["speed", "tables", "eigenpro", "one"])  # fmt: skip
    parser.add_argument("--n", type=int, nargs="+", default=[2000, 5000, 10000])
    parser.add_argument("--d", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processor-time", action="store_true",
                        help="instead of elapsed time, where the machine is busy")  # fmt: skip
    parser.add_argument("--solver", default="cholesky", help="of xRFM: cholesky, or solve")
    parser.add_argument("--rows", type=int, default=2000, help="of a table, at most")
    parser.add_argument("--names", nargs="*", help="of tables")
    parser.add_argument("--classification", action="store_true", help="tables of classes too")
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
        {"speed": speed, "tables": tables, "eigenpro": eigenpro}[options.what](options)


if __name__ == "__main__":
    main()
