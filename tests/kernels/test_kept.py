"""The matrix kept for a round's gradients: what is read off it is what would be computed."""

import pytest
import torch

from overparam.kernels import (
    DotExponential,
    Gaussian,
    KernelPredictor,
    Laplace,
    Lpq,
    Quadratic,
    feature_recursion,
    predictor_agop,
)
from overparam.kernels._kept import Kept, kept
from overparam.kernels._pairs import TILE

N, D = TILE + 90, 4  # a full tile and part of one


@pytest.fixture(params=[Laplace(2.0), Gaussian(2.0)], ids=["laplace", "gaussian"])
def kernel(request):
    return request.param


@pytest.fixture
def problem(generator):
    x = torch.randn(N, D, generator=generator, dtype=torch.float64)
    square = torch.randn(D, D, generator=generator, dtype=torch.float64)
    dual = torch.randn(N, 2, generator=generator, dtype=torch.float64)
    return x, dual, square @ square.T


def test_gradients_are_those_of_the_kernel(kernel, problem):
    x, dual, metric = problem
    keeper = Kept(kernel, x)
    matrix = keeper.matrix(x, None, metric)
    torch.testing.assert_close(matrix, kernel.matrix(x, None, metric))
    matrix.diagonal().add_(0.5)  # as a solve does
    got = keeper.gradient(None, x, dual, metric)
    expected = kernel.gradient(None, x, dual, metric)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_points_that_coincide_count_nothing(problem):
    x, dual, _ = problem
    x[7] = x[N - 1] = x[3]
    keeper = Kept(Laplace(2.0), x)
    keeper.matrix(x)
    got, expected = (k.gradient(None, x, dual) for k in (keeper, Laplace(2.0)))
    assert torch.isfinite(got).all()
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8)


def test_what_is_not_kept_is_computed(kernel, problem):
    x, dual, metric = problem
    keeper = Kept(kernel, x)
    kept_matrix = keeper.matrix(x)
    before = kept_matrix.clone()
    others = x[:9] + 1
    torch.testing.assert_close(keeper.matrix(others), kernel.matrix(others))
    torch.testing.assert_close(keeper.matrix(others, x, metric), kernel.matrix(others, x, metric))
    torch.testing.assert_close(
        keeper.gradient(None, x, dual, metric), kernel.gradient(None, x, dual, metric)
    )
    torch.testing.assert_close(keeper.gradient(others, x, dual), kernel.gradient(others, x, dual))
    assert torch.equal(kept_matrix, before)


def test_the_memory_is_used_again(kernel, problem):
    x, _, metric = problem
    keeper = Kept(kernel, x)
    assert keeper.held == 0
    first = keeper.matrix(x)
    assert keeper.held == first.nbytes
    assert keeper.matrix(x, None, metric).data_ptr() == first.data_ptr()


def test_kernels_whose_values_do_not_tell_slopes_are_not_kept(kernel, problem):
    x, _, _ = problem
    assert isinstance(kept(kernel, x), Kept)
    for other in (Quadratic(), DotExponential(), Lpq()):
        assert kept(other, x) is None


@pytest.mark.parametrize("weighted", [False, True])
def test_a_recursion_is_the_same_without_it(kernel, weighted, problem, generator):
    x, dual, _ = problem
    weights = None
    if weighted:
        weights = torch.rand(N, generator=generator, dtype=torch.float64) + 0.5
    *_, last = feature_recursion(x, dual, kernel, ridge=0.1, n_iter=1, weights=weights)
    assert last.predictor.kernel is kernel  # nothing of size n² is left in what is returned
    first = next(feature_recursion(x, dual, kernel, ridge=0.1, weights=weights)).predictor
    alone = predictor_agop(KernelPredictor(kernel, x, first.dual), weights=weights)
    torch.testing.assert_close(last.predictor.feature_matrix, alone / alone.max())
