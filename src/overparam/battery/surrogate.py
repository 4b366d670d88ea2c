"""A deterministic model of the objectives, and what it responds to."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict

from overparam._errors import expect
from overparam.battery.gaussian_process import matern_process

_STEP = 1e-4  # of central differences, in parts of a window: their error is of the order 1e-8
FOLDS = 5


@dataclass(frozen=True)
class Quality:
    """How a surrogate predicts designs it was not fitted to.

    Attributes:
        r2: Share of the variance that it explains.
        error: Median of |predicted − simulated| / simulated.
        worst: The largest such.
    """

    r2: float
    error: float
    worst: float


@dataclass
class Surrogate:
    """Objectives as functions of process parameters: a Gaussian process for each by default.

    It is deterministic: same designs, same seed, same bits.

    Args:
        bounds: The window of each parameter, as a `ProcessModel` has it.
        objectives: What is predicted, in the order of the columns of `y`.
        estimator: A scikit-learn regressor to use instead; cloned for every objective.
        seed: Of restarts and folds.
        folds: Of the cross-validation; 0 leaves it out, for where other designs judge.

    Attributes:
        quality: By objective, from a cross-validation in which everything is fitted anew;
            empty without folds.
    """

    bounds: Mapping[str, tuple[float, float]]
    objectives: Sequence[str]
    estimator: Any = None
    seed: int = 0
    folds: int = FOLDS
    quality: dict[str, Quality] = field(init=False, default_factory=dict)

    def fit(self, x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n k"]) -> "Surrogate":
        """Fit to simulated designs, and cross-validate.

        Args:
            x: Process parameters, in their units, in the order of `bounds`.
            y: Objectives; finite.

        Raises:
            ValueError: If there are fewer than two designs for each fold, or numbers are missing.

        Cost:
            O(n³) for each step of each of nine searches for the widths of the kernel; about half
            a second for a hundred designs and two objectives.
        """
        enough = len(x) >= 2 * FOLDS and len(x) == len(y)
        expect(enough, "Surrogate.fit(x, y)", f"at least {2 * FOLDS} designs", len(x))
        finite = bool(np.isfinite(x).all() and np.isfinite(y).all())
        expect(finite, "Surrogate.fit(x, y)", "finite numbers", "others")
        scaled = self._scaled(x)
        self._models, self.quality = [], {}
        with warnings.catch_warnings():
            # A width at the end of its range says that a parameter does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for name, values in zip(self.objectives, np.asarray(y, float).T, strict=True):
                model: Any = clone(self._regressor())
                model.fit(scaled, values)
                self._models.append(model)
                if self.folds:
                    self.quality[name] = self._judged(model, scaled, values)
        return self

    def _judged(
        self, model: Any, scaled: Float[np.ndarray, "n d"], values: Float[np.ndarray, "n"]
    ) -> Quality:
        """How the model predicts each fold when it is fitted to the others."""
        folds = KFold(self.folds, shuffle=True, random_state=self.seed)
        held_out = cross_val_predict(_again(model), scaled, values, cv=folds)
        off = np.abs(held_out - values) / np.abs(values)
        return Quality(float(r2_score(values, held_out)), float(np.median(off)), float(off.max()))

    def predict(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Objectives of designs, a column each."""
        return self._predicted(self._scaled(x))

    def uncertainty(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Standard deviations of the predictions; NaN of an estimator that knows none."""
        scaled = self._scaled(x)
        known = [
            model.predict(scaled, return_std=True)[1]
            if isinstance(model, GaussianProcessRegressor)
            else np.full(len(scaled), np.nan)
            for model in self._models
        ]
        return np.stack(known, 1)

    def gradients(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k d"]:
        """Slopes of the objectives, per width of a parameter's window, by central differences."""
        scaled = self._scaled(x)
        slopes = []
        for step in _STEP * np.eye(scaled.shape[1]):
            rise = self._predicted(scaled + step) - self._predicted(scaled - step)
            slopes.append(rise / (2 * _STEP))
        return np.stack(slopes, 2)

    def agop(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "k d d"]:
        """Average gradient outer product of each objective, a mean over designs.

        In units of the windows: entry (a, a) is the mean squared change of the objective as
        parameter a crosses its window at the slope found at a design.
        """
        slopes = self.gradients(x)
        return np.einsum("nka,nkb->kab", slopes, slopes) / len(slopes)

    def _scaled(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Parameters in parts of their windows."""
        low, high = np.array(list(self.bounds.values()), float).T
        return (np.asarray(x, float) - low) / (high - low)

    def _predicted(self, scaled: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        return np.stack([model.predict(scaled) for model in self._models], 1)

    def _regressor(self) -> Any:
        if self.estimator is not None:
            return self.estimator
        return matern_process(len(self.bounds), self.seed)


def _again(model: Any) -> Any:
    """The model to be fitted to folds: its search begins where that of all designs ended."""
    if not isinstance(model, GaussianProcessRegressor):
        return model
    fresh: Any = clone(model)
    return fresh.set_params(kernel=model.kernel_, n_restarts_optimizer=0)
