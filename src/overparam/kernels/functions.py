"""Kernel functions with a feature matrix, and the gradients of what they predict."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._switches import full_precision
from overparam.kernels._pairs import BLOCK, Pairs, apply_metric

FeatureMatrix = Tensor | None
# Columns of a product with the slopes that may be kept for all points at once.
SYMMETRIC_COLUMNS = 1024
# Input numbers up to which, in single precision, a pair is sooner computed twice than mirrored:
# a transposed copy of a number takes as long as 150 flops.
MIRRORED_ABOVE = 40
# Centres up to which a product is formed in whole rows.
WHOLE_ROWS = 4096
# exp(x) is 2^(x log₂ e): on processors a power of two takes a third of the time.
LOG2E = 1 / math.log(2)


class Kernel(ABC):
    """A positive definite function k_M(x, z) of two points under a feature matrix M.

    M enters as a *quadratic form*: k_M sees xᵀMz, or the distance ‖x − z‖_M with
    ‖u‖²_M = uᵀMu. It is None for the identity, a vector for a diagonal, or a symmetric positive
    semi-definite matrix. Points are rows; tensors share one floating dtype and device.
    """

    # Bytes that the next matrix of points with themselves need not ask for.
    held = 0

    @renamed(x="x1", z="x2")
    @abstractmethod
    def matrix(
        self,
        x1: Float[Tensor, "n d"],
        x2: Float[Tensor, "m d"] | None = None,
        feature_matrix: FeatureMatrix = None,
    ) -> Float[Tensor, "n m"]:
        """Kernel of every pair; `x2=None` is `x1`, whose diagonal is then exact.

        Cost: 2 n m d flops and n m exponentials; memory n m numbers and a block.
        """

    @full_precision()
    def product(
        self,
        x: Float[Tensor, "n d"],
        centres: Float[Tensor, "m d"],
        dual: Float[Tensor, "m c"],
        feature_matrix: FeatureMatrix = None,
    ) -> Float[Tensor, "n c"]:
        """The predictor's values k_M(x, centres) α, the matrix a block of rows at a time."""
        step = max(16, BLOCK // max(1, len(centres)))
        parts = [self.matrix(part, centres, feature_matrix) @ dual for part in x.split(step)]
        return torch.cat(parts)

    @abstractmethod
    def gradient_blocks(
        self,
        x: Float[Tensor, "n d"] | None,
        centres: Float[Tensor, "m d"],
        dual: Float[Tensor, "m c"],
        feature_matrix: FeatureMatrix = None,
    ) -> Iterator[tuple[slice, Float[Tensor, "rows c d"]]]:
        """What `gradient` returns, a block of points at a time, with its place."""

    @full_precision()
    def gradient(
        self,
        x: Float[Tensor, "n d"] | None,
        centres: Float[Tensor, "m d"],
        dual: Float[Tensor, "m c"],
        feature_matrix: FeatureMatrix = None,
    ) -> Float[Tensor, "n c d"]:
        """Derivatives by x of the predictor f_ℓ(x) = Σ_j k_M(x, z_j) α_jℓ, in closed form.

        Where x is a centre, the kernel's own term, 0/0 for kernels with a kink, counts 0.

        Args:
            x: Where; None means at the centres.
            centres: The z_j.
            dual: The coefficients α, one column an output.
            feature_matrix: M.

        Cost: 2 n m d c flops, n c d numbers and a block.
        """
        points = centres if x is None else x
        gradient = points.new_empty(len(points), dual.shape[1], centres.shape[1])
        for rows, block in self.gradient_blocks(x, centres, dual, feature_matrix):
            gradient[rows] = block
        return gradient

    @abstractmethod
    def diagonal(
        self, x: Float[Tensor, "n d"], feature_matrix: FeatureMatrix = None
    ) -> Float[Tensor, "n"]:
        """k_M(x, x) of every point."""


class PairKernel(Kernel):
    """A function of one number per pair: of ‖x − z‖²_M (`distance`) or of xᵀMz.

    With B the slopes, the gradient of f_ℓ at x is M Σ_j B(x, z_j) α_jℓ (x − z_j) for a function
    of the distance, M Σ_j B(x, z_j) α_jℓ z_j for one of the inner product.
    """

    distance = True

    @abstractmethod
    def values_(self, pairs: Tensor) -> Tensor:
        """The kernel, written over the squared distances or inner products it is of."""

    @abstractmethod
    def slopes_(self, pairs: Tensor) -> Tensor:
        """B, written over them: φ′(r)/r, or ψ′; 0 where the squared distance is inf."""

    @renamed(x="x1", z="x2")
    def pairs(
        self, x1: Tensor, x2: Tensor | None = None, feature_matrix: FeatureMatrix = None
    ) -> Pairs:
        """The pairs this kernel is a function of."""
        return Pairs(x1, x2, feature_matrix, self.distance)

    @renamed(x="x1", z="x2")
    @full_precision()
    def matrix(
        self, x1: Tensor, x2: Tensor | None = None, feature_matrix: FeatureMatrix = None
    ) -> Tensor:
        """Kernel of every pair, as `Kernel.matrix`."""
        pairs = self.pairs(x1, x2, feature_matrix)
        return self.fill(x1.new_empty(pairs.shape), pairs)

    def fill(
        self,
        matrix: Tensor,
        pairs: Pairs,
        told: Callable[[float], None] = lambda done: None,
    ) -> Tensor:
        """The kernel of every pair, written into a matrix; `told` of the share that is."""
        cheap = matrix.dtype == torch.float32 and pairs.left.shape[1] <= MIRRORED_ABOVE
        if pairs.same and not cheap:
            for rows, columns, tile in pairs.tiles():
                matrix[rows, columns] = self.values_(tile)
                if rows != columns:
                    matrix[columns, rows] = tile.T
                else:
                    told((rows.stop / len(matrix)) ** 2)
            return matrix
        for rows in pairs.row_slices():
            self.values_(pairs.block(rows, out=matrix[rows]))
            told(rows.stop / len(matrix))
        return matrix

    @full_precision()
    def product(
        self, x: Tensor, centres: Tensor, dual: Tensor, feature_matrix: FeatureMatrix = None
    ) -> Tensor:
        """As `Kernel.product`, the pairs prepared once."""
        values = x.new_zeros(len(x), dual.shape[1])
        pairs = self.pairs(x, centres, feature_matrix)
        if len(centres) <= WHOLE_ROWS:
            for rows, block in pairs.blocks():
                torch.mm(self.values_(block), dual, out=values[rows])
            return values
        for rows, columns, block in pairs.rectangles():
            values[rows].addmm_(self.values_(block), dual[columns])
        return values

    def gradient_blocks(
        self, x: Tensor | None, centres: Tensor, dual: Tensor, feature_matrix: FeatureMatrix = None
    ) -> Iterator[tuple[slice, Tensor]]:
        """As `Kernel.gradient_blocks`."""
        points = centres if x is None else x
        outputs, d = dual.shape[1], centres.shape[1]
        # Only differences count: the nearer to 0, the less is cancelled.
        mean = centres.mean(0) if self.distance else centres.new_zeros(d)
        # Columns: α_ℓ ∘ z for every output, and α itself, in one product with the slopes.
        weighted = dual.new_empty(len(dual), outputs * d + (outputs if self.distance else 0))
        for k in range(outputs):
            torch.sub(centres, mean, out=weighted[:, k * d : (k + 1) * d]).mul_(dual[:, k, None])
        if self.distance:
            weighted[:, outputs * d :] = dual
        for rows, sums in self.slope_products(x, centres, weighted, feature_matrix):
            part = sums[:, : outputs * d].unflatten(1, (outputs, d))
            if self.distance:
                shifted = points[rows, None, :] - mean
                part = torch.mul(sums[:, outputs * d :, None], shifted).sub_(part)
            yield rows, apply_metric(part.flatten(0, 1), feature_matrix).view_as(part)

    def slope_products(
        self,
        x: Tensor | None,
        centres: Tensor,
        weighted: Tensor,
        feature_matrix: FeatureMatrix = None,
    ) -> Iterator[tuple[slice, Tensor]]:
        """B(x, centres) times a matrix, by rows; of points with themselves each slope once."""
        points = centres if x is None else x
        pairs = self.pairs(points, None if x is None else centres, feature_matrix)
        if not pairs.same or weighted.shape[1] > SYMMETRIC_COLUMNS:
            for rows, block in pairs.blocks(coinciding=math.inf):
                yield rows, self.slopes_(block) @ weighted
            return
        tiles = ((i, j, self.slopes_(t)) for i, j, t in pairs.tiles(coinciding=math.inf))
        yield from symmetric_products(tiles, weighted)

    def slopes_of_values_(self, values: Tensor) -> Tensor | None:
        """B, written over the kernel, 0 where that is 1; None if the kernel does not tell."""
        return None

    def diagonal(self, x: Tensor, feature_matrix: FeatureMatrix = None) -> Tensor:
        """k_M(x, x), as `Kernel.diagonal`."""
        if self.distance:
            return self.values_(x.new_zeros(len(x)))
        return self.values_((apply_metric(x, feature_matrix) * x).sum(1))


@checked
@dataclass(frozen=True)
class Laplace(PairKernel):
    """exp(−‖x − z‖_M / L): the distance is Euclidean, not the sum of absolute values.

    Args:
        bandwidth: L > 0.

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
        >>> Laplace(bandwidth=5.0).matrix(x).log()
        tensor([[ 0., -1.],
                [-1.,  0.]], dtype=torch.float64)
    """

    bandwidth: float = 10.0

    def __post_init__(self) -> None:
        _positive("Laplace", "bandwidth", self.bandwidth)

    def values_(self, pairs: Tensor) -> Tensor:
        """As `PairKernel.values_`."""
        return pairs.sqrt_().mul_(-LOG2E / self.bandwidth).exp2_()

    def slopes_(self, pairs: Tensor) -> Tensor:
        """As `PairKernel.slopes_`."""
        scaled = pairs.sqrt_().mul_(-LOG2E / self.bandwidth)
        return torch.div(scaled.exp2(), scaled, out=scaled).mul_(LOG2E * self.bandwidth**-2)

    def slopes_of_values_(self, values: Tensor) -> Tensor:
        """As `PairKernel.slopes_of_values_`."""
        # log 1 is +0: what is 1 becomes +inf, and then 0; all else is below 0.
        return values.div_(values.log()).clamp_max_(0).mul_(self.bandwidth**-2)


@checked
@dataclass(frozen=True)
class Gaussian(PairKernel):
    """exp(−‖x − z‖²_M / (2 L²)), that is γ = 1/(2 L²) in exp(−γ ‖x − z‖²_M).

    Args:
        bandwidth: L > 0.

    Example:
        >>> x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
        >>> Gaussian(bandwidth=1.0).matrix(x).log()
        tensor([[ 0., -2.],
                [-2.,  0.]], dtype=torch.float64)
    """

    bandwidth: float = 10.0

    def __post_init__(self) -> None:
        _positive("Gaussian", "bandwidth", self.bandwidth)

    @classmethod
    @checked
    def from_gamma(cls, gamma: float) -> "Gaussian":
        """The kernel exp(−γ ‖x − z‖²_M)."""
        _positive("Gaussian.from_gamma", "gamma", gamma)
        return cls((2 * gamma) ** -0.5)

    def values_(self, pairs: Tensor) -> Tensor:
        """As `PairKernel.values_`."""
        return pairs.mul_(-0.5 * LOG2E / self.bandwidth**2).exp2_()

    def slopes_(self, pairs: Tensor) -> Tensor:
        """As `PairKernel.slopes_`."""
        return self.values_(pairs).mul_(-(self.bandwidth**-2))

    def slopes_of_values_(self, values: Tensor) -> Tensor:
        """As `PairKernel.slopes_of_values_`; at a centre it does not matter what B is."""
        return values.mul_(-(self.bandwidth**-2))


@checked
@dataclass(frozen=True)
class Quadratic(PairKernel):
    """(xᵀ M z)²: homogeneous of degree two, of rank d(d + 1)/2 at most.

    Example:
        >>> Quadratic().matrix(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0]]))
        tensor([[9.]])
    """

    distance = False

    def values_(self, pairs: Tensor) -> Tensor:
        """As `PairKernel.values_`."""
        return pairs.square_()

    def slopes_(self, pairs: Tensor) -> Tensor:
        """As `PairKernel.slopes_`."""
        return pairs.mul_(2)


@checked
@dataclass(frozen=True)
class DotExponential(PairKernel):
    """exp(xᵀ M z / s), a kernel of the inner product with every degree in it.

    Args:
        scale: s > 0; d is usual for inputs with coordinates near ±1.

    Example:
        >>> ones = torch.ones(1, 4, dtype=torch.float64)
        >>> DotExponential(scale=4.0).matrix(ones, -ones).log()
        tensor([[-1.]], dtype=torch.float64)
    """

    scale: float = 1.0
    distance = False

    def __post_init__(self) -> None:
        _positive("DotExponential", "scale", self.scale)

    def values_(self, pairs: Tensor) -> Tensor:
        """As `PairKernel.values_`."""
        return pairs.mul_(LOG2E / self.scale).exp2_()

    def slopes_(self, pairs: Tensor) -> Tensor:
        """As `PairKernel.slopes_`."""
        return self.values_(pairs).mul_(1 / self.scale)


def symmetric_products(
    tiles: Iterable[tuple[slice, slice, Tensor]], weighted: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """A symmetric matrix, given by its tiles on and below the diagonal, times another, by rows."""
    sums = torch.zeros_like(weighted)
    for rows, columns, tile in tiles:
        sums[rows].addmm_(tile, weighted[columns])
        if rows != columns:
            sums[columns].addmm_(tile.T, weighted[rows])
    step = max(16, BLOCK // max(1, weighted.shape[1]))
    for start in range(0, len(sums), step):
        rows = slice(start, min(start + step, len(sums)))
        yield rows, sums[rows]


def _positive(kernel: str, name: str, value: float) -> None:
    expect(
        isinstance(value, int | float) and math.isfinite(value) and value > 0,
        f"{kernel}({name}=...)",
        "a positive number",
        value,
    )
