"""Fourier multiplication against the tables, and against its bilinear form."""

import pytest
import torch

from overparam.kernels.modular.arithmetic import OPERATIONS, operation_table
from overparam.kernels.modular.fourier import fourier_multiplication


def bilinear(x, operation):
    """Σ over pairs with result ℓ of x₁[a] x₂[b]."""
    p = x.shape[1] // 2
    table = operation_table(operation, p)
    products = x[:, :p, None] * x[:, None, p:]
    return torch.stack([(products * (table == answer)).sum((1, 2)) for answer in range(p)], dim=1)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("p", [2, 3, 5, 7, 13])
def test_it_is_the_bilinear_form_of_the_operation(operation, p):
    draw = torch.Generator().manual_seed(p)
    x = torch.randn(6, 2 * p, generator=draw, dtype=torch.float64)
    torch.testing.assert_close(
        fourier_multiplication(x, operation), bilinear(x, operation), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_it_is_exact_on_every_pair(operation):
    p = 11
    unit = torch.eye(p, dtype=torch.float64)
    pairs = torch.cat([unit.repeat_interleave(p, 0), unit.repeat(p, 1)], dim=1)
    table = operation_table(operation, p).flatten()
    expected = torch.zeros(p * p, p, dtype=torch.float64)
    defined = table >= 0
    expected[defined] = unit[table[defined]]
    torch.testing.assert_close(
        fourier_multiplication(pairs, operation), expected, rtol=0, atol=1e-13
    )


def test_sums_need_no_prime_and_single_precision_stays():
    x = torch.zeros(1, 12)
    x[0, 5] = x[0, 6 + 4] = 1
    answer = fourier_multiplication(x, "add")
    assert answer.dtype == torch.float32
    assert answer.argmax() == 3


def test_it_is_differentiable():
    x = torch.randn(2, 10, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: fourier_multiplication(x, "mul"), x)


@pytest.mark.parametrize(
    ("x", "operation", "message"),
    [
        (torch.zeros(2, 5), "add", r"fourier_multiplication\(x=...\)` expected a matrix"),
        (torch.zeros(4), "add", "an even number of columns"),
        (torch.zeros(2, 4, dtype=torch.int64), "add", "floating-point numbers"),
        ([[0.0, 1.0]], "add", "got list"),
        (torch.zeros(2, 8), "mul", "expected a prime, got 4"),
        (torch.zeros(2, 10), "times", "expected an operation out of"),
        (torch.zeros(2, 0), "add", "expected a whole number ≥ 2, got 0"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(x, operation, message):
    with pytest.raises(ValueError, match=message):
        fourier_multiplication(x, operation)
