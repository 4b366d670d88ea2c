"""One turn at a time, exactly and by differences, against the limit iterated to its end."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from overparam._types import Params
from overparam.curvature import differences
from overparam.optim.stability import stability
from overparam.optim.stability_turn import stability_turn

CE = nn.functional.cross_entropy


class Attention(nn.Module):
    """A layer of attention with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.layer(x).mean(1))


def normed() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(5, 6, 3, padding=1), nn.BatchNorm1d(6), nn.Tanh(), nn.Flatten(), nn.Linear(48, 3)
    )


NETWORKS = {"attention": (Attention, (5, 8)), "batch norm": (normed, (5, 8))}
OPTIMIZERS = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=1e-2),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=1e-3),
}


def trained(network: str, optimizer: str):
    build, shape = NETWORKS[network]
    torch.manual_seed(0)
    model = build()
    steps = OPTIMIZERS[optimizer](model.parameters())
    y = torch.arange(24) % 3
    x = torch.randn(3, *shape)[y] + torch.randn(24, *shape)
    for _ in range(12):
        steps.zero_grad()
        CE(model(x), y).backward()
        steps.step()
    return model, x, y, steps


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_turns_arrive_at_the_limit_and_differences_at_the_same(network, optimizer) -> None:
    model, x, y, steps = trained(network, optimizer)
    half = x[:12].flip(0), y[:12].flip(0)
    exact, near = (
        stability_turn(model, x, y, CE, steps, turns=30, differences=how) for how in (False, True)
    )
    assert exact is not None
    assert near is not None
    # Power iteration comes from below; what is left is told by the residual.
    whole = stability(model, x, y, CE, steps).ratio
    assert whole * (1 - exact.residual - 2e-3) <= exact.ratio <= whole * 1.002
    # A difference is off by about 4 √ε = 1.4e-3 of the change, and its rounding by as much.
    assert near.ratio == pytest.approx(exact.ratio, rel=1e-2)
    known = x, y, exact.vector
    other, too = (
        stability_turn(model, *half, CE, steps, known=known, differences=how)
        for how in (False, True)
    )
    assert other is not None
    assert too is not None
    assert too.ratio == pytest.approx(other.ratio, rel=1e-2)
    most = 1.002 * stability(model, *half, CE, steps).ratio
    assert other.ratio <= most
    # Of the direction among the parameters half a product is left, and it has converged: what
    # the next turn adds is a part of the square of the residual.
    for how, found in ((False, exact), (True, near)):
        begun = stability_turn(model, *half, CE, steps, known=found.direction, differences=how)
        assert begun is not None
        assert begun.ratio <= most
        assert begun.ratio == pytest.approx(other.ratio, rel=2 * exact.residual**2 + 1e-2)


class Stairs(nn.Module):
    """Outputs with a fine structure: a difference sees another slope than a tangent."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, x):
        return self.inner(x) + 1e-4 * torch.sin(1e4 * self.inner(x))


@pytest.mark.parametrize("known", [False, True])
def test_a_difference_that_is_off_is_taken_back(known, monkeypatch) -> None:
    torch.manual_seed(0)
    model, x, y = Stairs(), torch.randn(12, 4), torch.arange(12) % 3
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    first = stability_turn(model, x, y, CE, steps, turns=3)
    assert first is not None
    batch: Any = {"known": (x, y, first.vector)} if known else {"change": first.vector}
    tried = []

    def seen(*args):
        tried.append(found := difference(*args))
        return found

    difference = differences.difference
    monkeypatch.setattr("overparam.curvature.output_iteration.difference", seen)
    exact, near = (
        stability_turn(model, x[:8], y[:8], CE, steps, differences=how, **batch)
        for how in (False, True)
    )
    assert len(tried) == 1
    assert tried[0] is not None
    assert exact is not None
    assert near is not None
    assert near.ratio == exact.ratio
    assert math.isfinite(near.ratio)


def test_half_precision_has_no_differences() -> None:
    model = nn.Linear(2, 1).bfloat16()
    params: Params = dict(model.named_parameters())
    x = torch.ones(3, 2, dtype=torch.bfloat16)
    outputs = model(x).detach()
    found = differences.difference(
        lambda _, x: model(x), {}, params, params, x, outputs, length=1.0, seed=0
    )
    assert found is None
