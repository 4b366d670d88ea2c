import math

import pytest
import torch
from torch import nn

from overparam.nets import NTKLinear


def test_is_a_linear_layer_scaled_by_its_fan_in():
    layer = NTKLinear(5, 3, weight_scale=2.0, bias_scale=0.5, seed=0, dtype=torch.float64)
    plain = nn.Linear(5, 3, dtype=torch.float64)
    with torch.no_grad():
        plain.weight.copy_(layer.weight * 2.0 / math.sqrt(5))
        plain.bias.copy_(layer.bias * 0.5)
    x = torch.randn(2, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-12, atol=1e-12)


def test_entries_are_standard_normal():
    layer = NTKLinear(300, 300, bias_scale=3.0, seed=1, dtype=torch.float64)
    assert layer.weight.std().item() == pytest.approx(1.0, abs=0.01)
    assert layer.weight.mean().item() == pytest.approx(0.0, abs=0.01)
    assert layer.bias.std().item() == pytest.approx(1.0, abs=0.1)


def test_outputs_and_gradients_have_the_same_size_at_any_width():
    sizes = []
    for width in (16, 4096):
        layer = NTKLinear(width, 400, seed=2, dtype=torch.float64)
        outputs = layer(torch.ones(1, width, dtype=torch.float64))
        outputs[0, 0].backward()
        sizes.append((outputs.std().item(), layer.weight.grad.norm().item()))
    assert sizes[0][0] == pytest.approx(sizes[1][0], rel=0.15)
    assert sizes[0][1] == pytest.approx(sizes[1][1], rel=1e-12)


def test_no_bias_unless_it_has_a_scale():
    assert NTKLinear(2, 2, seed=0).bias is None
    assert [name for name, _ in NTKLinear(2, 2, seed=0).named_parameters()] == ["weight"]


def test_seed_decides_the_weights_and_global_state_stays():
    before = torch.get_rng_state()
    weights = [NTKLinear(3, 3, seed=seed).weight for seed in (7, 7, 8)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), before)
    draw = torch.Generator().manual_seed(7)
    shared = [NTKLinear(3, 3, seed=draw).weight for _ in range(2)]
    assert torch.equal(shared[0], weights[0])
    assert not torch.equal(shared[0], shared[1])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"in_features": 0, "out_features": 1}, "in_features"),
        ({"in_features": 1, "out_features": -1}, "out_features"),
        ({"in_features": 1, "out_features": 1, "weight_scale": math.nan}, "weight_scale"),
        ({"in_features": 1, "out_features": 1, "bias_scale": -1.0}, "bias_scale"),
    ],
)
def test_wrong_sizes_are_named(arguments, named):
    with pytest.raises(ValueError, match=rf"`NTKLinear\({named}=\.\.\.\)`"):
        NTKLinear(**arguments, seed=0)
