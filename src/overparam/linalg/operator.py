"""A symmetric matrix known by what it does to vectors: everything here that has a spectrum."""

import math
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam._memory import expect_room
from overparam._numbers import described, is_number
from overparam._switches import full_precision
from overparam._types import Matvec
from overparam.linalg.lanczos import Eigenpairs, top_eigenpairs
from overparam.linalg.product import OperatorProduct

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


class SymmetricOperator:
    """A real symmetric matrix A of order `size`, multiplied with and never formed unless asked.

    The tangent kernel, the Gauss–Newton matrix, the Hessian of a loss or of one output and a
    kernel matrix are each one of these; so are their sums, multiples, shifts and scalings:

        A + B,   A − B,   2 * A,   A / 2,   −A,   A.shifted(σ) = A + σ 1,
        A.scaled(d) = D^½ A D^½,   sum(shards)

    while ``A @ v``, ``A @ V`` and ``A @ B`` are products with a vector, with columns, and with
    another operator (`OperatorProduct`, which need not be symmetric).

    A subclass calls this constructor and defines ``_matvec(v)``, v being a finite vector of
    `size` numbers in the operator's dtype and on its device. It may define ``_matmat(V)``,
    ``_diagonal()`` and ``_dense()`` where it knows a way better than products.

    Args:
        size: Order of the matrix.
        dtype: Of its vectors and of its products.
        device: Where they are.
        psd: Whether the matrix is known to be positive semi-definite, up to rounding. What
            needs that asks for it.

    Attributes:
        size, dtype, device, psd: As given.
        shape: ``(size, size)``.

    Example:
        >>> A = MatrixOperator(torch.diag(torch.tensor([3.0, 1.0])), psd=True)
        >>> (2 * A + A).shifted(1.0) @ torch.ones(2)
        tensor([10.,  4.])
        >>> A.eigenpairs(1).values.round(decimals=4), A.trace()
        (tensor([3.]), 4.0)
    """

    def __init__(
        self, size: int, *, dtype: torch.dtype, device: torch.device | str, psd: bool = False
    ) -> None:
        self.size, self.dtype, self.psd = size, dtype, psd
        self.device = torch.device(device)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.size, self.size

    def __repr__(self) -> str:
        mark = ", psd" if self.psd else ""
        return f"{type(self).__name__}({self.size}, {self.dtype}, {self.device}{mark})"

    # Products.

    @checked
    @full_precision()
    def matvec(self, v: Float[Tensor, "size"]) -> Float[Tensor, "size"]:
        """A v.

        Args:
            v: A vector of `size` numbers, taken to the operator's dtype and device.

        Raises:
            ValueError: If `v` has another length or is not finite.
            NumericalError: If the product is not finite.
        """
        where, shape = f"{type(self).__name__}.matvec(v=...)", tuple(v.shape)
        expect(shape == (self.size,), where, f"a vector of {self.size}", f"shape {shape}")
        return self._matvec(self._like(v))

    @checked
    @full_precision()
    def matmat(self, columns: Float[Tensor, "size m"]) -> Float[Tensor, "size m"]:
        """A V, column by column where the operator knows no better.

        Args:
            columns: (size, m), taken to the operator's dtype and device.

        Raises:
            ValueError: If it has another number of rows, or is not finite.
            NumericalError: If the product is not finite.
        """
        where, shape = f"{type(self).__name__}.matmat(columns=...)", tuple(columns.shape)
        right = len(shape) == 2 and shape[0] == self.size
        expect(right, where, f"columns of {self.size} numbers", f"shape {shape}")
        return self._matmat(self._like(columns))

    @overload
    def __matmul__(self, other: Tensor) -> Tensor: ...
    @overload
    def __matmul__(self, other: "SymmetricOperator | OperatorProduct") -> OperatorProduct: ...
    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, Tensor):
            return self.matvec(other) if other.ndim == 1 else self.matmat(other)
        if isinstance(other, (SymmetricOperator, OperatorProduct)):
            return OperatorProduct(self) @ other
        return NotImplemented

    def _matvec(self, v: Tensor) -> Tensor:
        raise NotImplementedError

    def _matmat(self, columns: Tensor) -> Tensor:
        return torch.stack([self._matvec(column) for column in columns.T], 1)

    def _like(self, v: Tensor) -> Tensor:
        return v.detach().to(self.device, self.dtype)

    # What the whole matrix says.

    def dense(self) -> Float[Tensor, "size size"]:
        """The matrix itself.

        Raises:
            MemoryError: If it does not fit.

        Cost:
            `size` products and as many vectors of memory, unless the operator knows a better way.
        """
        expect_room(
            2 * self.size**2 * self.dtype.itemsize,
            self.device,
            f"{type(self).__name__}.dense()",
            "use products and eigenpairs, which do not form it.",
            "the matrix",
        )
        return self._dense()

    def diagonal(self) -> Float[Tensor, "size"]:
        """A_ii, exact: from `size` products, unless the operator knows a better way."""
        return self._diagonal()

    def trace(self) -> float:
        """Σ_i A_ii, exact, summed in float64; `linalg.hutchpp` estimates it from few products."""
        return float(self.diagonal().double().sum())

    @checked
    def eigenpairs(
        self,
        k: int = 1,
        *,
        which: Literal["largest", "magnitude"] = "largest",
        tolerance: float = 1e-6,
        max_products: int | None = None,
        v0: Float[Tensor, "size"] | None = None,
        seed: int = 0,
    ) -> Eigenpairs:
        """The k leading eigenvalues with unit eigenvectors as columns; see `top_eigenpairs`."""
        where, few = f"{type(self).__name__}.eigenpairs(k=...)", 1 <= k <= self.size
        expect(few, where, f"a number of pairs between 1 and {self.size}", k)
        return top_eigenpairs(
            self, k, which=which, tolerance=tolerance, max_products=max_products, v0=v0, seed=seed
        )

    def _dense(self) -> Tensor:
        return self._matmat(torch.eye(self.size, dtype=self.dtype, device=self.device))

    def _diagonal(self) -> Tensor:
        entries, unit = [], torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for i in range(self.size):
            unit[i] = 1
            entries.append(self._matvec(unit)[i])
            unit[i] = 0
        return torch.stack(entries)

    # Arithmetic.

    def __add__(self, other: "SymmetricOperator | Literal[0]") -> "SymmetricOperator":
        if isinstance(other, int) and other == 0:  # where sum() begins
            return self
        if not isinstance(other, SymmetricOperator):
            return NotImplemented
        return Combination([(1.0, self), (1.0, other)])

    __radd__ = __add__

    def __sub__(self, other: "SymmetricOperator") -> "SymmetricOperator":
        if not isinstance(other, SymmetricOperator):
            return NotImplemented
        return Combination([(1.0, self), (-1.0, other)])

    def __mul__(self, factor: float) -> "SymmetricOperator":
        if not is_number(factor):
            return NotImplemented
        return Combination([(_finite("c * A", factor), self)])

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "SymmetricOperator":
        if not is_number(divisor):
            return NotImplemented
        expect(divisor != 0, "A / c", "a number other than 0", divisor)
        return Combination([(_finite("A / c", 1 / float(divisor)), self)])

    def __neg__(self) -> "SymmetricOperator":
        return self * -1.0

    def shifted(self, by: float) -> "SymmetricOperator":
        """A + σ 1."""
        return Combination([(1.0, self)], _finite(f"{type(self).__name__}.shifted(by=...)", by))

    @checked
    def scaled(self, d: Float[Tensor, "size"]) -> "SymmetricOperator":
        """D^½ A D^½ for a diagonal D ≥ 0: the symmetric matrix with the eigenvalues of D A.

        Args:
            d: The diagonal, `size` numbers ≥ 0.

        Raises:
            ValueError: If one is negative, or there are not `size` of them.
        """
        where = f"{type(self).__name__}.scaled(d=...)"
        right = d.shape == (self.size,) and bool((d >= 0).all())
        expect(right, where, f"{self.size} numbers ≥ 0", f"shape {tuple(d.shape)}, least {d.min()}")
        return Scaled(self, self._like(d))

    # Elsewhere.

    def to_scipy(self) -> "LinearOperator":
        """The same as a `scipy.sparse.linalg.LinearOperator`, its own adjoint.

        It multiplies NumPy arrays; each product crosses to the operator's device and back.
        float64 stays float64, every other dtype is float32 outside.
        """
        from scipy.sparse.linalg import LinearOperator

        kind = torch.float64 if self.dtype == torch.float64 else torch.float32

        def product(array: Any) -> Any:
            x = torch.as_tensor(array)
            y = self.matvec(x.reshape(-1)) if x.numel() == self.size else self.matmat(x)
            return y.to("cpu", kind).numpy().reshape(array.shape)

        made: Any = LinearOperator  # its signature is that of the class it makes one of
        return made(
            shape=self.shape,
            dtype=str(kind).removeprefix("torch."),
            **dict.fromkeys(("matvec", "rmatvec", "matmat", "rmatmat"), product),
        )


class MatrixOperator(SymmetricOperator):
    """A matrix that is there, such as a kernel matrix.

    Args:
        matrix: Symmetric up to rounding.
        psd: Whether it is known to be positive semi-definite, as kernel matrices are.

    Raises:
        ValueError: If it is not square, not finite, or not symmetric to half its digits.

    Example:
        >>> MatrixOperator(torch.tensor([[2.0, 1.0], [1.0, 2.0]])) @ torch.tensor([1.0, 0.0])
        tensor([2., 1.])
    """

    @checked
    def __init__(self, matrix: Float[Tensor, "size size"], *, psd: bool = False) -> None:
        matrix = matrix.detach()
        # Kernels are computed entry by entry: the two halves may round apart. What differs in
        # more than half of the digits is no rounding.
        largest, apart = float(matrix.abs().max()), float((matrix - matrix.T).abs().max())
        expect(
            apart <= torch.finfo(matrix.dtype).eps ** 0.5 * largest,
            "MatrixOperator(matrix=...)",
            "a symmetric matrix",
            f"entries that differ from their mirror image by up to {apart:.3g}",
        )
        super().__init__(len(matrix), dtype=matrix.dtype, device=matrix.device, psd=psd)
        self.matrix = matrix

    def _matvec(self, v: Tensor) -> Tensor:
        return self.matrix @ v

    def _matmat(self, columns: Tensor) -> Tensor:
        return self.matrix @ columns

    def _dense(self) -> Tensor:
        return self.matrix.clone()

    def _diagonal(self) -> Tensor:
        return self.matrix.diagonal().clone()


class DiagonalOperator(SymmetricOperator):
    """A diagonal matrix.

    Args:
        entries: The diagonal.

    Example:
        >>> DiagonalOperator(torch.tensor([1.0, 2.0])) @ torch.ones(2)
        tensor([1., 2.])
    """

    @checked
    def __init__(self, entries: Float[Tensor, "size"]) -> None:
        self.entries = entries.detach()
        psd = bool((entries >= 0).all())
        super().__init__(len(entries), dtype=entries.dtype, device=entries.device, psd=psd)

    def _matvec(self, v: Tensor) -> Tensor:
        return self.entries * v

    def _matmat(self, columns: Tensor) -> Tensor:
        return self.entries[:, None] * columns

    def _dense(self) -> Tensor:
        return self.entries.diag()

    def _diagonal(self) -> Tensor:
        return self.entries.clone()


class FunctionOperator(SymmetricOperator):
    """A function v ↦ A v that is known to be symmetric.

    Args:
        matvec: The function: a vector of `size` numbers to another.
        size: Order of A.
        dtype: Of the vectors it takes; `None` is torch's default.
        device: Where they are; `None` is torch's default.
        psd: Whether A is known to be positive semi-definite.

    Example:
        >>> FunctionOperator(lambda v: 2 * v, 3).trace()
        6.0
    """

    @checked
    def __init__(
        self,
        matvec: Matvec,
        size: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        psd: bool = False,
    ) -> None:
        expect(size >= 1, "FunctionOperator(size=...)", "an order ≥ 1", size)
        device = torch.get_default_device() if device is None else device
        super().__init__(size, dtype=dtype or torch.get_default_dtype(), device=device, psd=psd)
        self.function = matvec

    def _matvec(self, v: Tensor) -> Tensor:
        product = self.function(v)
        where = "FunctionOperator(matvec=...)"
        expect(
            isinstance(product, Tensor), where, "a function that gives tensors",
            described(product), error=TypeError,
        )  # fmt: skip
        shape = tuple(product.shape)
        expect(shape == (self.size,), where, f"products of shape ({self.size},)", shape)
        return self._like(product)


class Combination(SymmetricOperator):
    """Σ c_i A_i + σ 1; each A_i computes on its own device and in its own dtype.

    Args:
        terms: Pairs of a factor and an operator, all of one order. The result is where the
            first is, in the widest of their dtypes.
        shift: σ.
    """

    def __init__(self, terms: list[tuple[float, SymmetricOperator]], shift: float = 0.0) -> None:
        first = terms[0][1]
        for _, operator in terms:
            expect(
                operator.size == first.size, "A + B", f"operators of one order, {first.size}",
                operator.size,
            )  # fmt: skip
        psd = shift >= 0 and all(factor >= 0 and operator.psd for factor, operator in terms)
        dtype = reduce(torch.promote_types, (operator.dtype for _, operator in terms))
        super().__init__(first.size, dtype=dtype, device=first.device, psd=psd)
        self.terms, self.shift = terms, shift

    def _matvec(self, v: Tensor) -> Tensor:
        return self._sum([a._matvec(a._like(v)) for _, a in self.terms], v)

    def _matmat(self, columns: Tensor) -> Tensor:
        return self._sum([a._matmat(a._like(columns)) for _, a in self.terms], columns)

    def _dense(self) -> Tensor:
        one = torch.eye(self.size, dtype=self.dtype, device=self.device)
        return self._sum([a._dense() for _, a in self.terms], one)

    def _diagonal(self) -> Tensor:
        one = torch.ones(self.size, dtype=self.dtype, device=self.device)
        return self._sum([a._diagonal() for _, a in self.terms], one)

    def _sum(self, parts: list[Tensor], identity: Tensor) -> Tensor:
        """Factors of one are left out: a sum costs and rounds as one written by hand."""
        factors = [factor for factor, _ in self.terms]
        weighed = [
            self._like(part) if factor == 1 else factor * self._like(part)
            for factor, part in zip(factors, parts, strict=True)
        ]
        if self.shift:
            weighed.append(self.shift * identity)
        return reduce(torch.add, weighed)


class Scaled(SymmetricOperator):
    """D^½ A D^½; see `SymmetricOperator.scaled`."""

    def __init__(self, operator: SymmetricOperator, d: Tensor) -> None:
        super().__init__(
            operator.size, dtype=operator.dtype, device=operator.device, psd=operator.psd
        )
        self.operator, self.root = operator, d.sqrt()

    def _matvec(self, v: Tensor) -> Tensor:
        return self.root * self.operator._matvec(self.root * v)

    def _matmat(self, columns: Tensor) -> Tensor:
        root = self.root[:, None]
        return root * self.operator._matmat(root * columns)

    def _dense(self) -> Tensor:
        return self.root[:, None] * self.operator._dense() * self.root

    def _diagonal(self) -> Tensor:
        return self.root.square() * self.operator._diagonal()


def _finite(where: str, number: Any) -> float:
    good = is_number(number) and math.isfinite(number)
    expect(good, where, "a finite number", described(number))
    return float(number)
