"""PL* along a path that was walked: evidence from checkpoints."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._forward import seen_through
from overparam._types import Forward, Inputs, Params
from overparam.tangents.pl.certificate import Radius, expect_choices
from overparam.tangents.pl.spectrum import Twin
from overparam.tangents.pl.step_sizes import Reduction

# Roundings that a residual at the end of training may be made of.
_ROUNDINGS = 100


@dataclass(frozen=True)
class PLTrace:
    """What was measured at checkpoints of a run, and whether it agrees with PL*.

    Attributes:
        steps: Step of each checkpoint, the first 0.
        losses: L_t, in the convention of `reduction`.
        mus: λ_min(K(w_t)), divided by n for a mean: μ if PL* holds with it on the way.
        ratios: ½‖∇L(w_t)‖²/L(w_t), what PL* bounds from below; at least `mus`, nan at zero loss.
        lipschitz: σ_max of the Jacobian at each checkpoint.
        distances: ‖w_t − w_0‖.
        bounds: (1 − ημ)^t L_0 with μ the smallest of `mus`; nan if `lr` was not given.
        rounding: Loss below which rounding in the parameters' precision decides; such losses
            are compared with this instead.
        radius: R from the smallest μ and the largest L_F; infinite for μ = 0.
        lr: η, as given; nan if not.
        radius_kind: "path" or "paper".
        reduction: "sum" or "mean".
        level: "evidence": nothing is known of the points between, or beside the path.
    """

    steps: tuple[int, ...]
    losses: Float[Tensor, "t"]
    mus: Float[Tensor, "t"]
    ratios: Float[Tensor, "t"]
    lipschitz: Float[Tensor, "t"]
    distances: Float[Tensor, "t"]
    bounds: Float[Tensor, "t"]
    rounding: float
    radius: float
    lr: float
    radius_kind: str
    reduction: str
    level: str = "evidence"

    @property
    def mu(self) -> float:
        """The smallest μ met; never negative."""
        return float(self.mus.min())

    @property
    def condition_number(self) -> float:
        """κ = 1/(ημ); infinite for μ = 0, nan without a step size."""
        return 1 / (self.lr * self.mu) if self.mu > 0 else math.inf

    @property
    def bound_ratio(self) -> float:
        """Largest L_t over its bound; at most 1 if the run agrees. nan without a step size."""
        allowed = self.bounds.clamp(min=self.rounding)
        return float((self.losses / allowed).max()) if self.losses[0] > 0 else math.nan

    @property
    def within_bound(self) -> bool:
        """Whether every loss is below its bound, up to rounding."""
        return self.bound_ratio <= 1 + 1e-6

    @property
    def within_ball(self) -> bool:
        """Whether the path stayed within R."""
        return float(self.distances.max()) <= self.radius

    @checked(result="anything")
    def mu_down_to(self, epsilon: float) -> float:
        """μ of PL*_ε on the path: the smallest ½‖∇L‖²/L where L ≥ ε.

        Raises:
            ValueError: If no checkpoint has a loss of ε or more.
        """
        where = "PLTrace.mu_down_to(epsilon=...)"
        expect(0 < epsilon < math.inf, where, "a number > 0", epsilon)
        above = self.losses >= epsilon
        most = float(self.losses.max())
        expect(
            bool(above.any()), where, f"a level of at most {most:.4g}, the largest loss", epsilon
        )
        return float(self.ratios[above].min())

    def __str__(self) -> str:
        checked = "not checked, no lr"
        if not math.isnan(self.lr):
            verdict = "kept" if self.within_bound else "VIOLATED"
            checked = f"{verdict}, largest L_t/bound {self.bound_ratio:.3g}"
        ball = "inside" if self.within_ball else "OUTSIDE"
        return (
            f"PL* evidence from {len(self.steps)} checkpoints, steps {self.steps[0]} to "
            f"{self.steps[-1]} (on the path only; proves nothing)\n"
            f"  μ ≥ {self.mu:.4g}, L_F ≤ {float(self.lipschitz.max()):.4g}, "
            f"κ = {self.condition_number:.4g}\n"
            f"  loss {float(self.losses[0]):.4g} to {float(self.losses[-1]):.4g}; bound {checked}\n"
            f"  moved {float(self.distances.max()):.4g}, {ball} R = {self.radius:.4g} "
            f"({self.radius_kind} radius)"
        )


@renamed(params="names")
@checked(result="anything")
def pl_trace(
    model: nn.Module,
    x: Inputs,
    y: Float[Tensor, "n *outputs"],
    checkpoints: Mapping[int, Params],
    *,
    lr: float | None = None,
    radius: Radius = "path",
    reduction: Reduction = "sum",
    names: Sequence[str] | None = None,
    chunk_size: int | None = None,
    forward: Forward | None = None,
) -> PLTrace:
    """μ, L_F, loss and distance at checkpoints, against what PL* says of such a run.

        μ_t = λ_min(K(w_t)),   L_F,t = √λ_max(K(w_t)),   L_t ≤ (1 − ημ)^t L_0 with μ = min_t μ_t,
        ‖w_t − w_0‖ ≤ R,   R = 2 ‖r_0‖/√μ (path) or 2 L_F ‖r_0‖/μ (paper).

    Cheap next to `pl_certificate`'s demands, and evidence only: no supremum over a ball is
    taken, and the bound is that of full-batch gradient descent.

    Args:
        model: A module in evaluation mode; left as it was.
        x: n examples.
        y: Targets, in the shape of the outputs.
        checkpoints: Parameters by step, step 0 among them: `model.state_dict()` cloned at
            those steps of training.
        lr: η of the run, for the loss in the convention of `reduction`.
        radius: Which R.
        reduction: "sum" for L = ½ Σ r², "mean" for that over n.
        names: Names of the parameters that make up w.
        chunk_size: Examples differentiated at a time.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Raises:
        ValueError: If step 0 or a parameter is missing, or an argument is wrong.
        TypeError: If x or y is no tensor, or a checkpoint no mapping.

    Cost:
        One full kernel and its eigenvalues per checkpoint.

    Example:
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> x, y = torch.tensor([[2.0]]), torch.tensor([[2.0]])
        >>> path = {0: {"weight": torch.zeros(1, 1)}, 1: {"weight": torch.full((1, 1), 0.5)}}
        >>> trace = pl_trace(model, x, y, path, lr=0.125)
        >>> trace.mu, trace.losses.tolist(), trace.within_bound
        (4.0, [2.0, 0.5], True)

    References:
        Liu, Zhu, Belkin (2022), arXiv:2003.00307: the statements that are checked.
    """
    name = "pl_trace"
    expect_choices(name, radius, reduction)
    expect_checkpoints(checkpoints, f"{name}(checkpoints=...)")
    positive = lr is None or (isinstance(lr, (int, float)) and 0 < lr < math.inf)
    expect(positive, f"{name}(lr=...)", "a number > 0, or None", lr)
    model = seen_through(model, forward, name)
    twin = Twin.of(model, x, y, names, chunk_size, name)
    start: Params = {}
    rows = []
    for step in sorted(checkpoints):
        expect_parameters(checkpoints[step], twin, step, f"{name}(checkpoints=...)")
        point = twin.point(checkpoints[step])
        now = twin.values()
        start = start or now
        moved = math.sqrt(sum(float((now[k] - start[k]).square().sum()) for k in now))
        square = float(point.residual.square().sum())
        rows.append([square / 2, point.smallest**2, point.slope, point.largest, moved])
    losses, mus, ratios, lipschitz, distances = torch.tensor(rows, dtype=torch.float64).T
    low, residual = float(mus.min()), math.sqrt(2 * float(losses[0]))
    ball = math.inf
    if low > 0:
        steep = 1 if radius == "path" else float(lipschitz.max()) / low**0.5
        ball = 2 * residual / low**0.5 * steep
    kind = next(v.dtype for k, v in checkpoints[0].items() if k in start)
    outputs = float(twin.y.norm()) + residual
    rounding = 0.5 * (_ROUNDINGS * torch.finfo(kind).eps * outputs) ** 2
    n = 1 if reduction == "sum" else len(twin.y)
    eta = math.nan if lr is None else float(lr)
    times = torch.tensor(sorted(checkpoints), dtype=torch.float64)
    decay = max(0.0, 1 - eta * low / n) if lr is not None else math.nan
    return PLTrace(
        tuple(sorted(checkpoints)),
        losses / n,
        mus / n,
        ratios / n,
        lipschitz,
        distances,
        losses[0] / n * decay**times,
        rounding / n,
        ball,
        eta,
        radius,
        reduction,
    )


def expect_checkpoints(checkpoints: Mapping[int, Params], where: str) -> None:
    """Raise unless these are parameters by step, from step 0 on."""
    mapping = isinstance(checkpoints, Mapping)
    expect(mapping, where, "parameters by step", type(checkpoints).__name__, error=TypeError)
    steps = list(checkpoints)
    whole = all(isinstance(step, int) and step >= 0 for step in steps) and 0 in steps
    expect(whole, where, "whole numbers of steps, 0 among them", steps)
    for step, values in checkpoints.items():
        good = isinstance(values, Mapping)
        expect(good, where, "a mapping of parameters", type(values).__name__, error=TypeError)
        bad = [k for k, v in values.items() if not bool(torch.isfinite(v).all())]
        expect(not bad, where, "finite parameters", f"NaN or infinity in {bad} at step {step}")


def expect_parameters(values: Params, twin: Twin, step: int, where: str) -> None:
    """Raise unless a checkpoint holds all that is differentiated by, in the right shapes."""
    own = twin.values()
    wrong = [k for k in own if k not in values or values[k].shape != own[k].shape]
    expect(
        not wrong,
        where,
        f"{', '.join(own)} of the model's shapes",
        f"{', '.join(wrong)} missing or of another shape at step {step}",
        hint="{name: value.clone() for name, value in model.state_dict().items()} keeps one.",
    )
