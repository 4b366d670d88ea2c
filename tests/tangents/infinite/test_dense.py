"""Infinite width against closed forms, finite networks and itself by another way."""

import math

import pytest
import torch

from overparam.errors import NumericalError
from overparam.nets.mlp import ntk_mlp
from overparam.tangents import empirical_ntk, infinite_nngp, infinite_ntk
from overparam.tangents.infinite import dense as module_under_test
from overparam.tangents.infinite.dense import Layers

KERNELS = (infinite_ntk, infinite_nngp)


@pytest.fixture
def x(generator):
    return torch.randn(6, 5, generator=generator, dtype=torch.float64)


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_linear_model_is_the_gram_matrix(kernel, x):
    expected = 3 * x @ x.T / 5 + 0.5
    found = kernel(x, depth=0, weight_variance=3.0, bias_variance=0.5)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


def test_a_linear_network_counts_its_layers(x):
    """Each of L + 1 layers gives the same share ⟨x, z⟩."""
    found = infinite_ntk(x, depth=4, activation="identity", parametrisation="unscaled_input")
    torch.testing.assert_close(found, 5 * x @ x.T, rtol=1e-12, atol=1e-12)


def test_normalisations_differ_by_the_stated_factor(x):
    common = infinite_ntk(x, depth=3)
    paper = infinite_ntk(x, depth=3, parametrisation="unscaled_input")
    torch.testing.assert_close(common, 2 / 5 * paper, rtol=1e-14, atol=0)
    lengths = (x**2).sum(1)
    torch.testing.assert_close(paper.diagonal(), 4 * lengths, rtol=1e-13, atol=0)


@pytest.mark.parametrize("tangent", [True, False])
def test_angles_and_moments_give_the_same_relu_kernel(tangent, x):
    layers = Layers(4, "relu", 1.7, 0.0, tangent=tangent)
    z = x[:3] + 0.3
    by_moments = module_under_test.fill(
        "", x, z, 8, module_under_test._by_moments(layers, 1.7 / 5, x, z)
    )
    kernel = infinite_ntk if tangent else infinite_nngp
    found = kernel(x, z, depth=4, weight_variance=1.7)
    torch.testing.assert_close(found, by_moments, rtol=1e-12, atol=1e-12)


# Single networks of width 512 with three hidden layers are .16 to .19 away; four average out.
@pytest.mark.parametrize(
    ("activation", "bias"), [("relu", 0.0), ("relu", 0.2), ("gelu", 0.1), ("tanh", 0.1)]
)
def test_wide_networks_come_near(activation, bias, x):
    limit = infinite_ntk(x, depth=3, activation=activation, bias_variance=bias)
    errors = {}
    for width in (32, 512):
        kernels = [
            empirical_ntk(
                ntk_mlp(
                    [5, width, width, width, 1],
                    activation,
                    weight_scale=math.sqrt(2),
                    bias_scale=math.sqrt(bias),
                    seed=seed,
                    dtype=torch.float64,
                ),
                x,
            )
            for seed in range(4)
        ]
        errors[width] = relative(torch.stack(kernels).mean(0), limit)
    assert errors[512] < 0.15
    assert errors[512] < errors[32]


def test_outputs_of_wide_networks_have_the_stated_covariance(x):
    """2000 independent outputs of one hidden layer each."""
    limit = infinite_nngp(x, depth=1, activation="tanh", bias_variance=0.1)
    outputs = []
    for seed in range(20):
        net = ntk_mlp(
            [5, 500, 100],
            "tanh",
            weight_scale=math.sqrt(2),
            bias_scale=math.sqrt(0.1),
            seed=seed,
            dtype=torch.float64,
        )
        outputs.append(net(x).detach())
    f = torch.cat(outputs, dim=1)
    assert relative(f @ f.T / f.shape[1], limit) < 0.1


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("activation", "bias"), [("relu", 0.0), ("relu", 0.3), ("erf", 0.1), ("gelu", 0.0)]
)
def test_two_batches_are_blocks_of_one(kernel, activation, bias, x, monkeypatch):
    kwargs = {"depth": 3, "activation": activation, "bias_variance": bias}
    whole = kernel(x, **kwargs)
    assert torch.equal(whole, whole.T)
    torch.testing.assert_close(kernel(x[:2], x[2:], **kwargs), whole[:2, 2:], rtol=0, atol=1e-12)
    monkeypatch.setattr(module_under_test, "_HELD", 16)  # blocks of two or three pairs
    torch.testing.assert_close(kernel(x, **kwargs), whole, rtol=0, atol=1e-13)
    torch.testing.assert_close(kernel(x[:2], x[2:], **kwargs), whole[:2, 2:], rtol=0, atol=1e-12)


def test_an_input_near_another_is_told_from_it():
    """1 − cos φ = Lθ/(2π) for small angles: at θ = 10⁻¹⁰ it is 1.6e-11, far above rounding."""
    x = torch.tensor([[1.0, 0.0], [1.0, 1e-10]], dtype=torch.float64)
    kernel = infinite_ntk(x, depth=1, parametrisation="unscaled_input")
    assert float(1 - kernel[0, 1] / 2) == pytest.approx(1e-10 / (2 * math.pi), rel=1e-4)


def test_scale_of_a_relu_network(x):
    """Homogeneous: σ_w² enters once a layer, lengths factor out."""
    kernel = infinite_ntk(x, depth=2)
    tripled = infinite_ntk(x, depth=2, weight_variance=6.0)
    torch.testing.assert_close(tripled, 27 * kernel, rtol=1e-13, atol=0)
    torch.testing.assert_close(infinite_ntk(2 * x, x, depth=2), 2 * kernel, rtol=1e-9, atol=1e-12)


def test_a_zero_input_has_a_zero_row(x):
    x[2] = 0
    for activation in ("relu", "tanh"):
        kernel = infinite_ntk(x, depth=2, activation=activation)
        assert torch.equal(kernel[2], torch.zeros(6, dtype=torch.float64))


def test_single_precision_and_gradients_are_left_behind(x):
    kernel = infinite_ntk(x.float().requires_grad_(), depth=2)
    assert kernel.dtype == torch.float64
    assert not kernel.requires_grad


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"x1": torch.zeros(3)}, r"\(n, d\), got shape \(3,\)"),
        ({"x1": torch.zeros(0, 3)}, r"infinite_ntk\(x1=...\)` expected n examples"),
        ({"x1": torch.full((2, 2), math.nan)}, "4 that are NaN"),
        ({"x2": torch.zeros(2, 3)}, r"like x1, \(6, 5\)"),
        ({"depth": -1}, "whole number"),
        ({"depth": 1.5}, "whole number"),
        ({"weight_variance": 0.0}, "finite number > 0"),
        ({"bias_variance": -1.0}, "finite number ≥ 0"),
        ({"bias_variance": 1.0, "parametrisation": "unscaled_input"}, "0 for unscaled inputs"),
        ({"activation": "rely"}, "did you mean 'relu'"),
        ({"parametrisation": "standard"}, "'ntk' or 'unscaled_input'"),
    ],
)
def test_bad_input_is_refused(change, complaint, x):
    with pytest.raises(ValueError, match=complaint):
        infinite_ntk(**({"x1": x, "depth": 2, "bias_variance": 0.1} | change))


def test_what_is_no_tensor_is_refused(x):
    with pytest.raises(TypeError, match="a tensor, got list"):
        infinite_ntk([[1.0]], depth=1)


def test_overflow_is_said(x):
    with pytest.raises(NumericalError, match="overflow"):
        infinite_ntk(x, depth=5000, weight_variance=4.0)


def test_too_many_inputs_are_refused(x, monkeypatch):
    monkeypatch.setattr("overparam._memory.available", lambda device: 100)
    with pytest.raises(MemoryError, match=r"infinite_ntk\(x1=...\)"):
        infinite_ntk(x, depth=1)
