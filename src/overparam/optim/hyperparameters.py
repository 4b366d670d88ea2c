"""Batch size, momentum and MaSS settings from the constants of a quadratic."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect


@checked
@dataclass(frozen=True)
class InterpolationConstants:
    """What the theory of stochastic gradients under interpolation needs to know of a problem.

    For L(w) = E ½(xᵀw − y)² with H = E xxᵀ, and by analogy with H the Gauss–Newton matrix:

    Attributes:
        largest: L, the largest eigenvalue of H.
        single: L1, the smallest c with E[‖x‖² xxᵀ] ⪯ cH: the smoothness one example sees.
        smallest: μ, the smallest eigenvalue that is to be learned.
        kappa_t: κ̃, the smallest c with E[(xᵀH⁺x) xxᵀ] ⪯ cH on the directions above μ: the
            statistical condition number, at least 1.
        directions: How many eigenvalues are at least μ.
    """

    largest: float
    single: float
    smallest: float
    kappa_t: float
    directions: int


@checked
def interpolation_constants(
    gram: Float[Tensor, "n c n c"],
    residual: Float[Tensor, "n c"],
    *,
    share: float = 0.9,
) -> InterpolationConstants:
    """The constants, from the Gram matrix of the examples' feature rows.

    With Φᵢ the c feature rows of example i (c outputs) and H = (1/n)Σ ΦᵢᵀΦᵢ, everything
    follows from the products ΦᵢΦⱼᵀ: H has the non-zero eigenvalues of the Gram matrix over n,
    L1 is the largest eigenvalue of its block diagonal seen from its range, and κ̃ is n times
    the largest leverage of one example on the kept eigenvectors.

    The smallest non-zero eigenvalue of an over-parameterized model is numerical dust, and κ̃
    over all of them is n: true and useless. So μ is the eigenvalue at which the leading
    directions hold `share` of the squared residual: what has to be learned to remove it.

    Args:
        gram: Entry (i, a, j, b) is ⟨Φᵢₐ, Φⱼᵦ⟩. For a model it is the tangent kernel between
            outputs, with the loss's curvature on both sides.
        residual: What remains to be fitted, in the same coordinates.
        share: Part of the squared residual that counts as to be learned, in (0, 1].

    Returns:
        The constants in the units of the Gram matrix over n.

    Raises:
        ValueError: Not square, not finite, zero, or `share` outside (0, 1].

    Cost:
        One eigendecomposition: (nc)³ flops and 3 (nc)² numbers, in float64.

    Example:
        Two orthogonal examples with ‖x‖² 4 and 1: H = diag(2, ½), and κ̃ = n = 2.

        >>> gram = torch.diag(torch.tensor([4.0, 1.0])).reshape(2, 1, 2, 1)
        >>> found = interpolation_constants(gram, torch.ones(2, 1), share=1.0)
        >>> found.largest, found.single, found.smallest, round(found.kappa_t, 6)
        (2.0, 4.0, 0.5, 2.0)

    References:
        Liu, Belkin (2020), arXiv:1810.13395: L1, κ̃ and what they set. Ours are for several
        outputs, and κ̃ on a part of the spectrum, which the paper does not define.
    """
    n, c = residual.shape
    expect(
        gram.shape == (n, c, n, c),
        "interpolation_constants(gram=...)",
        f"shape {(n, c, n, c)}, to match `residual`",
        tuple(gram.shape),
    )
    expect(0 < share <= 1, "interpolation_constants(share=...)", "a number in (0, 1]", share)
    matrix = gram.reshape(n * c, n * c).double() / n
    expect(
        bool(torch.isfinite(matrix).all()) and float(matrix.diagonal().sum()) > 0,
        "interpolation_constants(gram=...)",
        "a finite Gram matrix that is not zero",
        "one with non-finite entries or zero trace",
    )
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    values, vectors = values.flip(0), vectors.flip(1)
    kept = int((values > n * c * torch.finfo(torch.float64).eps * values[0]).sum())
    projections = (vectors[:, :kept].T @ residual.double().flatten()).square()
    target = share * projections.sum() * (1 - 1e-12)
    directions = int(torch.searchsorted(projections.cumsum(0), target).clamp(max=kept - 1)) + 1
    # The range of the kept directions, seen example by example.
    leading = vectors[:, :directions].reshape(n, c, directions)
    leverage = torch.linalg.matrix_norm(leading, ord=2).square().max()
    blocks = matrix.reshape(n, c, n, c)[torch.arange(n), :, torch.arange(n)] * n
    return InterpolationConstants(
        largest=float(values[0]),
        single=max(float(torch.linalg.eigvalsh(blocks).max()), float(values[0])),
        smallest=float(values[directions - 1]),
        kappa_t=max(1.0, n * float(leverage)),
        directions=directions,
    )


@checked
def mass_constants(features: Float[Tensor, "n d"]) -> InterpolationConstants:
    """The constants of linear least squares, from its inputs.

        H = (1/n)Σ xᵢxᵢᵀ = UΛUᵀ,    zᵢ = Λ^(−½)Uᵀxᵢ on the range of H,
        L1 = λ_max((1/n)Σ ‖xᵢ‖² zᵢzᵢᵀ),    κ̃ = λ_max((1/n)Σ ‖zᵢ‖² zᵢzᵢᵀ)

    Exact, for L(w) = (1/2n)Σ(xᵢᵀw − yᵢ)². With n linearly independent inputs L1 is the largest
    ‖xᵢ‖² and κ̃ is n. Directions without data never move and do not count.

    Args:
        features: The inputs, one per row.

    Raises:
        ValueError: Empty, zero, not a matrix, or with NaN or infinity.

    Cost:
        One singular value decomposition, in float64.

    Example:
        >>> found = mass_constants(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
        >>> round(found.largest, 6), round(found.single, 6), round(found.kappa_t, 6)
        (2.0, 4.0, 2.0)

    References:
        Liu, Belkin (2020), arXiv:1810.13395: the definitions.
    """
    where = "mass_constants(features=...)"
    expect(features.ndim == 2 and features.numel(), where, "a matrix", tuple(features.shape))
    x = features.detach().double()
    expect(
        bool(torch.isfinite(x).all()) and bool(x.any()),
        where,
        "finite numbers, not all zero",
        "others",
    )
    left, singular, _ = torch.linalg.svd(x, full_matrices=False)
    kept = singular > max(x.shape) * torch.finfo(torch.float64).eps * singular[0]
    n, values = len(x), singular[kept].square() / len(x)
    z = left[:, kept] * math.sqrt(n)

    def bound(weights: Tensor) -> float:
        return float(torch.linalg.eigvalsh(z.T @ (weights[:, None] * z) / n)[-1])

    return InterpolationConstants(
        largest=float(values[0]),
        single=bound(x.square().sum(1)),
        smallest=float(values[-1]),
        kappa_t=bound(z.square().sum(1)),
        directions=len(values),
    )


@checked(result="not NaN")
def critical_batch_sizes(constants: InterpolationConstants) -> tuple[float, float]:
    """Batch sizes (m1*, m2*) at which the gain from a larger batch changes.

        m1* = min(L1/L, κ̃),    m2* = max(L1/L, κ̃)

    Below m1* twice the batch is worth twice the steps (linear scaling); between them it is
    worth √2; above m2* a larger batch gains nothing per step (saturation). This is for MaSS;
    plain SGD has the one critical size L1/L.

    Example:
        >>> critical_batch_sizes(InterpolationConstants(2.0, 8.0, 0.5, 10.0, 3))
        (4.0, 10.0)

    References:
        Liu, Belkin (2020), arXiv:1810.13395.
    """
    one, other = constants.single / constants.largest, constants.kappa_t
    return min(one, other), max(one, other)


@dataclass(frozen=True)
class MassHyperparameters:
    """Settings of MaSS, w ← u − η₁g, u ← w + γ(w − w_before) + η₂g, for one batch size.

    Attributes:
        lr: η₁, the learning rate.
        alpha: α in (0, 1]; γ = (1−α)/(1+α).
        kappa_t: κ̃ at this batch size, at least 1.
        momentum: γ.
        compensation: η₂ = η₁(1 − 1/κ̃)/(1+α).
    """

    lr: float
    alpha: float
    kappa_t: float
    momentum: float
    compensation: float


@checked
def mass_hyperparameters(
    constants: InterpolationConstants, batch_size: float, *, examples: int | None = None
) -> MassHyperparameters:
    """The settings with the fastest guaranteed rate, 1 − α per step.

        L_m = L1/m + (1−1/m)L,   κ̃_m = κ̃/m + 1 − 1/m,   η₁ = 1/L_m,   α = 1/√((L_m/μ) κ̃_m)

    for batches drawn with replacement. Without it, from n examples, the weight 1/m is
    (n−m)/(m(n−1)). Too small a κ̃ can diverge; too large a one is only slower.

    Args:
        constants: Of the loss that is trained, in its normalisation.
        batch_size: m, at least 1.
        examples: n, if each batch is drawn without replacement from n examples.

    Raises:
        ValueError: `batch_size` below 1, or above `examples`.

    Example:
        >>> found = mass_hyperparameters(InterpolationConstants(1.0, 1.0, 0.25, 1.0, 2), 1)
        >>> found.lr, found.alpha, round(found.momentum, 4), found.compensation
        (1.0, 0.5, 0.3333, 0.0)

    References:
        Liu, Belkin (2020), arXiv:1810.13395.
    """
    where = "mass_hyperparameters(batch_size=...)"
    expect(1 <= batch_size < math.inf, where, "a positive number", batch_size)
    one = 1 / batch_size
    if examples is not None:
        expect(batch_size <= examples, where, f"at most {examples}, all examples", batch_size)
        one *= (examples - batch_size) / max(examples - 1, 1)
    smoothness = constants.single * one + constants.largest * (1 - one)
    kappa_t = constants.kappa_t * one + 1 - one
    alpha = min(1.0, 1 / math.sqrt(smoothness / constants.smallest * kappa_t))
    lr = 1 / smoothness
    return MassHyperparameters(
        lr=lr,
        alpha=alpha,
        kappa_t=kappa_t,
        momentum=(1 - alpha) / (1 + alpha),
        compensation=lr * (1 - 1 / kappa_t) / (1 + alpha),
    )
