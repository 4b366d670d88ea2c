"""Wrong labels found, and the test error where training stops, beside cleanlab and AUM.

    python3 x.py bench label_noise [--data digits mnist] [--seeds 3] [--json FILE]

On 1000 of scikit-learn's digits and 4096 of MNIST's, with 40, 20 and 10 % of the labels
replaced by a random different one, a ReLU network with two hidden layers of 256 is trained by
SGD, batches of 64, and the scorer reads the logits of the training batches. The images of MNIST
are whole batches: a last batch of eight moves the test error by up to 0.05 from one epoch to
the next, which no rule for the epoch can foresee. Ours is the scorer's default, the margin loss,
up to the epoch at which the gated stop fires, and the weights of that epoch; nothing is told which
labels are wrong. The mean margin and the mean loss of the same epochs stand beside it. The peers:

    AUM         the mean margin over all epochs (Pleiss et al. 2020), same run; its definition,
                which was held against the aum package 1.0.2 once per benchmark
    cleanlab    2.9.0, self-confidence of five-fold cross-validation: by its own CleanLearning
                with logistic regression, and with our network, each fold's stopped where the
                held-out loss on the given labels is least
    oracle      the epoch of least test error, which needs clean test labels

Data and training are the same for all; ranks are judged by AUROC against the true flips.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_environment import environment
from rich.console import Console
from rich.table import Table
from sklearn.metrics import precision_score, recall_score, roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from overparam.datasets import load
from overparam.dynamics import LabelNoiseScorer

# Images to train on, epochs, learning rate.
TASKS: dict[str, tuple[int, int, float]] = {"digits": (1000, 60, 0.1), "mnist": (4096, 40, 0.03)}
RATES, CLEAN_SEEDS, WIDTH, BATCH, FOLDS, CLASSES = (0.4, 0.2, 0.1), 5, 256, 64, 5, 10
METHODS = ("ours", "margin", "loss", "aum", "cleanlab_logistic", "cleanlab_network")


def task_data(name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test images, and their classes.

    Digits are scaled pixel by pixel as in the study `liu2023_clean_priority`, MNIST as a whole.
    """
    data, n = load(name), TASKS[name][0]
    x = torch.as_tensor(np.concatenate([data.x_train, data.x_test])).flatten(1).float()
    y = torch.as_tensor(np.concatenate([data.y_train, data.y_test])).long()
    test = slice(n, None) if name == "digits" else slice(len(data.x_train), None)
    if name == "digits":
        deviation = x.std(0)
        x = 0.7 * (x - x.mean(0)) / torch.where(deviation > 0, deviation, 1)
    else:
        x = (x - x[:n].mean()) / x[:n].std()
    return x[:n].clone(), y[:n].clone(), x[test], y[test]


def flipped(y: Tensor, rate: float, seed: int) -> Tensor:
    """Labels of which a share is replaced by a random different class."""
    draw = torch.Generator().manual_seed(10_000 + seed)
    wrong = torch.rand(len(y), generator=draw) < rate
    other = (y + torch.randint(1, CLASSES, y.shape, generator=draw)) % CLASSES
    return torch.where(wrong, other, y)


def network(d: int, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(d, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(),
            nn.Linear(WIDTH, CLASSES),
        )  # fmt: skip


def epochs_of(model: nn.Module, x: Tensor, y: Tensor, lr: float, seed: int, epochs: int) -> Any:
    """Train; after each epoch give the batches' logits in the order of the samples."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    draw, logits = torch.Generator().manual_seed(seed), torch.zeros(len(x), CLASSES)
    for _ in range(epochs):
        for ids in torch.randperm(len(x), generator=draw).split(BATCH):
            outputs = model(x[ids])
            optimizer.zero_grad()
            cross_entropy(outputs, y[ids]).backward()
            optimizer.step()
            logits[ids] = outputs.detach()
        yield logits


def train(name: str, rate: float, seed: int) -> dict[str, Any]:
    """One run to the end: test errors, where the signal stops, and all scores."""
    x, true, x_test, y_test = task_data(name)
    given, (n, epochs, lr) = flipped(true, rate, seed), TASKS[name]
    model, ids = network(x.shape[1], seed), torch.arange(n)
    ours, whole = LabelNoiseScorer(n, CLASSES), LabelNoiseScorer(n, CLASSES)
    errors: list[float] = []
    stop, margins, started = None, [], time.perf_counter()
    for logits in epochs_of(model, x, given, lr, seed, epochs):
        whole.update(logits, given, ids)
        if name == "digits":
            margins.append(logits.clone())
        if stop is None:
            ours.update(logits, given, ids)
            signal = ours.end_epoch()
            stop = len(errors) + 1 if signal.stop else None
        with torch.no_grad():
            errors.append(float((model(x_test).argmax(1) != y_test).double().mean()))
    at = stop or epochs
    return {
        "data": name, "rate": rate, "seed": seed, "stop": stop, "armed": signal.armed,
        "noise_rate": ours.noise_rate, "actual": float((given != true).double().mean()),
        "error": errors[at - 1], "best": min(errors), "best_at": 1 + int(np.argmin(errors)),
        "final": errors[-1], "errors": errors, "seconds": time.perf_counter() - started,
        "given": given, "true": true, "x": x, "issues": ours.issues(), "logits": margins,
        "scores": {"ours": ours.scores(), "margin": ours.scores("aum"),
                   "loss": ours.scores("mean_loss"), "aum": whole.scores("aum")},
    }  # fmt: skip


def out_of_fold(name: str, run: dict[str, Any]) -> np.ndarray:
    """Probabilities of our network for each fold, stopped at its least held-out loss."""
    x, given, seed = run["x"], run["given"], run["seed"]
    _, epochs, lr = TASKS[name]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    found = torch.zeros(len(x), CLASSES)
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        kept = torch.cat([order[f::FOLDS] for f in range(FOLDS) if f != fold])
        model, least = network(x.shape[1], seed), float("inf")
        for _ in epochs_of(model, x[kept], given[kept], lr, seed, epochs // 2):
            with torch.no_grad():
                outputs = model(x[held])
            loss = float(cross_entropy(outputs, given[held]))
            if loss < least:
                least, found[held] = loss, outputs.softmax(1)
    return found.numpy()


def ask_cleanlab(runs: list[dict[str, Any]]) -> None:
    """Add cleanlab's scores to the runs with noise."""
    python = environment("cleanlab", ["cleanlab==2.9.0"], with_torch=False)
    with tempfile.TemporaryDirectory() as folder:
        for number, run in enumerate(runs):
            started = time.perf_counter()
            arrays = {"x": run["x"], "given": run["given"], "true": run["true"]}
            if run["seed"] == 0 and run["data"] == "digits":
                arrays |= {str(k): v.to_numpy() for k, v in run["issues"].items()}
            probabilities = out_of_fold(run["data"], run)
            run["network_seconds"] = time.perf_counter() - started
            np.savez(Path(folder, f"{number:03}.npz"), pred_probs=probabilities, **arrays)
        script = Path(__file__).with_name("peer_cleanlab.py")
        subprocess.run([python, str(script), folder], check=True, timeout=4 * 3600)
        for number, run in enumerate(runs):
            found = np.load(Path(folder, f"{number:03}.scores.npz"))
            run["scores"]["cleanlab_logistic"] = -found["logistic"]
            run["scores"]["cleanlab_network"] = -found["network"]
            run["cleanlab_issues"] = found["logistic_issues"]
            run["logistic_seconds"] = float(found["seconds"])
            if "with" in found:
                run["cleanlab_with"] = [float(found["without"]), float(found["with"])]


def difference_from_aum(run: dict[str, Any]) -> float:
    """Largest difference of our margin from the aum package's, over the samples of a run."""
    python = environment("aum", ["aum==1.0.2"])
    code = (
        "import sys, numpy as np, torch; from aum import AUMCalculator\n"
        "d = np.load(sys.argv[1] + '/in.npz'); a = AUMCalculator(sys.argv[1])\n"
        "ids = list(range(len(d['given'])))\n"
        "for z in d['logits']: a.update(torch.tensor(z), torch.tensor(d['given']), ids)\n"
        "np.save(sys.argv[1] + '/out.npy', [a.sums[i] / a.counts[i] for i in ids])\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        logits = torch.stack(run["logits"]).numpy()
        np.savez(Path(folder, "in.npz"), given=run["given"], logits=logits)
        subprocess.run([python, "-c", code, folder], check=True, timeout=4 * 3600)
        return float(np.abs(np.load(Path(folder, "out.npy")) + run["scores"]["aum"]).max())


def rows_of(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds of each setting."""
    rows = []
    for data, rate in dict.fromkeys((run["data"], run["rate"]) for run in runs):
        chosen = [run for run in runs if (run["data"], run["rate"]) == (data, rate)]
        row: dict[str, Any] = {"data": data, "rate": rate, "n": len(chosen)}
        names = ("error", "best", "final", "noise_rate", "actual", "seconds", "network_seconds",
                 "logistic_seconds")  # fmt: skip
        for name in names:
            if name in chosen[0]:
                row[name] = statistics.fmean(run[name] for run in chosen)
        row["stops"] = [run["stop"] for run in chosen]
        row["oracle"] = [run["best_at"] for run in chosen]
        if rate > 0:
            wrong = [(run["given"] != run["true"]).numpy() for run in chosen]
            for method in METHODS:
                row[method] = statistics.fmean(
                    float(roc_auc_score(w, run["scores"][method]))
                    for w, run in zip(wrong, chosen, strict=True)
                )
            for who, flags in (("ours", "issues"), ("cleanlab", "cleanlab_issues")):
                found = [r[flags]["is_label_issue"] if who == "ours" else r[flags] for r in chosen]
                for what, score in (("precision", precision_score), ("recall", recall_score)):
                    row[f"{who}_{what}"] = statistics.fmean(
                        float(score(w, f)) for w, f in zip(wrong, found, strict=True)
                    )
        rows.append(row)
    return rows


def criteria(rows: list[dict[str, Any]], runs: list[dict[str, Any]]) -> dict[str, bool]:
    """Whether each promise of the method holds in every setting."""
    noisy = [row for row in rows if row["rate"] > 0]
    clean = [run for run in runs if run["rate"] == 0]
    peers = {"aum": ("AUM's − 0.005", 0.005), "cleanlab_logistic": ("cleanlab logistic's", 0),
             "cleanlab_network": ("cleanlab network's", 0)}  # fmt: skip
    return {
        **{
            f"AUROC of our score at least {bound}": all(
                row["ours"] >= row[peer] - slack for row in noisy
            )
            for peer, (bound, slack) in peers.items()
        },
        "stopped within 0.015 of the oracle": all(r["error"] <= r["best"] + 0.015 for r in noisy),
        f"no stop on clean labels, {len(clean)} runs": all(run["stop"] is None for run in clean),
    }


def show(rows: list[dict[str, Any]]) -> None:
    console = Console(width=120)
    table = Table("labels", "seeds", "ours", "margin", "mean loss", "AUM", "logistic", "network",
                  title="AUROC of the wrong labels; cleanlab with two models")  # fmt: skip
    for row in (row for row in rows if row["rate"] > 0):
        cells = [f"{row[method]:.4f}" for method in METHODS]
        table.add_row(f"{row['data']} {row['rate']:.0%}", str(row["n"]), *cells)
    console.print(table)
    table = Table("labels", "stopped", "oracle", "last", "stopped at", "oracle at", "noise found",
                  "noise", title="test error, epochs, share of wrong labels")  # fmt: skip
    for row in rows:
        errors = [f"{row[name]:.4f}" for name in ("error", "best", "final")]
        epochs = [" ".join(str(e or "-") for e in row[name]) for name in ("stops", "oracle")]
        shares = [f"{row[name]:.3f}" for name in ("noise_rate", "actual")]
        table.add_row(f"{row['data']} {row['rate']:.0%}", *errors, *epochs, *shares)
    console.print(table)
    table = Table("labels", "ours", "cleanlab", "training", "logistic", "network",
                  title="issues flagged, precision / recall; seconds")  # fmt: skip
    for row in (row for row in rows if row["rate"] > 0):
        flags = [f"{row[f'{w}_precision']:.3f} / {row[f'{w}_recall']:.3f}"
                 for w in ("ours", "cleanlab")]  # fmt: skip
        names = ("seconds", "logistic_seconds", "network_seconds")
        table.add_row(f"{row['data']} {row['rate']:.0%}", *flags, *[f"{row[n]:.1f}" for n in names])
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=[*TASKS], choices=[*TASKS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = [
        train(name, rate, seed)
        for name in arguments.data
        for rate in (*RATES, 0.0)
        for seed in range(arguments.seeds if rate else CLEAN_SEEDS)
    ]
    noisy = [run for run in runs if run["rate"] > 0]
    for run in noisy:
        if run["logits"] and run["seed"] == 0:
            found = difference_from_aum(run)
            print(
                f"{run['data']} {run['rate']:.0%}: the margin differs from aum 1.0.2 by {found:.1e}"
            )
    ask_cleanlab(noisy)
    rows = rows_of(runs)
    show(rows)
    for run in noisy:
        if "cleanlab_with" in run:
            before, after = run["cleanlab_with"]
            print(f"CleanLearning trained with our table, {run['data']} {run['rate']:.0%}: "
                  f"accuracy {before:.3f} without, {after:.3f} with")  # fmt: skip
    for criterion, holds in criteria(rows, runs).items():
        print(f"{'holds' if holds else 'FAILS':6} {criterion}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), "utf-8")


if __name__ == "__main__":
    main()
