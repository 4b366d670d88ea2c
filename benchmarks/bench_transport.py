"""Discriminant transport and two-sided Procrustes beside POT, skada and one-sided Procrustes.

    python3 x.py bench transport [adapt]       accuracy and time, domain adaptation
    python3 x.py bench transport digits        the same on USPS and MNIST, from the data folder
    python3 x.py bench transport match         partners found and time, matching of two views
    python3 x.py bench transport many          two views of 5000 rows, the start from some of them

skada switches scikit-learn's routing of metadata on, and stands in an environment of its own, made
on first use, with the tasks handed over in a file. Time is of processors, fit and prediction
together, the median of the seeds. Every peer is at its defaults but for the regularisation of
Sinkhorn, 0.05 of the median cost as ours. What is written last of a name is what learns from the
rows moved: a discriminant with shrinkage 0.1, or the nearest neighbour.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier

sys.path.insert(0, str(Path(__file__).parent))
from peer_environment import environment

from overparam.studies.jin2020_otda.domains import clutter, skewed, spurious, transfer
from overparam.studies.jin2021_wasserstein_procrustes import SETTINGS, views
from overparam.transport import (
    DiscriminantTransportClassifier,
    TwoSidedProcrustes,
    two_sided_wasserstein_procrustes,
)
from overparam.transport.couplings import import_pot
from overparam.transport.gromov import gromov_couplings

SKADA = ("skada", ["skada==0.6.0", "POT==0.9.7.post1"])
CONSOLE = Console(width=120)
Found = dict[str, tuple[float, float]]  # accuracy and seconds


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = work()
    return result, time.process_time() - start


def lda() -> LinearDiscriminantAnalysis:
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)


def adapted(task: tuple[np.ndarray, ...], pca: Any) -> Found:
    """Ours and POT's on one task."""
    ot = import_pot("bench transport")
    x, y, target, right = task
    methods: dict[str, Callable[[], np.ndarray]] = {
        "LDA": lambda: lda().fit(x, y).predict(target),
        "LDA, centred": lambda: lda().fit(x - x.mean(0), y).predict(target - target.mean(0)),
        "1-NN": lambda: KNeighborsClassifier(1).fit(x, y).predict(target),
    }
    for name, options in {
        "ours": {},
        "ours, θ=0": {"theta": 0.0},
        "ours, μ=0": {"mu": 0.0},
    }.items():
        model = DiscriminantTransportClassifier(pca_components=pca, warn=False, **options)
        methods[name] = lambda model=model: model.fit(x, y, target).predict(target)
    transports = {
        "EMD": ot.da.EMDTransport(),
        "Sinkhorn": ot.da.SinkhornTransport(reg_e=0.05, norm="median"),
        "LpL1": ot.da.SinkhornLpl1Transport(reg_e=0.05, reg_cl=0.1, norm="median"),
        "linear": ot.da.LinearTransport(reg=1e-3),
    }
    for name, transport in transports.items():
        for ending, learner in {"LDA": lda, "1-NN": lambda: KNeighborsClassifier(1)}.items():

            def moved(transport=transport, learner=learner) -> np.ndarray:
                rows = transport.fit(Xs=x, ys=y, Xt=target).transform(Xs=x)
                return learner().fit(rows, y).predict(target)

            methods[f"POT {name} + {ending}"] = moved
    found: Found = {}
    for name, method in methods.items():
        labels, seconds = timed(method)
        found[name] = float(np.mean(labels == right)), seconds
    return found


def of_skada(tasks: list[tuple[np.ndarray, ...]]) -> list[Found]:
    """The same of skada's methods, in its own environment; none where that cannot be made."""
    with tempfile.TemporaryDirectory() as folder:
        job, result = f"{folder}/job.npz", f"{folder}/result.npz"
        parts = {f"{i}/{j}": part for i, task in enumerate(tasks) for j, part in enumerate(task)}
        np.savez(job, **parts)
        script = Path(__file__).with_name("peer_skada.py")
        try:
            python = environment(*SKADA, with_torch=False)
            subprocess.run([python, "-W", "ignore", script, job, result], check=True, timeout=3600)
        except (OSError, subprocess.SubprocessError) as problem:
            CONSOLE.print(f"skada left out: {problem}")
            return [{} for _ in tasks]
        with np.load(result) as file:
            names = file["names"]
            return [
                {str(n): (float(a), float(s)) for n, (a, s) in zip(names, rows, strict=True)}
                for rows in file["found"]
            ]


def show(title: str, rows: dict[str, list[tuple[float, float]]], unit: str) -> None:
    table = Table(title=title)
    for heading in ("method", unit, "worst seed", "processor s"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, values in sorted(rows.items(), key=lambda r: -fmean(v[0] for v in r[1])):
        shares = [value for value, _ in values]
        table.add_row(
            name, f"{100 * fmean(shares):.1f}", f"{100 * min(shares):.1f}",
            f"{median(seconds for _, seconds in values):.3f}",
        )  # fmt: skip
    CONSOLE.print(table)


def compare(title: str, tasks: list[tuple[np.ndarray, ...]], pca: Any, skada: bool) -> None:
    rows: dict[str, list[tuple[float, float]]] = {}
    others = of_skada(tasks) if skada else [{} for _ in tasks]
    for task, other in zip(tasks, others, strict=True):
        for name, value in {**adapted(task, pca), **other}.items():
            rows.setdefault(name, []).append(value)
    show(f"{title}, {len(tasks)} seeds", rows, "right, %")


def one_sided(x: np.ndarray, y: np.ndarray, d: int, rounds: int = 300, seed: int = 0) -> np.ndarray:
    """Coupling of Wasserstein Procrustes (Grave, Joulin, Berthet 2019), on principal directions.

    Stochastic: assignments of random batches of 50 and gradient steps on the rotation, projected
    by the polar factor; started from the convex relaxation's substitute for small sets, the
    assignment of sorted similarities. The last assignment is of all rows.
    """
    ot = import_pot("bench transport")
    draw = np.random.default_rng(seed)
    u, v = (rows @ np.linalg.svd(rows, full_matrices=False)[2][:d].T
            for rows in (x - x.mean(0), y - y.mean(0)))  # fmt: skip
    u, v = u / np.sqrt(np.square(u).sum(1).mean()), v / np.sqrt(np.square(v).sum(1).mean())
    similar = [np.sort(np.sqrt(np.maximum((rows @ rows.T), 0)), 1) for rows in (u, v)]
    n, m = len(u), len(v)
    a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    plan = ot.emd(a, b, ot.dist(*similar)) if n == m else np.outer(a, b)
    left, _, right = np.linalg.svd(u.T @ plan @ v)
    turn = left @ right
    size = min(50, n, m)
    even = np.full(size, 1 / size)
    for step in range(rounds):
        i, j = draw.choice(n, size, replace=False), draw.choice(m, size, replace=False)
        part = ot.emd(even, even, -(u[i] @ turn) @ v[j].T)
        left, _, right = np.linalg.svd(turn + 2 / (1 + step) ** 0.5 * u[i].T @ part @ v[j])
        turn = left @ right
    return ot.emd(a, b, -(u @ turn) @ v.T)


def match(seeds: int) -> None:
    for setting in SETTINGS:
        rows: dict[str, list[tuple[float, float]]] = {}
        for seed in range(seeds):
            x, y, partners = views(setting, 1000 + seed)
            a = np.full(len(x), 1 / len(x))
            methods: dict[str, Callable[[], np.ndarray]] = {
                "Gromov–Wasserstein": lambda x=x, y=y, a=a: next(
                    gromov_couplings(x - x.mean(0), y - y.mean(0), a, a, 1, "bench transport")
                ),
                "one-sided, stochastic": lambda x=x, y=y: one_sided(x, y, 3),
                "whiten": lambda x=x, y=y: TwoSidedProcrustes(3).fit(x, y).coupling_,
                "orthogonal": lambda x=x, y=y: (
                    TwoSidedProcrustes(3, constraint="orthogonal").fit(x, y).coupling_
                ),
            }
            for name, method in methods.items():
                plan, seconds = timed(method)
                share = float(np.mean(plan.argmax(1) == partners))
                rows.setdefault(name, []).append((share, seconds))
        show(f"{setting}, {seeds} seeds", rows, "partners found, %")


def many(n: int) -> None:
    """One pair of views of many rows."""
    draw = np.random.default_rng(0)
    z = draw.normal(size=(8, 4))[draw.integers(8, size=n)] * 5
    z = z + draw.gamma(1, 1, size=(n, 4)) * [2, 1.5, 1, 0.7]
    x, y = (z @ np.linalg.qr(draw.normal(size=(p, 4)))[0].T + 0.05 * draw.normal(size=(n, p))
            for p in (9, 7))  # fmt: skip
    order = draw.permutation(n)
    partners = np.argsort(order)
    for constraint in ("whiten", "orthogonal"):
        found, seconds = timed(
            lambda c=constraint: two_sided_wasserstein_procrustes(
                x, y[order], 4, constraint=c, max_iter=10
            )
        )
        share = float(np.mean(found.coupling.argmax(1) == partners))
        CONSOLE.print(f"{n} rows, {constraint}: {100 * share:.1f} % of the partners, "
                      f"{seconds:.0f} processor seconds, {found.n_iter} rounds")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = ["adapt", "digits", "match", "many"]
    parser.add_argument("what", nargs="?", default="adapt", choices=kinds)
    parser.add_argument("--seeds", type=int, help="repetitions of each task")
    parser.add_argument("--rows", type=int, default=5000, help="of `many`")
    parser.add_argument("--no-skada", action="store_true", help="make no environment for it")
    given = parser.parse_args()
    if given.what == "adapt":
        seeds = range(1000, 1000 + (given.seeds or 6))
        for name, made in {
            "spurious": spurious,
            "clutter": clutter,
            "other shares": skewed,
        }.items():
            compare(name, [made(seed) for seed in seeds], "auto", not given.no_skada)
    elif given.what == "digits":
        seeds = range(1000, 1000 + (given.seeds or 3))
        for way in ("usps to mnist", "mnist to usps"):
            compare(way, [transfer(way, seed) for seed in seeds], 40, not given.no_skada)
    elif given.what == "match":
        match(given.seeds or 10)
    else:
        many(given.rows)


if __name__ == "__main__":
    main()
