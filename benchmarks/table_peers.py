"""Fits the peers of table models, everybody at its defaults: arrays in, arrays out.

    python table_peers.py JOBS RESULTS

For each NAME.npz in the folder JOBS it writes one of that name into RESULTS. A job holds `task`,
`threads`, `methods`, `codes` (numbers and positions of levels, with NaN), `sizes` (levels of each
column, 0 for numbers), `y`, and for each fold k `train-k`, `test-k` and `coordinates-k` (all rows,
standardised, an indicator a level, without NaN). A result holds for each method and fold the
predictions, numbers or probabilities, and processor seconds to fit and to predict; nothing of one
whose package is not there. Nothing of overparam is imported: it runs in the peers' environment.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def catboost(classify: bool, threads: int) -> Any:
    from catboost import CatBoostClassifier, CatBoostRegressor

    kind = CatBoostClassifier if classify else CatBoostRegressor
    return kind(verbose=0, thread_count=threads, random_seed=0, allow_writing_files=False)


def lightgbm(classify: bool, threads: int) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMClassifier if classify else LGBMRegressor
    return kind(n_jobs=threads, verbose=-1, random_state=0)


def xgboost(classify: bool, threads: int) -> Any:
    from xgboost import XGBClassifier, XGBRegressor

    kind = XGBClassifier if classify else XGBRegressor
    return kind(n_jobs=threads, enable_categorical=True, random_state=0)


def random_forest(classify: bool, threads: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if classify else RandomForestRegressor
    return kind(n_jobs=threads, random_state=0)


def extra_trees(classify: bool, threads: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    kind = ExtraTreesClassifier if classify else ExtraTreesRegressor
    return kind(n_jobs=threads, random_state=0)


def svm(classify: bool, threads: int) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC, SVR

    # What probability=True did, before it went.
    return CalibratedClassifierCV(SVC(), ensemble=False) if classify else SVR()


def linear(classify: bool, threads: int) -> Any:
    from sklearn.linear_model import LogisticRegression, RidgeCV

    return LogisticRegression(max_iter=2000) if classify else RidgeCV(np.logspace(-3, 4, 15))


def realmlp(classify: bool, threads: int) -> Any:
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    kind = RealMLP_TD_Classifier if classify else RealMLP_TD_Regressor
    return kind(device="cpu", n_threads=threads, random_state=0)


def tabm(classify: bool, threads: int) -> Any:
    from pytabkit import TabM_D_Classifier, TabM_D_Regressor

    kind = TabM_D_Classifier if classify else TabM_D_Regressor
    return kind(device="cpu", n_threads=threads, random_state=0)


class XRFM:
    """Its estimator on tensors, a tenth held out for its validation."""

    def __init__(self, classify: bool, threads: int) -> None:
        import torch
        from xrfm import xRFM

        torch.set_num_threads(threads)
        self.classify, self.model = classify, xRFM(device="cpu", verbose=False, random_state=0)

    def fit(self, x: np.ndarray, y: np.ndarray) -> None:
        """As scikit-learn's."""
        import torch

        held = max(20, len(x) // 10)
        points, labels = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
        labels = labels.long() if self.classify else labels.float()[:, None]
        self.model.fit(points[held:], labels[held:], points[:held], labels[:held])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """As scikit-learn's."""
        import torch

        return np.asarray(self.model.predict(torch.tensor(x, dtype=torch.float32))).reshape(-1)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """As scikit-learn's."""
        import torch

        return np.asarray(self.model.predict_proba(torch.tensor(x, dtype=torch.float32)))


# What each is given: "frame" with categories, "words" for CatBoost, "codes", or "coordinates".
METHODS = {
    "CatBoost": (catboost, "words"),
    "XGBoost": (xgboost, "frame"),
    "LightGBM": (lightgbm, "frame"),
    "ExtraTrees": (extra_trees, "codes"),
    "random forest": (random_forest, "codes"),
    "SVM": (svm, "coordinates"),
    "linear": (linear, "coordinates"),
    "xRFM": (XRFM, "coordinates"),
    "RealMLP": (realmlp, "coordinates"),
    "TabM": (tabm, "coordinates"),
}


def framed(codes: np.ndarray, sizes: np.ndarray, *, words: bool) -> pd.DataFrame:
    columns = {}
    for place, size in enumerate(sizes):
        values = codes[:, place]
        if size and words:
            values = np.where(np.isnan(values), -1, values).astype(int).astype(str)
        elif size:
            places = np.where(np.isnan(values), -1, values).astype(int)
            values = pd.Categorical.from_codes(places, categories=range(size))
        columns[f"c{place}"] = values
    return pd.DataFrame(columns)


def fitted(job: dict, method: str, fold: int) -> dict[str, np.ndarray]:
    """Predictions for the test rows of a fold, and seconds."""
    make, form = METHODS[method]
    classify, sizes = str(job["task"]) == "classification", job["sizes"]
    train, test, y = job[f"train-{fold}"], job[f"test-{fold}"], job["y"]
    if form in ("frame", "words"):
        x = framed(job["codes"], sizes, words=form == "words")
        x_train, x_test = x.iloc[train], x.iloc[test]
    else:
        x = job["codes"] if form == "codes" else job[f"coordinates-{fold}"]
        x_train, x_test = x[train], x[test]
    more = {"cat_features": list(np.flatnonzero(sizes))} if form == "words" else {}
    model = make(classify, int(job["threads"]))
    start = time.process_time()
    model.fit(x_train, y[train], **more)
    middle = time.process_time()
    said = model.predict_proba(x_test) if classify else model.predict(x_test)
    seconds = middle - start, time.process_time() - middle
    return {"prediction": np.asarray(said, dtype=float), "seconds": np.array(seconds)}


def main() -> None:
    jobs, results = map(Path, sys.argv[1:])
    for path in sorted(jobs.glob("*.npz")):
        with np.load(path) as file:
            job = {name: file[name] for name in file.files}
        found = {}
        for method in map(str, job["methods"]):
            fold = 0
            try:
                while f"train-{fold}" in job:
                    for name, value in fitted(job, method, fold).items():
                        found[f"{method}/{fold}/{name}"] = value
                    fold += 1
            except ImportError as error:
                print(f"{method} is left out: {error}", file=sys.stderr, flush=True)
        # Whole or not at all: who waits for it may read it at once.
        np.savez(results / "unfinished.npz", **found)
        (results / "unfinished.npz").rename(results / path.name)


if __name__ == "__main__":
    main()
