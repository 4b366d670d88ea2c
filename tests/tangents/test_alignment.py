import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from overparam.tangents import (
    eigen_alignment,
    eigen_alignments,
    kernel_target_alignment,
    kernel_target_alignments,
    pool_alignments,
)


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


def test_classes_on_their_own() -> None:
    kernel, q, values = power_law()
    y = torch.stack([q @ values, q @ values.sqrt(), q[:, 0]], 1)
    found = eigen_alignments(kernel, y, n_bins=100)
    assert found[0].slope == pytest.approx(2, abs=0.06)
    assert found[1].slope == pytest.approx(1, abs=0.06)
    assert found[2].top_share == pytest.approx(1, abs=1e-12)
    together = eigen_alignment(kernel, y)
    mean = torch.stack([result.projections for result in found]).mean(0)
    assert_close(mean, together.projections, rtol=1e-12, atol=1e-15)


def test_batches_are_pooled_into_one_fit() -> None:
    draw = torch.Generator().manual_seed(2)
    results = []
    for _ in range(30):
        q, _ = torch.linalg.qr(torch.randn(40, 40, generator=draw, dtype=torch.float64))
        values = torch.arange(1, 41).double() ** -2
        kernel = (q * values) @ q.T
        noise = torch.randn(40, generator=draw, dtype=torch.float64)
        results.append(eigen_alignment(kernel, q @ (values.sqrt() * noise)))
    pooled = pool_alignments(results, drop_top=1)
    assert len(pooled.eigenvalues) == 30 * 39
    assert bool((pooled.eigenvalues.diff() <= 0).all())
    assert pooled.slope == pytest.approx(1, abs=0.1)
    assert float(pooled.eigenvalues[0]) < 0.3  # the first of each batch, 1, is out
    # The mean of logarithms would lie 1.27 lower: bins hold the log of the mean instead.
    assert pooled.intercept == pytest.approx(0, abs=0.5)


def test_centred_alignment_by_class() -> None:
    draw = torch.Generator().manual_seed(0)
    y = torch.randn(12, 3, generator=draw).double()
    kernel = torch.randn(12, 12, generator=draw).double()
    kernel = kernel @ kernel.T
    found = kernel_target_alignments(kernel, y)
    expected = [kernel_target_alignment(kernel, y[:, c]) for c in range(3)]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    y[:, 1] = 2.0
    assert kernel_target_alignments(kernel, y).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize(
    "function",
    [eigen_alignment, eigen_alignments, kernel_target_alignment, kernel_target_alignments],
    ids=lambda function: function.__name__,
)
@pytest.mark.parametrize(
    ("kernel", "y", "argument"),
    [(torch.ones(3), torch.ones(3), "kernel"), (torch.tensor(1.0), torch.ones(1), "kernel"),
     (torch.zeros(0, 0), torch.ones(0), "kernel"),
     (torch.full((2, 2), torch.nan), torch.ones(2), "kernel"),
     (torch.eye(2), torch.tensor([1.0, torch.inf]), "y"), (torch.eye(2), torch.ones(3), "y")],
)  # fmt: skip
def test_every_function_complains(function, kernel: Tensor, y: Tensor, argument: str) -> None:
    with pytest.raises(ValueError, match=rf"`{function.__name__}\({argument}=...\)` expected"):
        function(kernel, y)
    with pytest.raises(TypeError, match=rf"`{function.__name__}\(kernel=...\)` expected a tensor"):
        function([[1.0]], y)


def test_constant_kernel_and_empty_pool() -> None:
    with pytest.raises(ValueError, match=r"`kernel_target_alignments\(kernel=...\)` expected"):
        kernel_target_alignments(torch.ones(3, 3), torch.tensor([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match=r"`pool_alignments\(results=...\)` expected at least one"):
        pool_alignments([])
    with pytest.raises(ValueError, match=r"`pool_alignments\(n_bins=...\)` expected"):
        pool_alignments([], n_bins=1)
    with pytest.raises(ValueError, match=r"`pool_alignments\(drop_top=...\)` expected"):
        pool_alignments([], drop_top=-1)
