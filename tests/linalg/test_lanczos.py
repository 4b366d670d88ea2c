import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from overparam.errors import NumericalError
from overparam.linalg import (
    DiagonalOperator,
    FunctionOperator,
    MatrixOperator,
    hutchinson,
    hutchpp,
    power_iteration,
    top_eigenpairs,
)


def matrix_with(values: list[float], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    n = len(values)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    return q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ q.T


SPECTRA = {
    "power law": [k**-1.5 for k in range(1, 61)],
    "clustered": [1 + 1e-3 * k for k in range(50)],
    "rank two": [3.0, 1.0] + [0.0] * 30,
    "multiple": [2.0] * 4 + [1.0] * 20,
    "identity": [1.0] * 12,
    "both signs": [float(k) for k in range(-30, 20)],
    "one": [5.0],
    "zero": [0.0] * 5,
}


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name", SPECTRA)
def test_equals_dense_decomposition(name: str, k: int) -> None:
    values = sorted(SPECTRA[name], reverse=True)
    k = min(k, len(values))
    a = matrix_with(values)
    pairs = top_eigenpairs(MatrixOperator(a), k, tolerance=1e-12)
    expected = torch.tensor(values[:k], dtype=torch.float64)
    assert_close(pairs.values, expected, rtol=1e-10, atol=1e-10)
    assert_close(a @ pairs.vectors, pairs.vectors * pairs.values, rtol=1e-8, atol=1e-8)
    assert_close(pairs.vectors.T @ pairs.vectors, torch.eye(k).double(), rtol=0, atol=1e-10)
    assert pairs.products <= len(values)


def test_largest_magnitude() -> None:
    a = matrix_with([-9.0, 7.0, 1.0, 2.0, 3.0])
    values = top_eigenpairs(MatrixOperator(a), 2, which="magnitude").values
    assert_close(values, torch.tensor([-9.0, 7.0]).double())


@pytest.mark.parametrize("scale", [2.0**-80, 2.0**60])
def test_single_precision_holds_matrices_whose_squares_it_does_not(scale: float) -> None:
    a = matrix_with([4.0, 2.0, 1.0, 0.5, 0.25]).float()
    usual, other = (top_eigenpairs(MatrixOperator(c * a), k=2) for c in (1.0, scale))
    # Scaled by a power of 2 nothing rounds differently but what is added to numbers of size 1.
    assert_close(other.values / scale, usual.values, rtol=1e-5, atol=0)
    start = torch.ones(5) * scale
    value, vector = power_iteration(MatrixOperator(scale * a), start, products=30)
    assert value / scale == pytest.approx(4.0, rel=1e-5)
    assert float(vector.norm()) == pytest.approx(1.0, rel=1e-6)


def test_a_start_in_a_wrong_eigenvector_is_left() -> None:
    a = torch.diag(torch.arange(40, 0, -1).double())
    start = torch.zeros(40).double()
    start[17] = 1
    pairs = top_eigenpairs(MatrixOperator(a), 1, v0=start)
    assert_close(pairs.values, torch.tensor([40.0]).double())


def test_a_good_start_saves_products() -> None:
    a = matrix_with([1 / k for k in range(1, 301)])
    cold = top_eigenpairs(MatrixOperator(a), 1)
    warm = top_eigenpairs(MatrixOperator(a), 1, v0=cold.vectors[:, 0])
    assert cold.products <= 40
    assert warm.products < cold.products / 2
    assert_close(warm.values, cold.values, rtol=1e-6, atol=0)


def test_no_ghosts_without_tolerance() -> None:
    """A plain recurrence without reorthogonalisation repeats the top; ours must not."""
    values = [100.0] + [1 / k for k in range(1, 120)]
    a = matrix_with(values)
    pairs = top_eigenpairs(MatrixOperator(a), 3, max_products=100, tolerance=0)
    assert pairs.products > 30
    assert_close(pairs.values, torch.tensor([100.0, 1.0, 0.5]).double(), rtol=1e-8, atol=0)

    q = torch.ones(120).double() / 120**0.5
    before, beta, alphas, betas = torch.zeros_like(q), 0.0, [], []
    for _ in range(100):
        w = a @ q - beta * before
        alphas.append(float(w @ q))
        w = w - alphas[-1] * q
        beta = float(w.norm())
        betas.append(beta)
        before, q = q, w / beta
    off = torch.tensor(betas[:-1]).double()
    plain = torch.diag(torch.tensor(alphas).double()) + torch.diag(off, 1) + torch.diag(off, -1)
    assert torch.linalg.eigvalsh(plain)[-2] > 99


def test_same_seed_same_bits() -> None:
    a = matrix_with(SPECTRA["power law"]).float()
    runs = [top_eigenpairs(MatrixOperator(a), 2, seed=s).vectors for s in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize(
    ("argument", "kwargs"),
    [("k", {"k": 0}), ("k", {"k": 4}), ("v0", {"v0": torch.zeros(3)}),
     ("v0", {"v0": torch.ones(2)}), ("v0", {"v0": torch.tensor([1.0, torch.nan, 0.0])})],
)  # fmt: skip
def test_bad_arguments(argument: str, kwargs: dict) -> None:
    with pytest.raises(ValueError, match=rf"`top_eigenpairs\({argument}=...\)` expected"):
        top_eigenpairs(FunctionOperator(lambda v: v, 3), **kwargs)


def test_products_that_are_not_finite() -> None:
    with pytest.raises(NumericalError, match="finite products"):
        top_eigenpairs(FunctionOperator(lambda v: v * torch.nan, 3))


def test_power_iteration_approaches_the_largest_from_below() -> None:
    a = matrix_with([4.0, 3.0, 1.0])
    vector, last = torch.ones(3).double(), 0.0
    for _ in range(30):
        value, vector = power_iteration(MatrixOperator(a), vector, products=2)
        assert last - 1e-12 <= value <= 4 + 1e-12
        last = value
    assert last == pytest.approx(4, abs=1e-10)
    assert float(vector.norm()) == pytest.approx(1, abs=1e-12)


def test_power_iteration_of_nothing() -> None:
    value, vector = power_iteration(
        FunctionOperator(lambda v: 0 * v, 2), torch.tensor([0.0, 2.0]), products=3
    )
    assert value == 0
    assert torch.equal(vector, torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("v0", [torch.zeros(2), torch.tensor([torch.inf, 0.0])])
def test_power_iteration_bad_start(v0: Tensor) -> None:
    with pytest.raises(ValueError, match="power_iteration"):
        power_iteration(FunctionOperator(lambda v: v, 2), v0, products=1)
    with pytest.raises(ValueError, match="products"):
        power_iteration(FunctionOperator(lambda v: v, 2), torch.ones(2), products=0)


def test_calls_with_a_function_work_and_say_what_replaces_them() -> None:
    values = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)
    operator, start = DiagonalOperator(values), torch.ones(3, dtype=torch.float64)

    def matvec(v: Tensor) -> Tensor:
        return values * v

    for old, new in (
        (lambda: top_eigenpairs(matvec, 3, 2, dtype=values.dtype), top_eigenpairs(operator, 2)),
        (
            lambda: top_eigenpairs(matvec=matvec, size=3, v0=start),
            top_eigenpairs(operator, v0=start),
        ),
        (lambda: top_eigenpairs(operator.matvec, 3), top_eigenpairs(operator)),
        (lambda: power_iteration(matvec, start), power_iteration(operator, start)),
        (lambda: hutchpp(matvec, 3, products=6, dtype=values.dtype), hutchpp(operator, products=6)),
        (lambda: hutchinson(operator.matvec, 3), hutchinson(operator)),
    ):
        with pytest.warns(DeprecationWarning, match="works until 0.3"):
            found = old()
        assert str(found) == str(new)
    with (
        pytest.warns(DeprecationWarning, match="works until"),
        pytest.raises(ValueError, match=r"`top_eigenpairs\(size=...\)` expected an order"),
    ):
        top_eigenpairs(matvec, 0)
