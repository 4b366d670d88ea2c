"""The rounds of a feature machine: the kernel, ridge and solver that each is fitted with."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from overparam._memory import expect_room, fits, part_of
from overparam._progress import Progress, Tell, telling
from overparam.kernels._pairs import apply_metric
from overparam.kernels._table import Rows, unequal
from overparam.kernels.custom import Custom
from overparam.kernels.eigenpro import fit_eigenpro
from overparam.kernels.feature_matrix import KernelPredictor
from overparam.kernels.functions import (
    DotExponential,
    FeatureMatrix,
    Gaussian,
    Kernel,
    Laplace,
    PairKernel,
    Quadratic,
)
from overparam.kernels.leave_one_out import leave_one_out_ridge
from overparam.kernels.lpq import Lpq
from overparam.kernels.powers import matrix_power_psd
from overparam.kernels.recursion import SOLVED, Iterate, Normalize, feature_recursion
from overparam.kernels.ridge import fit_ridge
from overparam.kernels.unformed import fit_unformed

KERNELS = ("dot_exp", "gaussian", "laplace", "lpq", "quadratic")
ROWS_FOR_RIDGE, ROWS_FOR_MEDIAN = 500, 1000
BANDWIDTH = 10.0  # of standardised rows, more than coordinates
# Rows that features are learned from where a kernel matrix of all does not fit, and bytes of it
# and its factor per squared row and byte of a number.
ROWS_FOR_FEATURES, HELD = 20_000, 2.2


@dataclasses.dataclass
class Rounds:
    """The rounds of one fit. Settings have the names they have in the estimator.

    Attributes:
        estimator: Its name, for complaints.
        seed: Of rows that are drawn.
        ridge: λ of the round that was last solved.
        solved: Number of rounds that were begun.
        tell: Told "rounds" and the share of them that is done.
    """

    estimator: str
    seed: int
    kernel: str | Kernel | Callable[[Tensor, Tensor], Tensor]
    bandwidth: float | str
    p: float
    q: float
    alpha: float | str
    n_iter: int
    feature_matrix: Literal["auto", "diag", "full"]
    agop_power: float
    center_gradients: bool
    normalize: Normalize | None
    weight_floor: float
    solver: Literal["auto", "cg", "cholesky", "eigenpro", "lstsq"]
    agop_samples: int
    progress: Progress
    ridge: float = dataclasses.field(init=False)
    tell: Tell = dataclasses.field(init=False)
    solved: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        self.ridge = float(self.alpha) if not isinstance(self.alpha, str) else math.nan
        self.tell = lambda stage, done: None

    @classmethod
    def of(cls, estimator: Any, seed: int, **others: Any) -> "Rounds":
        """Those that an estimator's settings ask for, but for `others`."""
        _, _, *settings = (field.name for field in dataclasses.fields(cls) if field.init)
        chosen = {name: getattr(estimator, name) for name in settings} | others
        return cls(type(estimator).__name__, seed, **chosen)

    def of_rows(self, rows: Rows[Tensor]) -> Iterator[Iterate]:
        """Rounds 0 to `n_iter`, each computed when it is asked for."""
        x = rows.x
        wide = is_wide(*x.shape)
        if self.feature_matrix == "auto":
            self.feature_matrix = "diag" if wide else "full"
        if self.bandwidth == "auto":
            self.bandwidth = "dimension" if wide else BANDWIDTH
        if self.feature_matrix == "full":  # the last round's matrix and the next one
            expect_room(
                2 * x.shape[1] ** 2 * x.element_size(),
                x.device,
                f"{self.estimator}(feature_matrix='full')",
                "take feature_matrix='diag', or fewer columns.",
                f"a matrix of {x.shape[1]} × {x.shape[1]} coordinates",
            )
        return feature_recursion(
            x,
            rows.targets,
            self._first_kernel(x.shape[1]),
            n_iter=self.n_iter,
            diagonal=self.feature_matrix == "diag",
            power=self.agop_power,
            normalize=self.normalize,
            weight_floor=self.weight_floor,
            center=self.center_gradients,
            weights=unequal(rows.weights),
            agop_samples=self.agop_samples,
            adapt=self._adapted if isinstance(self.bandwidth, str) else None,
            solve=self._solved,
            seed=self.seed,
            inside=self._inside,
        )

    def _inside(self, done: float) -> None:
        """Tell of the rounds that are done, in parts."""
        self.tell("rounds", min(1.0, done / (self.n_iter + 1)))

    def with_rows(self, predictor: KernelPredictor, rows: Rows[Tensor]) -> KernelPredictor:
        """The predictor with its kernel and features, its coefficients fitted to other rows."""
        kernel, matrix = predictor.kernel, predictor.feature_matrix
        with telling(self.progress) as tell:
            dual = self._with_ridge(
                kernel, rows.x, rows.targets, matrix, unequal(rows.weights),
                lambda done: tell("all rows", done),
            )  # fmt: skip
            tell("all rows", 1.0)
        return KernelPredictor(kernel, rows.x, dual, matrix)

    def _first_kernel(self, width: int) -> Kernel:
        """The kernel of round 0; a bandwidth by a rule is filled in by `_adapted`."""
        if isinstance(self.kernel, Kernel):
            return self.kernel
        if not isinstance(self.kernel, str):
            return Custom(self.kernel)
        bandwidth = 1.0 if isinstance(self.bandwidth, str) else float(self.bandwidth)
        if self.kernel == "laplace":
            return Laplace(bandwidth)
        if self.kernel == "gaussian":
            return Gaussian(bandwidth)
        if self.kernel == "lpq":
            return Lpq(bandwidth, self.p, self.q)
        if self.kernel == "quadratic":
            return Quadratic()
        return DotExponential(float(width))

    def _adapted(self, kernel: Kernel, x: Tensor, feature_matrix: FeatureMatrix) -> Kernel:
        """The kernel with the bandwidth that the rule gives in this round."""
        if not isinstance(kernel, Laplace | Gaussian | Lpq):
            return kernel
        if self.bandwidth == "dimension":
            bandwidth = math.sqrt(2 * x.shape[1])
        else:
            bandwidth = median_distance(kernel, x, feature_matrix, self.seed)
        return dataclasses.replace(kernel, bandwidth=bandwidth)

    def _solved(
        self,
        kernel: Kernel,
        x: Tensor,
        targets: Tensor,
        feature_matrix: FeatureMatrix,
        weights: Tensor | None,
    ) -> Tensor:
        """Coefficients of a round, its ridge chosen first if that is left to us."""
        if self.alpha == "auto":
            rows = slice(None)
            if len(x) > ROWS_FOR_RIDGE:
                draw = torch.Generator().manual_seed(self.seed)
                rows = torch.randperm(len(x), generator=draw)[:ROWS_FOR_RIDGE].to(x.device)
            self.ridge = leave_one_out_ridge(
                kernel,
                x[rows],
                targets[rows],
                feature_matrix=feature_matrix,
                weights=None if weights is None else weights[rows],
            )
        self.solved += 1
        first = self.solved - 1
        return self._with_ridge(
            kernel, x, targets, feature_matrix, weights,
            lambda done: self._inside(first + SOLVED * done),
        )  # fmt: skip

    def _with_ridge(
        self,
        kernel: Kernel,
        x: Tensor,
        targets: Tensor,
        feature_matrix: FeatureMatrix,
        weights: Tensor | None,
        inside: Callable[[float], None],
    ) -> Tensor:
        """Coefficients for the ridge as it is, by a direct solver, products or steps."""

        def by(fit: Callable[..., Any], **how: Any) -> Any:
            return fit(
                kernel, x, targets,
                ridge=self.ridge, feature_matrix=feature_matrix, weights=weights, **how,
            )  # fmt: skip

        solver = self.solver
        needed = HELD * len(x) ** 2 * x.element_size() - kernel.held
        if solver == "auto" and not fits(needed / 0.9, x.device):
            solver = "eigenpro"
            if isinstance(kernel, PairKernel) and self.ridge > 0:
                dual = by(fit_unformed, seed=self.seed, inside=inside)
                if dual is not None:
                    return dual
        if solver == "eigenpro":
            return by(fit_eigenpro, seed=self.seed, progress=lambda stage, done: inside(done))
        return by(fit_ridge, solver=solver)


def is_wide(rows: int, coordinates: int) -> bool:
    """Whether "auto" weighs coordinates one by one, as too few rows tell of all their pairs."""
    return coordinates > rows


def rows_for_features(rows: Rows[Tensor], solver: str, seed: int) -> Rows[Tensor]:
    """The rows that rounds are fitted to: all, or under "auto" a draw if their matrix is too large.

    A feature matrix is an average over rows, and as good from a part of them; coefficients, which
    are not, are fitted to all rows at the end.
    """
    n, device = len(rows.x), rows.x.device
    word = HELD * rows.x.element_size()
    if solver != "auto" or fits(word * n**2 / 0.9, device):
        return rows
    room = part_of(0.9, int(word * ROWS_FOR_FEATURES**2), device)
    most = max(100, int(math.sqrt(room / word)))
    if n <= most:
        return rows
    draw = torch.Generator().manual_seed(seed)
    return rows.at(torch.randperm(n, generator=draw)[:most].sort().values.to(device))


def median_distance(kernel: Kernel, x: Tensor, feature_matrix: FeatureMatrix, seed: int) -> float:
    """Median distance of different points under M, over a draw of them; 1 if they coincide."""
    draw = torch.Generator().manual_seed(seed)
    points = x[torch.randperm(len(x), generator=draw)[:ROWS_FOR_MEDIAN].to(x.device)]
    mapped = apply_metric(
        points, None if feature_matrix is None else matrix_power_psd(feature_matrix, 0.5)
    )
    distances = torch.pdist(mapped, kernel.p if isinstance(kernel, Lpq) else 2.0)
    distances = distances[distances > 0]
    return float(distances.median()) if len(distances) else 1.0
