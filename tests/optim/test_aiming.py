"""Aiming constants and bounds, on problems where they are known."""

import math

import pytest
import torch

from overparam.errors import NumericalError
from overparam.optim.aiming import aiming_constant, aiming_step_size, iterations_bound

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(4, 9, generator=DRAW, dtype=torch.float64)
Y = torch.randn(4, generator=DRAW, dtype=torch.float64)


def squares(w):
    return (X @ w - Y).square().sum() / 8


def test_a_linear_model_has_two_whatever_its_conditioning():
    solution = torch.linalg.pinv(X) @ Y
    for seed in range(3):
        w = torch.randn(9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        nearest = w + torch.linalg.pinv(X) @ (Y - X @ w)
        assert aiming_constant(squares, w, nearest) == pytest.approx(2)
        assert aiming_constant(squares, w, solution) == pytest.approx(2)


def test_the_parabola():
    """L = ½(y − ax²)², not convex near its solutions; θ of the nearest one from a cubic."""

    def loss(w):
        return (w[1] - w[0] ** 2).square() / 2

    def nearest(w):
        # Stationary points of (x − w₀)² + (x² − w₁)² solve 2x³ + (1 − 2w₁)x − w₀ = 0.
        import numpy as np

        roots = np.roots([2.0, 0.0, 1 - 2 * float(w[1]), -float(w[0])])
        real = torch.tensor([float(r.real) for r in roots if abs(r.imag) < 1e-9]).double()
        points = torch.stack([real, real**2], 1)
        return points[(points - w).square().sum(1).argmin()]

    axis = torch.linspace(-1, 1, 41, dtype=torch.float64)
    found = math.inf
    for w in torch.cartesian_prod(axis, axis):
        if float(loss(w)) > 1e-12:
            found = min(found, aiming_constant(loss, w, nearest(w)))
    # On the axis above ½ the nearest solution lies ½ below, and θ is 1/w₁: least at (0, 1).
    assert found == pytest.approx(1.0, abs=1e-6)


def test_negative_aim_is_not_clipped():
    w = torch.tensor([1.0], dtype=torch.float64)
    assert aiming_constant(lambda w: w.square().sum() / 2, w, 3 * w) == -4  # 1·(1 − 3)/½


def test_an_infimum_that_is_not_zero():
    w = torch.tensor([3.0, 4.0])
    zero = torch.zeros(2)
    assert aiming_constant(lambda w: w.square().sum() / 2 + 5, w, zero, infimum=5) == 2


def test_step_and_bound_are_the_theorems():
    """1 − ηα(θ − βη), at θ/(2β) 1 − αθ²/(4β); a factor of 0 takes one step."""
    assert aiming_step_size(3.0, 2.0) == 0.75
    found = iterations_bound(1.5, 0.4, 3.0, 0.1, lr=0.2)
    assert found == pytest.approx(math.log(0.1) / math.log(1 - 0.2 * 0.4 * (1.5 - 0.6)), rel=1e-12)
    found = iterations_bound(1.5, 0.4, 3.0, 0.1)
    assert found == pytest.approx(math.log(0.1) / math.log(1 - 0.4 * 1.5**2 / 12), rel=1e-12)
    assert iterations_bound(2.0, 3.0, 3.0, 0.1) == 1.0


def test_the_bound_holds_on_least_squares():
    """E dist² under single-example SGD, exactly, against the theorem's factor."""
    n = len(X)
    outer = X[:, :, None] * X[:, None, :]
    beta = float(X.square().sum(1).max())
    values = torch.linalg.eigvalsh(outer.mean(0))
    alpha = float(values[values > 1e-10][0])
    lr = aiming_step_size(2.0, beta)
    start = X.T @ torch.ones(n, dtype=torch.float64)
    moment = torch.outer(start, start)
    first = float(moment.trace())
    steps = math.ceil(iterations_bound(2.0, alpha, beta, 0.1))
    for _ in range(steps):
        left = torch.eye(9, dtype=torch.float64) - lr * outer
        moment = (left @ moment @ left).mean(0)
    assert float(moment.trace()) <= 0.1 * first


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: aiming_constant(squares, torch.ones(9).double(), torch.ones(8)), "reference"),
        (lambda: aiming_constant(squares, torch.linalg.pinv(X) @ Y, torch.ones(9)), "w"),
        (lambda: aiming_step_size(-1.0, 1.0), "theta"),
        (lambda: aiming_step_size(1.0, math.nan), "beta"),
        (lambda: iterations_bound(2.0, 1.0, 10.0, 1.5), "reduction"),
        (lambda: iterations_bound(2.0, 1.0, 10.0, 0.5, lr=0.2), "lr"),
    ],
)
def test_bad_arguments(call, where):
    with pytest.raises(ValueError, match=rf"\({where}=...\)` expected"):
        call()


def test_a_loss_that_overflows():
    with pytest.raises(NumericalError, match=r"aiming_constant\(loss=...\)"):
        aiming_constant(lambda w: w.sum() / 0, torch.ones(2), torch.zeros(2))
