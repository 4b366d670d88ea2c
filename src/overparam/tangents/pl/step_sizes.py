"""Step sizes under which a loss that satisfies PL* falls exponentially."""

import math
from dataclasses import dataclass
from typing import Literal

from overparam._checked import checked
from overparam._errors import expect, unknown

Reduction = Literal["sum", "mean"]
REDUCTIONS = ("sum", "mean")


@dataclass(frozen=True)
class Schedule:
    """A constant step size, and what is guaranteed under it.

    Attributes:
        lr: η.
        rate: L (its mean, for a stochastic method) falls by this factor per step, or more.
        steps: Steps after which the level asked for is reached; infinite for the level 0.
        radius: Distance from the start within which PL* must hold; nan if not part of the
            statement.
    """

    lr: float
    rate: float
    steps: float
    radius: float


@checked
def gd_step_size(lipschitz: float, smoothness: float, residual: float) -> float:
    """η of gradient descent on L = ½‖F − y‖²: 1/(L_F² + β_F ‖r0‖).

    For the mean over n examples, multiply by n.

    Args:
        lipschitz: L_F, the largest singular value of the Jacobian in the ball.
        smoothness: β_F, the Jacobian's Lipschitz constant.
        residual: ‖F(w0) − y‖.

    Raises:
        ValueError: If an argument is negative or not finite, or all that matters is zero.

    Example:
        >>> gd_step_size(lipschitz=2.0, smoothness=1.0, residual=1.0)
        0.2

    References:
        Liu, Zhu, Belkin (2022), arXiv:2003.00307: theorem on gradient descent.
    """
    for name, value in (
        ("lipschitz", lipschitz), ("smoothness", smoothness), ("residual", residual)
    ):  # fmt: skip
        _expect_number(f"gd_step_size({name}=...)", value, least=0.0)
    curvature = lipschitz**2 + smoothness * residual
    expect(curvature > 0, "gd_step_size(lipschitz=...)", "a number > 0", lipschitz)
    return 1 / curvature


@checked(result="anything")
def sgd_step_size(
    mu: float, smoothness: float, n: int, batch_size: int, *, reduction: Reduction = "sum"
) -> Schedule:
    """Step size of mini-batch SGD under which the mean loss falls exponentially.

        sum:   L = Σ_i ℓ_i,      w ← w − η Σ_j ∇ℓ_{i_j},        η = μ/(λ(nλ + μ(s − 1)))
        mean:  L = (1/n) Σ_i ℓ_i,  w ← w − η (1/s) Σ_j ∇ℓ_{i_j},  η = sμ/(λ(λ + μ(s − 1)))

    with s indices drawn independently, *with* replacement, each ℓ_i ≥ 0 λ-smooth and L
    satisfying ½‖∇L‖² ≥ μL. Then E L(w_t) ≤ (1 − ημ)^t L(w_0) in the mean convention, and
    (1 − ημs/n)^t in the sum convention. It follows from

        E L⁺ ≤ L [1 − (ηs/n)(2μ − ημλ(s − 1) − nλ²η)].

    The form nμ/(λ(n²λ + μ(s − 1))), which is quoted from the paper, is larger in the sum
    convention by up to n times and can diverge there, with large batches of nearly parallel
    gradients.

    The step under aiming, from θ and β, is `overparam.optim.aiming_step_size`.

    Args:
        mu: PL* constant μ of L, in the convention of `reduction`.
        smoothness: λ of every single ℓ_i; for ½(f_i − y_i)² near the kernel regime ‖∇f_i‖².
        n: Number of examples.
        batch_size: s.
        reduction: Whether L and the update are sums or means.

    Returns:
        A schedule; `steps` is infinite and `radius` nan.

    Raises:
        ValueError: If a number is not positive, or μ larger than smoothness allows
            (n λ for a sum, λ for a mean).

    Example:
        One example, which is gradient descent on a parabola of curvature 1:

        >>> sgd_step_size(1.0, 1.0, n=1, batch_size=1).lr
        1.0
        >>> sgd_step_size(0.5, 1.0, n=10, batch_size=4, reduction="mean").rate
        0.6

    References:
        Liu, Zhu, Belkin (2022), arXiv:2003.00307: the theorem on SGD; step size and rate are
        derived here.
    """
    if reduction not in REDUCTIONS:
        unknown("sgd_step_size(reduction=...)", "a reduction", reduction, REDUCTIONS)
    for name, value in (("mu", mu), ("smoothness", smoothness)):
        _expect_number(f"sgd_step_size({name}=...)", value)
    for name, count in (("n", n), ("batch_size", batch_size)):
        whole = isinstance(count, int) and count >= 1
        expect(whole, f"sgd_step_size({name}=...)", "an integer ≥ 1", count)
    most = smoothness * (n if reduction == "sum" else 1)
    expect(
        mu <= most * (1 + 1e-9),
        "sgd_step_size(mu=...)",
        f"at most the smoothness of the loss, {most:.6g}",
        mu,
        hint="μ and smoothness must be in the convention of `reduction`.",
    )
    total = mu if reduction == "sum" else n * mu
    lr = total / (smoothness * (n * smoothness + total * (batch_size - 1)))
    rate = 1 - lr * total * batch_size / n
    return Schedule(lr if reduction == "sum" else lr * batch_size, rate, math.inf, math.nan)


@checked(result="anything")
def pl_down_to(mu: float, smoothness: float, initial_loss: float, epsilon: float) -> Schedule:
    """Gradient descent where PL* holds only as long as the loss is at least ε.

        η = 1/β,   L_t ≤ (1 − ημ)^t L_0 until it is below ε,   R = 2 √(2βL_0)/μ.

    That is what remains of PL* under a noise floor, with slightly more examples than
    parameters, or with weight decay: no solution exists, and the loss still falls
    exponentially down to ε.

    Args:
        mu: μ with ½‖∇L‖² ≥ μL wherever L ≥ ε in the ball; `PLTrace.mu_down_to` measures it on
            a path.
        smoothness: β of the *loss*.
        initial_loss: L_0.
        epsilon: ε.

    Returns:
        Step size, rate, steps until ε is reached, radius of the ball.

    Raises:
        ValueError: If a number is not positive, μ > β, or the loss is below ε already.

    Example:
        >>> schedule = pl_down_to(mu=0.5, smoothness=1.0, initial_loss=8.0, epsilon=1.0)
        >>> schedule.lr, schedule.steps, schedule.radius
        (1.0, 3, 16.0)

    References:
        Liu, Zhu, Belkin (2022), arXiv:2003.00307: almost over-parameterised systems; the
        constants are derived here.
    """
    name = "pl_down_to"
    _expect_number(f"{name}(mu=...)", mu)
    _expect_number(f"{name}(smoothness=...)", smoothness)
    _expect_number(f"{name}(epsilon=...)", epsilon)
    expect(mu <= smoothness, f"{name}(mu=...)", f"at most smoothness = {smoothness}", mu)
    _expect_number(f"{name}(initial_loss=...)", initial_loss)
    above = initial_loss >= epsilon
    expect(above, f"{name}(epsilon=...)", f"at most the initial loss {initial_loss}", epsilon)
    rate = 1 - mu / smoothness
    # A hair less than the quotient, so that an exact power is not rounded up.
    needed = math.log(initial_loss / epsilon) / -math.log(rate) if rate > 0 else 1.0
    steps = math.ceil(needed * (1 - 1e-12))
    radius = 2 * math.sqrt(2 * smoothness * initial_loss) / mu
    return Schedule(1 / smoothness, rate, steps, radius)


def _expect_number(where: str, value: float, least: float | None = None) -> None:
    """Raise unless this is a finite number that is positive, or at least `least`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    usable = number and math.isfinite(value) and (value > 0 if least is None else value >= least)
    expect(usable, where, "a finite number " + ("> 0" if least is None else f"≥ {least:g}"), value)
