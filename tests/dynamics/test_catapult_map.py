"""The map against gradient descent of a network with held gates on one example."""

import math

import pytest
import torch

from overparam.dynamics import catapult_map
from overparam.expansions import freeze_gates
from overparam.nets import ntk_mlp
from overparam.tangents import empirical_ntk


@pytest.mark.parametrize("target", [0.0, 1.3])
@pytest.mark.parametrize("edge", [1.5, 2.4, 3.2])
def test_is_gradient_descent_of_a_network(target, edge):
    m, d = 128, 3
    model = freeze_gates(ntk_mlp([d, m, 1], "relu", seed=1, dtype=torch.float64))
    x = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
    kernel = empirical_ntk(model.network, x).item()
    lr, c = edge / kernel, x.square().sum().item() / (m * d)
    optimizer = torch.optim.SGD(model.network.parameters(), lr=lr)
    g = model(x).item()
    start = c * lr**2 * (g - target) ** 2
    orbit = catapult_map(edge, start, 30, w0=c * lr**2 * (g - target) * target)
    for step in range(31):
        g = model(x).item()
        assert orbit.u[step].item() == pytest.approx(c * lr**2 * (g - target) ** 2, rel=1e-9)
        optimizer.zero_grad()
        ((model(x) - target).square().sum() / 2).backward()
        gradient = [p.grad for p in model.network.parameters()]
        slope = sum(part.square().sum().item() for part in gradient) / (g - target) ** 2
        assert orbit.v[step].item() == pytest.approx(lr * slope, rel=1e-9)
        optimizer.step()


def test_below_the_edge_nothing_happens():
    orbit = catapult_map(1.9, 1e-6, 500)
    assert orbit.converged
    assert orbit.u.max() == orbit.u[0]
    assert orbit.v[-1].item() == pytest.approx(1.9, abs=1e-4)


@pytest.mark.parametrize("delta", [0.1, 0.2])
def test_a_mild_catapult_reflects_the_curvature_about_the_edge(delta):
    orbit = catapult_map(2 + delta, 1e-7, 3000)
    assert orbit.converged
    assert orbit.u.max().item() == pytest.approx(delta**2 / 2, rel=0.2)
    assert orbit.v[-1].item() == pytest.approx(2 - delta, rel=0.02)


def test_without_any_error_it_never_starts_and_twice_beyond_it_never_ends():
    assert torch.equal(catapult_map(3.0, 0.0, 50).v, torch.full((51,), 3.0, dtype=torch.float64))
    orbit = catapult_map(4.1, 1e-6, 300)
    assert not orbit.converged
    assert not math.isfinite(orbit.u[-1].item())


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"v0": -1.0}, "v0"),
        ({"v0": math.nan}, "v0"),
        ({"u0": -1e-9}, "u0"),
        ({"u0": math.inf}, "u0"),
        ({"w0": math.nan}, "w0"),
        ({"steps": 0}, "steps"),
    ],
)
def test_bad_input(change, where):
    with pytest.raises(ValueError, match=rf"`catapult_map\({where}=\.\.\.\)` expected"):
        catapult_map(**({"v0": 1.0, "u0": 1.0, "steps": 1} | change))
