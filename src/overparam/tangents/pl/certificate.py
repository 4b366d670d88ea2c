"""A proof, from numbers at initialisation, that gradient descent reaches zero loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect, unknown
from overparam._forward import seen_through
from overparam._types import Forward, Inputs
from overparam.tangents.pl.jacobian_smoothness import two_layer_smoothness
from overparam.tangents.pl.radius import KINDS, largest_smoothness, smallest_radius
from overparam.tangents.pl.spectrum import Point, Twin, repeated
from overparam.tangents.pl.step_sizes import REDUCTIONS, Reduction, gd_step_size

Radius = Literal["path", "paper"]


@dataclass(frozen=True)
class PLCertificate:
    """What is proved of gradient descent from here, or why nothing is.

    Attributes:
        certified: Whether there is a proof.
        reason: Why not; empty if there is.
        mu: μ with ½‖∇L‖² ≥ μL in the ball; 0 without a certificate, never negative.
        lipschitz: L_F, bound on the Jacobian's largest singular value in the ball.
        smoothness: β_F, Lipschitz constant of the Jacobian.
        radius: R; gradient descent stays within it and a zero of the loss lies in it.
        lr: η, the largest step for which this is proved.
        sigma: Smallest and largest singular value of the Jacobian at the start.
        residual: ‖F(w0) − y‖.
        initial_loss: L_0, in the convention of `reduction`.
        radius_kind: "path" or "paper".
        reduction: "sum" for L = ½‖F − y‖², "mean" for that over n examples.
        level: "certificate": proved, up to rounding in float64.
    """

    certified: bool
    reason: str
    mu: float
    lipschitz: float
    smoothness: float
    radius: float
    lr: float
    sigma: tuple[float, float]
    residual: float
    initial_loss: float
    radius_kind: str
    reduction: str
    level: str = "certificate"

    @property
    def rate(self) -> float:
        """L_{t+1} ≤ rate · L_t: 1 − ημ; nan without a certificate."""
        return 1 - self.lr * self.mu

    @property
    def margin(self) -> float:
        """Largest β_F with which there would be a certificate, over β_F: 1 or more if there is."""
        most = largest_smoothness(*self.sigma, self.residual, self.radius_kind)
        return most / self.smoothness if self.smoothness > 0 else math.inf

    @property
    def condition_number(self) -> float:
        """κ_F = 1/(ημ): steps for the bound to fall by a factor e; nan without a certificate."""
        return 1 / (self.lr * self.mu) if self.certified else math.nan

    @checked(result="anything")
    def loss_bound(self, steps: Sequence[int] | Tensor) -> Float[Tensor, "t"]:
        """(1 − ημ)^t L_0 for each t; nan without a certificate."""
        return self.initial_loss * self.rate ** torch.as_tensor(steps, dtype=torch.float64)

    def __str__(self) -> str:
        if not self.certified:
            return f"No PL* certificate ({self.radius_kind} radius): {self.reason}"
        return (
            f"PL* certificate ({self.radius_kind} radius, loss a {self.reduction})\n"
            f"  gradient descent with a step of at most {self.lr:.4g} reaches zero loss\n"
            f"  μ = {self.mu:.4g}, L_F = {self.lipschitz:.4g}, β_F = {self.smoothness:.4g} "
            f"within R = {self.radius:.4g}\n"
            f"  L_t ≤ {self.rate:.6f}^t · {self.initial_loss:.4g}, "
            f"κ_F = {self.condition_number:.4g}"
        )


@renamed(params="names")
@checked(result="anything")
def pl_certificate(
    model: nn.Module,
    x: Inputs,
    y: Float[Tensor, "n *outputs"],
    *,
    smoothness: float | None = None,
    radius: Radius = "path",
    reduction: Reduction = "sum",
    names: Sequence[str] | None = None,
    chunk_size: int | None = None,
    forward: Forward | None = None,
) -> PLCertificate:
    """PL* in a ball around the present parameters, proved, and what follows for training.

    With σ the singular values of the Jacobian of all n C outputs, r_0 = F(w_0) − y, and β_F
    a Lipschitz constant of the Jacobian, it looks for the smallest R with

        path:   R ≥ 2 ‖r_0‖ / (σ_min − β_F R)
        paper:  R ≥ 2 (σ_max + β_F R) ‖r_0‖ / (σ_min − β_F R)²

    and then has, in the ball of radius R, μ = (σ_min − β_F R)² and L_F = σ_max + β_F R. For
    η ≤ 1/(L_F² + β_F ‖r_0‖) gradient descent stays in the ball and L_t ≤ (1 − ημ)^t L_0.

    μ is that of **½**‖∇L‖² ≥ μL. The path radius, 2 ‖r_0‖/√μ, follows from the same descent
    inequality as the paper's, 2 L_F ‖r_0‖/μ, and is smaller by L_F/√μ, about the root of the
    condition number. It holds for full-batch gradient descent on this squared error alone:
    weight decay, mini-batches and momentum are not covered.

    Args:
        model: A module in evaluation mode; left as it was. Computed in float64 throughout.
        x: n examples.
        y: Targets, in the shape of the outputs.
        smoothness: β_F, a bound you can vouch for; 0 for a model linear in its parameters.
            `None` means `two_layer_smoothness`.
        radius: Which inequality R must satisfy.
        reduction: "sum", L = ½ Σ r², or "mean", that over n: μ is then divided by n and η
            multiplied. (torch's MSELoss is the mean of r² over n C numbers, without the half:
            its step is η · C/2.)
        names: Names of the parameters that make up w.
        chunk_size: Examples differentiated at a time.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        A certificate. If none exists `certified` is False and `reason` says why: an input that
        occurs twice, more outputs than parameters, a singular kernel, or a network that is
        not wide enough.

    Raises:
        ValueError: If an argument is wrong, or `smoothness` is missing for a network that has
            no closed form.
        TypeError: If x or y is no tensor.
        MemoryError: If the kernel does not fit.

    Cost:
        The full kernel in float64 and (nC)³ flops; where its condition number exceeds 10⁶ the
        Jacobian's singular values, (nC)² P flops and 32 n C P bytes, if they fit.

    Example:
        A linear model, whose Jacobian is x: σ = 2, and from 0 to the target 2 is ‖r_0‖ = 2.

        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.zeros_(model.weight)
        >>> x, y = torch.tensor([[2.0]]), torch.tensor([[2.0]])
        >>> print(pl_certificate(model, x, y, smoothness=0.0))
        PL* certificate (path radius, loss a sum)
          gradient descent with a step of at most 0.25 reaches zero loss
          μ = 4, L_F = 2, β_F = 0 within R = 2
          L_t ≤ 0.000000^t · 2, κ_F = 1

    References:
        Liu, Zhu, Belkin (2022), arXiv:2003.00307: the theorem on gradient descent and its
        radius. The fixed point over R, the path radius and β_F are derived here.
    """
    name = "pl_certificate"
    expect_choices(name, radius, reduction)
    if smoothness is not None:
        number = isinstance(smoothness, (int, float)) and 0 <= smoothness < math.inf
        expect(number, f"{name}(smoothness=...)", "a finite number ≥ 0, or None", smoothness)
    model = seen_through(model, forward, name)
    twin = Twin.of(model, x, y, names, chunk_size, name)
    if smoothness is None:
        smoothness = two_layer_smoothness(twin.model, twin.x, names=twin.names)  # type: ignore[arg-type]
    point = twin.point()
    reason = impossible(twin, point)
    return concluded(point, len(twin.y), float(smoothness), radius, reduction, reason)


def concluded(
    point: Point, n: int, smoothness: float, radius: str, reduction: str, reason: str
) -> PLCertificate:
    """The certificate that follows from the numbers at a point."""
    length = float(point.residual.norm())
    low, high = point.smallest, point.largest
    scale = 1 if reduction == "sum" else n
    found = None if reason else smallest_radius(low, high, smoothness, length, radius)
    if found is None and not reason:
        most = largest_smoothness(low, high, length, radius)
        reason = (
            f"the Jacobian may change too fast: β_F = {smoothness:.4g}, and at most {most:.4g} is "
            f"allowed with σ_min = {low:.4g} and ‖r0‖ = {length:.4g}. β_F falls as width^(-1/2): "
            f"about {(smoothness / most) ** 2:.3g} times the width is needed."
        )
    if found is None:
        mu, lipschitz, ball, lr = 0.0, math.nan, math.nan, math.nan
    else:
        mu, lipschitz = (low - smoothness * found) ** 2 / scale, high + smoothness * found
        ball, lr = found, gd_step_size(lipschitz, smoothness, length) * scale
    return PLCertificate(
        found is not None,
        reason,
        mu,
        lipschitz,
        smoothness,
        ball,
        lr,
        (low, high),
        length,
        length**2 / 2 / scale,
        radius,
        reduction,
    )


def impossible(twin: Twin, point: Point) -> str:
    """Why μ is zero whatever the ball; empty if it is not."""
    twice = repeated(twin.x, twin.y)
    if twice is not None and twice[2]:
        return (
            f"examples {twice[0]} and {twice[1]} are the same input with different targets, which "
            "no parameters fit: μ = 0."
        )
    if twin.size > point.parameters:
        return (
            f"{twin.size} outputs are to be fitted with {point.parameters} parameters: the "
            "tangent kernel is singular everywhere, μ = 0."
        )
    if twice is not None:
        return (
            f"examples {twice[0]} and {twice[1]} are the same, so that the tangent kernel is "
            "singular, μ = 0; keep one of them."
        )
    if point.smallest == 0:
        return (
            "the tangent kernel is singular to float64 at these parameters, μ = 0 "
            f"(its largest eigenvalue is {point.largest**2:.3g})."
        )
    return ""


def expect_choices(name: str, radius: str, reduction: str) -> None:
    """Raise for an unknown radius or reduction."""
    if radius not in KINDS:
        unknown(f"{name}(radius=...)", "a radius", str(radius), KINDS)
    if reduction not in REDUCTIONS:
        unknown(f"{name}(reduction=...)", "a reduction", str(reduction), REDUCTIONS)
