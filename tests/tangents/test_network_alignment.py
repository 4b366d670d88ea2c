import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from overparam.nets import ntk_mlp
from overparam.tangents import (
    eigen_alignment,
    empirical_ntk,
    kernel_target_alignment,
    network_alignment,
)


def task() -> tuple[nn.Module, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(25, 4, generator=draw).double()
    y = torch.nn.functional.one_hot(torch.arange(25) % 3).double()
    return ntk_mlp([4, 30, 3], seed=draw, dtype=torch.float64), x, y


def test_is_made_of_the_parts() -> None:
    model, x, y = task()
    found = network_alignment(model, x, y, n_bins=5)
    kernel, residual = empirical_ntk(model, x), (model(x) - y).detach()
    assert found.labels.slope == eigen_alignment(kernel, y, n_bins=5).slope
    assert found.residual.slope == eigen_alignment(kernel, residual, n_bins=5).slope
    assert len(found.labels_by_output) == len(found.residual_by_output) == 3
    assert_close(
        found.residual_by_output[1].projections,
        eigen_alignment(kernel, residual[:, 1]).projections,
    )
    expected = [kernel_target_alignment(kernel, y[:, c]) for c in range(3)]
    assert found.centred.tolist() == pytest.approx(expected, rel=1e-12)
    assert "labels: projections²" in str(found)
    assert all(p.grad is None for p in model.parameters())


def test_a_vector_of_targets_for_one_output() -> None:
    _, x, _ = task()
    model = ntk_mlp([4, 30, 1], seed=0, dtype=torch.float64)
    y = x[:, 0]
    flat = network_alignment(model, x, y).residual.projections
    assert_close(network_alignment(model, x, y[:, None]).residual.projections, flat)
    # (n,) − (n, 1) would have broadcast to n × n; Σ a_i = ‖r‖² shows that it did not.
    expected = float((model(x)[:, 0] - y).detach().square().sum())
    assert float(flat.sum()) == pytest.approx(expected, rel=1e-6)


def test_bad_input() -> None:
    model, x, y = task()
    for wrong in (y[:, 0], y[:5], torch.arange(25)):
        with pytest.raises(ValueError, match=r"`network_alignment\(y=...\)` expected targets of"):
            network_alignment(model, x, wrong)
    with pytest.raises(ValueError, match="does not fit exactly"):
        network_alignment(model, x, model(x).detach())
    with pytest.raises(TypeError, match=r"`network_alignment\(y=...\)` expected a tensor"):
        network_alignment(model, x, y.numpy())
