"""Optimal couplings of two weighted sets, from POT, with their marginals checked."""

import math
import warnings
from typing import Any

import numpy as np

from overparam._errors import expect
from overparam._extras import needed
from overparam._memory import expect_room
from overparam._user_line import user_level
from overparam.errors import NumericalError

# Largest absolute error of the marginals, together of mass 1, with which a coupling is used.
TOLERANCE = 0.01


def import_pot(where: str) -> Any:
    """The package `ot`, where it is needed and not before: importing it takes seconds."""
    return needed(where, "POT", "transport", "ot")


def marginal_error(coupling: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Sum of the absolute errors of both marginals; infinite unless all is finite."""
    error = np.abs(coupling.sum(1) - a).sum() + np.abs(coupling.sum(0) - b).sum()
    return float(error) if math.isfinite(error) else math.inf


def typical(cost: np.ndarray) -> float:
    """Median of a cost, or its mean or 1 where that is 0: what a cost is divided by."""
    return float(np.median(cost)) or float(cost.mean()) or 1.0


def entropic_coupling(
    a: np.ndarray, b: np.ndarray, cost: np.ndarray, reg: float, where: str
) -> np.ndarray:
    """Coupling that minimises ⟨T, cost⟩ + reg Σ T log T.

    The plain iteration first; only where that breaks down the one in logarithms, which is 90
    times slower. One warning if neither converges.

    Args:
        a: Weights of the rows, > 0, which add up to 1.
        b: Weights of the columns.
        cost: Shape ``(n, m)``.
        reg: > 0, in the units of the cost.
        where: The call, for messages.

    Raises:
        NumericalError: If the coupling is not finite.
    """
    ot = import_pot(where)
    # A constant added to a row or a column changes no coupling, and may avoid underflow.
    cost = cost - cost.min(1, keepdims=True)
    cost = cost - cost.min(0, keepdims=True)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        plan = ot.sinkhorn(a, b, cost, reg, numItermax=1000, stopThr=1e-7, warn=False)
        # Underflow shows as NaN or as lost mass; a slow convergence would be as slow in logarithms.
        if not np.isfinite(plan).all() or plan.sum() < 0.5:
            plan = ot.sinkhorn(
                a, b, cost, reg, "sinkhorn_log", numItermax=1000, stopThr=1e-7, warn=False
            )
    return _accepted(plan, a, b, f"{where}: reg={reg:.3g} in units of the cost", "reg")


def exact_coupling(a: np.ndarray, b: np.ndarray, cost: np.ndarray, where: str) -> np.ndarray:
    """Coupling that minimises ⟨T, cost⟩, by network simplex, with a million pivots at most."""
    ot = import_pot(where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan, log = ot.emd(a, b, cost, numItermax=1_000_000, log=True)
    if log["warning"]:
        warnings.warn(
            f"{where}: the exact coupling was not found ({log['warning']}); pass reg=0.01 for an "
            "entropic one.",
            stacklevel=user_level(),
        )
    return _accepted(plan, a, b, where, "reg")


def relaxed_coupling(
    a: np.ndarray, b: np.ndarray, cost: np.ndarray, reg: float, relaxation: float, where: str
) -> np.ndarray:
    """Coupling whose columns have the weights b, and whose rows may leave a for a price.

    The price is `relaxation` times the Kullback–Leibler divergence of the row sums from a.
    By scaling, with the exponent relaxation/(relaxation + reg) for the rows.
    """
    cost = cost - cost.min(0, keepdims=True)  # of columns only: row sums are free
    kernel = np.exp(-cost / reg)
    power = relaxation / (relaxation + reg)
    v = np.ones_like(b)
    with np.errstate(all="ignore"):
        for _ in range(300):
            u = (a / (kernel @ v)) ** power
            new = b / (kernel.T @ u)
            done = np.abs(new / v - 1).max() <= 1e-4
            v = new
            if done:
                break
        plan = u[:, None] * kernel * v
    expect(
        np.isfinite(plan).all(), where, "a finite coupling", "NaN or infinity",
        "pass a larger reg.", error=NumericalError,
    )  # fmt: skip
    return plan


def _accepted(plan: Any, a: np.ndarray, b: np.ndarray, where: str, argument: str) -> np.ndarray:
    plan = np.asarray(plan, dtype=np.float64)
    error = marginal_error(plan, a, b)
    expect(
        error < math.inf and plan.any(), where, "a finite coupling with mass", "none",
        f"pass a larger {argument}.", error=NumericalError,
    )  # fmt: skip
    if error >= TOLERANCE:
        warnings.warn(
            f"{where}: the coupling's marginals are off by {error:.2g} of a mass of 1; pass a "
            f"larger {argument}.",
            stacklevel=user_level(),
        )
    return plan


def expect_pairs_fit(n: int, m: int, where: str) -> None:
    """Raise unless cost, coupling and two of their size between them fit into memory."""
    expect_room(4.0 * 8 * n * m, None, where, "pass fewer rows of each.", "a cost and a coupling")
