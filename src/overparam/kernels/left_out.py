"""What a kernel predictor says of its own rows when each is left out."""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overparam._memory import fits
from overparam.kernels._rounds import Rounds
from overparam.kernels._table import HOLD_OUT_FROM, Rows, unequal
from overparam.kernels.feature_matrix import KernelPredictor

# Rows up to which the kernel matrix is inverted, in double precision.
INVERTED = 4096
FOLDS = 5


def left_out_outputs(
    rounds: Rounds, predictor: KernelPredictor, rows: Rows[Tensor], kept_round: int
) -> Tensor | None:
    """Outputs for rows that the predictor was not fitted to, or nearly; None where they cost much.

    Below 500 rows all of the machine is fitted five times, to four fifths of them each: its
    feature matrix, learned from the same targets, otherwise knows too much. With more, each row is
    left out of the coefficients alone, which is a matter of one inverse. Beyond 4096 rows, or
    where an inverse does not fit into memory, there are none.

    Args:
        rounds: Of the fit.
        predictor: Fitted to the rows.
        rows: Distinct.
        kept_round: The round it is of.
    """
    n = len(rows.x)
    if n < HOLD_OUT_FROM:
        return _refitted(rounds, rows, kept_round)
    if n > INVERTED or not fits(3 * n**2 * 8 / 0.9, rows.x.device):
        return None
    return _leave_one_out(predictor, rows, rounds.ridge)


def _leave_one_out(predictor: KernelPredictor, rows: Rows[Tensor], ridge: float) -> Tensor | None:
    """Targets less α over the diagonal of (K + λ diag(1/w))⁻¹."""
    matrix, weights = predictor.feature_matrix, unequal(rows.weights)
    targets = rows.targets.double()
    system = predictor.kernel.matrix(
        rows.x.double(), None, None if matrix is None else matrix.double()
    )
    shift = torch.full_like(targets[:, 0], ridge) if weights is None else ridge / weights.double()
    system.diagonal().add_(shift)
    factor, info = torch.linalg.cholesky_ex(system)
    if info.item():
        return None
    inverse = torch.cholesky_inverse(factor)
    return targets - inverse @ targets / inverse.diagonal()[:, None]


def _refitted(rounds: Rounds, rows: Rows[Tensor], kept_round: int) -> Tensor | None:
    """Outputs of machines that were fitted to the other folds, as many rounds."""
    folds = folds_of(rows)
    if folds is None:
        return None
    outputs = torch.zeros_like(rows.targets)
    for fold in range(int(folds.max()) + 1):
        others, own = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        again = dataclasses.replace(rounds, n_iter=kept_round)
        *_, last = again.of_rows(rows.at(torch.from_numpy(others).to(rows.x.device)))
        outputs[own] = last.predictor(rows.x[own])
    return outputs.double()


def folds_of(rows: Rows[Any]) -> np.ndarray | None:
    """The fold of each row, told by what it holds and not by where it stands.

    So weights and repeated rows in any order give the same folds. Rows are dealt out by targets,
    to have much the same of them in every fold. None for fewer than four rows.
    """
    x, targets = (np.asarray(part.cpu(), dtype=np.float64) for part in (rows.x, rows.targets))
    n = len(x)
    number = min(FOLDS, n // 2)
    if number < 2:
        return None
    # Rows that differ have different multiples, but for chance.
    multiples = x @ np.random.default_rng(0).normal(size=x.shape[1])
    # Rounded, so that means of targets in another order do not change places.
    keys = np.round(targets, 6).T
    order = np.lexsort((multiples, *keys))
    folds = np.empty(n, dtype=int)
    folds[order] = np.arange(n) % number
    return folds
