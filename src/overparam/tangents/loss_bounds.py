"""What a kernel's spectrum says of the training loss ahead, and of the test loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam.linalg.spectra import noise_level


@checked
def linearized_loss(
    kernel: Float[Tensor, "m m"],
    r0: Float[Tensor, "n *outputs"],
    lr: float,
    steps: Sequence[int] | Tensor,
) -> Float[Tensor, "t"]:
    """Training loss of the linearised model under gradient descent, exactly.

        L_t = ½ ‖(1 − ηK)^t r_0‖² = ½ Σ_i (1 − ηλ_i)^{2t} (v_iᵀ r_0)².

    The loss is half a *sum* over examples, without 1/n. For the mean of ½ r² pass lr/n and
    divide the result by n; for torch's MSELoss of one output, 2 lr/n, and multiply by 2/n.

    Args:
        kernel: K, n × n. With several outputs either the full kernel of order n C, row i·C + c,
            or one n × n kernel that is applied to every output.
        r0: f(w_0) − y.
        lr: η > 0, below 2/λ_max.
        steps: Numbers of steps t ≥ 0, a sequence.

    Returns:
        L_t for each t, in float64.

    Raises:
        ValueError: If lr ≥ 2/λ_max, where the loss grows without bound, or the shapes do not
            fit, or anything is not finite.

    Cost:
        9 n³ flops.

    Example:
        One eigenvalue, 1, and the step 1/2: the residual halves.

        >>> linearized_loss(torch.eye(1), torch.tensor([2.0]), 0.5, [0, 1, 2])
        tensor([2.0000, 0.5000, 0.1250], dtype=torch.float64)

    References:
        Jacot, Gabriel, Hongler (2018), arXiv:1806.07572: linear dynamics in the kernel.
    """
    spectrum = _Spectrum(kernel, r0, lr, steps, "linearized_loss")
    return 0.5 * spectrum.decay() @ spectrum.squares


@checked
def spectral_loss_bound(
    kernel: Float[Tensor, "m m"],
    r0: Float[Tensor, "n *outputs"],
    lr: float,
    steps: Sequence[int] | Tensor,
    constant: Literal["trace", "max"] | float = "trace",
    *,
    exact_top: int = 0,
) -> Float[Tensor, "t"]:
    """Training loss from the kernel's spectrum alone, if residuals align with it as λ.

        L_t ≤ (C/2) tr[(1 − ηK)^{2t} K],   if (v_iᵀ r_0)² ≤ C λ_i for all i.

    Without λ_min: slow eigenvalues count as little as they hold of the residual.

    * ``"trace"``: C = ‖r_0‖² / tr K, which makes L_0 exact. An upper bound only if the
      residual is aligned, (v_iᵀ r_0)² ∝ λ_i on average; with random labels it is violated.
    * ``"max"``: C = max_i (v_iᵀ r_0)² / λ_i, an upper bound of the linearised loss always.
      What r_0 has beyond the eigenvalues above float noise, where C would be rounding error,
      is added as it is: it does not decay.
    * a number: C itself.

    What decides about ``"trace"`` is often the first eigenvector alone, which is nearly
    constant and holds about half of tr K: residuals that are centred have less on it than
    their share, and the bound is then too low. With ``exact_top=1`` the first eigenvector's
    part, ½ (1 − ηλ_1)^{2t} (v_1ᵀ r_0)², is taken as it is, and C and the trace are those of
    the rest. For 150 digits and 16 draws of network and data that was 1.05 to 2.99 times the
    linear model's loss, after 10 to 300 steps.

    Args:
        kernel: As for `linearized_loss`.
        r0: f(w_0) − y.
        lr: η > 0, below 2/λ_max, for a loss that is half a sum.
        steps: Numbers of steps t ≥ 0, a sequence.
        constant: Which C.
        exact_top: Leading eigenvectors whose part of the loss is taken exactly.

    Returns:
        The bound for each t, in float64.

    Raises:
        ValueError: As `linearized_loss`, or if the kernel is zero or `constant` is neither a
            name nor a positive number.

    Cost:
        9 n³ flops.

    Example:
        A residual that is aligned exactly, (1, 4) with eigenvalues (1, 4): the bound is the loss.

        >>> kernel, r0 = torch.diag(torch.tensor([1.0, 4.0])), torch.tensor([1.0, 2.0])
        >>> spectral_loss_bound(kernel, r0, 0.25, [0, 1])
        tensor([2.5000, 0.2812], dtype=torch.float64)
        >>> linearized_loss(kernel, r0, 0.25, [0, 1])
        tensor([2.5000, 0.2812], dtype=torch.float64)

    References:
        Marreddy, Liu (2026), arXiv:2605.25275: the bound, up to a constant. Both constants
        are derived here.
    """
    name = "spectral_loss_bound"
    spectrum = _Spectrum(kernel, r0, lr, steps, name)
    whole = isinstance(exact_top, int) and 0 <= exact_top < int(spectrum.kept.sum())
    most = f"a whole number below {int(spectrum.kept.sum())}, the eigenvalues above noise"
    expect(whole, f"{name}(exact_top=...)", most, exact_top)
    top = torch.arange(len(spectrum.kept), device=spectrum.kept.device) < exact_top
    rest = spectrum.kept & ~top
    values, squares, stuck = spectrum.values[rest], spectrum.squares, 0.0
    if constant == "trace":
        factor = float(squares[~top].sum() / values.sum())
    elif constant == "max":
        factor = float((squares[rest] / values).max())
        stuck = float(squares[~spectrum.kept].sum()) / 2
    elif isinstance(constant, str):
        unknown(f"{name}(constant=...)", "a number, or a name", constant, ["trace", "max"])
    else:
        usable = isinstance(constant, (int, float)) and 0 < constant < math.inf
        where = f"{name}(constant=...)"
        expect(usable, where, "a positive number, 'trace' or 'max'", constant)
        factor = float(constant)
    decay = spectrum.decay()
    return 0.5 * (decay[:, top] @ squares[top] + factor * decay[:, rest] @ values) + stuck


@checked
def classical_loss_bound(
    kernel: Float[Tensor, "m m"],
    r0: Float[Tensor, "n *outputs"],
    lr: float,
    steps: Sequence[int] | Tensor,
) -> Float[Tensor, "t"]:
    """The bound on the training loss that takes the slowest direction for all.

        L_t ≤ max_i (1 − ηλ_i)^{2t} L_0,   that is (1 − ηλ_min)^{2t} L_0 for η ≤ 2/(λ_min + λ_max).

    An eigenvalue below float noise counts as 0: the bound is then L_0 for ever, and says
    nothing.

    Args:
        kernel: As for `linearized_loss`.
        r0: f(w_0) − y.
        lr: η > 0, below 2/λ_max, for a loss that is half a sum.
        steps: Numbers of steps t ≥ 0, a sequence.

    Returns:
        The bound for each t, in float64.

    Raises:
        ValueError: As `linearized_loss`.

    Cost:
        9 n³ flops.

    Example:
        >>> kernel, r0 = torch.diag(torch.tensor([1.0, 4.0])), torch.tensor([1.0, 2.0])
        >>> classical_loss_bound(kernel, r0, 0.25, [0, 1])
        tensor([2.5000, 1.4062], dtype=torch.float64)

    References:
        Du, Zhai, Póczos, Singh (2019), arXiv:1810.02054: the rate by λ_min.
    """
    spectrum = _Spectrum(kernel, r0, lr, steps, "classical_loss_bound")
    return 0.5 * spectrum.decay().amax(1) * spectrum.squares.sum()


@dataclass(frozen=True)
class GeneralizationBound:
    """Leading terms of bounds on the test loss, from kernel and labels.

    Attributes:
        classical: √(2 yᵀK⁻¹y / n). Eigenvalues below float noise are left out.
        trace: √(2 C tr K / n) with C = ‖y‖²/‖K‖_F²: equal to `classical` if
            (v_iᵀ y)² = C λ_i² for every i, with C fixed by the labels' length. An estimate,
            derived under that assumption.
        trace_upper: The same with C = max_i (v_iᵀ y)²/λ_i²: at least `classical`, always.
        trace_per_example: tr K / n, to which the paper's bound is proportional; the factor is
            not known here, so that only ratios of this number mean something.
        left_out: Share of ‖y‖² on eigenvectors below float noise. Unless it is zero the true
            yᵀK⁻¹y is larger than what `classical` holds, and infinite for a singular kernel.
    """

    classical: float
    trace: float
    trace_upper: float
    trace_per_example: float
    left_out: float


@checked(result="not NaN")
def generalization_bound(
    kernel: Float[Tensor, "m m"], y: Float[Tensor, "n *outputs"]
) -> GeneralizationBound:
    """Leading terms of two bounds on the test loss of a kernel's minimum-norm fit.

        classical: √(2 yᵀK⁻¹y / n),    by the trace: √(2 C tr K / n).

    If labels are aligned as (v_iᵀy)² = C λ_i², then yᵀK⁻¹y = Σ_i (v_iᵀy)²/λ_i = C tr K, which
    is how the trace enters. Only leading terms: the confidence term, of order √(log n / n),
    is left out of both.

    Args:
        kernel: K, n × n. With several outputs as for `linearized_loss`; columns are summed.
        y: Labels of the n examples.

    Raises:
        ValueError: If the shapes do not fit, anything is not finite, or y or K is zero.

    Cost:
        9 n³ flops.

    Example:
        Labels with (v_iᵀy)² = λ_i²:

        >>> values = torch.tensor([4.0, 1.0])
        >>> bound = generalization_bound(torch.diag(values), values)
        >>> round(bound.classical, 4), round(bound.trace, 4)
        (2.2361, 2.2361)

    References:
        Arora, Du, Hu, Li, Wang (2019), arXiv:1901.08584: the classical form. Marreddy, Liu
        (2026), arXiv:2605.25275: O(tr K / n). `trace` is derived here from the alignment.
    """
    name = "generalization_bound"
    values, squares, kept = _decomposed(kernel, y, name, "y")
    n = len(kernel)
    expect(bool(squares.any()), f"{name}(y=...)", "labels that are not all zero", "zeros")
    trace = float(values[kept].sum())
    aligned = float(squares.sum() / values[kept].square().sum())
    largest = float((squares[kept] / values[kept].square()).max())
    return GeneralizationBound(
        math.sqrt(2 * float((squares[kept] / values[kept]).sum()) / n),
        math.sqrt(2 * aligned * trace / n),
        math.sqrt(2 * largest * trace / n),
        trace / n,
        float(squares[~kept].sum() / squares.sum()),
    )


class _Spectrum:
    """Eigenvalues and squared projections of a residual, with a step size that is stable."""

    def __init__(
        self, kernel: Tensor, r0: Tensor, lr: float, steps: Sequence[int] | Tensor, name: str
    ) -> None:
        self.values, self.squares, self.kept = _decomposed(kernel, r0, name, "r0")
        largest = float(self.values[0])
        expect(isinstance(lr, (int, float)) and lr > 0, f"{name}(lr=...)", "a number > 0", lr)
        expect(
            lr * largest < 2,
            f"{name}(lr=...)",
            f"a step below 2/λ_max = {2 / largest:.6g}",
            lr,
            hint="from there on gradient descent diverges; this lr is for ½ Σ r², without 1/n.",
        )
        counted = isinstance(steps, (Sequence, Tensor)) and not isinstance(steps, str)
        self.steps = torch.as_tensor(steps if counted else [], dtype=torch.float64)
        usable = self.steps.ndim == 1 and len(self.steps) > 0
        whole = usable and bool(((self.steps >= 0) & (self.steps == self.steps.floor())).all())
        what = "a sequence of whole numbers ≥ 0, such as [0, 10, 100]"
        expect(whole, f"{name}(steps=...)", what, steps)
        self.lr = float(lr)

    def decay(self) -> Float[Tensor, "t n"]:
        """(1 − ηλ_i)^{2t}; noise is no decay."""
        rates = (1 - self.lr * torch.where(self.kept, self.values, 0.0)).square()
        return rates[None] ** self.steps[:, None].to(rates.device)


def _decomposed(
    kernel: Tensor, r: Tensor, name: str, argument: str
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"], Tensor]:
    """Eigenvalues (descending), squared projections summed over outputs, and which are real."""
    where = f"{name}(kernel=...)"
    for value, place in ((kernel, where), (r, f"{name}({argument}=...)")):
        tensor = isinstance(value, Tensor)
        expect(tensor, place, "a tensor", type(value).__name__, error=TypeError)
    square = kernel.ndim == 2 and kernel.shape[0] == kernel.shape[1] > 0
    expect(square, where, "a non-empty square matrix", f"shape {tuple(kernel.shape)}")
    n = len(kernel)
    expect(
        r.ndim >= 1 and (r.numel() == n or len(r) == n),
        f"{name}({argument}=...)",
        f"{n} numbers, or {n} rows, like the kernel",
        f"shape {tuple(r.shape)}",
    )
    for value, place in ((kernel, where), (r, f"{name}({argument}=...)")):
        bad = int((~torch.isfinite(value)).sum())
        expect(bad == 0, place, "finite numbers", f"{bad} that are NaN or infinite")
    columns = r.detach().reshape(n, -1).to(kernel.device).double()
    values, vectors = torch.linalg.eigh(kernel.detach().double())
    values, vectors = values.flip(0), vectors.flip(1)
    level = noise_level(values, kernel.dtype)
    kept = values > level
    expect(bool(kept.any()), where, "a kernel that is not zero", "zero")
    expect(
        float(values[-1]) >= -100 * level,
        where,
        "a positive semi-definite matrix",
        f"an eigenvalue {float(values[-1]):.3g} beside the largest {float(values[0]):.3g}",
    )
    return values, (vectors.T @ columns).square().sum(1), kept
