"""How depth conditions the tangent kernel of given inputs."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam._user_line import user_level
from overparam.linalg.spectra import condition_number
from overparam.nets.activations import ACTIVATIONS
from overparam.nets.mlp import ntk_mlp
from overparam.tangents.empirical import empirical_ntk
from overparam.tangents.infinite.angles import input_angles
from overparam.tangents.infinite.dense import expect_arrays, infinite_ntk
from overparam.tangents.infinite.dual_activations import unit_gain

# Directions closer than this are one direction up to rounding.
_PARALLEL = 1e-15


@dataclass(frozen=True)
class ConditioningProfile:
    """What `conditioning_profile` found; one row per seed, a single one at infinite width.

    Attributes:
        depths: Hidden layers L of each column.
        width: Units per hidden layer, `None` for infinitely many.
        condition_numbers: λ_max/λ_min of the kernel, infinite if singular; (seeds, depths).
        smallest_angles: Smallest angle between two gradients, in radians; (seeds, depths).
    """

    depths: tuple[int, ...]
    width: int | None
    condition_numbers: Float[Tensor, "seeds depths"]
    smallest_angles: Float[Tensor, "seeds depths"]


@checked(result="not NaN")
def conditioning_profile(
    x: Float[Tensor, "n d"],
    depths: Sequence[int],
    *,
    activation: str = "relu",
    width: int | None = None,
    seeds: Sequence[int] = (0, 1, 2),
) -> ConditioningProfile:
    """Condition number and smallest gradient angle of the tangent kernel, by depth.

    For each depth L the kernel K of the networks of `infinite_ntk` in the parametrisation
    of Liu and Hui (2023) ("unscaled_input", no biases), or of finite networks
    ``ntk_mlp([d, width, …, width, 1])`` with weights scaled by √c_σ in every layer. Scaling
    the kernel changes neither quantity:

        κ = λ_max(K)/λ_min(K),      cos φ = K[i, j]/√(K[i, i] K[j, j]), smallest φ over i < j.

    With ReLU and infinite width, κ → (n + 3)/3 for n inputs of equal length as L → ∞. κ falls
    with depth where some inputs are nearly parallel, as in images; for well separated inputs
    it need not.

    Args:
        x: n ≥ 2 inputs, none zero. L = 0 is their Gram matrix: singular, κ = ∞, if n > d.
        depths: Numbers of hidden layers.
        activation: A name that `ntk_mlp` knows, or for infinite width "erf".
        width: Units per hidden layer; `None` for the limit.
        seeds: Of the networks; not used for infinite width.

    Raises:
        ValueError: If an input is zero or not finite, there are fewer than two, or an
            argument is out of range or unknown.
        NumericalError: If a kernel overflows.

    Warns:
        UserWarning: If two inputs are parallel: then every kernel is singular.

    Cost:
        n² (d + L) + n³ operations per depth; for finite width `empirical_ntk` per seed.

    Example:
        Two orthogonal inputs are perfectly conditioned for a linear model, and only for it:

        >>> profile = conditioning_profile(torch.eye(2), [0, 1, 10_000])
        >>> profile.condition_numbers.round(decimals=2)
        tensor([[1.0000, 1.3800, 1.6700]], dtype=torch.float64)

    References:
        Liu, Hui (2023), arXiv:2305.08813. Its theorem 4.3 gives the limit as (n + 4)/3, from
        1 + n/4 for the largest eigenvalue of ¾·1 + ¼·11ᵀ, which is (n + 3)/4.
    """
    where = "conditioning_profile"
    x = _inputs(x, where)
    expect(len(depths) > 0 and min(depths) >= 0, f"{where}(depths=...)", "numbers ≥ 0", depths)
    if width is not None:
        expect(width >= 1, f"{where}(width=...)", "at least 1 unit", width)
        expect(len(seeds) > 0, f"{where}(seeds=...)", "at least one seed", seeds)
        if activation not in ACTIVATIONS:
            unknown(f"{where}(activation=...)", "an activation", activation, ACTIVATIONS)
    kernels = [
        [_kernel(x, depth, activation, width, seed) for depth in depths]
        for seed in (seeds if width is not None else (0,))
    ]
    conditions = [[condition_number(kernel) for kernel in row] for row in kernels]
    angles = [[_smallest_angle(kernel) for kernel in row] for row in kernels]
    parallel = _parallel_pair(x)
    if parallel:
        conditions = [[math.inf] * len(depths) for _ in conditions]
        warnings.warn(
            f"inputs {parallel[0]} and {parallel[1]} are parallel: without biases every kernel is "
            "singular and the condition number infinite.",
            stacklevel=user_level(),
        )
    return ConditioningProfile(
        tuple(depths),
        width,
        torch.tensor(conditions, dtype=torch.float64),
        torch.tensor(angles, dtype=torch.float64),
    )


def _inputs(x: Tensor, where: str) -> Tensor:
    """At least two inputs, finite and not zero, in float64."""
    x, _ = expect_arrays(where, x, None, 2, "n examples of d numbers, (n, d)")
    expect(len(x) >= 2, f"{where}(x=...)", "at least two inputs", len(x))
    zero = torch.nonzero(x.norm(dim=1) == 0).flatten().tolist()
    expect(
        not zero,
        f"{where}(x=...)",
        "inputs that are not zero",
        f"zeros in row {', '.join(map(str, zero[:5]))}",
        hint="a zero input has no angle to others; drop it.",
    )
    return x


def _kernel(x: Tensor, depth: int, activation: str, width: int | None, seed: int) -> Tensor:
    """Kernel of one network, or of the limit."""
    if width is None:
        return infinite_ntk(x, depth=depth, activation=activation, parametrisation="unscaled_input")
    model = ntk_mlp(
        [x.shape[1], *[width] * depth, 1],
        activation,
        weight_scale=math.sqrt(unit_gain(activation)),
        seed=seed,
        dtype=torch.float64,
    )
    return empirical_ntk(model.to(x.device), x)


def _smallest_angle(kernel: Tensor) -> float:
    """Smallest angle between two gradients, from their inner products."""
    lengths = kernel.diagonal().sqrt()
    cosines = (kernel / lengths / lengths[:, None]).fill_diagonal_(-1)
    return math.acos(min(1.0, float(cosines.max())))


def _parallel_pair(x: Tensor) -> tuple[int, int] | None:
    """Two inputs with one direction, if there are any."""
    for i in range(len(x) - 1):
        same = torch.nonzero(input_angles(x[i], x[i + 1 :]) < _PARALLEL).flatten()
        if len(same):
            return i, i + 1 + int(same[0])
    return None
