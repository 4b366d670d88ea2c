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
    targets = rows.targets.double()
    inverse = _inverse(predictor, rows.weights, ridge)
    return None if inverse is None else targets - inverse @ targets / inverse.diagonal()[:, None]


def _inverse(predictor: KernelPredictor, weights: Tensor, ridge: float) -> Tensor | None:
    """(K + λ diag(1/w))⁻¹ of the centres in double precision; None where it is singular."""
    matrix, x = predictor.feature_matrix, predictor.centres.double()
    system = predictor.kernel.matrix(x, None, None if matrix is None else matrix.double())
    unlike = unequal(weights)
    shift = torch.full_like(x[:, 0], ridge) if unlike is None else ridge / unlike.double()
    system.diagonal().add_(shift)
    factor, info = torch.linalg.cholesky_ex(system)
    return None if info.item() else torch.cholesky_inverse(factor)


def left_out_error(machine: Any) -> float | None:
    """What a fitted regressor misses of its own rows, each left out of its coefficients alone.

    Too little, as its feature matrices have seen the targets; but the ratio between two machines
    of the same kind, fitted to more and to fewer rows, is that of their errors of new rows.

    Args:
        machine: Fitted to one target.

    Returns:
        The weighted mean of its absolute value, in units of the target; None where an inverse of
        all rows is too much, or there is none.

    Cost:
        n³ flops and 3 n² numbers for each of its predictors.
    """
    predictor = machine.predictor_on("cpu")
    parts = getattr(predictor, "predictors", (predictor,))
    shares = getattr(predictor, "shares", (1.0,))
    ridges = [member.alpha for member in getattr(machine, "members_", ())] or [machine.alpha_]
    n = len(predictor.centres)
    if n > INVERTED or not fits(3 * n**2 * 8 / 0.9, None):
        return None
    weights = torch.from_numpy(machine.weights_fit_)
    missed = torch.zeros(n, dtype=torch.float64)
    for part, share, ridge in zip(parts, shares, ridges, strict=True):
        inverse = _inverse(part, weights, ridge)
        if inverse is None:
            return None
        missed += share * part.dual[:, 0].double() / inverse.diagonal()
    mean = (weights * missed.abs()).sum() / weights.sum()
    return float(mean) * float(machine.y_scale_[0])


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
