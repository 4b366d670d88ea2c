"""The solver on every kind of operator, and what it says when it cannot."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator
from torch import nn
from torch.testing import assert_close

from overparam.errors import NumericalError
from overparam.optim.accelerated_solve import accelerated_solve
from overparam.optim.acceleration import METHODS, spectral_error
from overparam.tangents.operator import NTKOperator

VALUES = torch.tensor([1.0, 0.5, 0.2, 0.05], dtype=torch.float64)
ROTATION = torch.linalg.qr(torch.arange(16.0, dtype=torch.float64).reshape(4, 4).sin())[0]
A = ROTATION @ torch.diag(VALUES) @ ROTATION.T
B = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
SOLUTION = torch.linalg.solve(A, B)


@pytest.mark.parametrize("method", METHODS)
def test_it_solves(method):
    x, info = accelerated_solve(A, B, method=method, rho=0.05, rtol=1e-12)
    assert info == 0
    assert_close(x, SOLUTION, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_its_steps_are_the_methods(method):
    start = torch.ones(4, dtype=torch.float64)
    seen = []
    _, info = accelerated_solve(
        A, B, start, method=method, rho=0.1, largest=1.0, rtol=0, maxiter=20, callback=seen.append
    )
    assert info == len(seen) == 20
    errors = ROTATION.T @ (torch.stack(seen) - SOLUTION).T
    initial = ROTATION.T @ (start - SOLUTION)
    steps = [spectral_error(method, VALUES, 0.1, t) for t in range(21)]
    if method == "nesterov":  # residuals are taken at y, ahead of x
        gamma = (1 - math.sqrt(0.1)) / (1 + math.sqrt(0.1))
        steps = [steps[0]] + [
            now + gamma * (now - before) for before, now in itertools.pairwise(steps)
        ]
    assert_close(errors, torch.stack(steps[1:]).T * initial[:, None], rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "operator",
    [
        A.numpy(),
        csr_array(A.numpy()),
        LinearOperator((4, 4), matvec=lambda v: A.numpy() @ v, dtype=np.float64),
        lambda v: A @ v,
    ],
    ids=["array", "sparse", "LinearOperator", "function"],
)
def test_it_takes(operator):
    x, info = accelerated_solve(operator, B, rho=0.05, rtol=1e-10)
    assert info == 0
    assert_close(x, SOLUTION, rtol=1e-7, atol=1e-8)


def test_it_takes_a_tangent_kernel():
    torch.manual_seed(0)
    operator = NTKOperator(nn.Linear(5, 1).double(), torch.randn(4, 5, dtype=torch.float64))
    x, info = accelerated_solve(operator, B, rho=1e-3, rtol=1e-8)
    assert info == 0
    assert_close(operator.matvec(x), B, rtol=1e-6, atol=1e-7)


def test_an_array_comes_back_as_an_array():
    x, _ = accelerated_solve(A.numpy(), B.numpy(), rho=0.05)
    assert isinstance(x, np.ndarray)
    x, _ = accelerated_solve(A, B.float(), rho=0.05)
    assert x.dtype == torch.float32


def test_directions_without_curvature_stay():
    singular = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64))
    b, start = torch.tensor([2.0, 0.0]).double(), torch.tensor([0.0, 7.0]).double()
    x, info = accelerated_solve(singular, b, start, rho=0.1, rtol=1e-10)
    assert info == 0
    assert_close(x, torch.tensor([2.0, 7.0]).double())


def test_arguments_are_not_changed():
    b, start = B.clone(), torch.ones(4, dtype=torch.float64)
    accelerated_solve(A, b, start, rho=0.05)
    assert torch.equal(b, B)
    assert torch.equal(start, torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("arguments", "options", "where"),
    [
        ((A, B[:3]), {}, r"\(A=...\)` expected order 3"),
        ((A, B * math.nan), {}, r"\(b=...\)` expected finite"),
        ((A, A), {}, r"\(b=...\)` expected a vector"),
        ((A, B, B[:2]), {}, r"\(x0=...\)` expected shape"),
        ((A, B), {"rho": 1.5}, r"\(rho=...\)` expected"),
        ((A, B), {"method": "chebychev"}, "did you mean 'chebyshev'"),
        ((A, B), {"largest": -1.0}, r"\(largest=...\)` expected"),
        ((A, B), {"maxiter": 0}, r"\(maxiter=...\)` expected"),
    ],
)
def test_bad_arguments(arguments, options, where):
    with pytest.raises(ValueError, match=where):
        accelerated_solve(*arguments, **options)


def test_not_an_operator():
    with pytest.raises(TypeError, match=r"accelerated_solve\(A=...\)"):
        accelerated_solve(None, B)


@pytest.mark.parametrize("method", METHODS)
def test_too_small_a_bound_is_an_error_not_a_number(method):
    with pytest.raises(NumericalError, match=r"accelerated_solve\(largest=...\)"):
        accelerated_solve(A, B, method=method, rho=0.05, largest=0.3, maxiter=5000)
