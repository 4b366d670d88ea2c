"""The estimators without what they predict: settings looked at, a table learned, a round kept."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overparam._as_before import or_as_before
from overparam._devices import expect_device
from overparam._errors import expect
from overparam._progress import Progress, expect_progress, telling
from overparam._switches import full_precision
from overparam.errors import NumericalError
from overparam.kernels._fitted import FittedMachine
from overparam.kernels._rounds import KERNELS, Rounds, rows_for_features
from overparam.kernels._settings import (
    FLAG,
    FUNCTION,
    Setting,
    choice,
    drawing_from,
    expect_settings,
    number,
    optional,
    source_of_randomness,
    value_that,
    whole,
)
from overparam.kernels._table import (
    Rows,
    expect_squares,
    held_out,
    merged,
    read_table,
    read_weights,
    tensors,
)
from overparam.kernels.encoding import LOGCLIP, learn_encoding
from overparam.kernels.feature_matrix import KernelPredictor
from overparam.kernels.functions import Kernel
from overparam.kernels.left_out import left_out_outputs
from overparam.kernels.recursion import Iterate

# Fewer rows than this are always computed in double precision under dtype="auto".
DOUBLE_BELOW = 4096
PATIENCE = 2  # rounds without a better one after which the recursion stops

# What every parameter may be, but for categorical_features, which the table has a say in.
SETTINGS = {
    "bandwidth": number(
        "a positive number or a rule", lambda v: v > 0, "auto", "dimension", "median"
    ),
    "alpha": number("a number ≥ 0 or 'auto'", lambda v: v >= 0, "auto"),
    "n_iter": whole("a number of rounds ≥ 0", 0),
    "feature_matrix": choice("auto", "diag", "full"),
    "agop_power": number("a positive number", lambda v: v > 0),
    "center_gradients": FLAG,
    "normalize": choice("max", "trace", None),
    "weight_floor": number("a number ≥ 0", lambda v: v >= 0),
    "solver": choice("auto", "cg", "cholesky", "eigenpro", "lstsq"),
    "agop_samples": whole("a positive number of rows", 1),
    "validation_fraction": number("a number in (0, 1) or None", lambda v: 0 < v < 1, none=True),
    "early_stopping": FLAG,
    "standardize": choice(LOGCLIP, other=FLAG),
    "dtype": choice("auto", "float32", "float64"),
    "callback": FUNCTION,
    "progress": expect_progress,
    "kernel": choice(
        *KERNELS,
        other=value_that(
            "a name, a Kernel or a function of two sets of points",
            lambda value: isinstance(value, Kernel) or callable(value),
            error=TypeError,
        ),
    ),
    "device": optional(expect_device),
    "random_state": source_of_randomness,
}
# Only where the kernel is "lpq"; which of them go together it says itself.
POSITIVE = number("a positive number", lambda v: v > 0)
EXPONENTS = {"p": POSITIVE, "q": POSITIVE}


class FeatureMachine(FittedMachine):
    """The part of the estimators that does not know what is predicted; see `RFMRegressor`."""

    def __init__(
        self,
        kernel: str | Kernel | Callable[[Tensor, Tensor], Tensor] = "laplace",
        *,
        bandwidth: float | str = "auto",
        p: float = 2.0,
        q: float = 1.0,
        alpha: float | str = "auto",
        n_iter: int = 5,
        feature_matrix: str = "auto",
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
        callback: Callable[[int, "FeatureMachine"], None] | None = None,
        progress: Progress = False,
    ) -> None:
        self.kernel = kernel
        self.bandwidth = bandwidth
        self.p = p
        self.q = q
        self.alpha = alpha
        self.n_iter = n_iter
        self.feature_matrix = feature_matrix
        self.agop_power = agop_power
        self.center_gradients = center_gradients
        self.normalize = normalize
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

    # What regressor and classifier fill in.

    def _read_targets(self, y: Any, weights: np.ndarray) -> np.ndarray:
        """Learn how targets become columns of mean 0, and return those of y."""
        raise NotImplementedError

    def _columns(self, y: Any) -> np.ndarray:
        """Those of other targets."""
        raise NotImplementedError

    def _more_settings(self) -> Mapping[str, Setting]:
        """What the parameters may be that others have not."""
        return {}

    def _weighted(self, y: Any, weights: np.ndarray) -> np.ndarray:
        """Weights of rows with these targets, out of those that were given."""
        return weights

    def _calibrates(self) -> bool:
        """Whether there is anything to learn from rows left out."""
        return False

    def _calibrate(self, outputs: Tensor | None, rows: Rows[Tensor]) -> None:
        """Learn it, from outputs for rows; None: where there are none."""

    @or_as_before
    @full_precision()
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, eval_set: Any = None) -> Any:
        """Fit.

        Args:
            X: A table: data frame, array or sparse matrix. A missing number becomes the median
                of its column, a missing category is a level of its own.
            y: Targets.
            sample_weight: ≥ 0; a weight of 2 is a row that occurs twice.
            eval_set: A pair ``(X, y)`` that the round is chosen by, instead of rows held out.

        Returns:
            The estimator. Interrupted from the keyboard, it is fitted as in the best round so far.

        Raises:
            ValueError: Infinite inputs, lengths that differ, a parameter out of range.
                An estimator that was fitted before is then as it was.
        """
        expect_settings(self, {**SETTINGS, **self._more_settings()})
        if isinstance(self.kernel, str) and self.kernel == "lpq":
            expect_settings(self, EXPONENTS)
        rows = self._learn_table(X, y, sample_weight)
        draw = drawing_from(self.random_state)
        self._seed = int(draw.randint(2**31 - 1))
        rows = merged(rows)
        kept, checks = self._split(rows, eval_set, draw)
        device, dtype = torch.device(self.device or "cpu"), self._dtype(len(rows.x))
        everything = tensors(rows, device, dtype)
        del rows  # in double precision it is `everything`, else a table in vain
        training = everything if kept is None else everything.at(kept)
        training = rows_for_features(training, self.solver, self._seed)
        judged = None if checks is None else tensors(checks, device, dtype)
        self._learn_rows(everything, training, judged)
        return self

    def _learn_rows(
        self, everything: Rows[Tensor], training: Rows[Tensor], judged: Rows[Tensor] | None
    ) -> None:
        """Fit the predictor.

        Args:
            everything: All rows.
            training: Those that features are learned from; `everything` itself if none is held out.
            judged: Those that the round is chosen by.
        """
        rounds = Rounds.of(self, self._seed)
        predictor = self._fitted(rounds, everything, training, judged)
        self._keep(predictor, everything.weights)
        if self._calibrates():
            self._calibrate(*self._left_out(rounds, predictor, everything, training, judged))

    def _fitted(
        self,
        rounds: Rounds,
        everything: Rows[Tensor],
        training: Rows[Tensor],
        judged: Rows[Tensor] | None,
    ) -> KernelPredictor:
        """The predictor of the best round, with coefficients of all rows."""
        predictor = self._best(rounds, training, judged).predictor
        if training is not everything:
            # The features are chosen; every row now counts for the coefficients.
            predictor = rounds.with_rows(predictor, everything)
        expect(
            torch.isfinite(predictor.dual).all(),
            f"{type(self).__name__}.fit(...)",
            "finite coefficients",
            "NaN or infinity",
            hint="choose a larger alpha or rescale the targets.",
            error=NumericalError,
        )
        return predictor

    def _left_out(
        self,
        rounds: Rounds,
        predictor: KernelPredictor,
        everything: Rows[Tensor],
        training: Rows[Tensor],
        judged: Rows[Tensor] | None,
    ) -> tuple[Tensor | None, Rows[Tensor]]:
        """Outputs for rows that the predictor was not fitted to, and those rows."""
        outputs = left_out_outputs(rounds, predictor, everything, self.best_iter_)
        if outputs is not None or judged is None:
            return outputs, everything
        return rounds.with_rows(predictor, training)(judged.x), judged

    def _learn_table(self, X: Any, y: Any, sample_weight: Any) -> Rows[np.ndarray]:
        """Read and encode what is to be fitted, but for rows of weight 0."""
        where = f"{type(self).__name__}.fit"
        numbers, y = read_table(self, X, y, reset=True)
        expect_squares(numbers, f"{where}(X=...)")
        if np.asarray(y).dtype.kind == "f":
            expect_squares(np.asarray(y), f"{where}(y=...)")
        weights = read_weights(sample_weight, numbers, f"{where}(sample_weight=...)")
        weights = self._weighted(y, weights)
        used = weights > 0
        if not used.all():
            numbers, y, weights = numbers[used], y[used], weights[used]
        names = getattr(self, "feature_names_in_", None)
        names = [f"x{i}" for i in range(self.n_features_in_)] if names is None else list(names)
        self.encoding_ = learn_encoding(
            numbers, self.levels_, names, weights, standardize=self.standardize
        )
        self.encoded_names_ = np.array(self.encoding_.names, dtype=object)
        targets = self._read_targets(y, weights)
        return Rows(self.encoding_.encode(numbers), targets, weights)

    def _split(
        self, rows: Rows[np.ndarray], eval_set: Any, draw: np.random.RandomState
    ) -> tuple[np.ndarray | None, Rows[np.ndarray] | None]:
        """Places of the rows to fit, None for all, and rows to judge rounds by, None for none."""
        if eval_set is not None:
            return None, self._read_checks(eval_set)
        if not self.early_stopping or not self.n_iter:
            return None, None
        places = held_out(len(rows.x), self.validation_fraction, draw)
        return (None, None) if places is None else (places[0], rows.at(places[1]))

    def _read_checks(self, eval_set: Any) -> Rows[np.ndarray]:
        """The rows of an evaluation set, encoded as those fitted."""
        where = f"{type(self).__name__}.fit(eval_set=...)"
        pair = isinstance(eval_set, tuple | list) and len(eval_set) == 2
        expect(pair, where, "a pair (X, y)", type(eval_set).__name__)
        numbers, _ = read_table(self, eval_set[0], reset=False)
        columns = self._columns(eval_set[1])
        wanted = f"as many targets as rows, {len(numbers)}"
        expect(len(numbers) == len(columns), where, wanted, len(columns))
        encoded = self.encoding_.encode(numbers)
        return Rows(encoded, columns, np.ones(len(encoded)))

    def _best(self, rounds: Rounds, training: Rows[Tensor], checks: Rows[Tensor] | None) -> Iterate:
        """Rounds until no more are worth while; the best by the rows held out, or the last."""
        self.history_: list[dict[str, float]] = []
        best, lowest, ridge = None, math.inf, rounds.ridge
        with telling(self.progress) as rounds.tell:
            for current in rounds.of_rows(training):
                self.n_iter_ = current.iteration
                record = {"iteration": float(current.iteration), "alpha": rounds.ridge}
                if checks is not None:
                    record["validation_error"] = error = squared_error(current.predictor, checks)
                else:
                    error = -current.iteration  # without rows to judge by, the last round
                self.history_.append(record)
                if self.callback is not None:
                    self._keep(current.predictor, training.weights)
                    self.callback(current.iteration, self)
                if best is None or error < lowest:
                    best, lowest, ridge = current, error, rounds.ridge
                # What an interrupt finds is fitted.
                self.alpha_, self.best_iter_ = ridge, best.iteration
                self._keep(best.predictor, training.weights)
                if current.iteration - best.iteration >= PATIENCE:
                    break
            rounds.tell("rounds", 1.0)
        assert best is not None
        rounds.ridge = ridge
        return best

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        return tags

    def _dtype(self, n: int) -> torch.dtype:
        if self.dtype == "auto":
            return torch.float64 if n < DOUBLE_BELOW else torch.float32
        return torch.float32 if self.dtype == "float32" else torch.float64


def squared_error(predictor: KernelPredictor, rows: Rows[Tensor]) -> float:
    """Weighted mean over rows, summed over outputs, of squared errors."""
    errors = (predictor(rows.x) - rows.targets).square().sum(1)
    return float((errors * rows.weights).sum() / rows.weights.sum())
