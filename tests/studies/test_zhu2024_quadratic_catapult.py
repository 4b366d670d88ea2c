"""The study's shorter ways are the long ones."""

import copy

import pytest
import torch

from overparam.expansions.linearized import linearize
from overparam.nets import ntk_mlp
from overparam.studies.zhu2024_quadratic_catapult.deep import descend, in_turn
from overparam.studies.zhu2024_quadratic_catapult.generalisation import linear_descent
from overparam.tangents import empirical_ntk


@pytest.mark.parametrize("by_parts", [False, True])
@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_a_linear_model_descends_by_its_outputs_as_by_its_parameters(by_parts, factor) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(17, 3, generator=draw, dtype=torch.float64)
    y = torch.randn(17, 1, generator=draw, dtype=torch.float64)
    train, test = (x[:12], y[:12]), (x[12:], y[12:])
    net = ntk_mlp([3, 6, 1], "tanh", seed=draw, dtype=torch.float64)
    kernel = empirical_ntk(net, x[:12])
    lr = factor * 12 / float(torch.linalg.eigvalsh(kernel)[-1])

    def rows():
        return in_turn(12, torch.Generator().manual_seed(1), by_parts=by_parts)

    long = descend(linearize(copy.deepcopy(net)), train, test, lr, 30, rows())
    short = linear_descent(net, kernel, train, test, lr, 30, rows())
    # Roundings of a residual grow with it, by at most |1 - 2 · 1.5| = 2 times a step.
    assert short[1] == pytest.approx(long[1], rel=1e-9)
    assert short[0] == pytest.approx(long[0], rel=1e-9)
    assert (len(short[1]) == 31) == (factor < 1)  # above the critical rate it is lost
