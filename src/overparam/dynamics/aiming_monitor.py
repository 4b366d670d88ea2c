"""Aiming along a training run: snapshots now, the constants once its end is known."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from overparam._as_before import or_as_before
from overparam._checked import checked
from overparam._errors import expect
from overparam.optim.aiming import value_and_gradient
from overparam.optim.interpolation import Projection

if TYPE_CHECKING:
    import pandas as pd


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
        >>> import torch
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
    def record(self, step: int, w: Float[Tensor, "p"]) -> None:
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
        final: Float[Tensor, "p"],
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
            value, gradient = value_and_gradient(self.loss, w, "AimingMonitor(loss=...)")
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
