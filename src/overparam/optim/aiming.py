"""Aiming: does the negative gradient point at the nearest interpolating solution?"""

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._as_before import or_as_before
from overparam._checked import checked
from overparam._errors import expect
from overparam.errors import NumericalError
from overparam.optim.interpolation import Projection

if TYPE_CHECKING:
    import pandas as pd


@checked
def aiming_constant(
    loss: Callable[[Tensor], Tensor],
    w: Float[Tensor, " p"],
    reference: Float[Tensor, " p"],
    *,
    infimum: float = 0.0,
) -> float:
    """How well the gradient at w aims at a reference solution.

        θ = ⟨∇L(w), w − ŵ⟩ / (L(w) − L*)

    2 for a linear model with squared error, whatever its conditioning; at least 1 where L is
    convex; negative where the gradient points away, which is not clipped. The constant of the
    theory has the *nearest* solution as ŵ, see `project_to_interpolation`; with the final
    iterate of a run in its place θ is that of uniform aiming, and larger.

    Args:
        loss: L of all examples, of the flat parameters, deterministic.
        w: Where to measure.
        reference: ŵ, a solution.
        infimum: L*, 0 under interpolation; for cross-entropy, L of the reference.

    Returns:
        θ, in float64 arithmetic of the last products.

    Raises:
        ValueError: Shapes that differ, or a loss within 1e-12 of the infimum: 0/0.
        NumericalError: A loss or gradient that is not finite.

    Cost:
        One forward and one backward pass.

    Example:
        >>> half_square = lambda w: w.square().sum() / 2
        >>> aiming_constant(half_square, torch.tensor([3.0, 4.0]), torch.zeros(2))
        2.0

    References:
        Liu, Drusvyatskiy, Belkin, Davis, Ma (2023), arXiv:2306.02601: the condition.
    """
    where = "aiming_constant(reference=...)"
    expect(w.shape == reference.shape, where, f"shape {tuple(w.shape)}", tuple(reference.shape))
    value, gradient = _value_and_gradient(loss, w, "aiming_constant(loss=...)")
    excess = value - infimum
    expect(
        excess > 1e-12,
        "aiming_constant(w=...)",
        "a loss above its infimum by more than 1e-12",
        excess,
        hint="stop measuring before training has converged to rounding.",
    )
    return float(gradient.double() @ (w - reference).double()) / excess


@checked
def sgd_step_size(theta: float, beta: float) -> float:
    """The step of SGD with the fastest guaranteed rate under aiming, θ/(2β).

    Args:
        theta: θ > 0.
        beta: β > 0, of the mini-batches that are used.

    Example:
        >>> sgd_step_size(2.0, 4.0)
        0.25
    """
    _expect_positive("sgd_step_size", theta=theta, beta=beta)
    return theta / (2 * beta)


@checked(result="anything")
def iterations_bound(
    theta: float, alpha: float, beta: float, reduction: float, *, lr: float | None = None
) -> float:
    """Steps after which E dist² has fallen to `reduction` of its start, at most.

        E dist²(w_{t+1}) ≤ (1 − ηα(θ − βη)) E dist²(w_t)

    Args:
        theta: θ, of aiming.
        alpha: α, of quadratic growth: L ≥ (α/2) dist².
        beta: β, of expected smoothness: E‖∇ℓ‖² ≤ 2βL.
        reduction: In (0, 1).
        lr: η in (0, θ/β); by default `sgd_step_size`, where the factor is 1 − αθ²/(4β).

    Raises:
        ValueError: An argument out of range.

    Example:
        >>> round(iterations_bound(2.0, 1.0, 10.0, 0.01), 1)
        43.7

    References:
        Liu, Drusvyatskiy, Belkin, Davis, Ma (2023), arXiv:2306.02601: the global theorem.
    """
    _expect_positive("iterations_bound", theta=theta, alpha=alpha, beta=beta)
    expect(0 < reduction < 1, "iterations_bound(reduction=...)", "a number in (0, 1)", reduction)
    lr = sgd_step_size(theta, beta) if lr is None else lr
    expect(
        0 < lr < theta / beta, "iterations_bound(lr=...)", f"a rate in (0, {theta / beta:.6g})", lr
    )
    gain = lr * alpha * (theta - beta * lr)
    return math.log(reduction) / math.log1p(-gain) if gain < 1 else 1.0


class AimingMonitor:
    """Snapshots along a training run, from which θ is computed once its end is known.

    Args:
        loss: L of all examples, of the flat parameters.
        steps: At which steps to keep the parameters; 10 to 50, on a logarithmic scale.

    State:
        snapshots: The parameters kept so far, by step.

    Cost:
        One copy of the parameters per snapshot.

    Example:
        >>> monitor = AimingMonitor(lambda w: w.square().sum() / 2, steps=[0, 1])
        >>> w = torch.tensor([4.0])
        >>> for step in range(3):
        ...     monitor.record(step, w)
        ...     w = w / 2
        >>> monitor.finalize(torch.zeros(1))["theta_final"].tolist()
        [2.0, 2.0]
    """

    @checked
    def __init__(self, loss: Callable[[Tensor], Tensor], steps: Iterable[int]) -> None:
        self.loss, self.steps = loss, frozenset(steps)
        self.snapshots: dict[int, Tensor] = {}

    @or_as_before
    @checked
    def record(self, step: int, w: Float[Tensor, " p"]) -> None:
        """Keep a copy of the parameters if this step is one of those wanted."""
        if step in self.steps:
            known = next(iter(self.snapshots.values()), w)
            expect(
                w.shape == known.shape, "AimingMonitor.record(w=...)",
                f"{len(known)} parameters, as before", len(w),
            )  # fmt: skip
            self.snapshots = {**self.snapshots, step: w.detach().clone()}

    @checked
    def finalize(
        self,
        final: Float[Tensor, " p"],
        *,
        project: Callable[[Tensor], Projection] | None = None,
        infimum: float = 0.0,
    ) -> "pd.DataFrame":
        """One row per snapshot, with the constants measured there.

        Args:
            final: The end of training, a solution.
            project: Maps a snapshot to its nearest solution, such as
                ``lambda w: project_to_interpolation(f, w, y, final)``.
            infimum: As for `aiming_constant`.

        Returns:
            Columns ``step``, ``loss``, ``pl`` (½‖∇L‖²/L), ``theta_final`` and ``growth_final``
            (2L/‖w − final‖²), which take the final parameters for the nearest solution; with
            `project` also ``theta``, ``growth`` and ``tangential``, for the projection.
            Snapshots within 1e-12 of the infimum are left out.
        """
        import pandas as pd

        rows = []
        for step, w in sorted(self.snapshots.items()):
            expect(
                w.shape == final.shape, "AimingMonitor.finalize(final=...)",
                f"{len(w)} parameters, as recorded", len(final),
            )  # fmt: skip
            value, gradient = _value_and_gradient(self.loss, w, "AimingMonitor(loss=...)")
            excess = value - infimum
            if excess <= 1e-12:
                continue

            def aim(reference: Tensor, w=w, gradient=gradient, excess=excess) -> float:
                return float(gradient.double() @ (w - reference).double()) / excess

            row = {
                "step": step,
                "loss": value,
                "pl": float(gradient.double().square().sum()) / (2 * excess),
                "theta_final": aim(final),
                "growth_final": 2 * excess / float((w - final).double().square().sum()),
            }
            if project is not None:
                nearest = project(w)
                row["theta"] = aim(nearest.point)
                row["growth"] = 2 * excess / nearest.distance**2
                row["tangential"] = nearest.tangential
            rows.append(row)
        return pd.DataFrame(rows)


def _value_and_gradient(
    loss: Callable[[Tensor], Tensor], w: Tensor, where: str
) -> tuple[float, Tensor]:
    """L and its gradient, both finite."""
    leaf = w.detach().clone().requires_grad_()
    with torch.enable_grad():
        value = loss(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
    finite = bool(torch.isfinite(value)) and bool(torch.isfinite(gradient).all())
    number = float(value.detach())
    expect(finite, where, "a finite loss and gradient", number, error=NumericalError)
    return number, gradient


def _expect_positive(where: str, **numbers: float) -> None:
    for name, number in numbers.items():
        expect(0 < number < math.inf, f"{where}({name}=...)", "a positive number", number)
