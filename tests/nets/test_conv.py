import math

import pytest
import torch
from torch import nn

from overparam.nets import NTKConv2d
from overparam.tangents import empirical_ntk


def layer_of(mode, **arguments):
    return NTKConv2d(
        4, 6, (3, 2), padding=(1, 2), padding_mode=mode, seed=0, dtype=torch.float64, **arguments
    )


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("groups", [1, 2])
def test_is_a_convolution_scaled_by_its_fan_in(mode, groups, normal):
    layer = layer_of(mode, stride=(2, 1), groups=groups, weight_scale=2.0, bias_scale=0.5)
    plain = nn.Conv2d(
        4, 6, (3, 2), (2, 1), (1, 2), groups=groups, padding_mode=mode, dtype=torch.float64
    )
    with torch.no_grad():
        plain.weight.copy_(layer.weight * 2.0 / math.sqrt(4 // groups * 3 * 2))
        plain.bias.copy_(layer.bias * 0.5)
    x = normal(3, 4, 5, 6)
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer(x[0]), layer(x)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_kernel_by_layer_factors_is_that_of_autograd(mode, groups, normal, dense_kernel):
    layer = layer_of(mode, stride=2, groups=groups, bias_scale=0.5)
    model = nn.Sequential(layer, nn.Tanh(), nn.Flatten())
    x = normal(3, 4, 5, 6)
    torch.testing.assert_close(empirical_ntk(model, x), dense_kernel(model, x), rtol=0, atol=1e-12)


def test_circular_padding_commutes_with_turning_the_image(normal):
    layer = NTKConv2d(2, 3, padding=1, padding_mode="circular", seed=0, dtype=torch.float64)
    x = normal(1, 2, 5, 4)
    turned = layer(x.roll((2, 1), (2, 3)))
    torch.testing.assert_close(turned, layer(x).roll((2, 1), (2, 3)), rtol=1e-12, atol=1e-12)


def test_outputs_have_the_same_size_at_any_number_of_channels():
    sizes = []
    for channels in (4, 256):
        layer = NTKConv2d(channels, 500, seed=2, dtype=torch.float64)
        sizes.append(layer(torch.ones(1, channels, 3, 3, dtype=torch.float64)).std().item())
    assert sizes[0] == pytest.approx(1.0, abs=0.1)
    assert sizes[1] == pytest.approx(1.0, abs=0.1)


def test_seed_decides_the_weights_and_global_state_stays():
    before = torch.get_rng_state()
    one, same, other = (NTKConv2d(2, 2, bias_scale=1.0, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(one.weight, same.weight)
    assert torch.equal(one.bias, same.bias)
    assert not torch.equal(one.weight, other.weight)
    assert torch.equal(torch.get_rng_state(), before)
    assert NTKConv2d(2, 2, seed=0).bias is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"in_channels": 0}, "in_channels"),
        ({"out_channels": 0}, "out_channels"),
        ({"kernel_size": 0}, "kernel_size"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size"),
        ({"kernel_size": math.nan}, "kernel_size"),
        ({"stride": 0}, "stride"),
        ({"padding": -1}, "padding"),
        ({"padding": "same"}, "padding"),
        ({"padding_mode": "reflect"}, "padding_mode"),
        ({"groups": 3}, "groups"),
        ({"groups": 0}, "groups"),
        ({"weight_scale": math.nan}, "weight_scale"),
        ({"bias_scale": -1.0}, "bias_scale"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=rf"`NTKConv2d\({named}=\.\.\.\)` expected"):
        NTKConv2d(**{"in_channels": 2, "out_channels": 2, **arguments}, seed=0)


def test_circular_padding_wider_than_the_image():
    layer = NTKConv2d(1, 1, 5, padding=2, padding_mode="circular", seed=0)
    with pytest.raises(ValueError, match=r"`NTKConv2d\(padding=\.\.\.\)`.*1 × 4"):
        layer(torch.zeros(1, 1, 1, 4))


def test_without_a_seed_nothing_is_drawn():
    before = torch.get_rng_state()
    with pytest.raises(TypeError, match=r"a whole number or a torch\.Generator, got None"):
        NTKConv2d(2, 3, seed=None)
    assert torch.equal(torch.get_rng_state(), before)
