import math

import pytest
import torch

from overparam.errors import NumericalError
from overparam.linalg import MatrixOperator, condition_number, matrix_extremes
from overparam.linalg.spectra import bounded_extremes


def test_known_ends() -> None:
    ends = matrix_extremes(torch.diag(torch.tensor([3.0, 0.5, 2.0])))
    assert (ends.largest, ends.smallest, ends.exact, ends.size) == (3.0, 0.5, True, 3)
    assert ends.condition_number == 6


def test_relu_limit_kernel() -> None:
    """(3/4) 1 + (1/4) 11ᵀ has the condition number (n + 3) / 3."""
    for n in (2, 5, 20):
        kernel = 0.75 * torch.eye(n).double() + 0.25
        assert condition_number(kernel) == pytest.approx((n + 3) / 3, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicates_make_it_infinite_never_negative(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 60, generator=generator, dtype=dtype)
    x[7] = x[3]
    kernel = x @ x.T
    ends = matrix_extremes(kernel)
    assert ends.smallest == 0
    assert ends.condition_number == math.inf
    assert float(torch.linalg.eigvalsh(kernel)[0]) != 0  # what the plain answer would divide by


def test_noise_of_the_precision_it_was_made_in() -> None:
    kernel = torch.diag(torch.tensor([1.0, 1e-9], dtype=torch.float64))
    assert matrix_extremes(kernel).smallest == 1e-9
    assert matrix_extremes(kernel, noise=torch.float32).smallest == 0
    assert matrix_extremes(kernel.float()).smallest == 0


def test_bound_by_a_principal_submatrix() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 80, generator=generator, dtype=torch.float64)
    a = x @ x.T
    exact = matrix_extremes(a)
    ends = bounded_extremes(MatrixOperator(a, psd=True), a[:20, :20])
    assert not ends.exact
    assert ends.largest == pytest.approx(exact.largest, rel=1e-6)
    assert ends.smallest >= exact.smallest
    assert ends.condition_number <= exact.condition_number * (1 + 1e-6)
    with pytest.raises(ValueError, match="known to be positive semi-definite"):
        bounded_extremes(MatrixOperator(a), a[:20, :20])


def test_zero_matrix() -> None:
    ends = matrix_extremes(torch.zeros(3, 3))
    assert (ends.largest, ends.smallest, ends.condition_number) == (0, 0, math.inf)


@pytest.mark.parametrize("shape", [(0, 0), (2, 3), (4,)])
def test_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"`matrix_extremes\(matrix=...\)` expected a non-empty"):
        matrix_extremes(torch.ones(shape))


@pytest.mark.parametrize(
    "matrix", [torch.full((2, 2), torch.nan), torch.diag(torch.tensor([1.0, -1]))]
)
def test_numbers(matrix: torch.Tensor) -> None:
    with pytest.raises(NumericalError, match="matrix_extremes"):
        matrix_extremes(matrix)
