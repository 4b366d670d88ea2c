"""What the estimators share: a table in, a recursion with an early stop, a predictor kept."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_feature_names,
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)
from torch import Tensor
from tqdm import tqdm

from overparam._as_before import or_as_before
from overparam._devices import expect_device
from overparam._errors import complaint, expect
from overparam._memory import available, expect_room
from overparam._numbers import described, is_integer, is_number
from overparam._switches import full_precision
from overparam.errors import NumericalError
from overparam.kernels._pairs import apply_metric
from overparam.kernels._settings import (
    FLAG,
    FUNCTION,
    choice,
    expect_settings,
    number,
    whole,
)
from overparam.kernels.custom import Custom
from overparam.kernels.eigenpro import fit_eigenpro
from overparam.kernels.encoding import (
    as_numbers,
    categorical_positions,
    find_levels,
    learn_encoding,
)
from overparam.kernels.feature_matrix import KernelPredictor, agop, agop_diagonal
from overparam.kernels.functions import (
    DotExponential,
    FeatureMatrix,
    Gaussian,
    Kernel,
    Laplace,
    Quadratic,
)
from overparam.kernels.importance import bootstrap_interval
from overparam.kernels.leave_one_out import leave_one_out_ridge
from overparam.kernels.lpq import Lpq
from overparam.kernels.powers import matrix_power_psd
from overparam.kernels.recursion import Iterate, feature_recursion
from overparam.kernels.ridge import fit_ridge

KERNELS = ("dot_exp", "gaussian", "laplace", "lpq", "quadratic")
# Fewer rows than this are always computed in double precision under dtype="auto".
DOUBLE_BELOW = 4096
# Rows that are enough to hold some out, and the most that are held out.
HOLD_OUT_FROM, HOLD_OUT_AT_MOST = 500, 2000
PATIENCE = 2  # rounds without a better one after which the recursion stops
ROWS_FOR_RIDGE, ROWS_FOR_MEDIAN = 500, 1000


SETTINGS = {
    "bandwidth": number("a positive number or a rule", lambda v: v > 0, "dimension", "median"),
    "alpha": number("a number ≥ 0 or 'auto'", lambda v: v >= 0, "auto"),
    "n_iter": whole("a number of rounds ≥ 0", 0),
    "feature_matrix": choice("diag", "full"),
    "agop_power": number("a positive number", lambda v: v > 0),
    "center_gradients": FLAG,
    "normalize": choice("max", "trace", None),
    "weight_floor": number("a number ≥ 0", lambda v: v >= 0),
    "solver": choice("auto", "cg", "cholesky", "eigenpro", "lstsq"),
    "agop_samples": whole("a positive number of rows", 1),
    "validation_fraction": number("a number in (0, 1) or None", lambda v: 0 < v < 1, none=True),
    "early_stopping": FLAG,
    "standardize": FLAG,
    "dtype": choice("auto", "float32", "float64"),
    "callback": FUNCTION,
    "progress": FLAG,
}


class FeatureMachine(BaseEstimator):
    """The part of the estimators that does not know what is predicted; see `RFMRegressor`."""

    n_features_in_: int

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
        standardize: bool = True,
        categorical_features: Any = "from_dtype",
        device: str | None = None,
        dtype: str = "auto",
        random_state: Any = None,
        callback: Callable[[int, "FeatureMachine"], None] | None = None,
        progress: bool = False,
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

    @or_as_before
    @full_precision()
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, eval_set: Any = None) -> Any:
        """Fit.

        Args:
            X: A table: data frame or array, finite but for categorical columns.
            y: Targets.
            sample_weight: ≥ 0; a weight of 2 is a row that occurs twice.
            eval_set: A pair ``(X, y)`` that the round is chosen by, instead of rows held out.

        Returns:
            The estimator.

        Raises:
            ValueError: NaN or infinite inputs, lengths that differ, a parameter out of range.
                An estimator that was fitted before is then as it was.
        """
        name = type(self).__name__
        self._expect_parameters(name)
        numbers, y = self._read_table(X, y)
        self._expect_squares(numbers, f"{name}.fit(X=...)")
        if np.asarray(y).dtype.kind == "f":
            self._expect_squares(np.asarray(y), f"{name}.fit(y=...)")
        weights = _check_sample_weight(sample_weight, numbers, dtype=np.float64)
        expect(
            (weights >= 0).all() and weights.sum() > 0,
            f"{name}.fit(sample_weight=...)",
            "weights ≥ 0, one of them positive",
            f"a smallest of {weights.min():g} and a sum of {weights.sum():g}",
        )
        used = weights > 0
        if not used.all():
            numbers, y, weights = numbers[used], y[used], weights[used]
        self.encoding_ = learn_encoding(
            numbers, self.levels_, self._column_names(), weights, standardize=self.standardize
        )
        self.encoded_names_ = np.array(self.encoding_.names, dtype=object)
        targets = self._read_targets(y, weights)
        draw = random_numbers(self)
        self._seed = int(draw.randint(2**31 - 1))
        x, targets, weights = merged(self.encoding_.encode(numbers), targets, weights)
        del numbers  # from here on only one table of numbers is needed
        kept, checks = self._held_out(x, targets, weights, eval_set, draw)
        dtype = self._dtype(len(x))
        everything = self._tensors(x, targets, weights, dtype)
        del x
        training = everything if kept is None else tuple(part[kept] for part in everything)
        checks = None if checks is None else self._tensors(*checks, dtype)
        best = self._recursion(training, checks)
        predictor = best.predictor
        if kept is not None:
            # The features are chosen; every row now counts for the coefficients.
            points, columns, shares = everything
            dual = self._solve(
                predictor.kernel, points, columns, predictor.feature_matrix, self._weights(shares)
            )
            predictor = KernelPredictor(predictor.kernel, points, dual, predictor.feature_matrix)
        expect(
            torch.isfinite(predictor.dual).all(), f"{name}.fit(...)", "finite coefficients",
            "NaN or infinity", hint="choose a larger alpha or rescale the targets.",
            error=NumericalError,
        )  # fmt: skip
        self._keep(predictor, everything[2])
        return self

    def _recursion(
        self, training: tuple[Tensor, ...], checks: tuple[Tensor, ...] | None
    ) -> Iterate:
        """Rounds until no more are worth while; the best by the rows held out, or the last."""
        x, targets, weights = training
        if self.feature_matrix == "full":  # the last round's matrix and the next one
            expect_room(
                2 * x.shape[1] ** 2 * x.element_size(),
                x.device,
                f"{type(self).__name__}(feature_matrix='full')",
                "take feature_matrix='diag', or fewer columns.",
                f"a matrix of {x.shape[1]} × {x.shape[1]} coordinates",
            )
        self.history_: list[dict[str, float]] = []
        self._ridge = float(self.alpha) if not isinstance(self.alpha, str) else math.nan
        rounds = feature_recursion(
            x,
            targets,
            self._kernel(x),
            n_iter=self.n_iter,
            diagonal=self.feature_matrix == "diag",
            power=self.agop_power,
            normalize=self.normalize,  # type: ignore[arg-type]
            weight_floor=self.weight_floor,
            center=self.center_gradients,
            weights=self._weights(weights),
            agop_samples=self.agop_samples,
            adapt=self._adapt if isinstance(self.bandwidth, str) else None,
            solve=self._solve_round,
            seed=self._seed,
        )
        bar = tqdm(rounds, "rounds", total=self.n_iter + 1, disable=not self.progress)
        best, lowest, chosen = None, math.inf, self._ridge
        for current in bar:
            self.n_iter_ = current.iteration
            record = {"iteration": float(current.iteration), "alpha": self._ridge}
            if checks is not None:
                error = self._error(current.predictor, *checks)
                record["validation_error"] = error
            else:
                error = -current.iteration  # without rows to judge by, the last round
            self.history_.append(record)
            if self.callback is not None:
                self._keep(current.predictor, weights)
                self.callback(current.iteration, self)
            if best is None or error < lowest:
                best, lowest, chosen = current, error, self._ridge
            elif current.iteration - best.iteration >= PATIENCE:
                break
        assert best is not None
        self._ridge = self.alpha_ = chosen
        self.best_iter_ = best.iteration
        return best

    def _error(
        self, predictor: KernelPredictor, x: Tensor, targets: Tensor, weights: Tensor
    ) -> float:
        """Weighted mean over rows, summed over outputs, of squared errors."""
        errors = (predictor(x) - targets).square().sum(1)
        return float((errors * weights).sum() / weights.sum())

    def _solve_round(
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
                draw = torch.Generator().manual_seed(self._seed)
                rows = torch.randperm(len(x), generator=draw)[:ROWS_FOR_RIDGE].to(x.device)
            self._ridge = leave_one_out_ridge(
                kernel,
                x[rows],
                targets[rows],
                feature_matrix=feature_matrix,
                weights=None if weights is None else weights[rows],
            )
        return self._solve(kernel, x, targets, feature_matrix, weights)

    def _solve(
        self,
        kernel: Kernel,
        x: Tensor,
        targets: Tensor,
        feature_matrix: FeatureMatrix,
        weights: Tensor | None,
    ) -> Tensor:
        solver = self.solver
        if solver == "auto":
            room = available(x.device)
            needed = 2.2 * len(x) ** 2 * x.element_size() - kernel.held
            fits = room is None or needed < 0.9 * room
            solver = "auto" if fits or weights is not None else "eigenpro"
        if solver == "eigenpro":
            expect(
                weights is None,
                f"{type(self).__name__}(solver='eigenpro')",
                "rows of equal weight and no duplicates",
                "different weights",
                hint="use solver='cholesky'.",
            )
            return fit_eigenpro(
                kernel,
                x,
                targets,
                ridge=self._ridge,
                feature_matrix=feature_matrix,
                seed=self._seed,
            )
        return fit_ridge(
            kernel,
            x,
            targets,
            ridge=self._ridge,
            feature_matrix=feature_matrix,
            weights=weights,
            solver=solver,  # type: ignore[arg-type]
        )

    def _keep(self, predictor: KernelPredictor, weights: Tensor) -> None:
        """Fitted attributes, as arrays."""
        x = predictor.centres
        d = x.shape[1]
        matrix = predictor.feature_matrix
        if matrix is None:
            matrix = x.new_ones(d) if self.feature_matrix == "diag" else torch.eye(d).to(x)
        self.kernel_ = predictor.kernel
        self.X_fit_ = x.cpu().numpy()
        self.dual_coef_ = predictor.dual.cpu().numpy()
        self.weights_fit_ = weights.cpu().numpy()
        self.feature_matrix_ = matrix.cpu().numpy()
        self._agop: np.ndarray | None = None

    # Prediction.

    def _predictor(self) -> KernelPredictor:
        device = torch.device(self.device or "cpu")
        points, dual, matrix = (
            torch.from_numpy(values).to(device)
            for values in (self.X_fit_, self.dual_coef_, self.feature_matrix_)
        )
        return KernelPredictor(self.kernel_, points, dual, matrix)

    def _encoded(self, X: Any) -> Tensor:
        check_is_fitted(self)
        numbers, _ = self._read_table(X, None, reset=False)
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

    def _output_map(self) -> np.ndarray:
        """What outputs are multiplied by to be in the units of the targets."""
        raise NotImplementedError

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
        encoded = self._encoded(X)
        inner = self._predictor().gradient(encoded).cpu().numpy().astype(np.float64)
        return np.einsum("oc,ncd->nod", self._output_map(), inner) / self.encoding_.units

    @property
    @full_precision()
    def agop_(self) -> np.ndarray:
        """Average gradient outer product of the predictor, computed when it is first asked for."""
        check_is_fitted(self)
        if self._agop is None:
            average = agop_diagonal if self.feature_matrix == "diag" else agop
            predictor = self._predictor()
            x = predictor.centres
            shares = self._weights(torch.from_numpy(self.weights_fit_).to(x.device))
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
        """Share of every column in the average squared gradient of the predictor.

        The diagonal of `agop_`, that is per *standard deviation* of the column, levels of a
        category added up, divided by its sum. All 0 for a predictor that is constant.
        """
        check_is_fitted(self)
        diagonal = self.agop_ if self.agop_.ndim == 1 else self.agop_.diagonal()
        sums = np.bincount(self.encoding_.groups, diagonal, minlength=self.n_features_in_)
        return sums / sums.sum() if sums.sum() > 0 else sums

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
        predictor = self._predictor()
        squares = np.empty((len(self.X_fit_), self.X_fit_.shape[1]))
        blocks = predictor.kernel.gradient_blocks(
            None, predictor.centres, predictor.dual, predictor.feature_matrix
        )
        for rows, block in blocks:
            squares[rows] = block.square().sum(1).cpu().numpy()
        columns = np.zeros((len(squares), self.n_features_in_))
        np.add.at(columns.T, self.encoding_.groups, squares.T)
        return bootstrap_interval(
            columns,
            level=level,
            n_resamples=n_resamples,
            seed=seed,
            weights=self.weights_fit_.astype(np.float64),
        )

    # The table.

    def _read_table(self, X: Any, y: Any, reset: bool = True) -> tuple[np.ndarray, Any]:
        """Columns as float64 numbers, categories as positions of their levels."""
        if reset:
            positions = categorical_positions(X, self.categorical_features, type(self).__name__)
            self.levels_ = find_levels(X, positions)
        if self.levels_:
            _check_feature_names(self, X, reset=reset)
            if not reset:
                expect(
                    np.ndim(X) == 2 and np.shape(X)[1] == self.n_features_in_,
                    f"{type(self).__name__}.predict(X=...)",
                    f"a table of {self.n_features_in_} columns",
                    f"shape {np.shape(X)}",
                )
            X = as_numbers(X, self.levels_)
        checked: Any = validate_data  # its annotations do not know what it returns
        if y is None and not reset:
            return checked(self, X, reset=False, dtype=np.float64), None
        return checked(self, X, y, reset=reset, dtype=np.float64, multi_output=True)

    def _column_names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return list(names) if names is not None else [f"x{i}" for i in range(self.n_features_in_)]

    def _held_out(
        self,
        x: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        eval_set: Any,
        draw: np.random.RandomState,
    ) -> tuple[np.ndarray | None, Any]:
        """Rows to fit, None for all, and the rows to judge rounds by, None for none."""
        name = type(self).__name__
        if eval_set is not None:
            expect(
                isinstance(eval_set, tuple | list) and len(eval_set) == 2,
                f"{name}.fit(eval_set=...)",
                "a pair (X, y)",
                type(eval_set).__name__,
            )
            numbers, _ = self._read_table(eval_set[0], None, reset=False)
            columns = self._columns(eval_set[1])
            expect(
                len(numbers) == len(columns),
                f"{name}.fit(eval_set=...)",
                f"as many targets as rows, {len(numbers)}",
                len(columns),
            )
            encoded = self.encoding_.encode(numbers)
            return None, (encoded, columns, np.ones(len(encoded)))
        fraction = self.validation_fraction
        if not self.early_stopping or not fraction or not self.n_iter or len(x) < HOLD_OUT_FROM:
            return None, None
        count = min(HOLD_OUT_AT_MOST, max(50, int(len(x) * fraction)))
        order = draw.permutation(len(x))
        held = order[:count]
        return np.sort(order[count:]), (x[held], targets[held], weights[held])

    def _expect_squares(self, numbers: np.ndarray, where: str) -> None:
        """Raise for numbers whose squares do not add up in double precision."""
        largest = float(np.abs(numbers).max(initial=0))
        # Sums of squares over n·d entries stay below the largest float, 1.8e308.
        limit = math.sqrt(np.finfo(np.float64).max / max(numbers.size, 1)) / 4
        expect(
            largest < limit, where, f"numbers up to {limit:.0e} in absolute value",
            f"{largest:.3g}", hint="divide by a constant, or take logarithms.",
        )  # fmt: skip

    # Settings.

    def _expect_parameters(self, name: str) -> None:
        expect_settings(self, SETTINGS)
        known = isinstance(self.kernel, str | Kernel) or callable(self.kernel)
        words = "a name, a Kernel or a function of two sets of points"
        expect(known, f"{name}(kernel=...)", words, described(self.kernel), error=TypeError)
        if isinstance(self.kernel, str):
            expect_settings(self, {"kernel": choice(*KERNELS)})
        if self.device is not None:
            expect_device(self.device, f"{name}(device=...)")

    def _dtype(self, n: int) -> torch.dtype:
        if self.dtype == "auto":
            return torch.float64 if n < DOUBLE_BELOW else torch.float32
        return torch.float32 if self.dtype == "float32" else torch.float64

    def _kernel(self, x: Tensor) -> Kernel:
        """The kernel of round 0; a bandwidth by a rule is filled in by `_adapt`."""
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
        return DotExponential(float(x.shape[1]))

    def _adapt(self, kernel: Kernel, x: Tensor, feature_matrix: FeatureMatrix) -> Kernel:
        if not isinstance(kernel, Laplace | Gaussian | Lpq):
            return kernel
        if self.bandwidth == "dimension":
            bandwidth = math.sqrt(2 * x.shape[1])
        else:
            bandwidth = median_distance(kernel, x, feature_matrix, self._seed)
        return dataclasses.replace(kernel, bandwidth=bandwidth)

    def _tensors(
        self, x: np.ndarray, targets: np.ndarray, weights: np.ndarray, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        device = torch.device(self.device or "cpu")
        parts = (torch.from_numpy(np.ascontiguousarray(part)) for part in (x, targets, weights))
        x_, targets_, weights_ = (part.to(device, dtype) for part in parts)
        return x_, targets_, weights_

    @staticmethod
    def _weights(weights: Tensor) -> Tensor | None:
        """None if all are 1."""
        return None if bool((weights == 1).all()) else weights


def random_numbers(estimator: Any) -> np.random.RandomState:
    """What an estimator draws from; None is 0, so that NumPy's own generator stays as it is."""
    given = estimator.random_state
    try:
        return check_random_state(0 if given is None else given)
    except (TypeError, ValueError) as problem:
        where = f"{type(estimator).__name__}(random_state=...)"
        words = "None, a whole number from 0 to 2**32 - 1 or a RandomState"
        raise complaint(where, words, described(given)) from problem


def merged(
    x: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that occur more than once as one, of their summed weight and mean target.

    Kernel ridge regression is the same with them merged, and its matrix better conditioned.
    """
    # Every row by its bits, 0 and -0 alike.
    bits = np.ascontiguousarray(x + 0.0)
    # Rows that are equal have equal sums of random multiples of them.
    factors = np.random.default_rng(0).integers(2**63, size=x.shape[1], dtype=np.uint64)
    if len(np.unique(bits.view(np.uint64) @ factors)) == len(x):
        return x, targets, weights
    bits = bits.view(np.dtype((np.void, x.itemsize * x.shape[1])))
    _, first, inverse = np.unique(bits.ravel(), return_index=True, return_inverse=True)
    if len(first) == len(x):
        return x, targets, weights
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    groups = place[inverse]
    sums = np.bincount(groups, weights)
    means = np.zeros((len(sums), targets.shape[1]))
    np.add.at(means, groups, targets * weights[:, None])
    return x[np.sort(first)], means / sums[:, None], sums


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
