"""Table models side by side: losses on every table, mean ranks with intervals, times."""

import argparse
import json
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import table_page
import torch
from peer_environment import environment
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold
from table_page import LEVEL, column, mean_ranks
from table_sets import Rows, names_of, part_of

from overparam._files import write_whole
from overparam.kernels import (
    IRKMClassifier,
    IRKMRegressor,
    KernelEnsembleClassifier,
    KernelEnsembleRegressor,
    RFMClassifier,
    RFMRegressor,
)

ENVIRONMENT = ("tables", ["catboost==1.2.10", "xgboost==3.2.0", "lightgbm==4.6.0", "xrfm==0.4.5"])
# RealMLP and TabM are trained from scratch. TabPFN is weights, fetched when it is first used: what
# has no connection cannot run it.
NETWORKS, MORE = "pytabkit==1.8.0", ("RealMLP", "TabM")
PEERS = (
    "CatBoost", "XGBoost", "LightGBM", "ExtraTrees", "random forest", "SVM", "linear", "xRFM",
)  # fmt: skip
# Everybody's probabilities are no smaller: a single mistake that was certain decides no table.
SMALLEST = 1e-3
BINS = 15
CONSOLE = Console(width=200)


def ours(classify: bool, variants: bool) -> dict[str, Any]:
    """Our models at their defaults, and as they were without what is tried."""
    machine = RFMClassifier if classify else RFMRegressor
    weighted = IRKMClassifier if classify else IRKMRegressor
    both = KernelEnsembleClassifier if classify else KernelEnsembleRegressor
    models = {
        "RFM": machine(random_state=0),
        "IRKM": weighted(random_state=0),
        "best": both(random_state=0),
    }
    if variants:
        plain: dict[str, Any] = {"standardize": True, "random_state": 0}
        plain |= {"exponent": 1.0} if classify else {}
        models["RFM, before"] = machine(**plain)
    return models


def folds_of(rows: Rows, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows."""
    splitter = KFold if rows.task == "regression" else StratifiedKFold
    return list(splitter(number, shuffle=True, random_state=0).split(rows.codes, rows.y))


def ask_peers(names: list[str], known: dict[str, dict], options: argparse.Namespace) -> None:
    """Compute in the peers' environment, and keep, what is not known of them yet."""
    with tempfile.TemporaryDirectory() as folder:
        jobs, told = Path(folder, "jobs"), Path(folder, "results")
        jobs.mkdir()
        told.mkdir()
        asked = {}
        for name in names:
            methods = [m for m in asked_of(options) if m not in known[key(name, options)]]
            if methods:
                rows = part_of(name, options.rows)
                folds = folds_of(rows, options.folds)
                asked[name] = rows, folds, methods
                np.savez(jobs / f"{name}.npz", **as_job(rows, folds, methods, options.threads))
        if not asked:
            return
        python = options.peers or peers_environment(options)
        script = Path(__file__).with_name("table_peers.py")
        process = subprocess.Popen([python, "-W", "ignore", script, jobs, told])
        while asked:
            ended = process.poll()
            for path in told.glob("*.npz"):
                if path.stem in asked:
                    rows, folds, methods = asked.pop(path.stem)
                    known[key(rows.name, options)] |= read_back(path, rows, folds, methods)
                    keep(known, options)
            if ended is not None and asked:
                raise SystemExit(f"the peers ended with status {ended}; not done: {[*asked]}")
            time.sleep(0.5)


def peers_environment(options: argparse.Namespace) -> Path:
    """Python of an environment that has the peers that are asked for."""
    name, requirements = ENVIRONMENT
    if not options.more:
        return environment(name, requirements)
    return environment(f"{name}-networks", [*requirements, NETWORKS])


def asked_of(options: argparse.Namespace) -> list[str]:
    """The peers."""
    return [method for method in [*PEERS, *options.more] if method not in options.without]


def key(name: str, options: argparse.Namespace) -> str:
    """What scores are kept under."""
    return f"{name}, {options.rows} rows, {options.folds} folds"


def kept(names: list[str], options: argparse.Namespace) -> dict[str, dict]:
    """The scores of earlier runs, without those that are asked for again on these tables."""
    store, known = Path(options.store), defaultdict(dict)
    known |= json.loads(store.read_text("utf-8")) if store.exists() else {}
    for name in names:
        scores = known[key(name, options)]
        known[key(name, options)] = {m: s for m, s in scores.items() if m not in options.again}
    return known


def keep(known: dict[str, dict], options: argparse.Namespace) -> None:
    """Write them, of six digits each: a run that is stopped loses one model on one table."""
    rounded = {
        name: {
            method: {which: float(f"{value:.6g}") for which, value in score.items()}
            for method, score in scores.items()
        }
        for name, scores in known.items()
    }
    write_whole(Path(options.store), json.dumps(rounded, indent=1))


def as_job(rows: Rows, folds: list, methods: list[str], threads: int) -> dict[str, Any]:
    """What `table_peers.py` reads."""
    job: dict[str, Any] = {
        "task": rows.task, "threads": threads, "methods": methods,
        "codes": rows.codes, "sizes": rows.sizes, "y": rows.y,
    }  # fmt: skip
    for fold, (train, test) in enumerate(folds):
        job |= {f"train-{fold}": train, f"test-{fold}": test}
        job[f"coordinates-{fold}"] = rows.coordinates(train)
    return job


def read_back(path: Path, rows: Rows, folds: list, methods: list[str]) -> dict[str, dict]:
    """The scores of what it wrote."""
    with np.load(path) as file:
        return {
            method: judged(
                rows,
                folds,
                [
                    (file[f"{method}/{fold}/prediction"], file[f"{method}/{fold}/seconds"])
                    for fold in range(len(folds))
                ],
            )
            for method in methods
            if f"{method}/0/prediction" in file
        }


def of_ours(rows: Rows, folds: list, model: Any) -> list:
    """The same of one of ours."""
    found, frame = [], rows.frame
    for train, test in folds:
        start = time.process_time()
        model.fit(frame.iloc[train], rows.y[train])
        middle = time.process_time()
        said = getattr(model, "predict" if rows.task == "regression" else "predict_proba")(
            frame.iloc[test]
        )
        found.append((said, np.array([middle - start, time.process_time() - middle])))
    return found


def judged(rows: Rows, folds: list, found: list) -> dict[str, float]:
    """Means over the folds, and seconds of all of them.

    loss: root mean squared error over the standard deviation of the training targets, or log-loss.
    auc: one class against the rest, the mean over classes. error: share of wrong classes. ece:
    expected calibration error of the most probable class, in 15 bins, over all folds together.
    """
    scores: dict[str, list[float]] = {"loss": []}
    sure, right = [], []
    for (train, test), (said, _) in zip(folds, found, strict=True):
        truth = rows.y[test]
        if rows.task == "regression":
            error = np.mean((np.ravel(said) - truth) ** 2) ** 0.5 / rows.y[train].std()
            scores["loss"].append(float(error))
            continue
        shares = np.clip(said, SMALLEST, 1)
        shares /= shares.sum(1, keepdims=True)
        chosen = said.argmax(1)
        scores["loss"].append(float(-np.log(shares[np.arange(len(truth)), truth]).mean()))
        areas = [roc_auc_score(truth == k, said[:, k]) for k in range(said.shape[1])]
        scores.setdefault("auc", []).append(float(np.mean(areas)))
        scores.setdefault("error", []).append(float((chosen != truth).mean()))
        sure.append(said.max(1))
        right.append(chosen == truth)
    result = {name: float(np.mean(values)) for name, values in scores.items()}
    if sure:
        result["ece"] = calibration_error(np.concatenate(sure), np.concatenate(right))
    fit, predict = np.sum([seconds for _, seconds in found], axis=0)
    return result | {"fit": float(fit), "predict": float(predict)}


def calibration_error(sure: np.ndarray, right: np.ndarray) -> float:
    """Mean over rows of |accuracy − mean probability| of the row's bin."""
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, right - sure, minlength=BINS)
    return float(np.abs(gaps).sum() / len(sure))


def results(task: str, options: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """By table and method what `judged` says, from the file of scores as far as it has them."""
    names = names_of(task, options.part)
    names = [name for name in names if not options.names or name in options.names]
    known = kept(names, options)
    if not options.stored:
        ask_peers(names, known, options)
    if options.peers_only:
        return {}
    found = {}
    for name in names:
        scores = known[key(name, options)]
        models = ours(task == "classification", options.variants)
        absent = [method for method in models if method not in scores]
        if absent and not options.stored:
            rows = part_of(name, options.rows)
            folds = folds_of(rows, options.folds)
            for method in absent:
                scores[method] = judged(rows, folds, of_ours(rows, folds, models[method]))
                keep(known, options)
        wanted = [*models, *asked_of(options)]
        found[name] = {method: scores[method] for method in wanted if method in scores}
        line = ", ".join(f"{method} {s['loss']:.3f}" for method, s in found[name].items())
        print(f"{name}: {line}", flush=True)
    return found


def printed(title: str, frame: pd.DataFrame, ranks: pd.DataFrame) -> None:
    """A table of losses with mean ranks below."""
    table = Table(title=title)
    table.add_column("table")
    for method in frame.columns:
        table.add_column(str(method), justify="right")
    for name, row in frame.iterrows():
        table.add_row(str(name), *(f"{value:.3f}" for value in row))
    table.add_row("mean rank", *(f"{value:.2f}" for value in ranks["rank"]))
    table.add_row(
        f"{LEVEL:.0%} interval",
        *(f"{low:.1f}–{high:.1f}" for low, high in zip(ranks["low"], ranks["high"], strict=True)),
    )
    CONSOLE.print(table)


def tables(options: argparse.Namespace) -> None:
    """Losses and areas under curves of every table, mean ranks, distances to the best, times.

    With `--write` a page as well: see `table_page.py`.
    """
    torch.set_num_threads(options.threads)
    start = time.perf_counter()
    regression = results("regression", options)
    classes = results("classification", options)
    said = f"{options.part} part, at most {options.rows} rows, {options.folds} folds, defaults"
    losses = {}
    for title, found in (("nRMSE", regression), ("log-loss", classes)):
        if found:
            losses[title] = column(found, "loss")
            printed(f"{title}, {said}", losses[title], mean_ranks(losses[title]))
    if classes:
        for name, words in (("auc", "1 − AUC"), ("ece", "expected calibration error")):
            frame = column(classes, name) if name == "ece" else 1 - column(classes, name)
            printed(f"{words}, {said}", frame, mean_ranks(frame))
    if not losses:
        return
    both = pd.concat(losses.values())
    printed_summary(both, {**regression, **classes}, said)
    if options.write:
        page = Path(options.write)
        written = table_page.put(page.read_text("utf-8"), regression, classes, options)
        write_whole(page, written)
    print(f"{time.perf_counter() - start:.0f} s")


def printed_summary(losses: pd.DataFrame, found: dict, said: str) -> None:
    """Mean ranks over all tables, ratios to the best peer and to the first column, times."""
    ranks, first = mean_ranks(losses), losses.columns[0]
    peers = [method for method in losses.columns if method in (*PEERS, *MORE)]
    best = losses[peers].min(axis=1)
    fit, predict = column(found, "fit"), column(found, "predict")
    table = Table(title=f"nRMSE and log-loss together, {len(losses)} tables, {said}")
    for words in (
        "method", "mean rank", "interval", f"loss / {first}", "worst", "better / worse by 1 %",
        "worst / best peer", "above 1.15", "fit / LightGBM", "predict / LightGBM",
    ):  # fmt: skip
        table.add_column(words, justify="left" if words == "method" else "right")
    for method in losses.columns:
        ratio: Any = losses[method] / losses[first]
        far: Any = losses[method] / best
        above = ", ".join(f"{name} {value:.2f}" for name, value in far[far > 1.15].items())
        table.add_row(
            str(method),
            f"{ranks['rank'][method]:.2f}",
            f"{ranks['low'][method]:.1f}–{ranks['high'][method]:.1f}",
            f"{np.exp(np.log(ratio).mean()):.3f}",
            f"{ratio.max():.2f}",
            f"{int((ratio < 0.99).sum())} / {int((ratio > 1.01).sum())}",
            f"{far.max():.2f} ({far.idxmax()})",
            "" if method in peers else above,
            f"{(fit[method] / fit['LightGBM']).median():.2f}",
            f"{(predict[method] / predict['LightGBM']).median():.2f}",
        )
    CONSOLE.print(table)
