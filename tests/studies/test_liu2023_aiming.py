import importlib
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from overparam.errors import NumericalError

# The package has a function of the same name.
study = importlib.import_module("overparam.studies.liu2023_aiming.bottleneck")


def test_deep_networks_are_three_tanh_layers_with_the_width_asked_for() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(7, study.INPUTS, generator=draw, dtype=torch.float64)
    net = study.Deep(x, 16, study.NARROW)
    w = torch.randn(sum(net.sizes), generator=draw, dtype=torch.float64)
    sizes = (study.INPUTS, 16, 4, 16, 1)
    layers: list[nn.Module] = []
    for (a, b), part in zip(pairwise(sizes), w.split(net.sizes), strict=True):
        layer = nn.Linear(a, b, bias=False, dtype=torch.float64)
        layer.weight = nn.Parameter(part.view(b, a) / a**0.5)
        layers += [layer, nn.Tanh()]
    # Sums of at most 16 products of order 1.
    assert torch.allclose(net(w), nn.Sequential(*layers[:-1])(x)[:, 0], rtol=0, atol=1e-13)


def test_what_is_brought_to_a_solution_is_where_sgd_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []

    def out_of_reach(net, w, y, start, *, max_iterations):
        losses.append(float((net(start) - y).square().sum()))
        raise NumericalError("too far")

    monkeypatch.setattr(study, "project_to_interpolation", out_of_reach)
    found = [study.bottleneck(16, narrow=True, steps=steps, seed=0) for steps in (0, 400)]
    assert losses[1] < losses[0] / 2
    assert all(math.isnan(value) for row in found for value in row.values())
