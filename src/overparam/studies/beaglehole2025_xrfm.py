"""A split along the AGOP gives leaves 85 % of whose features are their own, at a cost in accuracy.

Reference:
    Beaglehole, Holzmüller, Radhakrishnan, Belkin (2025), "xRFM: accurate, scalable, and
    interpretable feature learning models for tabular data", arXiv:2508.10053: trees that split
    at the median along the top eigenvector of an AGOP, with a recursive feature machine in
    every leaf; local features; the ablation of splits on 17 large tables.
Changed:
    The paper's tables need downloads and graphics cards. Its example of local features is
    rebuilt on normal inputs in R^20: the sign of x₀ decides between x₁ + x₃x₅ + 3 and
    x₉ + x₁₁x₁₃ − 3; two leaves of 1500 rows. Features are found as claimed. The error is
    *not* lower than that of one machine on all rows: each leaf has half the data, and a
    direction with |v₀| of 0.95 blurs the border; soft routing gives back a part. A split at the
    column of the largest sensitivity, another of the paper's rules, has no blurred border,
    and is better than one machine. All leaves have the published settings; at the power 1/2 of
    the AGOP, to which the estimators default, one machine finds less of this target, and a tree
    has about 0.8 times its error. Splits along the first principal component are a control.
    That columns of noise are ignored is asked of scikit-learn's Friedman 1. Rows with ties are
    routed in prediction as in training, which the published implementation does not do.
Cost:
    Processor time: smoke 2 s, quick 75 s, full about 15 minutes, extrapolated from single
    cells.
Failure:
    If leaves did not find their own features, trees would not explain more than one machine. If
    the tree's error were lower, splitting would pay where one machine fits into memory, and the
    advice in the documentation of `AGOPTreeRegressor` would be wrong.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import make_friedman1
from sklearn.metrics import r2_score

from overparam.claims.claim import Claim, Range
from overparam.claims.figures import figure
from overparam.claims.statistics import select
from overparam.claims.study import Study
from overparam.kernels.agop_tree import AGOPTreeRegressor, Split
from overparam.kernels.rfm import RFMRegressor

__all__ = ["STUDY"]

SIZES = {
    "smoke": {"rows": 120, "friedman": 100, "replicates": 1},
    "quick": {"rows": 3000, "friedman": 1500, "replicates": 3},
    "full": {"rows": 12_000, "friedman": 6000, "replicates": 5},
}
COLUMNS, OFFSET = 20, 3.0
# A leaf as published, whatever the defaults of the estimator.
LEAF: dict[str, Any] = {"bandwidth": 10.0, "agop_power": 1.0, "normalize": "max", "n_iter": 5}
OWN = {"left": (9, 11, 13), "right": (1, 3, 5)}
# One machine; trees of two leaves by rule, the last with the temperature chosen on held-out rows.
METHODS = ("one machine", "agop", "axis", "pca", "agop, soft")


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The longest first: machines and trees on local features, then noise and ties."""
    rows = config["rows"]
    plan = [{"test": "local", "method": method, "rows": rows} for method in METHODS]
    plan += [
        {"test": "noise", "method": method, "rows": config["friedman"]}
        for method in ("diagonal", "kernel ridge")
    ]
    plan += [{"test": "ties", "method": "agop", "rows": 320}]
    return [{**cell, "replicate": r} for cell in plan for r in range(config["replicates"])]


def cell(test: str, method: str, rows: int, seed: int) -> dict[str, Any]:
    """One model on one draw of the data."""
    if test == "noise":
        return columns_of_noise(method, rows, seed)
    return ties(rows, seed) if test == "ties" else local_features(method, rows, seed)


def local_features(method: str, rows: int, seed: int) -> dict[str, float]:
    """Test error, the split's direction, and the shares of columns in the features."""
    draw = np.random.default_rng(seed)
    (x, y), (x_test, y_test) = local_data(rows, draw), local_data(2000, draw)
    machine = RFMRegressor(alpha=1e-3, feature_matrix="full", random_state=seed, **LEAF)
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


def error_ratio(method: str, to: str) -> Callable[[pd.DataFrame], float]:
    """Mean test error of a method over that of another."""

    def statistic(rows: pd.DataFrame) -> float:
        means = [
            np.mean(select(rows, {"method": name})["error"].to_numpy()) for name in (method, to)
        ]
        return float(means[0] / means[1])

    return statistic


def soft_over_hard(rows: pd.DataFrame) -> float:
    """Mean test error of soft trees over that of the same trees routed hard."""
    errors = rows[["error", "error_hard"]].to_numpy(float).mean(axis=0)
    return float(errors[0] / errors[1])


def lowest_share(rows: pd.DataFrame) -> float:
    """Smallest share of a leaf's own columns, over leaves and seeds."""
    return float(np.min(rows[["share_left", "share_right"]].to_numpy(float)))


def gain_on_noise(rows: pd.DataFrame) -> float:
    """By how much R² of the diagonal machine exceeds that of its own round 0, worst seed."""
    by_method = [
        select(rows, {"method": name}).sort_values("seed")["r2"].to_numpy(float)
        for name in ("diagonal", "kernel ridge")
    ]
    return float(np.min(by_method[0] - by_method[1]))


EXAMPLE = "figure on local features; its exact function is not given"
LOCAL = {"test": "local"}
CLAIMS = [
    Claim(
        "direction",
        "The direction of the split is that of the deciding column: |v₀| is 0.9 or more.",
        paper="the split is on the deciding column",
        source=EXAMPLE,
        statistic=lambda rows: float(np.min(rows["first_column"].to_numpy(float))),
        passes=Range(low=0.9),
        tolerance="smallest over seeds; of a unit vector in standardised columns",
        where=LOCAL | {"method": "agop"},
    ),
    Claim(
        "leaves_have_their_own_features",
        "In each leaf, 85 % of the feature matrix is on the three columns that matter there.",
        paper="leaves show different features",
        source=EXAMPLE,
        statistic=lowest_share,
        passes=Range(low=0.85),
        tolerance="share of the diagonal without x₀, smallest over leaves and seeds",
        where=LOCAL | {"method": "agop"},
    ),
    Claim(
        "one_machine_mixes_them",
        "One machine on all rows gives either side's columns between 30 % and 70 %.",
        paper="a global model cannot tell them apart",
        source=EXAMPLE,
        statistic=lambda rows: float(
            np.max(np.abs(rows[["share_left", "share_right"]].to_numpy(float) - 0.5))
        ),
        passes=Range(high=0.2),
        tolerance="largest distance from one half",
        where=LOCAL | {"method": "one machine"},
    ),
    Claim(
        "principal_component_is_blind",
        "The first principal component does not find the column: |v₀| is at most 0.5.",
        paper="worse than AGOP: error .3499 against .3440",
        source="ablation of splits, 17 large tables",
        statistic=lambda rows: float(np.max(rows["first_column"].to_numpy(float))),
        passes=Range(high=0.5),
        tolerance="largest over seeds",
        where=LOCAL | {"method": "pca"},
    ),
    Claim(
        "splitting_costs_accuracy",
        "Where one machine fits into memory, the tree's error is not lower than its.",
        paper="lower, .0379 against .0503, on tables that do not fit",
        source="comparison on large tables; not so on a small one",
        statistic=error_ratio("agop", "one machine"),
        passes=Range(low=1),
        tolerance="ratio of mean squared test errors, means over seeds; 1 is no gain",
        where=LOCAL,
    ),
    Claim(
        "soft_routing_gives_some_back",
        "A temperature chosen on held-out rows does not raise the error of the same tree.",
        paper="error .3446 to .3440",
        source="ablation of splits, 17 large tables",
        statistic=soft_over_hard,
        passes=Range(high=1),
        tolerance="ratio of mean squared test errors, means over seeds; 1 is no gain",
        where=LOCAL | {"method": "agop, soft"},
    ),
    Claim(
        "soft_routing_is_not_enough",
        "With it, the tree's error is still not lower than one machine's.",
        paper="lower, on tables that do not fit",
        source="comparison on large tables; not so on a small one",
        statistic=error_ratio("agop, soft", "one machine"),
        passes=Range(low=1),
        tolerance="ratio of mean squared test errors, means over seeds; 1 is no gain",
        where=LOCAL,
    ),
    Claim(
        "a_sharp_border_pays",
        "A split at the most sensitive column has a lower error than one machine.",
        paper="the lowest error of all rules: .3411",
        source="ablation of splits, 17 large tables",
        statistic=error_ratio("axis", "one machine"),
        passes=Range(high=0.9),
        weaker=Range(high=1),
        tolerance="ratio of mean squared test errors, means over seeds: 10 % lower or more",
        where=LOCAL,
    ),
    Claim(
        "noise_is_ignored",
        "On Friedman 1 with 15 columns of noise, R² rises by 0.08 over plain kernel ridge.",
        paper="feature learning helps on tables",
        source="tables of results; this set is ours",
        statistic=gain_on_noise,
        passes=Range(low=0.08),
        weaker=Range(low=0.04),
        tolerance="difference of R² on 2000 rows, worst seed",
        where={"test": "noise"},
    ),
    Claim(
        "ties_are_routed_as_in_training",
        "With a binary column to split on, every row is predicted by the leaf it was fitted in.",
        paper="a median split; the published code sends half of such rows to the other leaf",
        source="algorithm for the tree",
        statistic=lambda rows: float(
            np.min(np.where(rows["leaves"] == 2, rows["kept"].to_numpy(float), 0.0))
        ),
        passes=Range(low=1),
        tolerance="exact: share of rows, smallest over seeds; 0 if the node was not split",
        where={"test": "ties"},
        smallest="smoke",
    ),
]


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Shares of the columns by leaf, and test errors."""
    local = select(table, LOCAL)
    rows = {method: select(local, {"method": method}) for method in METHODS}
    errors = [float(np.mean(rows[method]["error"].to_numpy(float))) for method in METHODS]
    sides = {"x₀ < 0": "share_left", "x₀ > 0": "share_right"}
    lowest = lowest_share(rows["agop"])
    return {
        "shares": figure(
            "bar",
            f"Each leaf of the AGOP's tree has {lowest:.0%} or more of its features to itself",
            [
                {
                    "name": f"columns that matter where {side}",
                    "x": [*METHODS],
                    "y": [
                        float(np.mean(rows[method][column].to_numpy(float))) for method in METHODS
                    ],
                }
                for side, column in sides.items()
            ],
            x="model",
            y="share of the feature matrix",
            caption="Share of the three columns in the diagonal without x₀: of the leaf on that "
            "side, or of the one machine. Means over seeds.",
        ),
        "errors": figure(
            "bar",
            f"Two leaves along the AGOP have {errors[1] / errors[0]:.2f} times the error of one "
            f"machine; split at a column, {errors[2] / errors[0]:.2f}",
            [{"name": "test error", "x": [*METHODS], "y": errors}],
            x="model",
            y="mean squared error",
            caption="2000 test rows, means over seeds.",
        ),
    }


STUDY = Study(cells, cell, SIZES, CLAIMS, figures)
