"""Small tables, tuned models, and a kernel's derivatives against automatic differentiation."""

from itertools import product
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split

from overparam.datasets.named import load, names
from overparam.kernels.agop_tree import AGOPTreeRegressor
from overparam.kernels.feature_matrix import KernelPredictor, predictor_agop
from overparam.kernels.lpq import Lpq
from overparam.kernels.rfm import RFMRegressor
from overparam.studies.beaglehole2025_xrfm.local import LEAF

# Bundled with scikit-learn, and looked for in a folder of data: regressions without categories.
BUNDLED = ("diabetes",)
FOUND = ("airfoil_centred", "concrete", "elevators", "energy", "kin8nm", "power_plant",
         "wine_red", "yacht")  # fmt: skip
SETS = BUNDLED + FOUND
MACHINES = tuple(product((3.0, 10.0, 30.0), (1e-3, 1e-1), ("diag", "full")))
TREES = tuple(product((0.03, 0.1), (7, 31)))


def table(name: str, rows: int, seed: int) -> dict[str, Any]:
    """Root mean squared errors over the deviation of the targets, each model the best of its grid.

    Of a set, as many rows as are asked for, drawn by the seed:
    60 % of the rows for training, 20 % to choose out of a grid, 20 % test; then a fit to both.
    """
    if name not in names():
        return {"absent": f"the set {name!r} is in no folder of data"}
    data = load(name)
    x = np.concatenate([data.x_train, data.x_test]).astype(float)
    y = np.concatenate([data.y_train, data.y_test]).astype(float)
    order = np.random.default_rng(seed).permutation(len(x))[:rows]
    x, x_test, y, y_test = parts(x[order], y[order], 0.2, seed)
    x_fit, x_held, y_fit, y_held = parts(x, y, 0.25, seed)

    def error(model: Any, rows: np.ndarray, truth: np.ndarray) -> float:
        return float(np.sqrt(np.mean((model.predict(rows) - truth) ** 2)) / truth.std())

    def tuned(models: list[Any]) -> float:
        held = [error(model.fit(x_fit, y_fit), x_held, y_held) for model in models]
        return error(models[int(np.argmin(held))].fit(x, y), x_test, y_test)

    trees = [leafy(*setting, seed) for setting in MACHINES]
    boosting = [
        HistGradientBoostingRegressor(
            learning_rate=rate, max_leaf_nodes=leaves, max_iter=300, random_state=seed
        )
        for rate, leaves in TREES
    ]
    return {"tree": tuned(trees), "boosting": tuned(boosting)}


def parts(x: np.ndarray, y: np.ndarray, share: float, seed: int) -> list[np.ndarray]:
    """Rows and targets in two parts, the second a share of all: x, x, y, y."""
    return [np.asarray(p) for p in train_test_split(x, y, test_size=share, random_state=seed)]


def leafy(bandwidth: float, ridge: float, form: Any, seed: int) -> AGOPTreeRegressor:
    """A tree with the published cap on leaves, which so few rows do not reach."""
    leaf: dict[str, Any] = LEAF | {"bandwidth": bandwidth}
    machine = RFMRegressor(alpha=ridge, feature_matrix=form, random_state=seed, **leaf)
    return AGOPTreeRegressor(machine, max_leaf_size=60_000, random_state=seed)


def oracle(seed: int) -> dict[str, float]:
    """Relative error of the AGOP of the kernel exp(−‖x − z‖_p^q/L^q) by its formula."""
    draw = torch.Generator().manual_seed(seed)
    x, z = (torch.randn(size, 4, generator=draw).double() for size in (7, 9))
    dual = torch.randn(9, 2, generator=draw).double()
    p, q, length = 1.5, 1.2, 3.0

    def plain(point: torch.Tensor) -> torch.Tensor:
        distance = (point - z).abs().pow(p).sum(1).pow(1 / p)
        return torch.exp(-((distance / length) ** q)) @ dual

    slopes = torch.func.vmap(torch.func.jacrev(plain))(x)
    truth = torch.einsum("nca,ncb->ab", slopes, slopes) / len(x)
    found = predictor_agop(KernelPredictor(Lpq(length, p, q), z, dual), x)
    return {"agop_error": float((found - truth).norm() / truth.norm())}
