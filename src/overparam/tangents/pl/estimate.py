"""PL* constants from samples, for networks without a bound in closed form."""

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
from overparam.tangents.pl.certificate import (
    PLCertificate,
    Radius,
    concluded,
    expect_choices,
    impossible,
)
from overparam.tangents.pl.spectrum import Twin
from overparam.tangents.pl.step_sizes import Reduction
from overparam.tangents.pl.trace import expect_parameters


@dataclass(frozen=True)
class PLEstimate:
    """What a certificate would say if the largest sampled change of the Jacobian were β_F.

    Attributes:
        smoothness: Largest ‖J(w) − J(w_0)‖₂/‖w − w_0‖ met: a *lower* bound of β_F.
        smallest_mu: Smallest λ_min(K) at the points sampled, divided by n for a mean: an
            *upper* bound of μ in a ball that holds them.
        samples: Points looked at, besides the start.
        distance: Length of the random displacements.
        conditional: The certificate that would follow from `smoothness`. Its `certified` says
            that there would be one; nothing is proved.
        level: "estimate".
    """

    smoothness: float
    smallest_mu: float
    samples: int
    distance: float
    conditional: PLCertificate
    level: str = "estimate"

    def __str__(self) -> str:
        would = str(self.conditional).replace("PL* certificate", "PL* certificate it would be")
        return (
            f"PL* estimate from {self.samples} samples (proves nothing): β_F ≥ "
            f"{self.smoothness:.4g}, μ ≤ {self.smallest_mu:.4g}. With equality:\n{would}"
        )


@renamed(params="names")
@checked(result="anything")
def pl_estimate(
    model: nn.Module,
    x: Inputs,
    y: Float[Tensor, "n *outputs"],
    *,
    distance: float = 1.0,
    directions: int = 8,
    path: Mapping[int, Params] | None = None,
    radius: Radius = "path",
    reduction: Reduction = "sum",
    seed: int = 0,
    names: Sequence[str] | None = None,
    chunk_size: int | None = None,
    forward: Forward | None = None,
) -> PLEstimate:
    """β_F and μ from points near the start: random directions, the gradient's, and a path.

        β̂ = max ‖J(w) − J(w_0)‖₂ / ‖w − w_0‖,   μ̂ = min λ_min(K(w)).

    β̂ is too small and μ̂ too large, by unknown factors: the Jacobian changes most along a few
    directions, which random ones miss in many dimensions. Checkpoints of a run, as `path`,
    are the most telling samples.

    Args:
        model: A module in evaluation mode; left as it was.
        x: n examples.
        y: Targets, in the shape of the outputs.
        distance: ‖w − w_0‖ of the random points, and of one along −∇L.
        directions: Random directions.
        path: Further points, parameters by step as for `pl_trace`; those equal to w_0 are
            passed over.
        radius: As for `pl_certificate`.
        reduction: As for `pl_certificate`.
        seed: Of the directions.
        names: Names of the parameters that make up w.
        chunk_size: Examples differentiated at a time.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Raises:
        ValueError: If an argument is wrong.
        TypeError: If x or y is no tensor.
        MemoryError: If Jacobians do not fit.

    Cost:
        One Jacobian of n C × P numbers in float64, and the singular values of its change, per
        point: (n C)² P flops.

    Example:
        A linear model's Jacobian does not change:

        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.zeros_(model.weight)
        >>> found = pl_estimate(model, torch.tensor([[2.0]]), torch.tensor([[2.0]]))
        >>> found.level, found.smoothness, found.smallest_mu
        ('estimate', 0.0, 4.0)

    References:
        Liu, Zhu, Belkin (2022), arXiv:2003.00307: what the constants are for.
    """
    name = "pl_estimate"
    expect_choices(name, radius, reduction)
    positive = isinstance(distance, (int, float)) and 0 < distance < math.inf
    expect(positive, f"{name}(distance=...)", "a finite number > 0", distance)
    whole = isinstance(directions, int) and directions >= 1
    expect(whole, f"{name}(directions=...)", "an integer ≥ 1", directions)
    model = seen_through(model, forward, name)
    twin = Twin.of(model, x, y, names, chunk_size, name)
    point = twin.point()
    centre = twin.values()
    steps: list[Params] = []
    for step, values in sorted((path or {}).items()):
        expect_parameters(values, twin, step, f"{name}(path=...)")
        steps.append({k: values[k].to(v) - v for k, v in centre.items()})
    draw = torch.Generator().manual_seed(seed)
    pulls = [{k: -g for k, g in twin.gradient().items()}]
    for _ in range(directions):
        drawn = {k: torch.randn(v.shape, generator=draw, dtype=v.dtype) for k, v in centre.items()}
        pulls.append({k: v.to(centre[k]) for k, v in drawn.items()})
    steps += [
        {k: v * (distance / _length(pull)) for k, v in pull.items()}
        for pull in pulls
        if _length(pull) > 0
    ]
    jacobian, change, mu = twin.jacobian(), 0.0, point.smallest**2
    steps = [step for step in steps if _length(step) > 0]
    for step in steps:
        twin.move_to({k: v + step[k] for k, v in centre.items()})
        there = twin.jacobian()
        sigma = torch.linalg.svdvals(there)
        noise = max(there.shape) * torch.finfo(there.dtype).eps * float(sigma[0])
        full = len(sigma) == len(there) and float(sigma[-1]) > noise
        mu = min(mu, float(sigma[-1]) ** 2 if full else 0.0)
        change = max(change, float(torch.linalg.matrix_norm(there - jacobian, 2)) / _length(step))
    n = len(twin.y)
    reason = impossible(twin, point)
    would = concluded(point, n, change, radius, reduction, reason)
    scale = 1 if reduction == "sum" else n
    return PLEstimate(change, mu / scale, len(steps), float(distance), would)


def _length(step: Params) -> float:
    """Euclidean length over all parameters."""
    return math.sqrt(sum(float(v.double().square().sum()) for v in step.values()))
