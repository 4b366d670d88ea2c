"""How much errors shrink from the rows of a fold to all rows, which intervals are narrower by."""

import numpy as np
import pytest
import torch

from overparam.fitting.conformal import gained
from overparam.kernels import KernelEnsembleRegressor, RFMRegressor, fit_ridge
from overparam.kernels.left_out import left_out_error


@pytest.mark.parametrize("kind", [RFMRegressor, KernelEnsembleRegressor])
def test_errors_of_rows_left_out_of_the_coefficients_are_those_of_refits(kind):
    draw = np.random.default_rng(0)
    x, weights = draw.normal(size=(40, 3)), draw.uniform(0.5, 2, 40)
    y = 5 * x[:, 0] ** 2 + draw.normal(size=40)
    machine = kind(n_iter=1, alpha=0.1, random_state=0).fit(x, y, weights)
    points, weight = torch.from_numpy(machine.X_fit_), torch.from_numpy(machine.weights_fit_)
    goal = torch.from_numpy((y - machine.y_mean_) / machine.y_scale_)[:, None]
    whole = machine.predictor_on("cpu")
    missed = torch.zeros(40).double()
    for i in range(40):
        others = torch.arange(40) != i
        missed[i] = goal[i, 0] - sum(
            share
            * fit_ridge(
                part.kernel, points[others], goal[others], ridge=0.1, weights=weight[others],
                feature_matrix=part.feature_matrix,
            ).T
            @ part.kernel.matrix(points[others], points[i : i + 1], part.feature_matrix)[:, 0]
            for share, part in zip(
                getattr(whole, "shares", [1.0]), getattr(whole, "predictors", [whole]), strict=True
            )
        )  # fmt: skip
    expected = float((weight * missed.abs()).sum() / weight.sum()) * machine.y_scale_[0]
    # Systems of 40 rows whose condition is below 40/λ.
    assert left_out_error(machine) == pytest.approx(expected, rel=40 / 0.1 * 40 * 2**-52)


def test_intervals_are_narrower_where_a_fold_more_of_rows_teaches_much():
    draw = np.random.default_rng(0)
    x = draw.uniform(-2, 2, size=(120, 2))

    def machine(y, rows):
        return RFMRegressor(n_iter=0, random_state=0).fit(x[rows], y[rows])

    def share(y):
        folds = [np.arange(120) % 5 != k for k in range(5)]
        return gained(machine(y, slice(None)), [machine(y, rows) for rows in folds])

    assert 0.6 < share(np.sin(2 * x[:, 0]) * x[:, 1]) < 0.95
    assert share(draw.normal(size=120)) > 0.95
