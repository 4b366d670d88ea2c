"""Features that differ from place to place: machines, trees, columns of noise and ties."""

from typing import Any

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.metrics import r2_score

from overparam.kernels.agop_tree import AGOPTreeRegressor, Split
from overparam.kernels.rfm import RFMRegressor

COLUMNS, OFFSET = 20, 3.0
# A leaf as published, whatever the defaults of the estimator.
LEAF: dict[str, Any] = {"bandwidth": 10.0, "agop_power": 1.0, "normalize": "max", "n_iter": 5}
OWN = {"left": (9, 11, 13), "right": (1, 3, 5)}
# One machine; trees of two leaves by rule, the last with the temperature chosen on held-out rows.
METHODS = ("one machine", "agop", "axis", "pca", "agop, soft")


def local_features(
    method: str, rows: int, seed: int, *, power: float = 1.0, permuted: bool = False
) -> dict[str, float]:
    """Test error, the split's direction, and the shares of columns in the features."""
    draw = np.random.default_rng(seed)
    (x, y), (x_test, y_test) = local_data(rows, draw), local_data(2000, draw)
    y = draw.permutation(y) if permuted else y
    leaf: dict[str, Any] = LEAF | {"agop_power": power}
    machine = RFMRegressor(alpha=1e-3, feature_matrix="full", random_state=seed, **leaf)
    if method == "one machine":
        machine.fit(x, y)
        error = float(np.mean((machine.predict(x_test) - y_test) ** 2))
        shares = own_shares(machine)
        return {"error": error, "share_left": shares["left"], "share_right": shares["right"]}
    rule, _, soft = method.partition(", ")
    tree = AGOPTreeRegressor(
        machine,
        max_leaf_size=int(0.6 * rows),
        split=rule,
        split_samples=1500,
        split_temperature="tune" if soft else None,
        random_state=seed,
    ).fit(x, y)
    assert isinstance(tree.tree_, Split)
    direction = tree.tree_.direction / np.linalg.norm(tree.tree_.direction)
    left, right = (own_shares(leaf) for leaf in tree.leaves_)
    # The direction's sign is arbitrary: left is where the first column is negative.
    if direction[0] < 0:
        left, right = right, left
    error = float(np.mean((tree.predict(x_test) - y_test) ** 2))
    temperature, tree.temperature_ = tree.temperature_, 0.0
    return {
        "error": error,
        "error_hard": float(np.mean((tree.predict(x_test) - y_test) ** 2)),
        "first_column": abs(float(direction[0])),
        "share_left": left["left"],
        "share_right": right["right"],
        "temperature": temperature,
    }


def local_data(rows: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Normal inputs; the sign of the first decides which others matter."""
    x = draw.normal(size=(rows, COLUMNS))
    right = OFFSET + x[:, 1] + x[:, 3] * x[:, 5]
    left = -OFFSET + x[:, 9] + x[:, 11] * x[:, 13]
    return x, np.where(x[:, 0] > 0, right, left)


def own_shares(machine: RFMRegressor) -> dict[str, float]:
    """Shares of both sides' columns in the diagonal of the feature matrix, x₀ left out."""
    diagonal = np.diagonal(machine.feature_matrix_).copy()
    diagonal[0] = 0.0
    return {
        side: float(diagonal[list(columns)].sum() / diagonal.sum()) for side, columns in OWN.items()
    }


def columns_of_noise(method: str, rows: int, seed: int) -> dict[str, float]:
    """R² on Friedman 1 with 15 columns that do not matter."""
    x, y = make_friedman1(rows + 2000, COLUMNS, noise=1.0, random_state=seed)
    settings: dict[str, Any] = LEAF if method == "diagonal" else LEAF | {"n_iter": 0}
    model = RFMRegressor(feature_matrix="diag", random_state=seed, **settings)
    model.fit(x[:rows], y[:rows])
    return {"r2": float(r2_score(y[rows:], model.predict(x[rows:])))}


def ties(rows: int, seed: int) -> dict[str, float]:
    """Share of training rows that prediction sends to the leaf they were fitted in."""
    draw = np.random.default_rng(seed)
    x = np.column_stack([draw.random(rows) < 0.25, draw.normal(size=rows)]).astype(float)
    y = 5 * x[:, 0] + 0.1 * x[:, 1]
    tree = AGOPTreeRegressor(max_leaf_size=int(0.8 * rows), split="axis", random_state=seed)
    tree.fit(x, y)
    found = np.bincount(tree.apply(x), minlength=len(tree.leaves_))
    moved = np.abs(found - tree.leaf_sizes_).sum() / 2
    return {"kept": 1 - float(moved) / rows, "leaves": len(tree.leaves_)}


def capped(rows: int, seed: int) -> dict[str, float]:
    """Friedman 1: a machine on as many rows as may be in a leaf, a tree of leaves on all."""
    x, y = make_friedman1(rows + 2000, COLUMNS, noise=1.0, random_state=seed)
    x_test, y_test, most = x[rows:], y[rows:], rows // 8
    machine = RFMRegressor(alpha=1e-3, feature_matrix="diag", random_state=seed, **LEAF)
    tree = AGOPTreeRegressor(machine, max_leaf_size=most, split_samples=most, random_state=seed)
    tree.fit(x[:rows], y[:rows])
    machine.fit(x[:most], y[:most])
    errors = [float(np.mean((model.predict(x_test) - y_test) ** 2)) for model in (tree, machine)]
    # Without the noise, which no model can predict.
    return {
        "tree_over_part": (errors[0] - 1) / (errors[1] - 1),
        "largest_leaf": float(max(tree.leaf_sizes_)) / most,
    }
