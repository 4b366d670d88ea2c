"""How the targets, or residuals, lie relative to a kernel's eigenvectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam._switches import full_precision
from overparam.linalg.spectra import noise_level


@dataclass(frozen=True)
class AlignmentResult:
    """Squared projections on a kernel's eigenvectors, and their power law in the eigenvalue.

    Attributes:
        eigenvalues: Descending; those below float noise are left out.
        projections: Mean over columns of (v_iᵀ y)², for each eigenvalue.
        slope: s of (v_iᵀ y)² ∝ λ_i^s; nan if there are too few bins.
        intercept: Of log (v_iᵀ y)² over log λ_i.
        corr: Pearson correlation of the logarithms of the bin means.
    """

    eigenvalues: Float[Tensor, "m"]
    projections: Float[Tensor, "m"]
    slope: float
    intercept: float
    corr: float

    @property
    def top_share(self) -> float:
        """Share of the projections that lies on the first eigenvector.

        Near 1 for targets that are not centred, as a kernel's first eigenvector is nearly
        constant: the slope then says little about the rest.
        """
        return float(self.projections[0] / self.projections.sum())


@checked(result="anything")
def eigen_alignment(
    kernel: Float[Tensor, "n n"],
    y: Float[Tensor, "n *outputs"],
    *,
    n_bins: int = 15,
    drop_top: int = 0,
) -> AlignmentResult:
    """Projections of y on the eigenvectors of a kernel, and the power law they follow.

        a_i = (v_iᵀ y)²,   log a ≈ s · log λ + const.

    Several columns of y are averaged, Σ_i a_i = ‖y‖² / columns. The fit is a least-squares
    line through bins of equal numbers of eigenvalues, at the mean of log λ, of the *logarithm
    of the mean* of a; means of log a would be biased by −1.27, that of a χ² variable with one
    degree of freedom. A bin that spans decades biases s upwards: drop the top, or take more
    bins.
    Eigenvalues below n·ε·λ_max are rounding errors, whose projections would fake s = 0, and
    are dropped. Targets that are not centred lie mostly on the first eigenvector: report the
    slope with and without it (`drop_top`).

    Args:
        kernel: n × n, symmetric.
        y: Targets or residuals of the n examples; one-hot rows for classes.
        n_bins: Bins of the fit.
        drop_top: Leading eigenvalues left out of the fit; they stay in the result.

    Raises:
        ValueError: If the shapes do not fit, y is zero or not finite, or nothing is left.

    Cost:
        9 n³ flops in float64, 16 n² bytes.

    Example:
        The second eigenvector, of the kernel's eigenvalue 1:

        >>> kernel = torch.diag(torch.tensor([2.0, 1.0]))
        >>> eigen_alignment(kernel, torch.tensor([0.0, 3.0])).projections
        tensor([0., 9.], dtype=torch.float64)

    References:
        Marreddy, Liu (2026), arXiv:2605.25275: squared projections of labels fall about as
        λ², those of initial residuals about as λ. The exponents are empirical.
    """
    values, squares = _projected(kernel, y, n_bins, drop_top, "eigen_alignment")
    return _fitted(values, squares.mean(1), n_bins, drop_top)


@checked(result="anything")
def eigen_alignments(
    kernel: Float[Tensor, "n n"],
    y: Float[Tensor, "n *outputs"],
    *,
    n_bins: int = 15,
    drop_top: int = 0,
) -> tuple[AlignmentResult, ...]:
    """`eigen_alignment` of each output (class) on its own, with one kernel for all.

    Args:
        kernel: n × n, symmetric; the mean over outputs, or one output's.
        y: Targets or residuals of the n examples, one column per output.
        n_bins: Bins of each fit.
        drop_top: Leading eigenvalues left out of the fits.

    Returns:
        One result per column of y, all with the same eigenvalues. The mean of their
        projections is that of `eigen_alignment`; the slope is not the mean of their slopes.

    Raises:
        ValueError: As `eigen_alignment`.

    Cost:
        One decomposition, 9 n³ flops.

    Example:
        >>> kernel = torch.diag(torch.tensor([2.0, 1.0]))
        >>> for result in eigen_alignments(kernel, torch.eye(2)):
        ...     print(result.projections.tolist(), result.top_share)
        [1.0, 0.0] 1.0
        [0.0, 1.0] 0.0
    """
    values, squares = _projected(kernel, y, n_bins, drop_top, "eigen_alignments")
    return tuple(_fitted(values, column, n_bins, drop_top) for column in squares.T)


@checked(result="anything")
def pool_alignments(
    results: Sequence[AlignmentResult], *, n_bins: int = 15, drop_top: int = 0
) -> AlignmentResult:
    """Alignments of several batches as one: a single fit through all their eigenvalues.

    A kernel of a hundred examples has few eigenvalues per bin; the projections of many
    batches, sorted by eigenvalue, average over more of them.

    Args:
        results: Of `eigen_alignment`, each of another batch, all of one kernel.
        n_bins: Bins of the fit.
        drop_top: Leading eigenvalues of *each batch* that are left out, of result and fit.

    Raises:
        ValueError: If there is no result, or nothing is left.

    Cost:
        Sorting all eigenvalues.

    Example:
        >>> kernel = torch.diag(torch.tensor([4.0, 1.0]))
        >>> batch = eigen_alignment(kernel, torch.tensor([16.0, 1.0]))
        >>> pooled = pool_alignments([batch, batch], n_bins=2)
        >>> len(pooled.eigenvalues), round(pooled.slope, 6)
        (4, 4.0)
    """
    where = "pool_alignments(results=...)"
    expect(n_bins >= 2, "pool_alignments(n_bins=...)", "at least 2 bins", n_bins)
    expect(drop_top >= 0, "pool_alignments(drop_top=...)", "a number ≥ 0", drop_top)
    values = [result.eigenvalues[drop_top:] for result in results]
    left = sum(len(v) for v in values)
    expect(left > 0, where, "at least one eigenvalue", f"{len(results)} results with none left")
    every = torch.cat(values)
    order = every.argsort(descending=True)
    projections = torch.cat([result.projections[drop_top:] for result in results])
    return _fitted(every[order], projections[order], n_bins, 0)


@checked
@full_precision()
def kernel_target_alignment(kernel: Float[Tensor, "n n"], y: Float[Tensor, "n *outputs"]) -> float:
    """Centred alignment of a kernel with the targets' Gram matrix, between −1 and 1.

        A = ⟨K_c, Y_c⟩_F / (‖K_c‖_F ‖Y_c‖_F),   K_c = H K H,   Y_c = H y yᵀ H,   H = 1 − 11ᵀ/n.

    Args:
        kernel: n × n, symmetric.
        y: Targets of the n examples.

    Raises:
        ValueError: If the shapes do not fit, or K or y is constant, so that nothing is left.

    Cost:
        O(n²) per column of y.

    Example:
        A kernel that is the targets' own:

        >>> y = torch.tensor([1.0, -1.0, 1.0])
        >>> round(kernel_target_alignment(torch.outer(y, y), y), 6)
        1.0

    References:
        Cortes, Mohri, Rostamizadeh (2012), arXiv:1203.0550: the centred form.
    """
    where = "kernel_target_alignment(y=...)"
    centred, columns = _centred(kernel, y, "kernel_target_alignment")
    gram = columns.T @ columns
    lengths = float(centred.norm()) * float(gram.norm())
    expect(lengths > 0, where, "targets and a kernel that are not constant", "a constant one")
    return float(torch.einsum("ic,ij,jc->", columns, centred, columns)) / lengths


@checked(result="anything")
@full_precision()
def kernel_target_alignments(
    kernel: Float[Tensor, "n n"], y: Float[Tensor, "n *outputs"]
) -> Float[Tensor, "c"]:
    """`kernel_target_alignment` of each output (class) on its own, with one kernel for all.

    Args:
        kernel: n × n, symmetric.
        y: Targets of the n examples, one column per output.

    Returns:
        One number per column, in float64; nan for a column that is constant, such as that of
        a class that does not occur.

    Raises:
        ValueError: If the shapes do not fit, or K is constant.

    Cost:
        O(n²) per column of y.

    Example:
        >>> y = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
        >>> kernel_target_alignments(y @ y.T, y)
        tensor([1., nan], dtype=torch.float64)

    References:
        Cortes, Mohri, Rostamizadeh (2012), arXiv:1203.0550: the centred form.
    """
    centred, columns = _centred(kernel, y, "kernel_target_alignments")
    where = "kernel_target_alignments(kernel=...)"
    expect(bool(centred.any()), where, "a kernel that is not constant", "a constant one")
    products = torch.einsum("ic,ij,jc->c", columns, centred, columns)
    return products / (centred.norm() * columns.square().sum(0))


def _centred(kernel: Tensor, y: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """H K H and H y in float64."""
    _expect_kernel(kernel, f"{name}(kernel=...)")
    columns = _columns(y, len(kernel), f"{name}(y=...)")
    centred = kernel.detach().double()
    centred = centred - centred.mean(0)
    return centred - centred.mean(1, keepdim=True), columns - columns.mean(0)


def _projected(
    kernel: Tensor, y: Tensor, n_bins: int, drop_top: int, name: str
) -> tuple[Float[Tensor, "m"], Float[Tensor, "m c"]]:
    """Eigenvalues above float noise, descending, and squared projections of each column."""
    where = f"{name}(kernel=...)"
    _expect_kernel(kernel, where)
    columns = _columns(y, len(kernel), f"{name}(y=...)")
    expect(n_bins >= 2, f"{name}(n_bins=...)", "at least 2 bins", n_bins)
    expect(drop_top >= 0, f"{name}(drop_top=...)", "a number ≥ 0", drop_top)
    values, vectors = torch.linalg.eigh(kernel.detach().double())
    values, vectors = values.flip(0), vectors.flip(1)
    kept = values > noise_level(values, kernel.dtype)
    expect(bool(kept.any()), where, "a kernel that is not zero", "zero")
    return values[kept], (vectors[:, kept].T @ columns).square()


def _expect_kernel(kernel: Tensor, where: str) -> None:
    """Raise unless this is a square matrix of finite numbers."""
    tensor = isinstance(kernel, Tensor)
    expect(tensor, where, "a tensor", type(kernel).__name__, error=TypeError)
    square = kernel.ndim == 2 and kernel.shape[0] == kernel.shape[1] > 0
    expect(square, where, "a non-empty square matrix", f"shape {tuple(kernel.shape)}")
    finite = bool(torch.isfinite(kernel).all())
    expect(finite, where, "finite entries", "NaN or infinity")


def _fitted(values: Tensor, projections: Tensor, n_bins: int, drop_top: int) -> AlignmentResult:
    """The result with its power law."""
    law = _power_law(values[drop_top:], projections[drop_top:], n_bins)
    return AlignmentResult(values, projections, *law)


def _columns(y: Tensor, n: int, where: str) -> Float[Tensor, "n c"]:
    """Targets as a float64 matrix."""
    expect(y.ndim >= 1 and len(y) == n, where, f"targets of {n} examples", tuple(y.shape))
    columns = y.detach().reshape(n, -1).double()
    usable = bool(torch.isfinite(columns).all()) and bool(columns.any())
    expect(usable, where, "finite targets that are not all zero", "others")
    return columns


def _power_law(values: Tensor, projections: Tensor, n_bins: int) -> tuple[float, float, float]:
    """Slope, intercept and correlation of log bin means; nan for fewer than two bins."""
    bins = min(n_bins, len(values))
    means = [
        (float(v.log().mean()), float(p.mean()))
        for v, p in zip(values.tensor_split(bins), projections.tensor_split(bins), strict=True)
    ] if bins >= 2 else []  # fmt: skip
    points = torch.tensor([(v, p) for v, p in means if p > 0], dtype=torch.float64)
    if len(points) < 2:
        return float("nan"), float("nan"), float("nan")
    x, logs = points[:, 0], points[:, 1].log()
    dx, dy = x - x.mean(), logs - logs.mean()
    if float(dx.norm()) == 0:
        return float("nan"), float("nan"), float("nan")
    slope = float(dx @ dy / (dx @ dx))
    spread = float(dx.norm() * dy.norm())
    corr = float(dx @ dy) / spread if spread > 0 else float("nan")
    return slope, float(logs.mean()) - slope * float(x.mean()), corr
