"""The exact map of second moments, against its definition and the optimizers themselves."""

import math

import pytest
import torch
from torch.testing import assert_close

from overparam.optim.hyperparameters import mass_hyperparameters
from overparam.optim.second_moment import (
    decoupled_quadratic,
    gaussian_quadratic,
    second_moment_rate,
)

DECOUPLED = decoupled_quadratic([1.0, 2.0**-9])
GAUSSIAN = gaussian_quadratic([1.0, 1.0, 2.0**-9])


def alpha_of(momentum):
    return (1 - momentum) / (1 + momentum)


def brute_force(draws: torch.Tensor, weights: torch.Tensor, lr, alpha, kappa_t) -> float:
    """Spectral radius of E[T ⊗ T] over a finite list of matrices H̃ with probabilities."""
    delta = lr / (alpha * kappa_t)
    d = draws.shape[-1]
    one = torch.eye(d, dtype=torch.float64)
    total = torch.zeros((2 * d) ** 2, (2 * d) ** 2, dtype=torch.float64)
    for h, weight in zip(draws, weights, strict=True):
        # (u, v): u' = (αv' + w')/(1+α), the authors' recursion.
        v_row = torch.cat([alpha * one - delta * h, (1 - alpha) * one], 1)
        w_row = torch.cat([one - lr * h, 0 * one], 1)
        step = torch.cat([(alpha * v_row + w_row) / (1 + alpha), v_row])
        total += weight * torch.kron(step, step)
    return float(torch.linalg.eigvals(total).abs().max())


# Five-point Gauss–Hermite rule: exact for the fourth moments of a Gaussian.
NODES = torch.tensor([-2.856970013872806, -1.355626179974266, 0, 1.355626179974266,
                      2.856970013872806], dtype=torch.float64)  # fmt: skip
WEIGHTS = torch.tensor([0.011257411327721, 0.222075922005613, 0.533333333333333,
                        0.222075922005613, 0.011257411327721], dtype=torch.float64)  # fmt: skip
SETTINGS = [(0.2, 0.3, 2.0), (0.1, 0.05, 5.0), (0.3, 1.0, 1.0), (0.15, 0.1, 1.0)]


@pytest.mark.parametrize("settings", SETTINGS)
def test_gaussian_data(settings):
    scales = torch.tensor([1.0, 0.3], dtype=torch.float64)
    points = torch.cartesian_prod(NODES, NODES) * scales
    weights = torch.cartesian_prod(WEIGHTS, WEIGHTS).prod(1)
    expected = brute_force(points[:, :, None] * points[:, None, :], weights, *settings)
    found = second_moment_rate(gaussian_quadratic(scales.square().tolist()), *settings)
    assert float(found) == pytest.approx(1 - expected, abs=1e-9)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_decoupled_data_in_batches(settings, batch_size):
    scales = torch.tensor([1.0, 0.3], dtype=torch.float64)
    points = torch.cat([NODES[:, None] * row for row in torch.diag(scales)])
    weights = WEIGHTS.repeat(2) / 2
    draws = points[:, :, None] * points[:, None, :]
    if batch_size == 2:
        draws = (draws[:, None] + draws[None]).reshape(-1, 2, 2) / 2
        weights = torch.outer(weights, weights).flatten()
    expected = brute_force(draws, weights, *settings)
    found = second_moment_rate(decoupled_quadratic(scales.square().tolist()), *settings, batch_size)
    assert float(found) == pytest.approx(1 - expected, abs=1e-9)


def test_groups_of_equal_eigenvalues_count_like_single_ones():
    single = gaussian_quadratic([1.0, 1.0, 1.0, 0.1, 0.1])
    grouped = gaussian_quadratic([1.0, 0.1], [3, 2])
    assert single.constants == grouped.constants
    for settings in SETTINGS:
        assert_close(
            second_moment_rate(single, *settings, 3), second_moment_rate(grouped, *settings, 3)
        )


@pytest.mark.parametrize("problem", [DECOUPLED, GAUSSIAN], ids=["decoupled", "Gaussian"])
def test_the_theorem_on_mass(problem):
    """1 − ρ ≥ α* at the optimal settings, for any batch; SGD at 1/L_m has 1/κ_m at least."""
    for m in (1, 4, 64):
        best = mass_hyperparameters(problem.constants, m)
        rate = float(second_moment_rate(problem, best.lr, best.alpha, best.kappa_t, m))
        assert rate >= best.alpha
        sgd = float(second_moment_rate(problem, best.lr, batch_size=m))
        assert sgd >= best.lr * problem.constants.smallest * (1 - 1e-9)
        assert rate > sgd


def test_constants():
    assert DECOUPLED.constants.single == pytest.approx(3.0)
    assert DECOUPLED.constants.kappa_t == pytest.approx(6.0)
    assert GAUSSIAN.constants.single == pytest.approx(2 + 2.0**-9 + 2)
    assert GAUSSIAN.constants.kappa_t == pytest.approx(5.0)


def test_nesterov_diverges_where_sgd_converges():
    momenta = torch.tensor([0.5629, 0.5649], dtype=torch.float64)
    rates = second_moment_rate(DECOUPLED, 1 / 3, alpha_of(momenta))
    assert rates[0] > 0 > rates[1]
    assert second_moment_rate(DECOUPLED, 1 / 3) > 0


def test_the_sign_of_the_compensation():
    for problem in (DECOUPLED, GAUSSIAN):
        best = mass_hyperparameters(problem.constants, 1)
        flipped = 1 / (2 - 1 / best.kappa_t)
        assert 1 - second_moment_rate(problem, best.lr, best.alpha, flipped) > 1.5


def test_a_grid_is_its_points():
    lr = torch.tensor([[0.1], [0.2]], dtype=torch.float64)
    alpha = torch.tensor([0.1, 0.3, 1.0], dtype=torch.float64)
    grid = second_moment_rate(GAUSSIAN, lr, alpha, 3.0, 2)
    assert grid.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            point = second_moment_rate(GAUSSIAN, float(lr[i]), float(alpha[j]), 3.0, 2)
            assert_close(grid[i, j], point)


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: second_moment_rate(GAUSSIAN, -0.1), "lr"),
        (lambda: second_moment_rate(GAUSSIAN, math.nan), "lr"),
        (lambda: second_moment_rate(GAUSSIAN, 0.1, 0.0), "alpha"),
        (lambda: second_moment_rate(GAUSSIAN, 0.1, 0.1, 0.0), "kappa_t"),
        (lambda: second_moment_rate(GAUSSIAN, 0.1, 0.1, 1.0, 0), "batch_size"),
        (lambda: gaussian_quadratic([]), "variances"),
        (lambda: gaussian_quadratic([1.0, -1.0]), "variances"),
        (lambda: gaussian_quadratic([1.0], [1.0, 2.0]), "counts"),
        (lambda: decoupled_quadratic([math.inf]), "variances"),
    ],
)
def test_bad_arguments(call, where):
    with pytest.raises(ValueError, match=rf"\({where}=...\)` expected"):
        call()
