"""The recursion of feature machines: fit by kernel ridge regression, reweigh the input, repeat."""

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam._switches import full_precision
from overparam._user_line import user_level
from overparam.kernels._kept import kept
from overparam.kernels.feature_matrix import (
    KernelPredictor,
    predictor_agop,
    predictor_agop_diagonal,
)
from overparam.kernels.functions import FeatureMatrix, Kernel, PairKernel
from overparam.kernels.powers import matrix_power_psd
from overparam.kernels.ridge import fit_ridge

Normalize = Literal["max", "trace"]
# Coefficients of a kernel predictor: of (kernel, points, targets, M, weights).
Solve = Callable[[Kernel, Tensor, Tensor, FeatureMatrix, Tensor | None], Tensor]
# Parts of a round for whoever watches: the kernel matrix, the solution, the outer products.
FORMED, SOLVED = 0.3, 0.6


@dataclass(frozen=True)
class Iterate:
    """One round of the recursion.

    Attributes:
        iteration: 0 is ridge regression with the kernel as it came.
        predictor: What was fitted, its feature matrix in it.
    """

    iteration: int
    predictor: KernelPredictor


@checked
def feature_recursion(
    x: Float[Tensor, "n d"],
    targets: Float[Tensor, "n c"],
    kernel: Kernel,
    *,
    ridge: float = 1e-3,
    n_iter: int = 5,
    diagonal: bool = False,
    power: float = 1.0,
    normalize: Normalize | None = "max",
    weight_floor: float = 0.0,
    center: bool = False,
    weights: Float[Tensor, "n"] | None = None,
    agop_samples: int | None = None,
    adapt: Callable[[Kernel, Tensor, FeatureMatrix], Kernel] | None = None,
    solve: Solve | None = None,
    seed: int = 0,
    inside: Callable[[float], None] | None = None,
) -> Iterator[Iterate]:
    """Rounds of kernel ridge regression, each under the feature matrix of the one before.

        α_t = (K_t + λ I)⁻¹ Y,     M_{t+1} = N(AGOP(f_t)^s),     M_0 = I

    The power s is that of the *quadratic form*: the kernel sees xᵀMz, so s = 1 is what tables
    use, s = 1/2 what modular arithmetic does. A generator: stop asking and no more is computed;
    nothing is chosen here, and no test data is seen.

    Args:
        x: Points.
        targets: Y, centred if a constant is to be free of the ridge.
        kernel: Of every round.
        ridge: λ ≥ 0, not multiplied by n.
        n_iter: Rounds after round 0.
        diagonal: Reweigh coordinates only.
        power: s > 0.
        normalize: N. ``"max"`` divides by the largest entry, ``"trace"`` makes the mean of the
            diagonal 1, None does nothing. Without it the scale of M drifts from round to round,
            and the bandwidth of a kernel that is not homogeneous with it.
        weight_floor: ε ≥ 0: ε times the largest entry is added to the diagonal before N, so
            that no coordinate is lost for good.
        center: Subtract the mean gradient before the outer product.
        weights: Of the points, > 0.
        agop_samples: Points, drawn anew in every round, that the AGOP averages over; None: all.
        adapt: Gives the kernel of a round from (kernel, x, M), such as its bandwidth.
        solve: Gives α from (kernel, x, targets, M, weights); None: `fit_ridge`.
        seed: Of the points drawn.
        inside: Called many times a round, with the number of rounds that are done and the share
            of the next.

    Yields:
        Rounds 0 to `n_iter`.

    Raises:
        ValueError: An unknown normalisation, a power or number out of range.

    Cost:
        Each round a direct solve, n³/3 flops, and an AGOP, 2 n² c d (see `predictor_agop`).

    Example:
        The target depends on the first of three coordinates, and M finds it:

        >>> from overparam.kernels import Laplace
        >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
        >>> *_, last = feature_recursion(x, x[:, :1] ** 2 - 1, Laplace(), diagonal=True)
        >>> last.predictor.feature_matrix.argmax().item()
        0

    References:
        Radhakrishnan, Beaglehole, Pandit, Belkin (2022), arXiv:2212.13881: the recursion. Zhu,
        Davis, Drusvyatskiy, Fazel (2025), arXiv:2505.08277: its diagonal form with a floor.
    """
    where = "feature_recursion"
    if normalize not in ("max", "trace", None):
        unknown(f"{where}(normalize=...)", "a normalisation", str(normalize), ["max", "trace"])
    expect(n_iter >= 0, f"{where}(n_iter=...)", "a number of rounds ≥ 0", n_iter)
    expect(power > 0, f"{where}(power=...)", "a positive number", power)
    expect(weight_floor >= 0, f"{where}(weight_floor=...)", "a number ≥ 0", weight_floor)

    def next_matrix(outer: Tensor) -> Tensor:
        return next_feature_matrix(outer, power, normalize, weight_floor)

    def solved(machine: Kernel, matrix: FeatureMatrix) -> Tensor:
        if solve:
            return solve(machine, x, targets, matrix, weights)
        return fit_ridge(machine, x, targets, ridge=ridge, feature_matrix=matrix, weights=weights)

    average = functools.partial(
        predictor_agop_diagonal if diagonal else predictor_agop, center=center
    )
    rounds, keeper = range(n_iter + 1), kept(kernel, x)
    draw = torch.Generator().manual_seed(seed)
    return _rounds(x, kernel, rounds, keeper, solved, average, next_matrix, weights,
                   agop_samples, adapt, draw, inside or (lambda done: None))  # fmt: skip


def _rounds(
    x: Tensor,
    kernel: Kernel,
    rounds: range,
    keeper: Any,
    solved: Callable[[Kernel, FeatureMatrix], Tensor],
    average: Callable[..., Tensor],
    next_matrix: Callable[[Tensor], Tensor],
    weights: Tensor | None,
    agop_samples: int | None,
    adapt: Callable[[Kernel, Tensor, FeatureMatrix], Kernel] | None,
    draw: torch.Generator,
    inside: Callable[[float], None],
) -> Iterator[Iterate]:
    """The rounds themselves; arguments are looked at before the first is asked for."""
    matrix: FeatureMatrix = None
    for iteration in rounds:
        adapted = adapt(kernel, x, matrix) if adapt else kernel
        machine = adapted
        if keeper and isinstance(adapted, PairKernel):
            keeper.kernel, machine = adapted, keeper
            keeper.told = functools.partial(_share, inside, iteration)
        dual = solved(machine, matrix)
        inside(iteration + SOLVED)
        predictor = KernelPredictor(adapted, x, dual, matrix)
        yield Iterate(iteration, predictor)
        if iteration == rounds[-1]:
            return
        known = KernelPredictor(machine, x, dual, matrix)
        if agop_samples is None or agop_samples >= len(x):
            outer = average(known, weights=weights)
        else:
            rows = torch.randperm(len(x), generator=draw)[:agop_samples].to(x.device)
            share = None if weights is None else weights[rows]
            outer = average(known, x[rows], weights=share)
        if not float(outer.max()) > 0:
            warnings.warn(
                "the predictor does not depend on its input (constant targets?): "
                "the feature matrix stays as it was.",
                RuntimeWarning,
                stacklevel=user_level(),
            )
            continue
        matrix = next_matrix(outer)


def _share(
    inside: Callable[[float], None], iteration: int, part: Literal["matrix", "slopes"], done: float
) -> None:
    """What a share of a part is of the rounds."""
    whole = FORMED * done if part == "matrix" else SOLVED + (1 - SOLVED) * done
    inside(iteration + whole)


@full_precision()
def next_feature_matrix(
    outer: Tensor, power: float, normalize: Normalize | None, weight_floor: float
) -> Tensor:
    """M of the next round from an AGOP or its diagonal."""
    matrix = matrix_power_psd(outer, power)
    diagonal = matrix if matrix.ndim == 1 else matrix.diagonal()
    if weight_floor:
        diagonal += weight_floor * diagonal.max()
    if normalize == "max":
        matrix = matrix / diagonal.max()
    elif normalize == "trace":
        matrix = matrix / diagonal.mean()
    return matrix
