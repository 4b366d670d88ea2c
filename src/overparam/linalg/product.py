"""A product of operators, which need not be symmetric."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._errors import expect


@runtime_checkable
class _Factor(Protocol):
    """What a product needs of its factors, as `SymmetricOperator` has it."""

    @property
    def size(self) -> int: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device: ...
    def matvec(self, v: Tensor) -> Tensor: ...
    def matmat(self, columns: Tensor) -> Tensor: ...
    def dense(self) -> Tensor: ...


class OperatorProduct:
    """A B … of symmetric operators: multiplied with, transposed, formed.

    ``A @ B`` makes one. Its transpose is the product in the other order.

    Args:
        factors: Of one order, the leftmost first.

    Attributes:
        factors: As given.
        shape: (size, size).
        dtype, device: Of the leftmost, where results are.

    Example:
        >>> from overparam.linalg import DiagonalOperator, MatrixOperator
        >>> A = MatrixOperator(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        >>> (A @ DiagonalOperator(torch.tensor([2.0, 3.0]))).dense()
        tensor([[0., 3.],
                [2., 0.]])
    """

    def __init__(self, *factors: _Factor) -> None:
        sizes = {factor.size for factor in factors}
        expect(len(sizes) == 1, "OperatorProduct(...)", "operators of one order", sorted(sizes))
        self.factors = factors
        self.shape, self.dtype = factors[0].shape, factors[0].dtype
        self.device = factors[0].device

    @property
    def T(self) -> "OperatorProduct":
        """The transpose: B A for A B."""
        return OperatorProduct(*reversed(self.factors))

    def matvec(self, v: Float[Tensor, "size"]) -> Float[Tensor, "size"]:
        """A (B v)."""
        for factor in reversed(self.factors):
            v = factor.matvec(v)
        return v

    def matmat(self, columns: Float[Tensor, "size m"]) -> Float[Tensor, "size m"]:
        """A (B V)."""
        for factor in reversed(self.factors):
            columns = factor.matmat(columns)
        return columns

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, Tensor):
            return self.matvec(other) if other.ndim == 1 else self.matmat(other)
        if isinstance(other, OperatorProduct):
            return OperatorProduct(*self.factors, *other.factors)
        if hasattr(other, "_matvec"):
            return OperatorProduct(*self.factors, other)
        return NotImplemented

    def __rmatmul__(self, other: Any) -> Any:
        return (
            OperatorProduct(other, *self.factors) if hasattr(other, "_matvec") else NotImplemented
        )

    def dense(self) -> Float[Tensor, "size size"]:
        """The matrix itself; cost and memory as `SymmetricOperator.dense`."""
        columns = self.factors[-1].dense()
        for factor in reversed(self.factors[:-1]):
            columns = factor.matmat(columns)
        return columns

    def __repr__(self) -> str:
        return " @ ".join(map(repr, self.factors))
