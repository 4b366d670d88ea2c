import math

import pytest
import torch

from overparam.nets import NTKLinear, ntk_mlp


def test_computes_its_formula():
    model = ntk_mlp(
        [3, 5, 2, 4, 2],
        "swish",
        output_activation="tanh",
        weight_scale=1.5,
        bias_scale=0.3,
        seed=0,
        dtype=torch.float64,
    )
    x = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    layers = [module for module in model if isinstance(module, NTKLinear)]
    h = x
    for layer in layers:
        z = 1.5 * h @ layer.weight.T / math.sqrt(h.shape[1]) + 0.3 * layer.bias
        h = z * torch.sigmoid(z)
    torch.testing.assert_close(model(x), torch.tanh(z), rtol=1e-12, atol=1e-12)


def test_a_linear_output_has_no_layer_behind_it():
    model = ntk_mlp([2, 8, 1])
    assert isinstance(model[-1], NTKLinear)
    assert [type(module).__name__ for module in model] == ["NTKLinear", "Tanh", "NTKLinear"]


def test_layers_differ_and_seeds_repeat():
    one, same, other = (ntk_mlp([4, 4, 4], seed=seed) for seed in (3, 3, 4))
    assert not torch.equal(one[0].weight, one[2].weight)
    assert torch.equal(one[2].weight, same[2].weight)
    assert not torch.equal(one[2].weight, other[2].weight)


@pytest.mark.parametrize("widths", [[3], [3, 0, 1], []])
def test_impossible_widths(widths):
    with pytest.raises(ValueError, match=r"`ntk_mlp\(widths=\.\.\.\)`"):
        ntk_mlp(widths)


def test_an_unknown_activation_offers_the_nearest():
    with pytest.raises(
        ValueError, match=r"`ntk_mlp\(activation=\.\.\.\)`.*\n.*did you mean 'relu'"
    ):
        ntk_mlp([2, 2], "rellu")
    with pytest.raises(ValueError, match=r"`ntk_mlp\(output_activation=\.\.\.\)`"):
        ntk_mlp([2, 2], output_activation="softmax")
