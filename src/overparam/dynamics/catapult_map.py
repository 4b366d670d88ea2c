"""A catapult in two numbers: curvature and squared error of one example, exactly."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect


@dataclass(frozen=True)
class CatapultOrbit:
    """A trajectory of `catapult_map`, from its start.

    Attributes:
        v: η λ, learning rate times curvature; 2 is the edge of stability.
        u: c η² (g − y)², the loss in units of the model's own quadratic part.
    """

    v: Float[Tensor, "steps"]
    u: Float[Tensor, "steps"]

    @property
    def converged(self) -> bool:
        """Whether u has vanished (below 10⁻¹² of its largest value) at a stable v < 2."""
        last = float(self.u[-1])
        small = math.isfinite(last) and last <= 1e-12 * float(self.u.max())
        return small and float(self.v[-1]) < 2


@checked(result="anything")
def catapult_map(v0: float, u0: float, steps: int, *, w0: float = 0.0) -> CatapultOrbit:
    """Gradient descent of a two-layer ReLU network with held gates on one example, as a map.

        u⁺ = (1 − v + u + w)² u
        v⁺ = v − u (4 − v) − 4 w
        w⁺ = (1 − v + u + w) w

    with v = η λ, u = c η² (g − y)², w = c η² (g − y) y, c = ‖x‖²/(m d), for L = ½ (g − y)² and
    the network of width m in NTK parametrisation on d inputs. For target y = 0, w is 0 and two
    numbers say it all, whatever the width: between v = 2 and about v = 4 the error grows until
    it has pushed v below 2, and then falls. u = 0 is invariant: a start without any error never
    catapults.

    Args:
        v0: v at the start, ≥ 0: learning rate over critical learning rate, times 2.
        u0: u at the start, ≥ 0; of the order of 1/m.
        steps: Steps to take, at least one.
        w0: w at the start; 0 for the target 0. Its square is at most of the order of u0.

    Returns:
        v and u at ``steps + 1`` times; infinite or NaN from where it diverged.

    Raises:
        ValueError: If a number is not finite, `v0` or `u0` is negative, or there are no steps.

    Cost:
        A handful of operations per step.

    Example:
        A quarter above the edge (v = 2.5) the curvature ends at about half of where it began;
        below the edge it hardly moves; from 4 on nothing returns:

        >>> [round(float(catapult_map(v, 1e-6, 300).v[-1]), 2) for v in (1.5, 2.5)]
        [1.5, 1.28]
        >>> catapult_map(4.1, 1e-6, 300).converged
        False

    References:
        Zhu, Liu, Radhakrishnan, Belkin (2022), arXiv:2205.11787: the recursions of g and λ.
        Lewkowycz et al. (2020), arXiv:2003.02218: the same for a linear network.
    """
    where = "catapult_map"
    for name, value in (("v0", v0), ("u0", u0)):
        expect(
            math.isfinite(value) and value >= 0,
            f"{where}({name}=...)",
            "a finite number ≥ 0",
            value,
        )
    expect(math.isfinite(w0), f"{where}(w0=...)", "a finite number", w0)
    expect(steps >= 1, f"{where}(steps=...)", "at least one step", steps)
    v, u, w = float(v0), float(u0), float(w0)
    path = [(v, u)]
    for _ in range(steps):
        factor = 1 - v + u + w
        v, u, w = v - u * (4 - v) - 4 * w, factor * factor * u, factor * w
        path.append((v, u))
    curvature, error = torch.tensor(path, dtype=torch.float64).T
    return CatapultOrbit(curvature, error)
