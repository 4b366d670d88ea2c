import math

import pytest
import torch
from torch import nn

from overparam.tangents import empirical_ntk_blocks, extreme_eigenvalues, kernel_change
from overparam.tangents import spectrum as module_under_test


def network() -> tuple[nn.Module, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 30), nn.Tanh(), nn.Linear(30, 2)).double()
        return model, torch.randn(9, 5).double()


def test_kernel_change() -> None:
    initial = torch.eye(3)
    assert kernel_change(initial, initial) == 0
    assert kernel_change(3 * initial, initial) == pytest.approx(2, abs=1e-12)
    with pytest.raises(ValueError, match=r"kernel_change\(initial"):
        kernel_change(initial, torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"shape \(3, 3\)"):
        kernel_change(torch.eye(2), initial)


def test_extremes_of_the_full_kernel() -> None:
    model, x = network()
    kernel = empirical_ntk_blocks(model, x).permute(0, 2, 1, 3).reshape(18, 18)
    values = torch.linalg.eigvalsh(kernel)
    ends = extreme_eigenvalues(model, x)
    assert ends.exact
    assert ends.largest == pytest.approx(float(values[-1]), rel=1e-12)
    assert ends.smallest == pytest.approx(float(values[0]), rel=1e-9)


def test_a_repeated_example_makes_it_singular() -> None:
    model, x = network()
    assert extreme_eigenvalues(model, torch.cat([x, x[:1]])).condition_number == math.inf


def test_a_large_kernel_gives_a_bound_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network()
    exact = extreme_eigenvalues(model, x)
    monkeypatch.setattr(module_under_test, "LARGEST_FORMED", 10)
    monkeypatch.setattr(module_under_test, "_SUBMATRIX", 10)
    ends = extreme_eigenvalues(model, x)
    assert not ends.exact
    assert ends.largest == pytest.approx(exact.largest, rel=1e-6)
    assert ends.smallest > exact.smallest
