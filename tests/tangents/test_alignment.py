import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from overparam.tangents import eigen_alignment, kernel_target_alignment


def power_law(n: int = 200) -> tuple[Tensor, Tensor, Tensor]:
    """A kernel with eigenvalues 1, …, n^-2, its vectors and values."""
    generator = torch.Generator().manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    values = torch.arange(1, n + 1).double() ** -2
    return (q * values) @ q.T, q, values


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_recovers_the_exponent(exponent: float) -> None:
    kernel, q, values = power_law()
    signs = torch.where(torch.arange(200) % 3 == 0, -1.0, 1.0).double()
    result = eigen_alignment(kernel, q @ (signs * values ** (exponent / 2)), n_bins=100)
    assert result.slope == pytest.approx(exponent, abs=0.06)
    assert exponent == 0 or result.corr > 0.99
    assert_close(result.eigenvalues, values, rtol=1e-9, atol=1e-12)
    assert_close(result.projections, values**exponent, rtol=1e-5, atol=1e-9)


def test_projections_add_up_and_columns_are_averaged() -> None:
    kernel, _, _ = power_law(20)
    y = torch.randn(20, 3, generator=torch.Generator().manual_seed(1)).double()
    result = eigen_alignment(kernel, y)
    assert float(result.projections.sum()) == pytest.approx(float(y.square().sum() / 3), rel=1e-10)


def test_noise_is_dropped() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 4, generator=generator)
    result = eigen_alignment(x @ x.T, torch.randn(30, generator=generator))
    assert len(result.eigenvalues) == 4


def test_dropping_the_top_changes_the_fit_alone() -> None:
    kernel, q, values = power_law()
    y = q @ values + 100 * q[:, 0]
    whole = eigen_alignment(kernel, y, n_bins=100)
    rest = eigen_alignment(kernel, y, n_bins=100, drop_top=1)
    assert torch.equal(whole.projections, rest.projections)
    assert rest.slope == pytest.approx(2, abs=0.06)
    assert whole.slope > rest.slope


def test_too_few_eigenvalues_for_a_line() -> None:
    result = eigen_alignment(torch.ones(3, 3), torch.tensor([1.0, 2.0, 3.0]))
    assert math.isnan(result.slope)


def test_centred_alignment() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(12, 2, generator=generator).double()
    assert kernel_target_alignment(y @ y.T + 5, y + 3) == pytest.approx(1, abs=1e-12)
    assert kernel_target_alignment(-(y @ y.T), y) == pytest.approx(-1, abs=1e-12)
    kernel = torch.randn(12, 12, generator=generator).double()
    centre = torch.eye(12).double() - 1 / 12
    a, b = centre @ kernel @ centre, centre @ y @ y.T @ centre
    expected = float((a * b).sum() / a.norm() / b.norm())
    assert kernel_target_alignment(kernel, y) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("argument", "kernel", "y"),
    [("kernel", torch.ones(2, 3), torch.ones(2)), ("y", torch.eye(2), torch.ones(3)),
     ("y", torch.eye(2), torch.zeros(2)), ("y", torch.eye(2), torch.tensor([1.0, torch.nan])),
     ("kernel", torch.zeros(2, 2), torch.ones(2)),
     ("kernel", torch.full((2, 2), torch.inf), torch.ones(2))],
)  # fmt: skip
def test_bad_input(argument: str, kernel: Tensor, y: Tensor) -> None:
    with pytest.raises(ValueError, match=rf"`eigen_alignment\({argument}=...\)` expected"):
        eigen_alignment(kernel, y)
    if argument == "y" and len(y) == 2 and not y.isnan().any():
        with pytest.raises(ValueError, match="kernel_target_alignment"):
            kernel_target_alignment(kernel, y)
