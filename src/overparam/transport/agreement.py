"""Whether adapted labels fit the target better than those of the source alone, without its labels.

Labels that are right agree with each other where the classes are told apart: their neighbours have
them too, or a discriminant learned on some of them finds the rest. Which of the two tells the
classes apart is known from the source, where labels are given.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils import column_or_1d

from overparam._errors import expect
from overparam._numbers import described, n_bad
from overparam.transport.gaussian import GaussianClasses
from overparam.transport.settings import read_rows

NEIGHBOURS, FOLDS = 5, 5
# How much more a discriminant has to find in the source than neighbours do, to be the judge.
CLEARLY = 0.1


class Agreement(NamedTuple):
    """How well two labellings of the target agree with themselves.

    Attributes:
        judge: "neighbours" or "discriminant".
        adapted: Share of agreement of the labels that were carried over.
        unadapted: The same of labels by the source alone: those of the nearest source row, or of
            a discriminant, each used as it is.
    """

    judge: str
    adapted: float
    unadapted: float

    @property
    def gain(self) -> float:
        """How much better the adapted labels agree; at most 0 where adapting seems to do harm."""
        return self.adapted - self.unadapted


def label_agreement(source: Any, labels: Any, target: Any, adapted: Any) -> Agreement:
    """Compare adapted labels of the target with those that need no adaptation.

    Args:
        source: Shape ``(n, p)``.
        labels: Their classes.
        target: Shape ``(m, p)``.
        adapted: Classes of its rows that were carried over by a coupling. Labels that were
            smoothed afterwards agree too well.

    Raises:
        ValueError: Tables that are not finite, or of other numbers of columns or of labels.

    Cost: neighbours of n + m rows, O((n + m)² p), and ten discriminants.
    """
    where = "label_agreement"
    source = read_rows(source, f"{where}(source=...)")
    target = read_rows(target, f"{where}(target=...)", source.shape[1])
    labels, adapted = (column_or_1d(values) for values in (labels, adapted))
    for name, values, rows in (("labels", labels, source), ("adapted", adapted, target)):
        words = f"{len(rows)} labels of classes"
        good = len(values) == len(rows) and not n_bad(values) and values.dtype.kind in "biufOSU"
        expect(good, f"{where}({name}=...)", words, described(values))
    found = {judge: agreement(source, labels) for judge, agreement in _JUDGES.items()}
    clear = found["discriminant"] - found["neighbours"] >= CLEARLY
    judge = "discriminant" if clear else "neighbours"
    if clear:
        unadapted = _discriminant(source, labels, target)
    else:
        unadapted = KNeighborsClassifier(1).fit(source, labels).predict(target)
    scores = (_JUDGES[judge](target, each) for each in (adapted, unadapted))
    return Agreement(judge, *scores)


def _neighbours(rows: np.ndarray, labels: np.ndarray) -> float:
    """Share of the nearest others that have a row's own label."""
    count = min(NEIGHBOURS, len(rows) - 1)
    if count < 1:
        return 1.0
    near = KNeighborsClassifier(count).fit(rows, labels).kneighbors(return_distance=False)
    return float((labels[near] == labels[:, None]).mean())


def _separated(rows: np.ndarray, labels: np.ndarray) -> float:
    """Share of labels that a discriminant finds from those of the other folds."""
    if len(rows) < 2 * FOLDS:
        return 0.0
    found = np.empty_like(labels)
    for kept, left in KFold(FOLDS, shuffle=True, random_state=0).split(rows):
        found[left] = _discriminant(rows[kept], labels[kept], rows[left])
    return float((found == labels).mean())


def _discriminant(rows: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Labels of other rows by normal laws of one covariance."""
    classes, positions = np.unique(labels, return_inverse=True)
    members = np.eye(len(classes))[positions]
    middle = rows.mean(0)
    law = GaussianClasses.of(rows - middle, members, members.mean(0), 0.1)
    return classes[law.probabilities(others - middle).argmax(1)]


_JUDGES = {"neighbours": _neighbours, "discriminant": _separated}
