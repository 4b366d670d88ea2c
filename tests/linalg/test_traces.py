import math

import pytest
import torch
from torch import Tensor, nn

from overparam.errors import NumericalError
from overparam.linalg import FunctionOperator, MatrixOperator, hutchinson, hutchpp
from overparam.tangents import NTKOperator


def decaying(n: int = 200, exponent: float = 1.5) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=draw, dtype=torch.float64))
    return (q * torch.arange(1, n + 1).double() ** -exponent) @ q.T


def errors(estimator, matrix: Tensor, products: int, seeds: int = 60) -> Tensor:
    """Relative errors over seeds."""
    trace = float(matrix.trace())
    return torch.tensor([
        estimator(MatrixOperator(matrix), products=products, seed=s).value / trace - 1
        for s in range(seeds)
    ])  # fmt: skip


def rmse(e: Tensor) -> float:
    return float(e.square().mean().sqrt())


@pytest.mark.parametrize("estimator", [hutchinson, hutchpp])
def test_is_unbiased(estimator) -> None:
    e = errors(estimator, decaying(), 12, 200)
    assert abs(float(e.mean())) < 4 * float(e.std()) / math.sqrt(len(e))


def test_the_error_has_the_variance_of_the_formula() -> None:
    matrix = decaying()
    variance = 2 * float(matrix.square().sum() - matrix.diagonal().square().sum())
    expected = math.sqrt(variance / 20) / float(matrix.trace())
    assert rmse(errors(hutchinson, matrix, 20, 300)) == pytest.approx(expected, rel=0.2)


def test_the_rates_are_those_of_the_papers() -> None:
    matrix = decaying()
    plain, better = (
        [rmse(errors(estimator, matrix, products)) for products in (30, 120)]
        for estimator in (hutchinson, hutchpp)
    )
    assert 1.4 < plain[0] / plain[1] < 2.9  # 2 for the square root
    assert better[0] / better[1] > 4  # 4 for the first power
    assert better[0] < 0.25 * plain[0]


@pytest.mark.parametrize("estimator", [hutchinson, hutchpp])
def test_the_standard_error_is_what_estimates_spread_by(estimator) -> None:
    matrix = decaying()
    found = [estimator(MatrixOperator(matrix), products=60, seed=s) for s in range(60)]
    spread = float(torch.tensor([f.value for f in found]).std())
    stated = math.sqrt(sum(f.standard_error**2 for f in found) / len(found))
    assert stated == pytest.approx(spread, rel=0.35)
    assert {f.products for f in found} == {60}


def test_low_rank_and_small_matrices_are_exact() -> None:
    draw = torch.Generator().manual_seed(1)
    factor = torch.randn(50, 3, generator=draw, dtype=torch.float64)
    matrix = factor @ factor.T
    found = hutchpp(MatrixOperator(matrix), products=12)
    assert found.value == pytest.approx(float(matrix.trace()), rel=1e-12)
    assert found.standard_error < 1e-12 * found.value
    tiny = hutchpp(MatrixOperator(matrix[:2, :2]), products=30)
    assert tiny.value == pytest.approx(float(matrix[:2, :2].trace()), rel=1e-12)
    assert (tiny.standard_error, tiny.products) == (0.0, 4)
    zero = hutchpp(FunctionOperator(torch.zeros_like, 9), products=6)
    assert (zero.value, zero.standard_error) == (0.0, 0.0)


def test_on_a_tangent_kernel() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
        x = torch.randn(20, 3).double()
    kernel = NTKOperator(model, x)
    found = hutchpp(kernel, products=30)
    assert abs(found.value - kernel.trace()) < 4 * found.standard_error
    assert "products" in str(found)


def test_the_seed_decides_and_the_global_generator_is_left_alone() -> None:
    matrix, state = decaying(20), torch.get_rng_state()

    def run(seed: int) -> float:
        found = hutchpp(MatrixOperator(matrix), products=9, seed=seed)
        return found.value

    assert run(1) == run(1) != run(2)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["hutchinson", "hutchpp"])
def test_bad_input(name: str) -> None:
    estimator = {"hutchinson": hutchinson, "hutchpp": hutchpp}[name]
    with pytest.raises(ValueError, match=rf"`{name}\(products=...\)` expected at least"):
        estimator(FunctionOperator(lambda v: v, 4), products=1)
    with pytest.raises(TypeError, match=rf"`{name}\(operator=...\)` expected a symmetric operator"):
        estimator(torch.eye(3))
    with pytest.raises(ValueError, match="expected products of shape"):
        estimator(FunctionOperator(lambda v: v[:1], 4))
    with pytest.raises(NumericalError, match=rf"`{name}\(operator=...\)` expected finite"):
        estimator(FunctionOperator(lambda v: v * torch.nan, 4))
