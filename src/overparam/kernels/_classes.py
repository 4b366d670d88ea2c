"""What only classifiers have: weights of classes, and probabilities that are calibrated."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch import Tensor

from overparam._errors import expect
from overparam._numbers import described, is_number
from overparam.kernels._settings import Setting, choice, number, value_that
from overparam.kernels._table import Rows
from overparam.kernels.codes import ClassCodes
from overparam.kernels.exponent import best_exponent, drawn_share

CLASSIFIER_SETTINGS: dict[str, Setting] = {
    "class_weight": choice(
        "balanced",
        None,
        other=value_that(
            "'balanced', None or a dictionary from labels to weights",
            lambda value: isinstance(value, Mapping),
            error=TypeError,
        ),
    ),
    "exponent": number("a positive number or 'auto'", lambda v: v > 0, "auto"),
}


def read_labels(y: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Classes in order, two at least, and the position of each label among them."""
    check_classification_targets(y)
    classes, labels = np.unique(column_or_1d(y, warn=True), return_inverse=True)
    expect(
        len(classes) > 1,
        f"{name}.fit(y=...)",
        "labels of more than one class",
        f"one class, {classes.tolist()[0]!r}",
        hint="rows of weight 0 do not count.",
    )
    return classes, labels


def class_weighted(
    class_weight: Mapping[Any, float] | str | None, y: Any, weights: np.ndarray, name: str
) -> np.ndarray:
    """Weights of the rows times those of their classes."""
    if class_weight is None:
        return weights
    classes, labels = np.unique(y, return_inverse=True)
    sums = np.bincount(labels, weights)
    if isinstance(class_weight, str):
        # A class whose rows all weigh 0 stays at that.
        present = sums > 0
        factors = np.where(present, sums.sum() / present.sum() / np.where(present, sums, 1.0), 0.0)
        return weights * factors[labels]
    where = f"{name}(class_weight=...)"
    known = set(classes.tolist())
    unknown = [label for label in class_weight if label not in known]
    expect(not unknown, where, f"labels out of {classes.tolist()}", unknown)
    wrong = {k: v for k, v in class_weight.items() if not is_number(v) or not 0 <= v < np.inf}
    expect(not wrong, where, "weights ≥ 0", described(wrong))
    factors = np.array([float(class_weight.get(label, 1.0)) for label in classes.tolist()])
    return weights * factors[labels]


def calibrated(codes: ClassCodes, outputs: Tensor, rows: Rows[Tensor]) -> ClassCodes:
    """The codes with the exponent that outputs for rows left out prefer."""
    said, came, weights = (
        part.cpu().numpy().astype(np.float64) for part in (outputs, rows.targets, rows.weights)
    )
    plain = replace(codes, exponent=1.0, drawn=0.0)
    exponent = best_exponent(plain.probabilities(said), codes.decoded(came), weights)
    return replace(codes, exponent=exponent, drawn=drawn_share(float(weights.sum())))
