"""Iteratively reweighted kernel machines: feature machines that weigh single columns."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from overparam._progress import Progress
from overparam.kernels._machine import FeatureMachine
from overparam.kernels.functions import Kernel
from overparam.kernels.rfm import RFMClassifier, RFMRegressor


class _Reweighted(FeatureMachine):
    """Settings that make a feature machine an iteratively reweighted one."""

    feature_matrix = "diag"
    agop_power = 1.0
    center_gradients = False
    normalize = "trace"
    p = 2.0
    q = 1.0

    def __init__(
        self,
        kernel: str | Kernel | Callable[[Tensor, Tensor], Tensor] = "laplace",
        *,
        bandwidth: float | str = "dimension",
        alpha: float | str = "auto",
        n_iter: int = 5,
        weight_floor: float = 1e-3,
        solver: str = "auto",
        agop_samples: int = 20_000,
        validation_fraction: float | None = 0.1,
        early_stopping: bool = True,
        standardize: bool | str = "logclip",
        categorical_features: Any = "from_dtype",
        device: str | None = None,
        dtype: str = "auto",
        random_state: Any = None,
        callback: Callable[[int, FeatureMachine], None] | None = None,
        progress: Progress = False,
    ) -> None:
        self.kernel = kernel
        self.bandwidth = bandwidth
        self.alpha = alpha
        self.n_iter = n_iter
        self.weight_floor = weight_floor
        self.solver = solver
        self.agop_samples = agop_samples
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.standardize = standardize
        self.categorical_features = categorical_features
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.callback = callback
        self.progress = progress


class IRKMRegressor(_Reweighted, RFMRegressor):
    """Kernel ridge regression that reweighs its columns by what it learned from them.

        w_{t+1} ∝ v + ε max v,     v_a = (1/n) Σᵢ (∂_a f_t(xᵢ))²,     mean of w: 1

    f_t is kernel ridge regression with k(√w ∘ x, √w ∘ z). It finds a few columns among many
    with fewer rows than there are columns, if the target can be learned one column after
    another; a pure product of three columns cannot. The same rows are used in every round,
    where the theory draws fresh ones.

    It is `RFMRegressor` with ``feature_matrix="diag"``, ``normalize="trace"``, bandwidth √(2d)
    and a floor; arguments and attributes are as there.

    Args:
        weight_floor: ε ≥ 0. At 0 a column whose weight underflows is lost; much above 10⁻² the
            irrelevant columns together drown the others.

    Further arguments, attributes: As for `RFMRegressor`.

    Example:
        One column of fifty, from forty rows:

        >>> import numpy as np
        >>> x = np.random.default_rng(0).choice([-1.0, 1.0], size=(40, 50))
        >>> model = IRKMRegressor(alpha=1e-3).fit(x, x[:, 7])
        >>> bool(model.feature_importances_[7] > 0.99)
        True

    References:
        Zhu, Davis, Drusvyatskiy, Fazel (2025), arXiv:2505.08277: the method. How the floor
        enters and how the weights are normalised is ours.
    """


class IRKMClassifier(_Reweighted, RFMClassifier):
    """Iteratively reweighted kernel machine for classes, on the codes of `RFMClassifier`.

    Arguments, attributes: As for `IRKMRegressor` and, `class_weight` and `exponent`, for
    `RFMClassifier`.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).choice([-1.0, 1.0], size=(60, 30))
        >>> model = IRKMClassifier().fit(x, x[:, 3] > 0)
        >>> int(model.feature_importances_.argmax())
        3
    """

    def __init__(
        self,
        kernel: str | Kernel | Callable[[Tensor, Tensor], Tensor] = "laplace",
        *,
        bandwidth: float | str = "dimension",
        alpha: float | str = "auto",
        n_iter: int = 5,
        weight_floor: float = 1e-3,
        solver: str = "auto",
        agop_samples: int = 20_000,
        validation_fraction: float | None = 0.1,
        early_stopping: bool = True,
        standardize: bool | str = "logclip",
        categorical_features: Any = "from_dtype",
        device: str | None = None,
        dtype: str = "auto",
        random_state: Any = None,
        callback: Callable[[int, FeatureMachine], None] | None = None,
        progress: Progress = False,
        class_weight: Mapping[Any, float] | str | None = None,
        exponent: float | str = "auto",
    ) -> None:
        super().__init__(
            kernel,
            bandwidth=bandwidth,
            alpha=alpha,
            n_iter=n_iter,
            weight_floor=weight_floor,
            solver=solver,
            agop_samples=agop_samples,
            validation_fraction=validation_fraction,
            early_stopping=early_stopping,
            standardize=standardize,
            categorical_features=categorical_features,
            device=device,
            dtype=dtype,
            random_state=random_state,
            callback=callback,
            progress=progress,
        )
        self.class_weight = class_weight
        self.exponent = exponent
