"""Tables whose kernel matrix does not fit: in an estimator, and block by block from Parquet."""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

from overparam.kernels import EigenProSolver, RFMRegressor

BLOCK, NOISE, TESTED = 20_000, 0.1, 1000
FEATURES = 5000  # rows of the first block that features are learned from


def target(x: np.ndarray) -> np.ndarray:
    """Of three columns."""
    return np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2]


def write(path: Path, n: int, d: int, draw: np.random.Generator) -> None:
    """Columns x0, x1, … of normal numbers and y with noise, a block at a time."""
    writer = None
    for start in range(0, n, BLOCK):
        x = draw.normal(size=(min(BLOCK, n - start), d)).astype(np.float32)
        y = target(x) + NOISE * draw.normal(size=len(x))
        columns = {f"x{j}": x[:, j] for j in range(d)} | {"y": y.astype(np.float32)}
        table = pa.table(columns)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def large(options: argparse.Namespace) -> None:
    """The estimator at its defaults: seconds, peak memory, R², and how progress moved."""
    torch.set_num_threads(options.threads)
    for n in options.n:
        for d in options.d:
            draw = np.random.default_rng(0)
            x = draw.normal(size=(n, d)).astype(np.float32)
            y = target(x) + NOISE * draw.normal(size=n)
            wall, processor = time.perf_counter(), time.process_time()
            seen, told = [(wall, "", 0.0)], [0]

            def tell(stage: str, done: float, seen: list = seen, told: list = told) -> None:
                if (stage, round(done, 3)) != seen[-1][1:]:
                    seen.append((time.perf_counter(), stage, round(done, 3)))
                if len(seen) > told[-1] + 100:
                    told.append(len(seen))
                    print(
                        f"  {stage} {done:.3f} after {seen[-1][0] - seen[0][0]:.0f} s", flush=True
                    )

            model = RFMRegressor(random_state=0, progress=tell).fit(x, y)
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            still = np.diff([moment for moment, *_ in seen]).max()
            x = draw.normal(size=(TESTED, d)).astype(np.float32)
            score = r2(x, model.predict(x))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"{n} x {d}, {options.threads} threads: {wall:.0f} s, {processor:.0f} s of "
                f"processor time, peak {peak:.2f} GiB, R² {score:.4f} by round {model.best_iter_} "
                f"of {model.n_iter_}; progress moved {len(seen) - 1} times, and stood still for "
                f"{still:.1f} s at most",
                flush=True,
            )


def blocks(options: argparse.Namespace) -> None:
    """Seconds, peak memory of the process and R² of one pass over n rows of d columns.

    The first rows are fitted by the estimator, whose kernel, features and ridge the pass then has.
    """
    torch.set_num_threads(options.threads)
    for n in options.n:
        for d in options.d:
            draw = np.random.default_rng(0)
            new = draw.normal(size=(TESTED, d)).astype(np.float32)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "rows.parquet")
                write(path, n, d, draw)
                wall, processor = time.perf_counter(), time.process_time()
                solver, seen, told = None, 0, 0
                for batch in parquet.ParquetFile(path).iter_batches(BLOCK):
                    rows = torch.from_numpy(np.column_stack(batch.columns)).float()
                    if solver is None:
                        model = RFMRegressor(standardize=False, random_state=0)
                        model.fit(rows[:FEATURES, :-1], rows[:FEATURES, -1])
                        print(
                            f"{n} x {d}: the estimator on {min(FEATURES, len(rows))} rows: R² "
                            f"{r2(new, model.predict(new)):.4f} after "
                            f"{time.process_time() - processor:.0f} s of processor time",
                            flush=True,
                        )
                        features = torch.from_numpy(model.feature_matrix_).float()
                        solver = EigenProSolver(
                            model.kernel_, feature_matrix=features, ridge=model.alpha_
                        )
                    solver.partial_fit(rows[:, :-1], rows[:, -1:])
                    seen += len(rows)
                    if seen * 10 // n > told:
                        told = seen * 10 // n
                        said = solver.predict(torch.from_numpy(new)).numpy()[:, 0]
                        print(
                            f"  {seen} rows: {time.perf_counter() - wall:.0f} s, "
                            f"{time.process_time() - processor:.0f} s of processor time, peak "
                            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} "
                            f"GiB, R² {r2(new, said):.4f}",
                            flush=True,
                        )


def r2(x: np.ndarray, said: np.ndarray) -> float:
    """Share of the variance of the target, without noise, that is explained."""
    return 1 - float(np.square(target(x) - said).mean() / target(x).var())
