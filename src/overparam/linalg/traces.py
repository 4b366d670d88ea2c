"""The trace of an operator that is known by its products with vectors, estimated."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._devices import of_operator
from overparam._errors import NumericalError, expect
from overparam._switches import full_precision
from overparam._types import Matvec


@dataclass(frozen=True)
class TraceEstimate:
    """A trace, how far it may be off, and what it cost.

    Attributes:
        value: The estimate, without bias.
        standard_error: Of `value`, from the spread of the random probes; 0 where nothing was
            left to chance. From few probes it is itself uncertain, by 1/√(2 (probes − 1)).
        products: Multiplications with the operator.
    """

    value: float
    standard_error: float
    products: int

    def __str__(self) -> str:
        return f"{self.value:.6g} ± {self.standard_error:.2g} ({self.products} products)"


@checked
@full_precision()
def hutchinson(
    matvec: Matvec,
    size: int,
    *,
    products: int = 30,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
) -> TraceEstimate:
    """Hutchinson's estimate of a trace: the mean of zᵀ A z over random signs z.

        tr A = E zᵀ A z,   variance of one term 2 (‖A‖_F² − Σ_i A_ii²).

    A diagonal matrix is exact after one product. The error falls as products^(-1/2);
    `hutchpp` does better wherever a few eigenvalues hold most of the trace.

    Args:
        matvec: v ↦ A v for a symmetric A.
        size: Order of A.
        products: Multiplications to spend, at least 2, so that the spread can be seen.
        dtype: Of the vectors `matvec` takes. `None` asks the operator `matvec` is a method of,
            as it is of `NTKOperator` and `GGNOperator`; of another, torch's default.
        device: Likewise.
        seed: Of the random signs.

    Raises:
        ValueError: If `size` < 1 or `products` < 2.
        NumericalError: If a product is not finite.

    Cost:
        `products` products with A and O(size) memory.

    Example:
        >>> hutchinson(lambda v: 2 * v, 5, products=3)
        TraceEstimate(value=10.0, standard_error=0.0, products=3)

    References:
        Hutchinson (1990): random signs have the smallest variance among independent entries.
    """
    _expect_sizes("hutchinson", size, products, 2)
    draw, (device, kind) = _draw(seed), _vectors(matvec, dtype, device)
    terms = torch.empty(products, dtype=torch.float64)
    for i in range(products):
        z = _signs(size, 1, draw, kind, device)[:, 0]
        terms[i] = z.double() @ _product(matvec, z, "hutchinson")
    return TraceEstimate(float(terms.mean()), _standard_error(terms), products)


@checked
@full_precision()
def hutchpp(
    matvec: Matvec,
    size: int,
    *,
    products: int = 30,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
) -> TraceEstimate:
    """Hutch++: the trace on a sketched subspace exactly, the rest by random signs.

        Q = orth(A S),   tr A ≈ tr QᵀAQ + (1/m) Σ_j zⱼᵀ (1 − QQᵀ) A (1 − QQᵀ) zⱼ,

    with S of random signs. A third of the products makes the subspace, a third goes into each
    term. For a positive semi-definite A the relative error falls as 1/products, against
    products^(-1/2) for `hutchinson`; a matrix of rank at most products/3 is exact. The
    standard error is that of the second term, given Q.

    Args:
        matvec: v ↦ A v for a symmetric A.
        size: Order of A.
        products: Multiplications to spend at most, at least 6.
        dtype: Of the vectors `matvec` takes. `None` asks the operator `matvec` is a method of,
            as it is of `NTKOperator` and `GGNOperator`; of another, torch's default.
        device: Likewise.
        seed: Of the random signs.

    Raises:
        ValueError: If `size` < 1 or `products` < 6.
        NumericalError: If a product is not finite.

    Cost:
        `products` products with A, (2/9) products² size flops, products/3 · size numbers.

    Example:
        One product in three finds the only direction of a matrix of rank one:

        >>> v = torch.tensor([1.0, 2.0, 2.0])
        >>> round(hutchpp(lambda z: v * (v @ z), 3, products=6).value, 4)
        9.0

        The trace of a network's tangent kernel, from products alone:

        >>> from overparam.tangents import NTKOperator
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> K = NTKOperator(torch.nn.Linear(2, 1, bias=False), x)
        >>> round(hutchpp(K.torch_matvec, K.shape[0], products=6).value, 4), K.trace()
        (5.0, 5.0)

    References:
        Meyer, Musco, Musco, Woodruff (2021), arXiv:2010.09649: the algorithm and its rate.
    """
    _expect_sizes("hutchpp", size, products, 6)
    draw, (device, kind) = _draw(seed), _vectors(matvec, dtype, device)
    width = min(products // 3, size)
    start = _signs(size, width, draw, kind, device)
    sketch = torch.stack([_product(matvec, z, "hutchpp") for z in start.T], 1)
    basis = torch.linalg.qr(sketch).Q
    image = torch.stack([_product(matvec, q.to(kind), "hutchpp") for q in basis.T], 1)
    found = float((basis * image).sum())
    if width == size:
        return TraceEstimate(found, 0.0, 2 * width)
    probes = products - 2 * width
    terms = torch.empty(probes, dtype=torch.float64)
    for i in range(probes):
        z = _signs(size, 1, draw, torch.float64, device)[:, 0]
        z = z - basis @ (basis.T @ z)
        terms[i] = z @ _product(matvec, z.to(kind), "hutchpp")
    return TraceEstimate(found + float(terms.mean()), _standard_error(terms), products)


def _draw(seed: int) -> torch.Generator:
    """Signs are drawn on the CPU, so that every device gets the same."""
    return torch.Generator().manual_seed(seed)


def _vectors(
    matvec: Matvec, dtype: torch.dtype | None, device: torch.device | str | None
) -> tuple[torch.device, torch.dtype]:
    """Where and in what a product is computed: as given, else as the operator says."""
    there, kind = of_operator(matvec)
    return torch.device(device or there), dtype or kind


def _expect_sizes(name: str, size: int, products: int, least: int) -> None:
    """Raise for an order or a number of products that makes no estimate."""
    expect(isinstance(size, int) and size >= 1, f"{name}(size=...)", "an order ≥ 1", size)
    expect(
        isinstance(products, int) and products >= least,
        f"{name}(products=...)",
        f"at least {least} products",
        products,
        hint="from fewer, the error of the estimate cannot be seen.",
    )


def _signs(
    size: int, count: int, draw: torch.Generator, dtype: torch.dtype, device: torch.device | str
) -> Float[Tensor, "size count"]:
    """Independent random signs."""
    signs = torch.randint(0, 2, (size, count), generator=draw, dtype=torch.int8, device="cpu")
    return (2 * signs - 1).to(device, dtype)


def _product(matvec: Matvec, v: Tensor, name: str) -> Float[Tensor, "size"]:
    """A v in float64, or an error."""
    product = matvec(v).detach().double()
    expect(
        product.shape == v.shape,
        f"{name}(matvec=...)",
        f"products of shape {tuple(v.shape)}",
        tuple(product.shape),
    )
    expect(
        bool(torch.isfinite(product).all()),
        f"{name}(matvec=...)",
        "finite products",
        "NaN or infinity",
        hint="the operator overflows, or the model's weights are not finite.",
        error=NumericalError,
    )
    return product


def _standard_error(terms: Float[Tensor, "m"]) -> float:
    """Of the mean of independent terms."""
    return float(terms.std()) / math.sqrt(len(terms))
