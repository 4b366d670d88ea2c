"""What predictions of rows not seen are worth, by the measures that fit the target."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import beta
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from overparam.fitting.table import Table

# For the logarithm of every model's probabilities alike, some of which are 0 exactly.
CLIPPED = 1e-3
# Share of the commonest class from which accuracy tells little.
IMBALANCED = 0.8
BINS = 10
# A smaller is better.
ERRORS = ("log-loss", "MAE", "RMSE")


def metric_of(table: Table) -> str:
    """What models are compared by; larger is better."""
    if not table.is_classification:
        return "R²"
    return "AUC" if is_imbalanced(table.y) else "accuracy"


def is_imbalanced(labels: np.ndarray) -> bool:
    """Whether one class has so many rows that accuracy tells little."""
    return bool(np.bincount(labels).max() > IMBALANCED * len(labels))


def measured(table: Table, y: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Every measure on the test rows of a fold.

    Of a quantity: R² on the scale that is learned, mean absolute error and root of the mean
    squared error in the target's units. Of classes: accuracy; log-loss of probabilities clipped
    to [10⁻³, 1]; area under the ROC curve and average precision, of the rarer of two classes or
    the mean over all, each against the rest.

    Args:
        table: Whose rows they are.
        y: Their targets.
        outputs: Predictions (n, 1), or probabilities (n, classes).

    Returns:
        By name; NaN where rows are of one class.
    """
    if not table.is_classification:
        wanted, found = table.scale.ends(y), table.scale.ends(outputs[:, 0])
        error = found - wanted
        return {
            "R²": float(r2_score(y, outputs[:, 0])) if len(y) > 1 else np.nan,
            "MAE": float(np.abs(error).mean()),
            "RMSE": float(np.sqrt(np.mean(error**2))),
        }
    clipped = outputs.clip(CLIPPED, 1)
    clipped /= clipped.sum(1, keepdims=True)
    indicators = np.eye(outputs.shape[1])[y]
    known = [c for c in _of_interest(table) if 0 < indicators[:, c].sum() < len(y)]
    ranked: dict[str, Any] = {"AUC": roc_auc_score, "average precision": average_precision_score}
    means = {
        name: float(np.mean([rank(indicators[:, c], outputs[:, c]) for c in known]))
        if known else np.nan
        for name, rank in ranked.items()
    }  # fmt: skip
    accuracy = float((outputs.argmax(1) == y).mean())
    loss = -float(np.log(clipped[np.arange(len(y)), y]).mean())
    return {"accuracy": accuracy, "log-loss": loss, **means}


def _of_interest(table: Table) -> list[int]:
    """The classes that are ranked against the rest: the rarer of two, or each."""
    counts = np.bincount(table.y)
    return [int(counts.argmin())] if len(counts) == 2 else list(range(len(counts)))


def calibration(table: Table, y: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    """Predicted probabilities beside how often they came true, in at most ten equal parts.

    Of two classes the probability is the rarer one's, of more the one of the class that was
    predicted. The error is the mean distance over the parts, weighted by rows; intervals are
    exact ones of a share, 95 %.

    Args:
        table: Whose rows they are.
        y: Their classes.
        outputs: Their probabilities, from models that had not seen them.
    """
    of = _of_interest(table)
    if len(of) == 1:
        p, true = outputs[:, of[0]], y == of[0]
    else:
        p, true = outputs.max(1), outputs.argmax(1) == y
    parts = [part for part in np.array_split(np.argsort(p, kind="stable"), BINS) if len(part)]
    predicted = [float(p[part].mean()) for part in parts]
    observed = [float(true[part].mean()) for part in parts]
    rows = [len(part) for part in parts]
    hits = [int(true[part].sum()) for part in parts]
    low = [
        float(beta.ppf(0.025, h, n - h + 1)) if h else 0.0 for h, n in zip(hits, rows, strict=True)
    ]
    high = [
        float(beta.ppf(0.975, h + 1, n - h)) if h < n else 1.0
        for h, n in zip(hits, rows, strict=True)
    ]
    gaps = np.abs(np.array(predicted) - observed)
    return {
        "of": table.class_names[of[0]] if len(of) == 1 else "",
        "predicted": predicted,
        "observed": observed,
        "low": low,
        "high": high,
        "rows": rows,
        "error": float(np.average(gaps, weights=rows)),
    }


def confusion(y: np.ndarray, outputs: np.ndarray) -> list[list[int]]:
    """How many rows of each class (down) were taken for each (across)."""
    classes = outputs.shape[1]
    found = np.bincount(y * classes + outputs.argmax(1), minlength=classes**2)
    return found.reshape(classes, classes).tolist()


def pooled(
    parts: Sequence[np.ndarray], splits: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that some fold tested, and what was predicted of them."""
    return np.concatenate([test for _, test in splits]), np.concatenate(parts)
