"""What an estimator keeps of a fit, and what it tells by it: outputs, gradients, importances."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from overparam._errors import expect
from overparam._numbers import described, is_integer, is_number
from overparam._switches import full_precision
from overparam.errors import NumericalError
from overparam.kernels._effects import effects_by_row
from overparam.kernels._rounds import is_wide
from overparam.kernels._table import read_table, shared, unequal
from overparam.kernels.encoding import Encoding
from overparam.kernels.feature_matrix import (
    KernelPredictor,
    predictor_agop,
    predictor_agop_diagonal,
)
from overparam.kernels.functions import Kernel
from overparam.kernels.importance import bootstrap_interval
from overparam.kernels.predictor_sum import PredictorSum
from overparam.tables.column import Column

# Rows that importances of categories are averaged over, and multiplications they may take.
ROWS_FOR_EFFECTS, WORK = 500, 1e11


class FittedMachine(BaseEstimator):
    """A feature machine from its fitted attributes on; `RFMRegressor` describes them."""

    n_features_in_: int
    columns_: dict[int, Column]
    levels_: dict[int, np.ndarray]
    encoding_: Encoding
    kernel_: Kernel
    X_fit_: np.ndarray
    dual_coef_: np.ndarray
    weights_fit_: np.ndarray
    feature_matrix_: np.ndarray
    # Settings that matter after the fit, and the seed it was made with.
    device: str | None
    feature_matrix: str
    agop_samples: int
    _seed: int

    def _output_map(self) -> np.ndarray:
        """What outputs are multiplied by to be in the units of the targets."""
        raise NotImplementedError

    def _keep(self, predictor: KernelPredictor, weights: Tensor) -> None:
        """Fitted attributes, as arrays."""
        x = predictor.centres
        d = x.shape[1]
        matrix = predictor.feature_matrix
        if matrix is None:
            wide = self.feature_matrix == "auto" and is_wide(len(x), d)
            diagonal = wide or self.feature_matrix == "diag"
            matrix = x.new_ones(d) if diagonal else torch.eye(d).to(x)
        self.kernel_ = predictor.kernel
        self.X_fit_ = x.cpu().numpy()
        self.dual_coef_ = predictor.dual.cpu().numpy()
        self.weights_fit_ = weights.cpu().numpy()
        self.feature_matrix_ = matrix.cpu().numpy()
        self._agop: np.ndarray | None = None

    def _predictor(self) -> Any:
        return self.predictor_on(self.device or "cpu")

    def predictor_on(self, device: str) -> KernelPredictor | PredictorSum:
        """The predictor on coordinates, as tensors of a device."""
        points, dual, matrix = (
            shared(values, device)
            for values in (self.X_fit_, self.dual_coef_, self.feature_matrix_)
        )
        return KernelPredictor(self.kernel_, points, dual, matrix)

    def _encoded(self, X: Any) -> Tensor:
        return self._coordinates(self._numbers_of(X))

    def _numbers_of(self, X: Any) -> np.ndarray:
        """A table like the one fitted, before it is encoded."""
        check_is_fitted(self)
        return read_table(self, X, reset=False)[0]

    def _coordinates(self, numbers: np.ndarray) -> Tensor:
        encoded = self.encoding_.encode(numbers).astype(self.X_fit_.dtype)
        return torch.from_numpy(encoded).to(self.device or "cpu")

    @full_precision()
    def _outputs(self, X: Any) -> np.ndarray:
        encoded = self._encoded(X)
        outputs = self._predictor()(encoded).cpu().numpy().astype(np.float64)
        expect(
            np.isfinite(outputs).all(),
            f"{type(self).__name__}.predict(X=...)",
            "rows in the range of those fitted",
            "some whose predictions are NaN or infinite",
            hint="see whether a column has another unit than when the model was fitted.",
            error=NumericalError,
        )
        return outputs

    @full_precision()
    def gradient(self, X: Any) -> np.ndarray:
        """Derivatives of every output by every coordinate, in the units of the table.

        Outputs are the targets of a regressor, and the probabilities of a classifier before
        clipping. Coordinates are the columns, a categorical one replaced by its levels (see
        `encoded_names_`).

        Args:
            X: A table like the one fitted.

        Returns:
            Shape ``(n, outputs, coordinates)``.
        """
        numbers = self._numbers_of(X)
        encoded = self._coordinates(numbers)
        inner = self._predictor().gradient(encoded).cpu().numpy().astype(np.float64)
        slopes = self.encoding_.slopes(numbers)[:, None]
        return np.einsum("oc,ncd->nod", self._output_map(), inner) * slopes

    def _gradient_blocks(self) -> Iterator[tuple[Any, Tensor]]:
        """Places of centres, and gradients there, by coordinates."""
        predictor = self._predictor()
        return predictor.kernel.gradient_blocks(
            None, predictor.centres, predictor.dual, predictor.feature_matrix
        )

    @property
    @full_precision()
    def agop_(self) -> np.ndarray:
        """Average gradient outer product of the predictor, computed when it is first asked for."""
        check_is_fitted(self)
        if self._agop is None:
            average = predictor_agop_diagonal if self.feature_matrix_.ndim == 1 else predictor_agop
            predictor = self._predictor()
            x = predictor.centres
            shares = unequal(shared(self.weights_fit_, x.device))
            if self.agop_samples >= len(x):
                outer = average(predictor, weights=shares)
            else:
                draw = torch.Generator().manual_seed(self._seed)
                rows = torch.randperm(len(x), generator=draw)[: self.agop_samples].to(x.device)
                shares = None if shares is None else shares[rows]
                outer = average(predictor, x[rows], weights=shares)
            self._agop = outer.cpu().numpy()
        return self._agop

    @property
    def feature_importances_(self) -> np.ndarray:
        """Share of every column in what changes the predictions.

        Of a table of numbers, in the average squared gradient: the diagonal of `agop_`, that is
        per *standard deviation* of the column, divided by its sum.

        Of a table with categories, half the mean squared change of the prediction when the column
        alone is taken from another row, over 500 of the rows fitted: for a sum of functions of one
        column each, that function's variance, of numbers and categories alike. (A slope along the
        indicator of a level is per standard deviation of nothing: it would give a category more
        the more levels it has.) For a function that is linear the two are the same.

        All 0 for a predictor that is constant.
        """
        check_is_fitted(self)
        if self.encoding_.levels:
            values, weights = self._effects()
            sums = weights @ values
        else:
            sums = self.agop_ if self.agop_.ndim == 1 else self.agop_.diagonal()
        return sums / sums.sum() if sums.sum() > 0 else np.zeros(len(sums))

    @full_precision()
    def importance_interval(
        self, *, level: float = 0.9, n_resamples: int = 1000, seed: int = 0
    ) -> np.ndarray:
        """Interval of the feature importances over draws of the rows they are averaged over.

        A percentile bootstrap of the rows with the predictor held fixed: it says how far the
        average depends on which rows it is over, not how much another fit would differ.

        Args:
            level: Probability of the interval.
            n_resamples: Draws.
            seed: Of the draws.

        Returns:
            Lower and upper ends, one row each, a column of the table each.

        Raises:
            ValueError: A level outside (0, 1).
        """
        check_is_fitted(self)
        name = f"{type(self).__name__}.importance_interval"
        expect(
            is_number(level) and 0 < level < 1,
            f"{name}(level=...)", "a number in (0, 1)", described(level),
        )  # fmt: skip
        expect(
            is_integer(n_resamples) and n_resamples >= 1,
            f"{name}(n_resamples=...)", "a positive number", described(n_resamples),
        )  # fmt: skip
        if self.encoding_.levels:
            values, weights = self._effects()
        else:
            values, weights = np.empty(self.X_fit_.shape), self.weights_fit_.astype(np.float64)
            for rows, block in self._gradient_blocks():
                values[rows] = block.square().sum(1).cpu().numpy()
        return bootstrap_interval(
            values, level=level, n_resamples=n_resamples, seed=seed, weights=weights
        )

    @full_precision()
    def _effects(self) -> tuple[np.ndarray, np.ndarray]:
        """What the columns do to the predictions of some rows fitted, and weights of these."""
        columns, device, predictor = self.n_features_in_, self.device or "cpu", self._predictor()
        # As many rows as take some seconds.
        most = max(50, min(ROWS_FOR_EFFECTS, int(WORK / (self.X_fit_.size * columns))))
        rows = np.random.default_rng(self._seed).permutation(len(self.X_fit_))[:most]

        def outputs(x: np.ndarray) -> np.ndarray:
            return predictor(shared(x, device)).cpu().numpy().astype(np.float64)

        values = effects_by_row(outputs, self.X_fit_[rows], self.encoding_.groups, columns)
        return values, self.weights_fit_[rows].astype(np.float64)
