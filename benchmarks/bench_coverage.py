"""Whether intervals and probabilities hold what they are said to hold.

    python3 x.py bench coverage importances [--draws 50] [--first 0] [--noise 100] [--store FILE]
    python3 x.py bench coverage predictions [--sets NAME…] [--splits 10]
    python3 x.py bench coverage calibration [--sets NAME…] [--rows 1500]

`importances`: Friedman's first function, n = 400, d = 10, and with `--noise` columns of noise more.
Of every draw an interval of nominal 90 % a column; covered is what the importance is in the mean
over the other draws. Draws from 1000 on were for development. A store keeps a line a draw, so that
it may be stopped and goes on where it was.

`predictions`: 500 rows are fitted, up to 2000 others predicted with intervals of nominal 90 %, in
several splits. airfoil_centred, wine_red, wine_white, energy, elevators and naval were for
development.

`calibration`: tables of ten classes, of which at most `--rows` are fitted; the expected calibration
error of the most probable class, in 15 bins, on 3000 others or on what there is.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from table_ranks import calibration_error

from overparam._files import write_whole
from overparam.datasets import load
from overparam.fitting.conformal import gained, kept_residuals, offsets
from overparam.fitting.fit import pipeline
from overparam.fitting.folds import folds
from overparam.fitting.scores import compare
from overparam.fitting.shuffling import importances
from overparam.fitting.table import Table
from overparam.kernels.rfm import RFMClassifier, RFMRegressor

ROWS, FITTED, PREDICTED = 400, 500, 2000
CLASSES = ("digits", "pendigits", "usps", "mnist", "fashion_mnist")
UNSEEN, LEFT = 3000, 500  # rows to judge by, at most and at least
KEPT = ("abalone", "concrete", "california_housing", "kin8nm", "power_plant", "protein")


def friedman(seed: int, noise: int) -> Table:
    """Targets y = 10 sin(π x0 x1) + 20 (x2 − ½)² + 10 x3 + 5 x4 + e, columns uniform, e normal."""
    draw = np.random.default_rng(seed)
    x = draw.uniform(size=(ROWS, 10 + noise))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    y += 10 * x[:, 3] + 5 * x[:, 4] + draw.normal(size=ROWS)
    return table(x, y)


def table(x: np.ndarray, y: np.ndarray) -> Table:
    """Columns x0, x1, … and a target."""
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])
    return Table("bench", "y", "regression", frame, y, (), {})


def cross_validated(data: Table, seed: int) -> tuple:
    """Our score and its folds, as `fit` has them."""
    splits = folds(data, 5, seed)
    ours = pipeline(data.x, RFMRegressor(random_state=seed))
    return compare(data, {"ours": ours}, "ours", splits, n_jobs=1, tell=lambda *_: None)[0], splits


def of_draw(seed: int, noise: int) -> dict[str, Any]:
    """Shares of the columns of one draw, and the ends of their intervals."""
    start = time.process_time()
    data = friedman(seed, noise)
    score, splits = cross_validated(data, seed)
    found = importances(data, score.fitted, splits, seed=seed)
    seconds = time.process_time() - start
    print(f"draw {seed}: R² {score.mean:.3f}, {seconds:.1f} s of processor time", flush=True)
    return {"noise": noise, "seed": seed, "value": found.value, "low": found.low,
            "high": found.high}  # fmt: skip


def of_importances(draws: int, first: int, noise: int, store: Path | None) -> None:
    """Coverage by column, and the mean over columns."""
    lines = store.read_text("utf-8").splitlines() if store and store.exists() else []
    known = {(one["noise"], one["seed"]): one for one in map(json.loads, lines)}
    for seed in range(first, first + draws):
        if (noise, seed) not in known:
            known[noise, seed] = of_draw(seed, noise)
            if store:
                lines.append(json.dumps(known[noise, seed]))
                write_whole(store, "\n".join([*lines, ""]).encode())
    found = [known[noise, seed] for seed in range(first, first + draws)]
    value, low, high = (np.array([one[key] for one in found]) for key in ("value", "low", "high"))
    others = (value.sum(0) - value) / (draws - 1)
    covered = (low <= others) & (others <= high)
    shares = covered.mean(0)
    print(json.dumps({
        "draws": [first, first + draws - 1], "columns": value.shape[1],
        "mean share": value.mean(0)[:10].round(4).tolist(),
        "coverage of x0 to x9": shares[:10].round(3).tolist(),
        "mean coverage, columns that matter": round(float(shares[:5].mean()), 3),
        "mean coverage, all columns": round(float(shares.mean()), 3),
        "least coverage of a column that matters": round(float(shares[:5].min()), 3),
        "mean width, columns that matter": round(float((high - low)[:, :5].mean()), 4),
    }, indent=1, ensure_ascii=False))  # fmt: skip


def of_predictions(names: list[str], splits: int) -> None:
    """Coverage and mean width by set, over splits."""
    for name in names:
        data = load(name)
        x = np.concatenate([data.x_train, data.x_test]).astype(float)
        y = np.concatenate([data.y_train, data.y_test]).astype(float)
        shares, widths = [], []
        for seed in range(splits):
            order = np.random.default_rng(seed).permutation(len(y))
            fitted, new = order[:FITTED], order[FITTED : FITTED + PREDICTED]
            part = table(x[fitted], y[fitted])
            score, parts = cross_validated(part, seed)
            residuals = np.concatenate(
                [
                    part.y[test] - said[:, 0]
                    for (_, test), said in zip(parts, score.outputs, strict=True)
                ]
            )
            model = pipeline(part.x, RFMRegressor(random_state=seed)).fit(part.x, part.y)
            share = gained(model[-1], [fold[-1] for fold in score.fitted])
            low, high = offsets(share * kept_residuals(residuals), 0.9)
            error = y[new] - model.predict(table(x[new], y[new]).x)
            shares.append(float(np.mean((low <= error) & (error <= high))))
            widths.append((high - low) / y.std())
        spread = np.std(shares, ddof=1) / np.sqrt(splits)
        print(
            f"{name}: coverage {np.mean(shares):.3f} ± {spread:.3f}, "
            f"from {min(shares):.3f} to {max(shares):.3f}; width {np.mean(widths):.2f} sd",
            flush=True,
        )


def of_calibration(names: list[str], rows: int) -> None:
    """Calibration error by set with what drawing the unseen rows again gives, and accuracy."""
    for name in names:
        data = load(name)
        x = np.concatenate([data.x_train, data.x_test]).astype(float)
        y = np.concatenate([data.y_train, data.y_test])
        x, order = x.reshape(len(x), -1), np.random.default_rng(0).permutation(len(x))
        n = min(rows, len(x) - LEFT)
        fitted, new = order[:n], order[n : n + UNSEEN]
        start = time.process_time()
        model = RFMClassifier(random_state=0).fit(x[fitted], y[fitted])
        seconds = time.process_time() - start
        said = model.predict_proba(x[new])
        sure, right = said.max(1), model.classes_[said.argmax(1)] == y[new]
        draw = np.random.default_rng(1)
        again = [draw.integers(0, len(new), len(new)) for _ in range(200)]
        low, high = np.quantile(
            [calibration_error(sure[part], right[part]) for part in again], [0.05, 0.95]
        )
        print(
            f"{name}: {len(model.classes_)} classes, {n} rows fitted, {len(new)} not seen: "
            f"calibration error {calibration_error(sure, right):.4f} (drawn again {low:.4f} to "
            f"{high:.4f}), accuracy {right.mean():.3f}, mean of what is said {sure.mean():.3f}, "
            f"{seconds:.0f} s of processor time",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    what = parser.add_subparsers(dest="what", required=True)
    one = what.add_parser("importances")
    one.add_argument("--draws", type=int, default=50)
    one.add_argument("--first", type=int, default=0)
    one.add_argument("--noise", type=int, default=0)
    one.add_argument("--store", type=Path, help="FILE of a line a draw: what it has is not drawn")
    other = what.add_parser("predictions")
    other.add_argument("--sets", nargs="*", default=list(KEPT))
    other.add_argument("--splits", type=int, default=10)
    third = what.add_parser("calibration")
    third.add_argument("--sets", nargs="*", default=list(CLASSES))
    third.add_argument("--rows", type=int, default=1500)
    asked = parser.parse_args()
    if asked.what == "importances":
        of_importances(asked.draws, asked.first, asked.noise, asked.store)
    elif asked.what == "calibration":
        of_calibration(asked.sets, asked.rows)
    else:
        of_predictions(asked.sets, asked.splits)
