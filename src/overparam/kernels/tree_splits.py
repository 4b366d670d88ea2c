"""How a tree grows: directions that a model is sensitive along, thresholds that no row is near."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from overparam.kernels._tree_leaves import fitted

GRADIENT_ROWS = 500  # gradients formed at a time
# Projections closer than this share of their range are one value: rounding must not route.
TIE = 1e-9


@dataclass(frozen=True)
class Split:
    """An inner node: the one rule by which rows go left or right, in training and prediction.

    Attributes:
        direction: v, in the units of the table.
        threshold: b. Rows with ⟨v, x⟩ ≤ b go left; no training row is near b.
        spread: Interquartile range of ⟨v, x⟩ over the node's rows (their range, should that
            be 0): the unit of temperature.
        left: The next split, or the number of a leaf.
        right: Likewise.
    """

    direction: np.ndarray
    threshold: float
    spread: float
    left: "Split | int"
    right: "Split | int"

    def margin(self, x: np.ndarray) -> np.ndarray:
        """⟨v, x⟩ − b: positive to the right."""
        return x @ self.direction - self.threshold


def grow(
    x: np.ndarray,
    rows: np.ndarray,
    direction: Callable[[np.ndarray], np.ndarray],
    *,
    largest: int,
    smallest: int,
    weights: np.ndarray | None = None,
) -> tuple[Split | int, list[np.ndarray]]:
    """Split rows until no part has more than `largest`, or none of its thresholds will do.

    Args:
        x: The table.
        rows: Places of the rows to split.
        direction: v for a part of them; asked at every split, before those below it.
        largest: Rows of a leaf.
        smallest: Rows that each side of a split must have.
        weights: One a row of the table; a split halves their sum.

    Returns:
        The tree, and the rows of each of its leaves.
    """
    parts: list[np.ndarray] = []

    def node(rows: np.ndarray) -> Split | int:
        if len(rows) > largest:
            along = direction(rows)
            found = cut(x[rows] @ along, smallest, None if weights is None else weights[rows])
            if found is not None:
                right = Split(along, *found, 0, 0).margin(x[rows]) > 0
                return Split(along, *found, node(rows[~right]), node(rows[right]))
        parts.append(rows)
        return len(parts) - 1

    return node(rows), parts


def cut(
    projections: np.ndarray, smallest: int, weights: np.ndarray | None = None
) -> tuple[float, float] | None:
    """Threshold nearest to the median that no value is near, and the spread; None if none.

    Each side has at least `smallest` rows. Half way between two values, so that rounding,
    which differs with the number of rows multiplied at once, cannot move a row across. A weight
    of 2 is a row that stands there twice.
    """
    order = np.argsort(projections, kind="stable")
    values = projections[order]
    n = len(values)
    until = np.arange(1, n + 1) if weights is None else np.cumsum(weights[order])
    width = float(values[-1] - values[0])
    gaps = np.flatnonzero(np.diff(values) > TIE * max(width, np.abs(values).max())) + 1
    gaps = gaps[(gaps >= smallest) & (gaps <= n - smallest)]
    if not len(gaps):
        return None
    place = int(gaps[np.abs(until[gaps - 1] - until[-1] / 2).argmin()])
    threshold = float((values[place - 1] + values[place]) / 2)
    low, high = (_quantile(values, until, share) for share in (0.25, 0.75))
    return threshold, float(high - low) or width


def _quantile(values: np.ndarray, until: np.ndarray, share: float) -> float:
    """Linear between rows, of values in order and the sums of weights up to each."""
    place = share * max(until[-1] - 1, 0)
    before = np.floor(place)
    pair = values[
        np.searchsorted(until, [before, before + 1], side="right").clip(0, len(values) - 1)
    ]
    return float(pair[0] + (place - before) * (pair[1] - pair[0]))


def sensitive_direction(
    points: np.ndarray,
    targets: np.ndarray,
    split: str,
    model: Callable[[], Any],
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """The direction to split along, per unit of the table; columns are standardised first.

    Args:
        points: Rows of the table.
        targets: Numbers, a column each.
        split: "agop", "axis" or "pca", as in `AGOPTreeRegressor`.
        model: Makes the regressor whose gradients are asked for; not called for "pca".
        weights: One a row; None: all 1.
    """
    mean = np.average(points, axis=0, weights=weights)
    scale = np.sqrt(np.average((points - mean) ** 2, axis=0, weights=weights))
    scale[scale <= 1e-12 * np.abs(points).max(axis=0, initial=0.0)] = 0.0
    units = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    if split == "pca":
        standard = (points - mean) * units
        if weights is not None:
            standard = standard * np.sqrt(weights)[:, None]
        matrix = standard.T @ standard
    else:
        columns = targets[:, 0] if targets.shape[1] == 1 else targets
        regressor = fitted(model(), points, columns, weights)
        matrix = outer_product(regressor, points, weights) * scale[:, None] * scale
    if split == "axis":
        direction = np.eye(len(scale))[np.diagonal(matrix).argmax()]
    else:
        direction = np.linalg.eigh(matrix)[1][:, -1]
    direction = direction * np.sign(direction[np.abs(direction).argmax()])
    return direction * units


def outer_product(model: Any, x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over rows and sum over outputs of outer products of gradients."""
    total = np.zeros((x.shape[1], x.shape[1]))
    shares = np.full(len(x), 1 / len(x)) if weights is None else weights / weights.sum()
    for start in range(0, len(x), GRADIENT_ROWS):
        gradients = np.asarray(model.gradient(x[start : start + GRADIENT_ROWS]), dtype=float)
        root = np.sqrt(shares[start : start + GRADIENT_ROWS]).reshape(-1, 1, 1)
        rows = (gradients.reshape(len(root), -1, x.shape[1]) * root).reshape(-1, x.shape[1])
        total += rows.T @ rows
    return total
