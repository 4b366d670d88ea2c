"""Recursive feature machines as scikit-learn estimators."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_array, column_or_1d
from torch import Tensor

from overparam._errors import expect
from overparam._progress import Progress
from overparam.kernels._classes import (
    CLASSIFIER_SETTINGS,
    calibrated,
    class_weighted,
    read_labels,
)
from overparam.kernels._machine import FeatureMachine
from overparam.kernels._settings import Setting
from overparam.kernels._table import Rows
from overparam.kernels.codes import ClassCodes
from overparam.kernels.functions import Kernel


class RFMRegressor(RegressorMixin, FeatureMachine):
    """Kernel ridge regression that learns which directions of a table matter.

        f_t(x) = k_{M_t}(x, X) (K_t + λI)⁻¹ Y,     M_{t+1} ∝ [(1/n) Σᵢ ∇f_t(xᵢ) ∇f_t(xᵢ)ᵀ]^s

    The default kernel is exp(−‖x − z‖_M / L) with the Euclidean distance; λ is *not*
    multiplied by n. Numerical columns are standardised, those with heavy tails bent before,
    categorical ones become a coordinate a level, targets are standardised; rows that occur more
    than once count as one of their summed weight. With 500 rows or more, a tenth of them (2000 at
    most) is held out to choose the round by, after which the coefficients are fitted to all rows;
    with fewer, the last round is taken.

    Args:
        kernel: ``"laplace"``, ``"gaussian"``, ``"lpq"``, ``"quadratic"``, ``"dot_exp"``, a
            `Kernel`, or a function of two sets of points (see `Custom`).
        bandwidth: L > 0, ``"median"``: the median distance of the rows under M, anew in every
            round, ``"dimension"``: √(2d), or ``"auto"``: 10, and √(2d) where coordinates
            outnumber rows, which are then all far from each other.
        p: Of the norm, for ``"lpq"``.
        q: The exponent, for ``"lpq"``.
        alpha: The ridge λ ≥ 0, or ``"auto"``: in every round what leave-one-out errors of at
            most 500 rows prefer.
        n_iter: Rounds after the plain kernel ridge regression.
        feature_matrix: ``"full"``, ``"diag"``, which reweighs columns only, or ``"auto"``: full,
            and the diagonal where coordinates outnumber rows. See `IRKMRegressor` for the
            recursion made for that.
        agop_power: s in M ∝ AGOP^s, in the convention that the kernel sees xᵀMz. The published
            method has 1 on tables and 1/2 on modular arithmetic; 1/2, which moves more slowly,
            was the better of the two on most of our tables (``bench_rfm.py tables``).
        center_gradients: Subtract the mean gradient before the outer product.
        normalize: ``"max"``: the largest entry of M is 1; ``"trace"``: the mean of its diagonal
            is; None: as it comes.
        weight_floor: Added to the diagonal of M, as a share of its largest entry.
        solver: ``"cholesky"``, ``"cg"`` or ``"lstsq"`` (see `fit_ridge`), ``"eigenpro"`` (memory
            linear in n, approximate), or ``"auto"``: one of the first two if the kernel matrix
            fits into memory. If it does not, conjugate gradients whose products form it anew each
            time, to a residual of about 1/100, and EigenPro where they do not come near that.
        agop_samples: Most rows that the average is over, drawn at random.
        validation_fraction: Of the rows, held out; None: none.
        early_stopping: Hold rows out and return the best round, stopping two after it.
        standardize: Numerical columns and targets; without it columns of large scale dominate.
            ``"logclip"`` bends columns with heavy tails first (see `Bends` in
            `overparam.kernels.bends`), True does not.
        categorical_features: ``"from_dtype"`` takes the columns of a data frame that are
            categories, strings, objects or booleans; otherwise positions, names, a mask, or
            None.
        device: Such as ``"cuda"``; None is the CPU.
        dtype: ``"float32"``, ``"float64"`` or ``"auto"``: double below 4096 rows. In single
            precision a system it cannot resolve is solved in double all the same.
        random_state: Of the rows held out and drawn; None is 0, and leaves NumPy's own generator
            as it was.
        callback: Called after each round with its number and the estimator, fitted so far.
        progress: Whether to draw a bar where somebody watches, or a function that is called with
            the stage and the share of it that is done.

    Attributes:
        feature_matrix_: M of the predictor, a matrix or a diagonal.
        agop_: Average gradient outer product of the predictor, by standardised coordinates, or
            its diagonal; a mean over rows and a sum over (standardised) outputs.
        feature_importances_: Its diagonal as shares; with categories, shares of the columns in
            what changes the predictions.
        dual_coef_: Coefficients.
        X_fit_: The centres, encoded.
        alpha_: The ridge used.
        best_iter_: The round kept.
        n_iter_: The last round computed.
        history_: One record a round.
        encoding_: How a table becomes coordinates; `encoded_names_` are their names.

    Cost:
        n_iter + 2 solves of n³/3 flops each, and as many AGOPs of 2 n² d outputs; 2 n² numbers.
        Where those do not fit, rounds are of 20 000 rows at most, and all rows take about ten
        times n²/2 kernel values and 2200 numbers a row at most.

    Example:
        The target is a product of two of five columns:

        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(300, 5))
        >>> model = RFMRegressor().fit(x, x[:, 0] * x[:, 1])
        >>> bool(model.feature_importances_[:2].sum() > 0.95)
        True

    References:
        Radhakrishnan, Beaglehole, Pandit, Belkin (2024), Science 383:1461, arXiv:2212.13881.
        Differs in the power, the standardisation, the choice of the ridge, and the last fit.
    """

    def _read_targets(self, y: Any, weights: np.ndarray) -> np.ndarray:
        y = check_array(y, dtype="float64", ensure_2d=False, input_name="y")
        self._flat = y.ndim == 1
        columns = y[:, None] if self._flat else y
        self.y_mean_ = np.average(columns, axis=0, weights=weights)
        if self.standardize:
            spread = np.average((columns - self.y_mean_) ** 2, axis=0, weights=weights) ** 0.5
            noise = 10 * np.finfo(float).eps * np.abs(self.y_mean_)
            self.y_scale_ = np.where(spread > noise, spread, 1.0)
        else:
            self.y_scale_ = np.ones(columns.shape[1])
        return (columns - self.y_mean_) / self.y_scale_

    def _columns(self, y: Any) -> np.ndarray:
        y = check_array(y, dtype="float64", ensure_2d=False, input_name="y")
        columns = y[:, None] if y.ndim == 1 else y
        expect(
            columns.shape[1] == len(self.y_mean_),
            f"{type(self).__name__}.fit(eval_set=...)",
            f"targets with {len(self.y_mean_)} columns",
            columns.shape[1],
        )
        return (columns - self.y_mean_) / self.y_scale_

    def _output_map(self) -> np.ndarray:
        return np.diag(self.y_scale_)

    def predict(self, X: Any) -> np.ndarray:
        """Predicted targets, in the shape of those fitted."""
        outputs = self._outputs(X) * self.y_scale_ + self.y_mean_
        return outputs[:, 0] if self._flat else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class RFMClassifier(ClassifierMixin, FeatureMachine):
    """Recursive feature machine for classes, by regression on codes that decode to priors.

    Everything is as for `RFMRegressor`, on the codes of `ClassCodes`: where the predictor has
    learned nothing, probabilities are the shares of the classes.

    Args:
        class_weight: What the weights of a class's rows are multiplied by: ``"balanced"``, so that
            all classes weigh the same, a dictionary from labels to numbers ≥ 0 (1 for one that
            is not in it), or None.
        exponent: T > 0: probabilities are those of the codes to the power T, normalised.
            ``"auto"``: chosen by the log-loss of outputs for rows that are left out, of five
            refits below 500 rows, of the coefficients alone up to 4096 and of the rows held out
            beyond; probabilities are then drawn to 1/K by 2/(n + 2).

    Further arguments: As for `RFMRegressor`.

    Attributes:
        classes_: The labels, sorted.
        codes_: Codes, priors and exponent.

    Further attributes are those of `RFMRegressor`.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(300, 4))
        >>> model = RFMClassifier().fit(x, np.where(x[:, 0] * x[:, 1] > 0, "same", "other"))
        >>> model.predict([[1, 1, 0, 0], [1, -1, 0, 0]]).tolist()
        ['same', 'other']

    References:
        Radhakrishnan, Beaglehole, Pandit, Belkin (2024), Science 383:1461, arXiv:2212.13881:
        the recursion. Beaglehole, Holzmüller, Radhakrishnan, Belkin (2025), arXiv:2508.10053:
        the codes.
    """

    def __init__(
        self,
        kernel: str | Kernel | Callable[[Tensor, Tensor], Tensor] = "laplace",
        *,
        bandwidth: float | str = 10.0,
        p: float = 2.0,
        q: float = 1.0,
        alpha: float | str = "auto",
        n_iter: int = 5,
        feature_matrix: str = "full",
        agop_power: float = 0.5,
        center_gradients: bool = False,
        normalize: str | None = "max",
        weight_floor: float = 0.0,
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
            p=p,
            q=q,
            alpha=alpha,
            n_iter=n_iter,
            feature_matrix=feature_matrix,
            agop_power=agop_power,
            center_gradients=center_gradients,
            normalize=normalize,
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

    def _more_settings(self) -> Mapping[str, Setting]:
        return CLASSIFIER_SETTINGS

    def _weighted(self, y: Any, weights: np.ndarray) -> np.ndarray:
        return class_weighted(self.class_weight, y, weights, type(self).__name__)

    def _read_targets(self, y: Any, weights: np.ndarray) -> np.ndarray:
        self.classes_, labels = read_labels(y, type(self).__name__)
        self.codes_ = ClassCodes.of(labels, weights)
        return self.codes_.targets(labels)

    def _columns(self, y: Any) -> np.ndarray:
        y = column_or_1d(y)
        places = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        known = self.classes_[places] == y
        expect(
            known.all(),
            f"{type(self).__name__}.fit(eval_set=...)",
            f"labels out of {self.classes_.tolist()}",
            np.unique(np.asarray(y)[~known]).tolist(),
        )
        return self.codes_.targets(places)

    def _output_map(self) -> np.ndarray:
        return self.codes_.basis

    def _calibrates(self) -> bool:
        if isinstance(self.exponent, str):
            return True
        self.codes_ = replace(self.codes_, exponent=float(self.exponent))
        return False

    def _calibrate(self, outputs: Tensor | None, rows: Rows[Tensor]) -> None:
        if outputs is not None:
            self.codes_ = calibrated(self.codes_, outputs, rows)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, in the order of `classes_`."""
        outputs = self._outputs(X)
        return self.codes_.probabilities(outputs)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Their logarithms."""
        return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class."""
        outputs = self._outputs(X)
        return self.classes_[self.codes_.decoded(outputs).argmax(1)]
