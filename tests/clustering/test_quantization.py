"""The two limits, where they can be worked out by hand."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from overparam.clustering import asymptotic_center_density, named_divergence, quantization_constant


def even(x):
    return np.full(len(x), 1 / 0.9)


@pytest.mark.parametrize("name", ["euclidean", "kl", "itakura_saito", ("power", 3.0)])
@pytest.mark.parametrize("r", [1.0, 2.0, 4.0])
def test_in_one_dimension_it_is_the_integral_by_hand(name, r):
    hess = named_divergence(name).hess
    assert hess is not None
    power = 1 / (1 + r)

    def g(x):
        return (float(hess(np.array([[x]]))[0, 0]) ** (r / 2) / 0.9) ** power

    integral = quad(g, 0.1, 1.0, epsabs=0, epsrel=1e-11)[0]
    by_hand = 2 ** (-r / 2) / ((r + 1) * 2**r) * integral ** (1 / power)
    found = quantization_constant(even, name, bounds=[(0.1, 1.0)], r=r)
    assert found == pytest.approx(by_hand, rel=1e-7)
    law = asymptotic_center_density(even, name, bounds=[(0.1, 1.0)], r=r)
    assert law.normalizer == pytest.approx(integral, rel=1e-7)
    assert float(law(np.array([[0.3]]))[0]) == pytest.approx(g(0.3) / integral, rel=1e-7)


def test_k_equal_cells_have_the_constant_exactly():
    # k intervals of length 1/k: the inertia over n is 1/(12 k²).
    assert quantization_constant(lambda x: np.ones(len(x)), bounds=[(0, 1)]) == pytest.approx(
        1 / 12, rel=1e-10
    )
    # The hexagon: 5/(18√3), and squared distances are φ = x².
    plane = quantization_constant(lambda x: np.ones(len(x)), bounds=[(0, 1)] * 2)
    assert plane == pytest.approx(5 / (18 * math.sqrt(3)), rel=1e-8)


def test_samples_and_boxes_agree():
    draw = np.random.default_rng(0)
    points = draw.uniform(0.1, 1.0, size=(40_000, 2))

    def flat(x):
        return np.full(len(x), 1 / 0.81)

    box = quantization_constant(flat, "kl", bounds=[(0.1, 1.0)] * 2)
    assert quantization_constant(flat, "kl", samples=points) == pytest.approx(box, rel=0.01)
    three = {"samples": draw.uniform(0.1, 1.0, size=(1000, 3)), "cell_constant": 0.2}
    assert quantization_constant(lambda x: np.full(len(x), 0.9**-3), "kl", **three) > 0


def test_infinite_ends_and_three_dimensions_are_integrated():
    def normal(x):
        return np.exp(-np.square(x).sum(1) / 2) / (2 * math.pi) ** (x.shape[1] / 2)

    # ‖f‖_{1/3} of the normal law is (2π)^(1) 3^(3/2), by hand.
    found = quantization_constant(normal, bounds=[(-math.inf, math.inf)])
    assert found == pytest.approx(2 * math.pi * 3**1.5 / 12, rel=1e-6)
    law = asymptotic_center_density(lambda x: np.ones(len(x)), bounds=[(0, 1)] * 3)
    np.testing.assert_allclose(law(np.full((2, 3), 0.5)), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "either bounds or samples"),
        ({"bounds": [(0, 1)], "samples": np.ones((3, 1))}, "either bounds or samples"),
        ({"bounds": [(1, 0)]}, "a pair"),
        ({"bounds": "x"}, "a pair"),
        ({"bounds": [(-1, 1)], "divergence": "kl"}, r"\[0, ∞\)"),
        ({"bounds": [(0, 1)] * 4}, "samples=..."),
        ({"bounds": [(0, 1)] * 3}, "cell_constant"),
        ({"bounds": [(0, 1)], "r": 0}, "r="),
        ({"bounds": [(0, 1)], "density": lambda x: x}, "of shape"),
        ({"bounds": [(0, 1)], "density": lambda x: -np.ones(len(x))}, "negative"),
        ({"bounds": [(0, 1)], "cell_constant": -1.0}, "positive number"),
        ({"samples": np.array([[np.nan]])}, "finite points"),
        ({"samples": np.ones((3, 1)), "density": lambda x: np.zeros(len(x))}, "positive"),
    ],
)
def test_what_has_no_answer_is_refused(options, words):
    given = {"density": lambda x: np.ones(len(x)), **options}
    with pytest.raises((ValueError, TypeError), match=words):
        quantization_constant(**given)
