"""Average gradient outer product of a kernel predictor: what it learned about its inputs."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, distributed

from overparam._checked import checked
from overparam._deprecated import old_names
from overparam._errors import expect, unknown
from overparam._switches import full_precision
from overparam.kernels._pairs import BLOCK, apply_metric
from overparam.kernels._shards import Shards
from overparam.kernels.functions import FeatureMatrix, Kernel, PairKernel

Method = Literal["auto", "gram", "streamed"]


@checked
@dataclass(frozen=True)
class KernelPredictor:
    """A function f(x) = Σ_j k_M(x, z_j) α_j, called like any other.

    Attributes:
        kernel: k.
        centres: The z_j, one a row.
        dual: The coefficients α, one column an output.
        feature_matrix: M: None for the identity, a vector for a diagonal, or a matrix.
    """

    kernel: Kernel
    centres: Float[Tensor, "n d"]
    dual: Float[Tensor, "n c"]
    feature_matrix: FeatureMatrix = None

    def __call__(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m c"]:
        """Values of every output."""
        return self.kernel.product(x, self.centres, self.dual, self.feature_matrix)

    @checked
    def gradient(self, x: Float[Tensor, "m d"] | None = None) -> Float[Tensor, "m c d"]:
        """Derivatives of every output by the input; None means at the centres."""
        return self.kernel.gradient(x, self.centres, self.dual, self.feature_matrix)


@checked
@full_precision()
def predictor_agop(
    predictor: KernelPredictor,
    x: Float[Tensor, "m d"] | None = None,
    *,
    method: Method = "auto",
    center: bool = False,
    weights: Float[Tensor, "m"] | None = None,
    group: "distributed.ProcessGroup | None" = None,
) -> Float[Tensor, "d d"]:
    """Average gradient outer product of a kernel predictor, in closed form.

        G = (1/m) Σᵢ J(xᵢ)ᵀ J(xᵢ),     J = ∂f/∂x  (outputs × d)

    A *mean* over points and a *sum* over outputs, as `overparam.tangents.agop` has it for a
    network. At the centres, a kernel's term with its own centre counts 0.

    Args:
        predictor: f.
        x: Points; None means the centres.
        method: ``"streamed"`` forms the gradients of a block of points at a time. ``"gram"``
            needs none: with F = Bα, for B the slopes of the kernel, G is

                (1/m) M [Xᵀ diag(Σ_ℓ F²) X − XᵀYZ − ZᵀYᵀX + Zᵀ((BᵀB)∘(ααᵀ))Z] M,  Y = B∘(Fαᵀ).

            Which is cheaper depends on m against c d; ``"auto"`` counts.
        center: Subtract the mean gradient of every output first.
        weights: Of the points, ≥ 0, for a weighted mean.
        group: Processes of `torch.distributed` that share centres and points; None is this
            process alone. Each gives its own centres with their coefficients, its own points
            and weights, and gets the matrix of all; always streamed.

    Returns:
        A symmetric positive semi-definite matrix.

    Raises:
        ValueError: An unknown method, or ``"gram"`` for a kernel that is not a function of a
            distance or an inner product, or in a group; a process without points.

    Cost:
        Streamed 2 m n c d flops and a block of gradients; by Gram matrices 2 m n² flops and
        3 n² numbers (`n` centres). Never n × c × d numbers. In a group of p processes 1/p of
        the flops each, and m d (c + 1) numbers exchanged.

    Example:
        A kernel of inner products with one centre predicts a parabola along it:

        >>> from overparam.kernels import Quadratic
        >>> one = torch.tensor([[1.0, 1.0]])
        >>> predictor_agop(KernelPredictor(Quadratic(), one, torch.tensor([[0.25]])))
        tensor([[1., 1.],
                [1., 1.]])

    References:
        Radhakrishnan, Beaglehole, Pandit, Belkin (2022), arXiv:2212.13881: the matrix.
    """
    if group is not None:
        return _shared(
            "predictor_agop", predictor, x, method, center, weights, group, diagonal=False
        )
    if _chosen("predictor_agop", predictor, x, method) == "gram":
        return _by_gram(predictor, x, center, weights)
    return _streamed(predictor, x, center, weights, diagonal=False)


@checked
@full_precision()
def predictor_agop_diagonal(
    predictor: KernelPredictor,
    x: Float[Tensor, "m d"] | None = None,
    *,
    method: Method = "auto",
    center: bool = False,
    weights: Float[Tensor, "m"] | None = None,
    group: "distributed.ProcessGroup | None" = None,
) -> Float[Tensor, "d"]:
    """Diagonal of the average gradient outer product: how much each input number matters.

        g_a = (1/m) Σᵢ Σ_ℓ (∂f_ℓ/∂x_a)²(xᵢ)

    The same as ``predictor_agop(...).diagonal()``; no d × d matrix unless the Gram form is cheaper.

    Args, Raises: As for `predictor_agop`.

    Returns:
        d numbers ≥ 0.

    Example:
        >>> from overparam.kernels import Quadratic
        >>> one = torch.tensor([[1.0, 1.0]])
        >>> predictor_agop_diagonal(KernelPredictor(Quadratic(), one, torch.tensor([[0.25]])))
        tensor([1., 1.])
    """
    if group is not None:
        return _shared(
            "predictor_agop_diagonal", predictor, x, method, center, weights, group, diagonal=True
        )
    if _chosen("predictor_agop_diagonal", predictor, x, method) == "gram":
        return _by_gram(predictor, x, center, weights).diagonal().clone()
    return _streamed(predictor, x, center, weights, diagonal=True)


def _chosen(where: str, predictor: KernelPredictor, x: Tensor | None, method: str) -> str:
    """The form to use: the cheaper one in flops."""
    if method not in ("auto", "gram", "streamed"):
        unknown(f"{where}(method=...)", "a method", str(method), ["auto", "gram", "streamed"])
    paired = isinstance(predictor.kernel, PairKernel)
    expect(
        method != "gram" or paired,
        f"{where}(method='gram')",
        "a kernel that is a function of a distance or an inner product",
        type(predictor.kernel).__name__,
        hint="use method='streamed'.",
    )
    if method != "auto":
        return method
    n, d = predictor.centres.shape
    return "gram" if paired and n < predictor.dual.shape[1] * d else "streamed"


def _streamed(
    predictor: KernelPredictor,
    x: Tensor | None,
    center: bool,
    weights: Tensor | None,
    *,
    diagonal: bool,
) -> Tensor:
    kernel, centres, dual = predictor.kernel, predictor.centres, predictor.dual
    points = centres if x is None else x
    share = _shares(points[:, 0], weights)
    outer = _Outer(centres, dual.shape[1], center, diagonal)
    for place, gradients in kernel.gradient_blocks(x, centres, dual, predictor.feature_matrix):
        outer.add(gradients, share[place])
    return outer.total()


def _shared(
    where: str,
    predictor: KernelPredictor,
    x: Tensor | None,
    method: Method,
    center: bool,
    weights: Tensor | None,
    group: "distributed.ProcessGroup",
    *,
    diagonal: bool,
) -> Tensor:
    """Points of one process after the other: all add what their own centres say of them."""
    expect(
        _chosen(where, predictor, x, method) == "streamed" or method == "auto",
        f"{where}(method=..., group=...)",
        "method='streamed' or 'auto', as centres are spread over processes",
        method,
    )
    points = predictor.centres if x is None else x
    shards = Shards(len(points), group, points.device, f"{where}(x=..., group=...)")
    share = torch.ones_like(points[:, 0]) if weights is None else weights
    share = share / shards.sum_(share.sum())
    c, d = predictor.dual.shape[1], points.shape[1]
    outer = _Outer(points, c, center, diagonal)
    step = max(16, BLOCK // (c * d))
    first = 0
    for owner, count in enumerate(shards.counts):
        for start in range(0, count, step):
            numbers = torch.arange(start, min(start + step, count)) + first
            here, rows = shards.own(numbers)
            block = shards.spread(points[rows], here, len(numbers))
            gradients = shards.sum_(predictor.gradient(block))
            if owner == shards.rank:
                outer.add(gradients, share[rows])
        first += count
    return outer.total(shards)


class _Outer:
    """The sum of outer products of gradients, and of gradients if they are centred."""

    def __init__(self, like: Tensor, outputs: int, center: bool, diagonal: bool) -> None:
        d = like.shape[1]
        self.diagonal = diagonal
        self.sums = like.new_zeros(d if diagonal else (d, d))
        self.means = like.new_zeros(outputs, d) if center else None

    def add(self, gradients: Tensor, share: Tensor) -> None:
        """Gradients of some points, (points, outputs, d), with the points' shares."""
        rows = (gradients * share.sqrt()[:, None, None]).flatten(0, 1)
        self.sums += rows.square().sum(0) if self.diagonal else rows.T @ rows
        if self.means is not None:
            self.means += torch.einsum("n,ncd->cd", share, gradients)

    def total(self, shards: Shards | None = None) -> Tensor:
        """The matrix, or its diagonal, over all processes."""
        sums, means = self.sums, self.means
        if shards is not None:
            sums = shards.sum_(sums)
            means = None if means is None else shards.sum_(means)
        if means is None:
            return sums
        return sums - (means.square().sum(0) if self.diagonal else means.T @ means)


def _by_gram(
    predictor: KernelPredictor, x: Tensor | None, center: bool, weights: Tensor | None
) -> Tensor:
    kernel, z, dual = predictor.kernel, predictor.centres, predictor.dual
    assert isinstance(kernel, PairKernel)
    points = z if x is None else x
    if kernel.distance:
        mean = z.mean(0)
        z, points = z - mean, points - mean
    share = _shares(points[:, 0], weights)
    pairs = kernel.pairs(points, None if x is None else z, predictor.feature_matrix)
    slopes = kernel.slopes_(pairs.block(slice(0, len(points)), coinciding=torch.inf))
    # In the rank of pairs of points first, then d × d.
    weighted = slopes * share[:, None]
    inner = (slopes.T @ weighted).mul_(dual @ dual.T)
    total = z.T @ (inner @ z)
    means = -(dual * weighted.sum(0)[:, None]).T @ z
    if kernel.distance:
        sums = slopes @ dual
        cross = points.T @ (weighted.mul_(sums @ dual.T) @ z)
        total += (points * (share * sums.square().sum(1))[:, None]).T @ points - cross - cross.T
        means += (sums * share[:, None]).T @ points
    if center:
        total -= means.T @ means
    total = apply_metric(apply_metric(total, predictor.feature_matrix).T, predictor.feature_matrix)
    return (total + total.T) / 2


def _shares(like: Tensor, weights: Tensor | None) -> Tensor:
    """Weights that sum to one."""
    if weights is None:
        return torch.full_like(like, 1 / len(like))
    return weights / weights.sum()


__getattr__ = old_names(
    __name__,
    agop="overparam.kernels.feature_matrix.predictor_agop",
    agop_diagonal="overparam.kernels.feature_matrix.predictor_agop_diagonal",
)
