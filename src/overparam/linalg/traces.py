"""The trace of an operator that is known by its products with vectors, estimated."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam._switches import full_precision
from overparam.errors import NumericalError
from overparam.linalg._multiplied import Multiplied, takes_operator


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


@takes_operator
@checked
@full_precision()
def hutchinson(operator: Multiplied, *, products: int = 30, seed: int = 0) -> TraceEstimate:
    """Hutchinson's estimate of a trace: the mean of zᵀ A z over random signs z.

        tr A = E zᵀ A z,   variance of one term 2 (‖A‖_F² − Σ_i A_ii²).

    A diagonal matrix is exact after one product. The error falls as products^(-1/2);
    `hutchpp` does better wherever a few eigenvalues hold most of the trace.

    Args:
        operator: A `SymmetricOperator`, A.
        products: Multiplications to spend, at least 2, so that the spread can be seen.
        seed: Of the random signs.

    Raises:
        ValueError: If `products` < 2.
        NumericalError: If a product is not finite.

    Cost:
        `products` products with A and O(n) memory for A of order n.

    Example:
        >>> from overparam.linalg import FunctionOperator
        >>> hutchinson(FunctionOperator(lambda v: 2 * v, 5), products=3)
        TraceEstimate(value=10.0, standard_error=0.0, products=3)

    References:
        Hutchinson (1990): random signs have the smallest variance among independent entries.
    """
    _expect_products("hutchinson", products, 2)
    draw, size, kind, device = _draw(seed), operator.size, operator.dtype, operator.device
    terms = torch.empty(products, dtype=torch.float64)
    for i in range(products):
        z = _signs(size, 1, draw, kind, device)[:, 0]
        terms[i] = z.double() @ _product(operator, z, "hutchinson")
    return TraceEstimate(float(terms.mean()), _standard_error(terms), products)


@takes_operator
@checked
@full_precision()
def hutchpp(operator: Multiplied, *, products: int = 30, seed: int = 0) -> TraceEstimate:
    """Hutch++: the trace on a sketched subspace exactly, the rest by random signs.

        Q = orth(A S),   tr A ≈ tr QᵀAQ + (1/m) Σ_j zⱼᵀ (1 − QQᵀ) A (1 − QQᵀ) zⱼ,

    with S of random signs. A third of the products makes the subspace, a third goes into each
    term. For a positive semi-definite A the relative error falls as 1/products, against
    products^(-1/2) for `hutchinson`; a matrix of rank at most products/3 is exact. The
    standard error is that of the second term, given Q.

    Args:
        operator: A `SymmetricOperator`, A.
        products: Multiplications to spend at most, at least 6.
        seed: Of the random signs.

    Raises:
        ValueError: If `products` < 6.
        NumericalError: If a product is not finite.

    Cost:
        `products` products with A of order n, (2/9) products² n flops, products/3 · n numbers.

    Example:
        One product in three finds the only direction of a matrix of rank one:

        >>> from overparam.linalg import FunctionOperator
        >>> v = torch.tensor([1.0, 2.0, 2.0])
        >>> round(hutchpp(FunctionOperator(lambda z: v * (v @ z), 3), products=6).value, 4)
        9.0

        The trace of a network's tangent kernel, from products alone:

        >>> from overparam.tangents import NTKOperator
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> K = NTKOperator(torch.nn.Linear(2, 1, bias=False), x)
        >>> round(hutchpp(K, products=6).value, 4), K.trace()
        (5.0, 5.0)

    References:
        Meyer, Musco, Musco, Woodruff (2021), arXiv:2010.09649: the algorithm and its rate.
    """
    _expect_products("hutchpp", products, 6)
    draw, size, kind, device = _draw(seed), operator.size, operator.dtype, operator.device
    width = min(products // 3, size)
    start = _signs(size, width, draw, kind, device)
    sketch = torch.stack([_product(operator, z, "hutchpp") for z in start.T], 1)
    basis = torch.linalg.qr(sketch).Q
    image = torch.stack([_product(operator, q.to(kind), "hutchpp") for q in basis.T], 1)
    found = float((basis * image).sum())
    if width == size:
        return TraceEstimate(found, 0.0, 2 * width)
    probes = products - 2 * width
    terms = torch.empty(probes, dtype=torch.float64)
    for i in range(probes):
        z = _signs(size, 1, draw, torch.float64, device)[:, 0]
        z = z - basis @ (basis.T @ z)
        terms[i] = z @ _product(operator, z.to(kind), "hutchpp")
    return TraceEstimate(found + float(terms.mean()), _standard_error(terms), products)


def _draw(seed: int) -> torch.Generator:
    """Signs are drawn on the CPU, so that every device gets the same."""
    return torch.Generator().manual_seed(seed)


def _expect_products(name: str, products: int, least: int) -> None:
    """Raise for a number of products that makes no estimate."""
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


def _product(operator: Multiplied, v: Tensor, name: str) -> Float[Tensor, "size"]:
    """A v in float64, or an error."""
    product = operator._matvec(v).detach().double()
    expect(
        product.shape == v.shape,
        f"{name}(operator=...)",
        f"products of shape {tuple(v.shape)}",
        tuple(product.shape),
    )
    expect(
        bool(torch.isfinite(product).all()),
        f"{name}(operator=...)",
        "finite products",
        "NaN or infinity",
        hint="the operator overflows, or the model's weights are not finite.",
        error=NumericalError,
    )
    return product


def _standard_error(terms: Float[Tensor, "m"]) -> float:
    """Of the mean of independent terms."""
    return float(terms.std()) / math.sqrt(len(terms))
