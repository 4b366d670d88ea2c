"""The network on a line against the same network as a module, trained by torch."""

import math

import pytest
import torch
from torch import nn

from overparam.expansions import LineNetwork, freeze_gates
from overparam.nets import NTKLinear
from overparam.tangents import empirical_ntk

X = torch.tensor([1.5, 0.3, -0.7, 2.0, -1.2, 0.0], dtype=torch.float64)
Y = torch.tensor([1.0, -1.0, 0.5, 2.0, -1.0, 1.0], dtype=torch.float64)


def as_module(net):
    m = len(net.u)
    first, last = (
        NTKLinear(1, m, seed=0, dtype=torch.float64),
        NTKLinear(m, 1, seed=0, dtype=torch.float64),
    )
    with torch.no_grad():
        first.weight.copy_(net.u[:, None])
        last.weight.copy_(net.v[None])
    return nn.Sequential(first, nn.ReLU(), last)


@pytest.mark.parametrize("gates", ["frozen", "moving"])
@pytest.mark.parametrize("fraction", [0.5, 1.2])
def test_is_gradient_descent_of_the_network(gates, fraction):
    net = LineNetwork.random(64, seed=1)
    lr = fraction * len(X) / max(net.eigenvalues(X))
    run = net.descend(X, Y, lr, 25, gates=gates)
    model = freeze_gates(as_module(net)) if gates == "frozen" else as_module(net)
    trained = model.network if gates == "frozen" else model
    optimizer = torch.optim.SGD(trained.parameters(), lr=lr)
    for step in range(26):
        loss = (model(X[:, None])[:, 0] - Y).square().mean()
        assert run.loss[step].item() == pytest.approx(loss.item(), rel=1e-10)
        if step in (0, 25) and gates == "frozen":
            kernel = empirical_ntk(model, X[:, None])
            for direction, values in ((X > 0, run.positive), (X < 0, run.negative)):
                p = (X * direction) / (X * direction).norm()
                torch.testing.assert_close(kernel @ p, values[step] * p, rtol=1e-9, atol=1e-9)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert not run.diverged
    assert torch.equal(net.u, LineNetwork.random(64, seed=1).u)


def test_frozen_gates_leave_the_other_direction_alone():
    net, (lr, one_sided) = LineNetwork.random(500, seed=0), (0.05, X[X > 0])
    both = net.descend(X, Y, lr, 20)
    alone = net.descend(one_sided, Y[X > 0], lr * len(one_sided) / len(X), 20)
    torch.testing.assert_close(both.positive, alone.positive, rtol=1e-12, atol=0)


def test_diverges_twice_beyond_the_edge():
    net = LineNetwork.random(256, seed=0)
    x = torch.ones(1)
    run = net.descend(x, x, 2.1 / net.eigenvalues(x)[0], 500)
    assert run.diverged
    assert len(run.loss) < 500


def test_eigenvalues_are_those_of_the_kernel():
    net = LineNetwork.random(32, seed=3)
    expected = torch.linalg.eigvalsh(empirical_ntk(as_module(net), X[:, None]))[-2:]
    torch.testing.assert_close(torch.tensor(sorted(net.eigenvalues(X))).double(), expected)
    assert net.eigenvalues(torch.zeros(3)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"x": torch.tensor([1.0, math.nan])}, r"descend\(x"),
        ({"y": torch.ones(3)}, r"descend\(y"),
        ({"x": torch.ones(2, 1)}, r"descend\(x"),
        ({"x": torch.ones(0), "y": torch.ones(0)}, r"descend\(x"),
        ({"lr": -1.0}, r"descend\(lr"),
        ({"lr": math.inf}, r"descend\(lr"),
        ({"steps": 0}, r"descend\(steps"),
        ({"gates": "froze"}, r"descend\(gates"),
    ],
)
def test_bad_input(change, where):
    given = {"x": torch.ones(2), "y": torch.ones(2), "lr": 0.1, "steps": 3} | change
    with pytest.raises(ValueError, match=rf"`LineNetwork\.{where}=\.\.\.\)`"):
        LineNetwork.random(4, seed=0).descend(**given)


def test_bad_weights():
    with pytest.raises(ValueError, match=r"`LineNetwork\(v=\.\.\.\)` expected 2 examples"):
        LineNetwork(torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match=r"`LineNetwork\(u=\.\.\.\)` expected a vector"):
        LineNetwork(torch.ones(2, 2), torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"`LineNetwork.random\(width=\.\.\.\)`"):
        LineNetwork.random(0, seed=0)
