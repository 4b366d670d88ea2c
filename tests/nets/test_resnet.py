import math

import pytest
import torch
from torch import nn

from overparam.nets import NTKLinear, ResidualBlock, ntk_resnet
from overparam.tangents import dual_activation, empirical_ntk


def test_computes_its_formula(normal):
    model = ntk_resnet(
        (3,), 5, blocks=2, outputs=2, activation="swish", branch_scale=0.4, dtype=torch.float64
    )
    weights = [p.detach() for p in model.parameters()]
    maps = iter([w.T / math.sqrt(w.shape[1]) for w in weights])
    x = normal(4, 3)
    h = x @ next(maps)
    for _ in range(2):
        h = h + 0.4 * nn.functional.silu(nn.functional.silu(h) @ next(maps)) @ next(maps)
    expected = nn.functional.silu(h) @ next(maps)
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(4,), (2, 4, 4)])
@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_the_kernel_by_layer_factors_is_that_of_autograd(shape, padding, normal, dense_kernel):
    model = ntk_resnet(shape, 4, outputs=2, padding=padding, bias_scale=0.2, dtype=torch.float64)
    x = normal(3, *shape)
    torch.testing.assert_close(empirical_ntk(model, x), dense_kernel(model, x), rtol=0, atol=1e-12)


def kernel_of_infinite_width(x, blocks, branch_scale):
    """The recursion over blocks for ReLU with σ_w² = 2, no biases."""

    def through(signal, tangent):
        """Covariance and kernel after an activation and a linear map."""
        a = signal.diagonal()
        signal, slopes = dual_activation("relu", signal, a[:, None], a[None, :])
        return 2 * signal, 2 * (signal + slopes * tangent)

    signal = tangent = 2 * x @ x.T / x.shape[1]
    for _ in range(blocks):
        inner, inner_tangent = through(*through(signal, tangent))
        signal = signal + branch_scale**2 * inner
        tangent = tangent + branch_scale**2 * inner_tangent
    return through(signal, tangent)[1]


def test_wide_networks_reach_the_kernel_of_infinite_width(normal):
    x = normal(3, 4)
    limit = kernel_of_infinite_width(x, 2, 1 / math.sqrt(2))
    width, draws = 384, 64
    kernels = torch.stack([
        empirical_ntk(ntk_resnet((4,), width, weight_scale=math.sqrt(2), seed=seed), x.float())
        for seed in range(draws)
    ]).double()  # fmt: skip
    error = (kernels.mean(0) - limit).abs()
    allowed = 4 * kernels.std(0) / math.sqrt(draws) + 5 / width * limit.abs()
    assert (error < allowed).all(), (error / limit).max()
    assert (allowed.diagonal() < 0.1 * limit.diagonal()).all()


def test_the_default_scale_bounds_the_variance_at_any_depth():
    x = torch.ones(1, 8)

    def size(blocks, **scale):
        net = ntk_resnet((8,), 256, blocks=blocks, weight_scale=math.sqrt(2), **scale)
        return float(net[:-2](x).detach().square().mean()) / 2  # the first map has variance 2

    assert size(40) < 1.5 * math.e
    assert size(8, branch_scale=1.0) > 50
    assert size(8, branch_scale=0.0) == pytest.approx(1, rel=0.3)


def test_images_are_averaged_and_outputs_may_be_activated(normal):
    model = ntk_resnet((2, 4, 4), 3, activation="tanh", output_activation="tanh")
    x = normal(2, 2, 4, 4).float()
    torch.testing.assert_close(model(x), model(x.roll(1, 3)))  # circular, then averaged
    assert isinstance(model[-1], nn.Tanh)
    assert isinstance(ntk_resnet((2,), 3)[-1], NTKLinear)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"input_shape": (3, 8)}, "input_shape"),
        ({"input_shape": ()}, "input_shape"),
        ({"input_shape": (0,)}, "input_shape"),
        ({"width": 0}, "width"),
        ({"blocks": 0}, "blocks"),
        ({"outputs": 0}, "outputs"),
        ({"branch_scale": math.inf}, "branch_scale"),
        ({"branch_scale": -1.0}, "branch_scale"),
        ({"kernel_size": 4}, "kernel_size"),
        ({"padding": "reflect"}, "padding"),
        ({"activation": "tanhh"}, "activation"),
        ({"output_activation": "softmax"}, "output_activation"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=rf"`ntk_resnet\({named}=\.\.\.\)` expected"):
        ntk_resnet(**{"input_shape": (3, 8, 8), "width": 4, **arguments})


def test_a_scale_that_is_not_finite():
    with pytest.raises(ValueError, match=r"`ResidualBlock\(scale=\.\.\.\)`"):
        ResidualBlock(nn.Identity(), math.nan)
