"""The closed form of a quadratic network's AGOP against automatic differentiation."""

import pytest
import torch
from torch.func import jacrev, vmap

from overparam.kernels.modular.quadratic_network import (
    QuadraticNetwork,
    quadratic_agop,
    quadratic_agop_trace,
)
from overparam.tangents.input_gradients import agop


@pytest.fixture
def net():
    return QuadraticNetwork(5, 8, outputs=3, seed=1, dtype=torch.float64)


@pytest.fixture
def x():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(11, 5, generator=draw, dtype=torch.float64)


def test_outputs_are_second_of_the_square_of_first(net, x):
    expected = (x @ net.first.weight.T) ** 2 @ net.second.weight.T
    torch.testing.assert_close(net(x), expected)
    torch.testing.assert_close(net(x[0]), expected[0])


def test_the_agop_is_that_of_automatic_differentiation(net, x):
    jacobians = vmap(jacrev(net))(x)
    dense = torch.einsum("nca,ncb->ab", jacobians, jacobians) / len(x)
    torch.testing.assert_close(quadratic_agop(net, x), dense, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(agop(net, x), dense, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(quadratic_agop_trace(net, x), dense.trace(), rtol=1e-12, atol=0)


def test_the_trace_can_be_trained(net, x):
    weights = tuple(p.detach().requires_grad_() for p in net.parameters())

    def trace(first, second):
        probe = QuadraticNetwork(5, 8, outputs=3, dtype=torch.float64)
        del probe.first.weight, probe.second.weight
        probe.first.weight, probe.second.weight = first, second
        return quadratic_agop_trace(probe, x)

    assert torch.autograd.gradcheck(trace, weights)


def test_weights_follow_from_the_seed_alone():
    state = torch.get_rng_state()
    first, again, other = (QuadraticNetwork(4, 6, outputs=2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.first.weight, again.first.weight)
    assert torch.equal(first.second.weight, again.second.weight)
    assert not torch.equal(first.first.weight, other.first.weight)
    assert first.first.weight.abs().max() <= 4**-0.5
    assert first.second.weight.abs().max() <= 6**-0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net, x: QuadraticNetwork(0, 2, outputs=1), r"inputs=...\)` expected a positive"),
        (lambda net, x: QuadraticNetwork(2, 2.5, outputs=1), r"width=...\)` expected a positive"),
        (lambda net, x: QuadraticNetwork(2, 2, outputs=-1), r"outputs=...\)` expected a positive"),
        (lambda net, x: quadratic_agop(net, x[:, :3]), "vectors of 5 numbers, got shape"),
        (lambda net, x: quadratic_agop(net, x[:0]), "vectors of 5 numbers, got shape"),
        (lambda net, x: quadratic_agop_trace(net, x[0]), "vectors of 5 numbers, got shape"),
        (lambda net, x: quadratic_agop_trace(net, [1.0]), "got list"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(call, message, net, x):
    with pytest.raises(ValueError, match=message):
        call(net, x)


def test_another_network_is_refused(x):
    with pytest.raises(TypeError, match="expected a QuadraticNetwork, got Linear"):
        quadratic_agop(torch.nn.Linear(5, 1), x)
