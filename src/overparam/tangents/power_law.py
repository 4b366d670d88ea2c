"""A spectrum that falls as a power of the rank, and the rate of training that follows."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect


@dataclass(frozen=True)
class PowerLaw:
    """λ_i ≈ scale · i^(−exponent) over a range of ranks i = 1, 2, ….

    Attributes:
        exponent: q.
        uncertainty: Standard error of q from the scatter of bins around the line. It measures
            how straight the spectrum is; neighbouring eigenvalues are not independent, so
            that no smaller number would be honest.
        scale: λ at rank 1, by the fit.
        ranks: First and last rank of the fit.
    """

    exponent: float
    uncertainty: float
    scale: float
    ranks: tuple[int, int]

    @property
    def loss_exponent(self) -> float:
        """P of L_t ~ t^(−p) for residuals aligned as λ: 1 − 1/q; nan unless q > 1."""
        return 1 - 1 / self.exponent if self.exponent > 1 else math.nan

    @property
    def loss_exponent_uncertainty(self) -> float:
        """Standard error of `loss_exponent`: that of q over q²."""
        return self.uncertainty / self.exponent**2 if self.exponent > 1 else math.nan

    @property
    def steps_exponent(self) -> float:
        """A of T_ε ~ ε^(−a), the steps to the loss ε: q/(q − 1); nan unless q > 1."""
        return self.exponent / (self.exponent - 1) if self.exponent > 1 else math.nan

    def __str__(self) -> str:
        first, last = self.ranks
        law = f"λ_i ∝ i^-({self.exponent:.3g} ± {self.uncertainty:.2g}), ranks {first} to {last}"
        if self.exponent <= 1:
            return f"{law}; no rate follows, since tr K is then made by the smallest"
        rate = f"{self.loss_exponent:.3g} ± {self.loss_exponent_uncertainty:.2g}"
        return f"{law}; aligned residuals would train as t^-({rate})"


@checked
def power_law_fit(
    eigenvalues: Float[Tensor, "n"],
    *,
    ranks: tuple[int, int] | None = None,
    n_bins: int = 12,
) -> PowerLaw:
    """The exponent of a spectrum, by least squares through bins of equal width in log rank.

        log λ_i = −q log i + const,   tr[(1 − ηK)^{2t} K] ~ t^(−(1 − 1/q)) for q > 1.

    Bins keep the tail, which has most of the ranks, from deciding alone. The rate for the
    loss follows if residuals are aligned as (v_iᵀ r_0)² ∝ λ_i, and holds for times between
    1/(ηλ_max) and 1/(ηλ_min); after that the smallest eigenvalue decides. The printed time
    T_ε = O(log(1/ε)/(q − 1)) does not follow: t^(−(1 − 1/q)) = ε gives T_ε ~ ε^(−q/(q − 1)),
    whose *logarithm* is (q/(q − 1)) log(1/ε).

    Args:
        eigenvalues: Of a positive semi-definite kernel, in any order; those not above
            n·ε·λ_max, ε that of their own type, are dropped. Those of an `AlignmentResult`
            are clean by the kernel's type already.
        ranks: First and last rank of the fit, counted from 1; all by default.
        n_bins: Bins; fewer are used where there are fewer ranks.

    Raises:
        ValueError: If fewer than three bins are left, or an eigenvalue is not finite.

    Cost:
        Sorting.

    Example:
        >>> law = power_law_fit(torch.arange(1, 101).double() ** -2.0)
        >>> round(law.exponent, 6), round(law.loss_exponent, 6)
        (2.0, 0.5)

    References:
        Marreddy, Liu (2026), arXiv:2605.25275: power-law spectra. The two rates are derived
        here.
    """
    where = "power_law_fit(eigenvalues=...)"
    tensor = isinstance(eigenvalues, Tensor)
    expect(tensor, where, "a tensor", type(eigenvalues).__name__, error=TypeError)
    vector = eigenvalues.ndim == 1 and len(eigenvalues) > 0
    expect(vector, where, "a vector of eigenvalues", f"shape {tuple(eigenvalues.shape)}")
    finite = bool(torch.isfinite(eigenvalues).all())
    expect(finite, where, "finite eigenvalues", "NaN or infinity")
    values = eigenvalues.detach().double().cpu().sort(descending=True).values
    real = eigenvalues.is_floating_point()
    expect(real, where, "real numbers", str(eigenvalues.dtype), error=TypeError)
    level = len(values) * torch.finfo(eigenvalues.dtype).eps * float(values[0].abs())
    values = values[values > level]
    enough = "three eigenvalues above noise or more"
    expect(len(values) >= 3, where, enough, len(values))
    first, last = ranks or (1, len(values))
    where_ranks = "power_law_fit(ranks=...)"
    expect(1 <= first < last, where_ranks, "first and last rank, from 1", ranks)
    last = min(last, len(values))
    expect(n_bins >= 3, "power_law_fit(n_bins=...)", "at least 3 bins", n_bins)
    rank = torch.arange(first, max(last, first - 1) + 1, dtype=torch.float64)
    expect(len(rank) >= 3, where, f"{enough} within `ranks`", len(rank))
    x, z = rank.log(), values[first - 1 : last].log()
    edges = torch.linspace(float(x[0]), float(x[-1]), n_bins + 1, dtype=torch.float64)
    place = torch.bucketize(x, edges[1:-1], right=True)
    bins = place.unique()
    x = torch.stack([x[place == b].mean() for b in bins])
    z = torch.stack([z[place == b].mean() for b in bins])
    dx = x - x.mean()
    slope = float(dx @ (z - z.mean()) / (dx @ dx))
    level = float(z.mean()) - slope * float(x.mean())
    left = z - level - slope * x
    error = math.sqrt(float(left @ left) / max(len(x) - 2, 1) / float(dx @ dx))
    return PowerLaw(-slope, error, math.exp(level), (first, last))
