"""Angles and condition numbers to the printed digits, at both ends of depth."""

import math

import numpy as np
import pytest
import torch

from overparam.tangents import (
    conditioning_profile,
    infinite_ntk,
    input_angles,
    model_gradient_angle,
    relu_embedding_angle,
)
from overparam.tangents.infinite.angles import _gradient_cosine

DEGREES = (1, 5, 30, 90)
# φ_L in degrees, by depth, for those angles between the inputs.
TABLE = {
    1: (4.387, 10.767, 36.749, 80.842),
    2: (6.115, 14.300, 41.576, 76.787),
    4: (8.567, 19.358, 48.219, 73.377),
    6: (10.442, 23.159, 52.648, 72.155),
    10: (13.386, 28.913, 58.236, 71.560),
    100: (37.949, 61.300, 72.735, 74.187),
    1000: (67.720, 73.892, 75.185, 75.328),
}
OTHERS = {
    ("gelu", 5): ((1, 5.80), (5, 8.84), (10, 12.73), (50, 61.53), (200, 90.00)),
    ("erf", 5): ((1, 6.20), (5, 11.94), (10, 22.35), (50, 89.97), (200, 90.00)),
    ("gelu", 30): ((1, 33.9), (5, 46.6), (10, 58.6), (50, 88.4), (200, 90.0)),
}


def radians(*degrees: float) -> torch.Tensor:
    return torch.tensor(degrees, dtype=torch.float64).deg2rad()


@pytest.mark.parametrize("depth", TABLE)
def test_gradient_angles_to_the_printed_digits(depth):
    found = model_gradient_angle(radians(*DEGREES), depth).rad2deg().tolist()
    assert found == pytest.approx(TABLE[depth], abs=6e-4)


def in_plain_numbers(theta: float, depth: int) -> float:
    """φ_L as the papers write it, with cosines."""
    cosine = total = math.cos(theta)
    for _ in range(depth):
        angle = math.acos(cosine)
        cosine = ((math.pi - angle) * cosine + math.sin(angle)) / math.pi
        total = total * (1 - angle / math.pi) + cosine
    return math.acos(total / (depth + 1))


def test_gradient_angles_at_a_depth_of_100_000():
    """The formula's, to the printed digits; ours at a tenth of that depth are the formula's."""
    printed = (75.442, 75.505, 75.518, 75.519)
    far = [math.degrees(in_plain_numbers(math.radians(angle), 100_000)) for angle in DEGREES]
    assert far == pytest.approx(printed, abs=6e-4)
    assert max(abs(angle - math.degrees(math.acos(0.25))) for angle in far) < 0.1
    found = model_gradient_angle(radians(*DEGREES), 10_000).tolist()
    # An arccos of 1 − θ²/2, θ ≥ 3π/10⁴, is rounded by ε/θ; 10⁴ such steps add up.
    expected = [in_plain_numbers(math.radians(angle), 10_000) for angle in DEGREES]
    assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("activation", "degrees"), OTHERS)
def test_other_activations_to_the_printed_digits(activation, degrees):
    for depth, expected in OTHERS[activation, degrees]:
        found = float(model_gradient_angle(radians(degrees), depth, activation).rad2deg())
        assert found == pytest.approx(expected, abs=0.051 if degrees == 30 else 0.0051)


def test_the_two_ways_to_a_gradient_angle_agree():
    theta = torch.linspace(0.1, math.pi, 20, dtype=torch.float64)
    for depth in (0, 1, 7):
        torch.testing.assert_close(
            model_gradient_angle(theta, depth).cos(),
            _gradient_cosine(theta.cos(), depth, "relu"),
            rtol=0,
            atol=1e-13,
        )


def test_the_angle_is_that_of_the_kernel(generator):
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    kernel = infinite_ntk(x, depth=4)
    lengths = kernel.diagonal().sqrt()
    angles = model_gradient_angle(input_angles(x[:, None], x), 4)
    torch.testing.assert_close(kernel / lengths / lengths[:, None], angles.cos())


def test_small_angles_keep_their_digits():
    """Against cos g in long double where that has digits left, and θ − θ²/(3π) where not."""
    for theta in (1e-9, 1e-6, 1e-4):
        t = np.longdouble(theta)
        expected = t - t**2 / (3 * np.longdouble(math.pi))
        found = float(relu_embedding_angle(theta, 1))
        assert found == pytest.approx(float(expected), rel=1e-8)
    assert float(model_gradient_angle(1e-12, 1)) == pytest.approx(
        math.sqrt(1e-12 / math.pi), rel=1e-6
    )


def test_the_series_joins_the_formula():
    below, above = (float(relu_embedding_angle(0.05 + step, 1)) for step in (-1e-9, 1e-9))
    assert above - below == pytest.approx(2e-9 * (1 - 2 * 0.05 / (3 * math.pi)), rel=1e-3)


def test_ends_of_the_recursion():
    assert float(relu_embedding_angle(0.0, 50)) == 0
    assert float(model_gradient_angle(0.0, 50)) == 0
    assert float(relu_embedding_angle(math.pi, 1)) == pytest.approx(math.pi / 2, rel=1e-12)
    theta = radians(10, 100)
    assert torch.equal(relu_embedding_angle(theta, 0), theta)
    torch.testing.assert_close(model_gradient_angle(theta, 0), theta)


@pytest.mark.parametrize(("depth", "degrees"), [(1, 66.8), (2, 67.2), (5, 68.2), (50, 73.1)])
def test_large_angles_shrink(depth, degrees):
    below, above = radians(degrees - 0.2), radians(degrees + 0.2)
    assert float(model_gradient_angle(below, depth)) > float(below)
    assert float(model_gradient_angle(above, depth)) < float(above)


def test_angles_of_inputs():
    x = torch.tensor([[2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    others = torch.tensor([[5.0, 0.0], [-1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    expected = torch.tensor([0.0, math.pi, math.pi / 2], dtype=torch.float64)
    torch.testing.assert_close(input_angles(x[0], others), expected, rtol=1e-15, atol=0)
    assert torch.equal(input_angles(x[1], others), expected[2].expand(3))


def of_orthogonal(n: int, depth: int) -> float:
    """λ_max/λ_min of n unit vectors between any two of which the gradients' angle is φ_L."""
    cosine = math.cos(in_plain_numbers(math.pi / 2, depth))
    return (1 + (n - 1) * cosine) / (1 - cosine)


@pytest.mark.parametrize(("n", "measured"), [(2, 1.6673), (5, 2.6682)])
def test_the_limit_of_the_condition_number_is_the_corrected_one(n, measured):
    """(n + 3)/3; the (n + 4)/3 of the paper is a third away."""
    depths = [300, 3000]
    found = conditioning_profile(torch.eye(n), depths).condition_numbers[0].tolist()
    assert found == pytest.approx([of_orthogonal(n, depth) for depth in depths], rel=1e-8)
    # It falls to the limit as 1/L.
    assert 0 < found[1] - (n + 3) / 3 < 0.15 * (found[0] - (n + 3) / 3)
    far = of_orthogonal(n, 30_000)
    assert far == pytest.approx((n + 3) / 3, abs=0.01)
    assert far == pytest.approx(measured, abs=2e-3)
    assert abs(far - (n + 4) / 3) > 0.3


def test_a_profile_of_finite_width_is_near_that_of_infinite(generator):
    x = torch.randn(8, 12, generator=generator, dtype=torch.float64)
    limit = conditioning_profile(x, [0, 1, 2])
    finite = conditioning_profile(x, [0, 1, 2], width=1024, seeds=range(4))
    assert finite.condition_numbers.shape == finite.smallest_angles.shape == (4, 3)
    assert (finite.depths, finite.width, limit.width) == ((0, 1, 2), 1024, None)
    for quantity in ("condition_numbers", "smallest_angles"):
        means = getattr(finite, quantity).mean(0)
        torch.testing.assert_close(means, getattr(limit, quantity)[0], rtol=0.1, atol=0)
    assert not torch.equal(finite.condition_numbers[0], finite.condition_numbers[1])


def test_separated_inputs_gain_nothing_from_depth():
    angles = conditioning_profile(torch.eye(2), [0, 1, 5]).smallest_angles[0]
    conditions = conditioning_profile(torch.eye(2), [0, 1, 5]).condition_numbers[0]
    assert (angles.diff() < 0).all()
    assert (conditions.diff() > 0).all()


@pytest.mark.parametrize("width", [None, 16])
def test_parallel_inputs_make_it_infinite_and_say_so(width):
    x = torch.tensor([[1.0, 2.0, 0.5], [0.0, 1.0, 0.0], [0.3, 0.6, 0.15]], dtype=torch.float64)
    with pytest.warns(UserWarning, match="inputs 0 and 2 are parallel"):
        profile = conditioning_profile(x, [1, 3], width=width, seeds=[0])
    assert torch.equal(profile.condition_numbers, torch.full((1, 2), math.inf).double())


def test_opposite_inputs_are_well_conditioned():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert float(conditioning_profile(x, [1]).condition_numbers) == pytest.approx(1, abs=1e-12)


def test_more_inputs_than_coordinates_make_the_linear_model_singular(generator):
    profile = conditioning_profile(torch.randn(6, 3, generator=generator), [0, 1])
    assert profile.condition_numbers[0, 0] == math.inf
    assert math.isfinite(profile.condition_numbers[0, 1])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"x": torch.tensor([[1.0, 0.0], [0.0, 0.0]])}, "zeros in row 1"),
        ({"x": torch.ones(1, 2)}, "at least two inputs"),
        ({"x": torch.full((2, 2), math.nan)}, "4 that are NaN"),
        ({"depths": []}, "numbers ≥ 0"),
        ({"depths": [-1]}, "numbers ≥ 0"),
        ({"width": 0}, "at least 1 unit"),
        ({"width": 8, "seeds": []}, "at least one seed"),
        ({"width": 8, "activation": "erf"}, "an activation out of"),
        ({"activation": "rely"}, "did you mean 'relu'"),
    ],
)
def test_bad_input_is_refused(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        conditioning_profile(**({"x": torch.eye(2), "depths": [1]} | change))


@pytest.mark.parametrize("function", [relu_embedding_angle, model_gradient_angle])
def test_bad_angles_are_refused(function):
    with pytest.raises(ValueError, match="in radians"):
        function(radians(5).rad2deg(), 1)
    with pytest.raises(ValueError, match="angles from 0 to π"):
        function(math.nan, 1)
    with pytest.raises(ValueError, match="whole number"):
        function(1.0, -1)
