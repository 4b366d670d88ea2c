"""How a tree grows: directions that a model is sensitive along, thresholds that no row is near."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

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
) -> tuple[Split | int, list[np.ndarray]]:
    """Split rows until no part has more than `largest`, or none of its thresholds will do.

    Args:
        x: The table.
        rows: Places of the rows to split.
        direction: v for a part of them; asked at every split, before those below it.
        largest: Rows of a leaf.
        smallest: Rows that each side of a split must have.

    Returns:
        The tree, and the rows of each of its leaves.
    """
    parts: list[np.ndarray] = []

    def node(rows: np.ndarray) -> Split | int:
        if len(rows) > largest:
            along = direction(rows)
            found = cut(x[rows] @ along, smallest)
            if found is not None:
                right = Split(along, *found, 0, 0).margin(x[rows]) > 0
                return Split(along, *found, node(rows[~right]), node(rows[right]))
        parts.append(rows)
        return len(parts) - 1

    return node(rows), parts


def cut(projections: np.ndarray, smallest: int) -> tuple[float, float] | None:
    """Threshold nearest to the median that no value is near, and the spread; None if none.

    Each side has at least `smallest` rows. Half way between two values, so that rounding,
    which differs with the number of rows multiplied at once, cannot move a row across.
    """
    values = np.sort(projections)
    n = len(values)
    width = float(values[-1] - values[0])
    gaps = np.flatnonzero(np.diff(values) > TIE * max(width, np.abs(values).max())) + 1
    gaps = gaps[(gaps >= smallest) & (gaps <= n - smallest)]
    if not len(gaps):
        return None
    place = int(gaps[np.abs(gaps - n / 2).argmin()])
    threshold = float((values[place - 1] + values[place]) / 2)
    low, high = np.quantile(values, [0.25, 0.75])
    return threshold, float(high - low) or width


def sensitive_direction(
    points: np.ndarray, targets: np.ndarray, split: str, model: Callable[[], Any]
) -> np.ndarray:
    """The direction to split along, per unit of the table; columns are standardised first.

    Args:
        points: Rows of the table.
        targets: Numbers, a column each.
        split: "agop", "axis" or "pca", as in `AGOPTreeRegressor`.
        model: Makes the regressor whose gradients are asked for; not called for "pca".
    """
    scale = points.std(axis=0)
    scale[scale <= 1e-12 * np.abs(points).max(axis=0, initial=0.0)] = 0.0
    units = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    if split == "pca":
        standard = (points - points.mean(axis=0)) * units
        matrix = standard.T @ standard
    else:
        regressor = model()
        regressor.fit(points, targets[:, 0] if targets.shape[1] == 1 else targets)
        matrix = outer_product(regressor, points) * scale[:, None] * scale
    if split == "axis":
        direction = np.eye(len(scale))[np.diagonal(matrix).argmax()]
    else:
        direction = np.linalg.eigh(matrix)[1][:, -1]
    direction = direction * np.sign(direction[np.abs(direction).argmax()])
    return direction * units


def outer_product(model: Any, x: np.ndarray) -> np.ndarray:
    """Mean over rows and sum over outputs of outer products of gradients."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), GRADIENT_ROWS):
        gradients = np.asarray(model.gradient(x[start : start + GRADIENT_ROWS]), dtype=float)
        rows = gradients.reshape(-1, x.shape[1])
        total += rows.T @ rows
    return total / len(x)
