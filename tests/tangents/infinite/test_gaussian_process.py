"""The kernel as scikit-learn's own tools take it."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.svm import SVC

from overparam.tangents import infinite_ntk
from overparam.tangents.infinite.gaussian_process import NTKKernel


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(12, 4))


@pytest.fixture
def digits():
    pixels, classes = load_digits(return_X_y=True)
    chosen = np.flatnonzero(classes < 3)[:120]
    return pixels[chosen] / 16, classes[chosen]


def test_entries_are_those_of_infinite_ntk(x):
    kernel = NTKKernel(depth=2, activation="erf", weight_variance=1.5, bias_variance=0.2)
    expected = infinite_ntk(
        torch.from_numpy(x), depth=2, activation="erf", weight_variance=1.5, bias_variance=0.2
    ).numpy()
    np.testing.assert_array_equal(kernel(x), expected)
    np.testing.assert_allclose(kernel(x, x[:3]), expected[:, :3], atol=1e-12)
    np.testing.assert_allclose(kernel.diag(x), np.diag(expected), rtol=1e-12)
    assert not kernel.is_stationary()


def test_parameters_survive_cloning():
    kernel = NTKKernel(depth=2, bias_variance=0.3, bias_variance_bounds=(1e-3, 10.0))
    assert clone(kernel).get_params() == kernel.get_params()
    assert kernel.set_params(depth=5).depth == 5
    assert NTKKernel() == NTKKernel()
    assert NTKKernel() != NTKKernel(depth=1)
    assert NTKKernel().n_dims == 0
    assert repr(NTKKernel()).startswith("NTKKernel(depth=3, activation='relu', weight_variance=2,")
    np.testing.assert_allclose(kernel.theta, np.log([0.3]))


def test_derivatives_by_the_logarithms(x):
    """ReLU without biases: K goes as σ_w to the power 2(L + 1)."""
    kernel = NTKKernel(depth=2, weight_variance_bounds=(0.1, 10.0))
    values, slopes = kernel(x, eval_gradient=True)
    np.testing.assert_allclose(slopes[..., 0], 3 * values, rtol=1e-7, atol=1e-9)
    fixed, none = NTKKernel(depth=2)(x, eval_gradient=True)
    np.testing.assert_array_equal(fixed, values)
    assert none.shape == (12, 12, 0)
    with pytest.raises(ValueError, match="Y is None"):
        kernel(x, x, eval_gradient=True)


def test_derivatives_of_a_linear_network_are_those_of_its_formula(x):
    """K = 2 σ_w²(σ_w² s + σ_b²) + σ_b², s = xᵀz/d, for one hidden layer of the identity."""
    w, b, s = 1.5, 0.2, x @ x.T / 4
    kernel = NTKKernel(
        depth=1, activation="identity", weight_variance=w, bias_variance=b,
        weight_variance_bounds=(0.1, 10.0), bias_variance_bounds=(0.01, 10.0),
    )  # fmt: skip
    values, slopes = kernel(x, eval_gradient=True)
    np.testing.assert_allclose(values, 2 * w * (w * s + b) + b, rtol=1e-12, atol=1e-12)
    names = [parameter.name for parameter in kernel.hyperparameters]
    by_log = {"bias_variance": b * (2 * w + 1) + 0 * s, "weight_variance": 2 * w * (2 * w * s + b)}
    for name, expected in by_log.items():
        # A central difference of numbers of size ten: ten ε over the step, some 10⁻¹⁰.
        np.testing.assert_allclose(slopes[..., names.index(name)], expected, rtol=1e-7, atol=1e-8)


def test_a_gaussian_process_finds_likelier_hyperparameters(x):
    y = 2 + np.sin(x[:, 0]) + 0.5 * x[:, 1]
    start = NTKKernel(
        depth=1,
        weight_variance=2.0,
        bias_variance=0.1,
        weight_variance_bounds=(0.05, 20.0),
        bias_variance_bounds=(1e-3, 10.0),
    )
    kernel = ConstantKernel(1.0, "fixed") * start + WhiteKernel(1e-2, "fixed")
    process = GaussianProcessRegressor(kernel).fit(x, y)
    before = process.log_marginal_likelihood(kernel.theta)
    assert process.log_marginal_likelihood_value_ > before + 0.1
    mean, deviation = process.predict(x, return_std=True)
    assert np.abs(mean - y).max() < 0.2
    assert (deviation > 0).all()


def test_kernel_ridge_takes_the_matrix(x):
    y = x[:, 0] - x[:, 1]
    kernel = NTKKernel(depth=1)
    ridge = KernelRidge(alpha=1e-8, kernel="precomputed").fit(kernel(x), y)
    np.testing.assert_allclose(ridge.predict(kernel(x, x)), y, atol=1e-5)
    process = GaussianProcessRegressor(kernel, alpha=1e-8).fit(x, y)
    new = x + 0.1
    np.testing.assert_allclose(ridge.predict(kernel(new, x)), process.predict(new), atol=1e-6)


def test_a_support_vector_machine_takes_the_kernel(digits):
    pixels, classes = digits
    machine = SVC(kernel=NTKKernel(depth=3)).fit(pixels[:60], classes[:60])
    assert machine.score(pixels[60:], classes[60:]) > 0.9


def test_depth_is_found_by_a_grid_search(x):
    y = x[:, 0] ** 2
    search = GridSearchCV(
        GaussianProcessRegressor(NTKKernel(), alpha=1e-3), {"kernel__depth": [1, 2]}, cv=2
    ).fit(x, y)
    for place, depth in enumerate((1, 2)):
        kernel, scores = infinite_ntk(torch.from_numpy(x), depth=depth).numpy(), []
        for kept, held in KFold(2).split(x):
            inverse = np.linalg.inv(kernel[np.ix_(kept, kept)] + 1e-3 * np.eye(len(kept)))
            missed = kernel[np.ix_(held, kept)] @ inverse @ y[kept] - y[held]
            scores.append(1 - np.square(missed).mean() / y[held].var())
        # The condition is below 10⁵.
        found = search.cv_results_["mean_test_score"][place]
        assert found == pytest.approx(np.mean(scores), abs=1e-8)
    assert search.best_params_["kernel__depth"] == 1 + np.argmax(
        search.cv_results_["mean_test_score"]
    )


def test_bad_input_is_refused(x):
    with pytest.raises(ValueError, match="NaN"):
        NTKKernel()(np.where(x > 0, x, np.nan))
    with pytest.raises(ValueError, match="did you mean 'relu'"):
        NTKKernel(activation="rely")(x)
    with pytest.raises(ValueError, match="like x"):
        NTKKernel()(x, x[:, :2])
