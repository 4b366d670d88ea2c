import math

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, pad

from overparam.nets import NTKConv2d, NTKLinear, ntk_cnn
from overparam.tangents import empirical_ntk, infinite_conv_ntk


@pytest.mark.parametrize("head", ["average", "flatten"])
def test_computes_its_formula(head, normal):
    model = ntk_cnn(
        (2, 4, 5),
        [3, 6],
        outputs=2,
        head=head,
        activation="tanh",
        output_activation="swish",
        weight_scale=1.5,
        bias_scale=0.3,
        dtype=torch.float64,
    )
    x = normal(3, 2, 4, 5)
    convolutions = [module for module in model if isinstance(module, NTKConv2d)]
    (last,) = (module for module in model if isinstance(module, NTKLinear))
    h = x
    for layer in convolutions:
        scaled = 1.5 * layer.weight / math.sqrt(9 * h.shape[1])
        h = torch.tanh(conv2d(pad(h, (1, 1, 1, 1), mode="circular"), scaled, 0.3 * layer.bias))
    h = h.mean((2, 3)) if head == "average" else h.flatten(1)
    z = 1.5 * h @ last.weight.T / math.sqrt(h.shape[1]) + 0.3 * last.bias
    torch.testing.assert_close(model(x), z * torch.sigmoid(z), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("head", ["average", "flatten"])
@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_the_kernel_by_layer_factors_is_that_of_autograd(head, padding, normal, dense_kernel):
    model = ntk_cnn(
        (2, 4, 4),
        [4, 3],
        outputs=2,
        head=head,
        padding=padding,
        bias_scale=0.2,
        dtype=torch.float64,
    )
    x = normal(3, 2, 4, 4)
    torch.testing.assert_close(empirical_ntk(model, x), dense_kernel(model, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("head", ["average", "flatten"])
@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_wide_networks_reach_the_kernel_of_infinite_width(head, padding, normal):
    """The mean over networks, within its own standard error and the bias of order 1/channels."""
    x = normal(2, 2, 4, 4)
    limit = infinite_conv_ntk(
        x, depth=2, head=head, padding=padding, weight_variance=2.0, bias_variance=0.01
    )
    channels, draws = 192, 24
    kernels = torch.stack([
        empirical_ntk(
            ntk_cnn(
                (2, 4, 4),
                [channels] * 2,
                head=head,
                padding=padding,
                weight_scale=math.sqrt(2),
                bias_scale=0.1,
                seed=seed,
            ),
            x.float(),
        )
        for seed in range(draws)
    ]).double()  # fmt: skip
    error = (kernels.mean(0) - limit).abs()
    allowed = 4 * kernels.std(0) / math.sqrt(draws) + 3 / channels * limit
    assert (error < allowed).all(), (error / limit).max()
    # What is allowed is less than what a wrong scale in one layer would change.
    assert (allowed < 0.15 * limit).all()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"input_shape": (3, 8)}, "input_shape"),
        ({"input_shape": (3, 0, 8)}, "input_shape"),
        ({"channels": []}, "channels"),
        ({"channels": [4, 0]}, "channels"),
        ({"channels": [4.5]}, "channels"),
        ({"kernel_size": 2}, "kernel_size"),
        ({"kernel_size": 19}, "kernel_size"),
        ({"padding": "reflect"}, "padding"),
        ({"head": "max"}, "head"),
        ({"outputs": 0}, "outputs"),
        ({"activation": "tanhh"}, "activation"),
        ({"output_activation": "softmax"}, "output_activation"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=rf"`ntk_cnn\({named}=\.\.\.\)` expected"):
        ntk_cnn(**{"input_shape": (3, 8, 8), "channels": [4], **arguments})


def test_a_linear_output_has_no_layer_behind_it():
    assert isinstance(ntk_cnn((1, 4, 4), [2])[-1], NTKLinear)
    assert isinstance(ntk_cnn((1, 4, 4), [2], output_activation="tanh")[-1], nn.Tanh)
