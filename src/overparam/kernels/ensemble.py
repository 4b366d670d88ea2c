"""Two feature machines of one table, weighted by what each says of rows left out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from overparam._progress import Progress
from overparam._switches import full_precision
from overparam.kernels._machine import FeatureMachine
from overparam.kernels._rounds import Rounds
from overparam.kernels._table import Rows, shared
from overparam.kernels.feature_matrix import KernelPredictor
from overparam.kernels.functions import Kernel
from overparam.kernels.predictor_sum import PredictorSum
from overparam.kernels.rfm import RFMClassifier, RFMRegressor

# What the members do not share: those of `RFMRegressor` and of `IRKMRegressor`.
MEMBERS: dict[str, dict[str, Any]] = {
    "rfm": {
        "bandwidth": 10.0, "feature_matrix": "full", "agop_power": 0.5, "normalize": "max",
        "weight_floor": 0.0,
    },
    "irkm": {
        "bandwidth": "dimension", "feature_matrix": "diag", "agop_power": 1.0,
        "normalize": "trace", "weight_floor": 1e-3,
    },
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Member:
    """One of the machines of an ensemble, fitted.

    Attributes:
        name: "rfm" or "irkm".
        share: Its weight in the sum.
        kernel: Of its last fit.
        dual: Coefficients.
        feature_matrix: A matrix, or a diagonal.
        alpha: The ridge used.
        best_iter: The round kept.
        history: One record a round.
    """

    name: str
    share: float
    kernel: Kernel
    dual: np.ndarray
    feature_matrix: np.ndarray
    alpha: float
    best_iter: int
    history: list[dict[str, float]]


class _Ensemble(FeatureMachine):
    """What regressor and classifier share; `KernelEnsembleRegressor` describes it."""

    kernel = "laplace"
    p, q = 2.0, 1.0
    center_gradients = False
    callback: Callable[[int, FeatureMachine], None] | None = None
    # Of the sum. Each member has its own.
    bandwidth, feature_matrix, agop_power, normalize, weight_floor = 10.0, "full", 0.5, "max", 0.0
    members_: tuple[Member, ...]

    def __init__(
        self,
        *,
        alpha: float | str = "auto",
        n_iter: int = 5,
        solver: str = "auto",
        agop_samples: int = 20_000,
        validation_fraction: float | None = 0.1,
        early_stopping: bool = True,
        standardize: bool | str = "logclip",
        categorical_features: Any = "from_dtype",
        device: str | None = None,
        dtype: str = "auto",
        random_state: Any = None,
        progress: Progress = False,
    ) -> None:
        self.alpha = alpha
        self.n_iter = n_iter
        self.solver = solver
        self.agop_samples = agop_samples
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.standardize = standardize
        self.categorical_features = categorical_features
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.progress = progress

    def _weighs(self) -> bool:
        """Whether members are weighted, and not all the same."""
        raise NotImplementedError

    def _learn_rows(
        self, everything: Rows[Tensor], training: Rows[Tensor], judged: Rows[Tensor] | None
    ) -> None:
        """Fit every member, weigh them, and calibrate their sum."""
        found, outputs, rows = [], [], everything
        for settings in MEMBERS.values():
            rounds = Rounds.of(self, self._seed, **settings)
            predictor = self._fitted(rounds, everything, training, judged)
            found.append((predictor, self.alpha_, self.best_iter_, self.history_))
            if self._weighs() or self._calibrates():
                said, rows = self._left_out(rounds, predictor, everything, training, judged)
                outputs.append(said)
        told = bool(outputs) and all(said is not None for said in outputs)
        shares = np.full(len(found), 1 / len(found))
        if told and self._weighs():
            shares = best_shares(outputs, rows)
        self.X_fit_ = everything.x.cpu().numpy()
        self.weights_fit_ = everything.weights.cpu().numpy()
        self.members_ = tuple(
            _member(name, float(share), *parts)
            for name, share, parts in zip(MEMBERS, shares, found, strict=True)
        )
        self._agop = None
        if self._calibrates():
            both = (
                [float(w) * said for w, said in zip(shares, outputs, strict=True)] if told else []
            )
            self._calibrate(sum(both[1:], both[0]) if both else None, rows)

    def predictor_on(self, device: str) -> PredictorSum:
        """The sum on coordinates, as tensors of a device."""
        points = shared(self.X_fit_, device)
        return PredictorSum(
            tuple(
                KernelPredictor(
                    member.kernel,
                    points,
                    shared(member.dual, device),
                    shared(member.feature_matrix, device),
                )
                for member in self.members_
            ),
            tuple(member.share for member in self.members_),
        )

    def _gradient_blocks(self) -> Iterator[tuple[Any, Tensor]]:
        return self._predictor().gradient_blocks()

    @property
    @full_precision()
    def agop_(self) -> np.ndarray:
        """Average gradient outer product of the sum, computed when it is first asked for."""
        check_is_fitted(self)
        found = self._agop
        if found is None:
            device = self.device or "cpu"
            predictor = self.predictor_on(device)
            weights = shared(self.weights_fit_, device).to(predictor.centres)
            self._agop = found = predictor.agop(weights).cpu().numpy()
        return found


class KernelEnsembleRegressor(_Ensemble, RFMRegressor):
    """A recursive feature machine and a reweighted one, their predictions weighted.

        f = w f_RFM + (1 − w) f_IRKM

    w is what squared errors of rows left out prefer: with every fifth row left out of all of the
    machine below 500 rows, each row out of the coefficients up to 4096, and the rows held out
    beyond. Arguments are those that `RFMRegressor` and `IRKMRegressor` have in common.

    Attributes:
        members_: The machines, each with `share`, `kernel`, `dual`, `feature_matrix`, `alpha`,
            `best_iter` and `history`.

    Further attributes are those of `RFMRegressor`, but for `kernel_`, `dual_coef_` and
    `feature_matrix_`, which members have; `agop_` and importances are of the sum.

    Cost:
        Two fits, and an inverse of n³ flops each; below 500 rows about ten fits.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(200, 5))
        >>> model = KernelEnsembleRegressor().fit(x, x[:, 0] * x[:, 1])
        >>> bool(model.feature_importances_[:2].sum() > 0.9)
        True
        >>> [member.name for member in model.members_]
        ['rfm', 'irkm']
    """

    def _weighs(self) -> bool:
        return True


class KernelEnsembleClassifier(_Ensemble, RFMClassifier):
    """The same for classes: the mean of both, and one exponent for its probabilities.

    Arguments, attributes: As for `KernelEnsembleRegressor` and, `class_weight` and `exponent`,
    for `RFMClassifier`.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(200, 4))
        >>> model = KernelEnsembleClassifier().fit(x, x[:, 0] * x[:, 1] > 0)
        >>> model.predict([[1, 1, 0, 0], [1, -1, 0, 0]]).tolist()
        [True, False]
    """

    def __init__(
        self,
        *,
        alpha: float | str = "auto",
        n_iter: int = 5,
        solver: str = "auto",
        agop_samples: int = 20_000,
        validation_fraction: float | None = 0.1,
        early_stopping: bool = True,
        standardize: bool | str = "logclip",
        categorical_features: Any = "from_dtype",
        device: str | None = None,
        dtype: str = "auto",
        random_state: Any = None,
        progress: Progress = False,
        class_weight: Mapping[Any, float] | str | None = None,
        exponent: float | str = "auto",
    ) -> None:
        super().__init__(
            alpha=alpha,
            n_iter=n_iter,
            solver=solver,
            agop_samples=agop_samples,
            validation_fraction=validation_fraction,
            early_stopping=early_stopping,
            standardize=standardize,
            categorical_features=categorical_features,
            device=device,
            dtype=dtype,
            random_state=random_state,
            progress=progress,
        )
        self.class_weight = class_weight
        self.exponent = exponent

    def _weighs(self) -> bool:
        return False


def best_shares(outputs: list[Tensor], rows: Rows[Tensor]) -> np.ndarray:
    """Weights ≥ 0 that sum to 1 with the smallest squared error, by least squares.

    Args:
        outputs: Of each member, for rows that it was not fitted to.
        rows: Those rows.
    """
    roots = rows.weights.double().sqrt()[:, None]
    columns = [(roots * said.double()).flatten().cpu().numpy() for said in outputs]
    target = (roots * rows.targets.double()).flatten().cpu().numpy()
    found, _ = nnls(np.stack(columns, axis=1), target)
    if not found.sum() > 0:
        return np.full(len(outputs), 1 / len(outputs))
    return found / found.sum()


def _member(
    name: str,
    share: float,
    predictor: KernelPredictor,
    alpha: float,
    best_iter: int,
    history: list[dict[str, float]],
) -> Member:
    x, matrix = predictor.centres, predictor.feature_matrix
    if matrix is None:
        d = x.shape[1]
        full = MEMBERS[name]["feature_matrix"] == "full"
        matrix = torch.eye(d).to(x) if full else x.new_ones(d)
    dual, matrix = predictor.dual.cpu().numpy(), matrix.cpu().numpy()
    return Member(name, share, predictor.kernel, dual, matrix, alpha, best_iter, history)
