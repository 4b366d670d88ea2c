"""Frozen gates against the Taylor polynomials by forward mode, and what cannot be frozen."""

import copy

import pytest
import torch
from torch import nn

from overparam.expansions import freeze_gates, linearize, quadratize
from overparam.nets import ntk_mlp


def dense():
    return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(20, 2, bias=False),
    )


MODELS = {
    "dense": (dense, (7, 3)),
    "ntk": (lambda: ntk_mlp([3, 16, 1], "relu", bias_scale=0.5), (7, 3)),
    "convolution": (convolutional, (3, 2, 4, 4)),
    "frozen first layer": (
        lambda: nn.Sequential(nn.Linear(3, 8).requires_grad_(False), nn.ReLU(), nn.Linear(8, 1)),
        (7, 3),
    ),
}


def moved(case, size=1.0):
    """A frozen-gate network away from its start, and both expansions by forward mode there."""
    torch.manual_seed(0)
    make, shape = MODELS[case]
    model, x = make().double(), torch.randn(*shape, dtype=torch.float64)
    frozen, linear, quadratic = freeze_gates(model), linearize(model), quadratize(model)
    with torch.no_grad():
        for p in frozen.network.parameters():
            if p.requires_grad:
                p.add_(size * torch.randn_like(p))
        for expanded in (linear, quadratic):
            shifts = zip(expanded.displacement, frozen.displacement().values(), strict=True)
            for p, shift in shifts:
                p.copy_(shift)
    return model, frozen, linear, quadratic, x


@pytest.mark.parametrize("case", MODELS)
def test_equals_the_polynomials(case):
    _, frozen, linear, quadratic, x = moved(case)
    expansion = frozen.expansion(x)
    torch.testing.assert_close(expansion.quadratic, quadratic(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(expansion.linear, linear(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(expansion.network, frozen.network(x))
    torch.testing.assert_close(frozen(x, frozen.gates(x)), frozen(x), rtol=0, atol=0)
    if case != "frozen first layer":  # there no gate can move
        assert (expansion.network - expansion.quadratic).abs().max() > 1e-2
        assert (expansion.linear - expansion.quadratic).abs().max() > 1e-2


def test_gradient_is_that_of_the_polynomial():
    _, frozen, _, quadratic, x = moved("dense")
    frozen(x).square().sum().backward()
    quadratic(x).square().sum().backward()
    for p, q in zip(frozen.network.parameters(), quadratic.displacement, strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-11, atol=1e-11)
    assert all(p.grad is None for p in frozen.start.parameters())


def test_trains_alike_and_leaves_the_model_alone():
    torch.manual_seed(0)
    model = dense().double()
    x, y = torch.randn(7, 3, dtype=torch.float64), torch.randn(7, 2, dtype=torch.float64)
    before = copy.deepcopy(model.state_dict())
    losses = {}
    for name, expanded in (("gates", freeze_gates(model)), ("jvp", quadratize(model))):
        own = [p for p in expanded.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(own, lr=0.05, momentum=0.5)
        for _ in range(30):
            optimizer.zero_grad()
            loss = (expanded(x) - y).square().mean()
            loss.backward()
            optimizer.step()
        losses[name] = loss
    torch.testing.assert_close(losses["gates"], losses["jvp"], rtol=1e-11, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_state_goes_on_and_an_in_place_relu_is_fine():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(inplace=True), nn.Linear(16, 2))
    x, frozen, other = torch.randn(5, 3), freeze_gates(model), freeze_gates(dense())
    nn.init.normal_(frozen.network[0].weight)
    other.load_state_dict(frozen.state_dict())
    torch.testing.assert_close(other(x), frozen(x), rtol=0, atol=0)


TIED = nn.Linear(4, 4)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), "0 of them"),
        (ntk_mlp([3, 4, 4, 1], "relu"), "2 of them"),
        (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)), "2 and 1"),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU()), "1 and 0"),
        (
            nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 1)),
            "LayerNorm at 2",
        ),
        (
            nn.Sequential(
                nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 1)
            ),
            "Linear at 0",
        ),
        (nn.Sequential(TIED, nn.ReLU(), TIED), "tied"),
        (dense().requires_grad_(False), "trainable"),
    ],
    ids=["tanh", "deep", "two before", "none after", "norm", "weight norm", "tied", "still"],
)
def test_what_cannot_be_frozen(model, message):
    with pytest.raises(ValueError, match=rf"`freeze_gates\(model=\.\.\.\)` .*{message}"):
        freeze_gates(model)


def test_only_a_sequential():
    with pytest.raises(TypeError, match=r"`freeze_gates\(model=\.\.\.\)` .*Linear\.\nHint: quad"):
        freeze_gates(nn.Linear(3, 1))
