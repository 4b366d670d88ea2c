"""What holds of everything with a spectrum, and that each line of it can be broken."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from overparam.curvature import GGNOperator, HessianOperator, OutputHessian
from overparam.kernels import Laplace
from overparam.linalg import (
    DiagonalOperator,
    FunctionOperator,
    MatrixOperator,
    SymmetricOperator,
)
from overparam.tangents import NTKOperator

# Entries are sums of some hundred products of depth three, each rounded at 2e-16 of the largest:
# 1e-13 and below. Two ways to one number then agree to a hundred times that.
CLOSE = 1e-11


def network() -> tuple[nn.Module, Tensor, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        return model, torch.randn(6, 3).double(), torch.tensor([0, 1, 2, 2, 1, 0])


def symmetric(seed: int = 0, n: int = 7) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    matrix = torch.randn(n, n, generator=draw, dtype=torch.float64)
    return matrix + matrix.T


def shard(rows: slice) -> GGNOperator:
    model, x, y = network()
    return GGNOperator(model, x[rows], y[rows], cross_entropy)


def kernel_matrix() -> MatrixOperator:
    _, x, _ = network()
    return MatrixOperator(Laplace(2.0).matrix(x, x), psd=True)


OPERATORS: dict[str, Callable[[], SymmetricOperator]] = {
    "tangent kernel": lambda: NTKOperator(*network()[:2]),
    "Gauss-Newton": lambda: GGNOperator(*network(), cross_entropy),
    "Hessian": lambda: HessianOperator(*network(), cross_entropy),
    "Hessian of an output": lambda: OutputHessian(network()[0], network()[1][:1], 1),
    "kernel matrix": kernel_matrix,
    "matrix": lambda: MatrixOperator(symmetric()),
    "diagonal": lambda: DiagonalOperator(symmetric()[0]),
    "function": lambda: FunctionOperator(lambda v: symmetric() @ v, 7, dtype=torch.float64),
    "sum over shards": lambda: sum(shard(slice(i, i + 2)) for i in (0, 2, 4)) / 3,  # pyright: ignore
    "difference": lambda: MatrixOperator(symmetric()) - 2 * MatrixOperator(symmetric(1)),
    "shift": lambda: MatrixOperator(symmetric()).shifted(0.5),
    "scaling": lambda: MatrixOperator(symmetric()).scaled(symmetric()[0].abs()),
}
CHUNKED: dict[str, Callable[[int | None], SymmetricOperator]] = {
    "tangent kernel": lambda size: NTKOperator(*network()[:2], chunk_size=size),
    "Gauss-Newton": lambda size: GGNOperator(*network(), cross_entropy, chunk_size=size),
}


def columns(operator: SymmetricOperator, m: int) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(operator.size, m, generator=draw, dtype=torch.float64)


def close(found: Any, expected: Tensor) -> None:
    scale = max(float(expected.abs().max()), 1e-300)
    found = torch.as_tensor(found, dtype=torch.float64) if isinstance(found, float) else found
    assert_close(torch.as_tensor(found), expected, rtol=0, atol=CLOSE * scale)


def is_symmetric(operator: SymmetricOperator) -> None:
    u, v = columns(operator, 2).T
    close(u @ operator.matvec(v), v @ operator.matvec(u))


def multiplies_columns_one_by_one(operator: SymmetricOperator) -> None:
    block = columns(operator, 3)
    close(operator.matmat(block), torch.stack([operator.matvec(v) for v in block.T], 1))
    assert torch.equal(operator @ block, operator.matmat(block))
    assert torch.equal(operator @ block[:, 0], operator.matvec(block[:, 0]))


def forms_its_matrix(operator: SymmetricOperator) -> None:
    dense = operator.dense()
    close(operator @ torch.eye(operator.size).double(), dense)
    close(operator.diagonal(), dense.diagonal())
    close(operator.trace(), dense.trace())


def multiplies_with_itself(operator: SymmetricOperator) -> None:
    v, dense = columns(operator, 1)[:, 0], operator.dense()
    twice = operator @ operator
    close(twice @ v, dense @ (dense @ v))
    close(twice.dense(), dense @ dense)
    close((twice @ DiagonalOperator(v)).T @ v, v * (dense @ (dense @ v)))


def has_the_eigenvalues_of_its_matrix(operator: SymmetricOperator) -> None:
    expected = torch.linalg.eigvalsh(operator.dense()).flip(0)[:2]
    close(operator.eigenpairs(2, tolerance=1e-12).values, expected)


def is_marked_truly(operator: SymmetricOperator) -> None:
    values = torch.linalg.eigvalsh(operator.dense())
    if operator.psd:
        assert float(values[0]) >= -CLOSE * float(values[-1])


def is_its_own_adjoint_in_scipy(operator: SymmetricOperator) -> None:
    there, block = operator.to_scipy(), columns(operator, 3)
    assert there.shape == operator.shape == (operator.size, operator.size)
    assert there.dtype == np.float64
    u, v, w = block.numpy().T
    close(u @ there.matvec(v), u_(v) @ u_(there.rmatvec(u)))
    close(there.adjoint() @ w, operator.matvec(u_(w)))
    close(there @ block.numpy(), operator.matmat(block))
    assert there.matvec(v[:, None]).shape == (operator.size, 1)


def u_(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def keeps_dtype_and_device(operator: SymmetricOperator) -> None:
    v = columns(operator, 1)[:, 0]
    for found in (
        operator.matvec(v.float()), operator.matmat(v[:, None]), operator.dense(),
        operator.diagonal(), operator.eigenpairs().vectors,
    ):  # fmt: skip
        assert (found.dtype, found.device) == (operator.dtype, operator.device)
        assert not found.requires_grad
    assert operator.dtype == torch.float64


LINES = (
    is_symmetric,
    multiplies_columns_one_by_one,
    forms_its_matrix,
    multiplies_with_itself,
    has_the_eigenvalues_of_its_matrix,
    is_marked_truly,
    is_its_own_adjoint_in_scipy,
    keeps_dtype_and_device,
)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.__name__)
@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator(name: str, line: Callable[[SymmetricOperator], None]) -> None:
    line(OPERATORS[name]())


@pytest.mark.parametrize("chunk_size", [1, 4, 6])
@pytest.mark.parametrize("name", CHUNKED)
def test_chunks_change_nothing(name: str, chunk_size: int) -> None:
    whole, parts = CHUNKED[name](None), CHUNKED[name](chunk_size)
    v = columns(whole, 1)[:, 0]
    close(parts @ v, whole @ v)
    close(parts.diagonal(), whole.diagonal())
    close(parts.dense(), whole.dense())


class Broken(MatrixOperator):
    """One that keeps every line, until a method is replaced."""

    def __init__(self) -> None:
        super().__init__(symmetric())


class Lopsided(Broken):
    def _matvec(self, v: Tensor) -> Tensor:
        return self.matrix.triu() @ v


class Transposing(Broken):
    def _matmat(self, columns: Tensor) -> Tensor:
        return super()._matmat(columns).flip(1)


class Halved(Broken):
    def _dense(self) -> Tensor:
        return self.matrix / 2


class Absorbing(Broken):
    def __matmul__(self, other: Any) -> Any:
        return self if isinstance(other, SymmetricOperator) else super().__matmul__(other)

    def matvec(self, v: Tensor) -> Tensor:
        return super().matvec(v)


class Shifting(Broken):
    def eigenpairs(self, k: int = 1, **options: Any) -> Any:
        return self.shifted(1e-6).eigenpairs(k, **options)


class Overrated(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.psd = True


class OneSided(Broken):
    def to_scipy(self) -> Any:
        from scipy.sparse.linalg import LinearOperator

        made: Any = LinearOperator
        return made(
            shape=self.shape, dtype="float64", matvec=lambda v: self.matrix.numpy() @ v,
            rmatvec=lambda v: v,
        )  # fmt: skip


class Single(Broken):
    def _diagonal(self) -> Tensor:
        return super()._diagonal().float()


@pytest.mark.parametrize(
    ("line", "specimen"),
    list(
        zip(
            LINES,
            (Lopsided, Transposing, Halved, Absorbing, Shifting, Overrated, OneSided, Single),
            strict=True,
        )
    ),
    ids=lambda part: part.__name__,
)
def test_each_line_can_be_broken(
    line: Callable[[SymmetricOperator], None], specimen: type[Broken]
) -> None:
    line(Broken())
    with pytest.raises((AssertionError, AttributeError)):
        line(specimen())


@pytest.mark.parametrize("name", ["tangent kernel", "Gauss-Newton", "matrix", "sum over shards"])
def test_a_wrong_vector_is_named(name: str) -> None:
    operator = OPERATORS[name]()
    for product, argument in (
        (operator.matvec, torch.ones(operator.size + 1)),
        (operator.matmat, torch.ones(operator.size + 1, 2)),
        (operator.scaled, -torch.ones(operator.size)),
    ):
        with pytest.raises(ValueError, match=rf"`\w+\.{product.__name__}\(\w+=...\)` expected"):
            product(argument)
    with pytest.raises(TypeError):
        operator @ "text"  # pyright: ignore
    with pytest.raises(ValueError, match=r"`A \+ B` expected operators of one order"):
        operator + DiagonalOperator(torch.ones(operator.size + 1))


@pytest.mark.parametrize(
    ("said", "of"),
    [
        (r"c \* A", lambda A: math.nan * A),
        ("A / c", lambda A: A / 0),
        ("A / c", lambda A: A / 5e-324),
        (r"MatrixOperator\.shifted\(by=\.\.\.\)", lambda A: A.shifted(math.inf)),
    ],
)
def test_arithmetic_that_has_no_result_is_named(
    said: str, of: Callable[[SymmetricOperator], object]
) -> None:
    with pytest.raises(ValueError, match=f"`{said}` expected a .*number"):
        of(MatrixOperator(symmetric()))


def test_a_matrix_that_is_not_symmetric_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a symmetric matrix"):
        MatrixOperator(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
