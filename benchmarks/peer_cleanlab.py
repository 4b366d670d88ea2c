"""Scores of cleanlab for the label sets in a folder; runs in cleanlab's own environment.

    python peer_cleanlab.py FOLDER

Each FOLDER/*.npz holds x, given, and pred_probs of a network cross-validated by the caller.
Written beside it, as *.scores.npz: cleanlab's label quality from five-fold cross-validation of
a logistic regression, and from pred_probs; seconds of the first; and, where the file has a
table of issues, whether CleanLearning trains with it.
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.classification import CleanLearning
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression


def logistic_regression() -> LogisticRegression:
    return LogisticRegression(max_iter=100)


def main(folder: Path) -> None:
    warnings.filterwarnings("ignore")  # a regression stopped after 100 iterations says so
    for path in sorted(folder.glob("*.npz")):
        data = np.load(path)
        x, given = data["x"], data["given"]
        started = time.perf_counter()
        found = CleanLearning(logistic_regression(), cv_n_folds=5, seed=0).find_label_issues(
            x, given
        )
        results = {
            "logistic": found["label_quality"].to_numpy(),
            "logistic_issues": found["is_label_issue"].to_numpy(),
            "seconds": time.perf_counter() - started,
            "network": get_label_quality_scores(given, data["pred_probs"]),
        }
        if "is_label_issue" in data:
            names = ("is_label_issue", "label_score", "given_label", "predicted_label")
            table = pd.DataFrame({name: data[name] for name in names})
            learner = CleanLearning(logistic_regression(), seed=0)
            learner.fit(x, given, label_issues=table)
            results["without"] = logistic_regression().fit(x, given).score(x, data["true"])
            results["with"] = learner.score(x, data["true"])
        np.savez(path.with_suffix(".scores"), **results)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
