"""Closed forms against quadrature of another make, symmetries, and what is refused."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy import integrate
from scipy.special import erf

from overparam.tangents.infinite.dual_activations import dual_activation, names, unit_gain

SMOOTH = {"erf": torch.erf, "gelu": torch.nn.functional.gelu, "identity": lambda x: 1.0 * x}


def covariances() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Variances and covariances, both ends |c| = √(ab) among them."""
    a = torch.tensor([1.0, 0.5, 0.3, 1.0, 1.0, 0.0], dtype=torch.float64)
    b = torch.tensor([1.0, 0.2, 0.7, 1.0, 1.0, 0.4], dtype=torch.float64)
    return torch.tensor([0.3, -0.2, 0.4, 1.0, -1.0, 0.0], dtype=torch.float64), a, b


@pytest.mark.parametrize("name", SMOOTH)
def test_closed_forms_are_what_quadrature_gives(name, monkeypatch):
    monkeypatch.setattr("overparam.tangents.infinite.dual_activations._SUFFICES", 1e-14)
    for closed, integrated in zip(
        dual_activation(name, *covariances()),
        dual_activation(SMOOTH[name], *covariances()),
        strict=True,
    ):
        torch.testing.assert_close(closed, integrated, rtol=0, atol=1e-12)


def test_relu_against_an_adaptive_integral_over_the_angle():
    """φ(u)φ(v) in polar coordinates: a smooth function of the direction, over one arc."""
    a, b, c = 1.3, 0.6, -0.4
    rho = c / math.sqrt(a * b)
    start, end = math.acos(rho) - math.pi / 2, math.pi / 2

    def product(t):
        return math.sqrt(a * b) * math.cos(t) * math.cos(t - math.acos(rho)) / math.pi

    expected = integrate.quad(product, start, end, epsabs=1e-13)[0]
    values, slopes = dual_activation("relu", *(torch.tensor(n) for n in (c, a, b)))
    assert float(values) == pytest.approx(expected, abs=1e-7)  # the inputs are float32
    assert float(slopes) == pytest.approx((end - start) / (2 * math.pi), abs=1e-7)


def test_tanh_is_refined_until_it_is_accurate():
    for variance in (0.5, 1.0, 2.0):
        root = math.sqrt(variance)

        def squared(z, root=root):
            return math.tanh(root * z) ** 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

        expected = integrate.quad(squared, -12, 12, epsabs=1e-13, limit=200)[0]
        v = torch.tensor(variance, dtype=torch.float64)
        assert float(dual_activation("tanh", v, v, v)[0]) == pytest.approx(expected, abs=1e-10)


def test_erf_of_a_large_variance_has_no_need_of_quadrature():
    v = torch.tensor(50.0, dtype=torch.float64)
    draws = np.random.default_rng(0).normal(size=200_000) * math.sqrt(50)
    assert float(dual_activation("erf", v, v, v)[0]) == pytest.approx(
        float(np.mean(erf(draws) ** 2)), abs=3e-3
    )


@pytest.mark.parametrize("name", names())
def test_both_inputs_may_change_places(name):
    c, a, b = covariances()
    for one, other in zip(
        dual_activation(name, c, a, b), dual_activation(name, c, b, a), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


def test_an_input_with_itself_has_no_angle():
    v = torch.tensor([0.1, 0.3, 7.7], dtype=torch.float64)
    values, slopes = dual_activation("relu", v, v, v)
    assert torch.equal(slopes, torch.full_like(v, 0.5))
    torch.testing.assert_close(values, v / 2, rtol=1e-15, atol=0)


def test_unit_gain():
    assert unit_gain("relu") == pytest.approx(2, rel=1e-14)
    assert unit_gain("identity") == 1
    # E[erf(z)²] = (2/π) arcsin(2/3).
    assert unit_gain("erf") == pytest.approx(math.pi / 2 / math.asin(2 / 3), rel=1e-14)


def test_a_kink_is_said_and_a_smooth_function_is_silent():
    one = torch.ones(3)
    with pytest.warns(UserWarning, match="kink"):
        dual_activation(torch.relu, one / 2, one, one)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*kink")
        dual_activation(torch.sin, one / 2, one, one)


def test_nothing_to_integrate():
    nothing = torch.empty(0, 3)
    assert dual_activation("tanh", nothing, nothing, nothing)[0].shape == (0, 3)


def test_wrong_activations_are_refused():
    one = torch.ones(1)
    with pytest.raises(ValueError, match="did you mean 'gelu'"):
        dual_activation("gelo", one, one, one)
    with pytest.raises(ValueError, match="keeps the shape"):
        dual_activation(lambda x: x.sum(), one, one, one)
