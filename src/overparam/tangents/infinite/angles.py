"""Angles between inputs, and what ReLU layers of infinite width make of them."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam.tangents.infinite.dual_activations import Activation, dual_activation

# Below this angle sin θ − θ cos θ is summed as a series: its two terms cancel.
_SMALL = 0.05


@renamed(x="x1", z="x2")
@checked
def input_angles(
    x1: Float[Tensor, "*#batch d"], x2: Float[Tensor, "*#batch d"]
) -> Float[Tensor, "*batch"]:
    """Angles θ in [0, π] between vectors, to rounding even where they are nearly parallel.

    With a = x1/‖x1‖ and b = x2/‖x2‖,

        θ = 2 arctan(‖a − b‖ / ‖a + b‖).

    The arccos of a cosine cannot tell angles below 10⁻⁸ (float64) from 0.

    Args:
        x1: Vectors; a zero vector counts as orthogonal to all.
        x2: Vectors, of a shape that broadcasts.

    Returns:
        θ in radians, float64.

    Example:
        >>> input_angles(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1e-12]))
        tensor(1.0000e-12, dtype=torch.float64)

    References:
        Kahan (2006), "How futile are mindless assessments of roundoff", section 12.
    """
    x1, x2 = unit_rows(x1.double()), unit_rows(x2.double())
    return 2 * torch.atan2((x1 - x2).norm(dim=-1), (x1 + x2).norm(dim=-1))


def unit_rows(x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """Vectors of length 1; zero stays zero."""
    length = x.norm(dim=-1, keepdim=True)
    return torch.where(length > 0, x / length, 0.0)


@checked
def relu_embedding_angle(
    theta: Float[Tensor, "*shape"] | float, depth: int
) -> Float[Tensor, "*shape"]:
    """Angle between two inputs' activations after `depth` ReLU layers of infinite width.

    θ⁰ = θ, and each layer without biases maps θ to g(θ),

        cos g(θ) = ((π − θ) cos θ + sin θ)/π,      g(θ) = θ − θ²/(3π) + O(θ³).

    0 is the only fixed point: embeddings of any two inputs become parallel, as 3π/L. Computed
    as 2 arcsin √(sin²(θ/2) − (sin θ − θ cos θ)/(2π)), which keeps small angles to rounding.

    Args:
        theta: Angles in radians, 0 ≤ θ ≤ π.
        depth: Number of hidden layers L ≥ 0.

    Returns:
        θ^L in radians, float64.

    Raises:
        ValueError: If an angle is outside [0, π] or `depth` is negative.

    Cost:
        `depth` passes over the angles.

    Example:
        Opposite inputs are orthogonal after one layer: no unit is active for both.

        >>> relu_embedding_angle(torch.pi, 1) / torch.pi
        tensor(0.5000, dtype=torch.float64)

    References:
        Liu, Hui (2023), arXiv:2305.08813: the recursion; Cho, Saul (2009) before them.
    """
    theta = _checked(theta, depth, "relu_embedding_angle")
    for _ in range(depth):
        theta = _next_angle(theta)
    return theta


@checked
def model_gradient_angle(
    theta: Float[Tensor, "*shape"] | float, depth: int, activation: Activation = "relu"
) -> Float[Tensor, "*shape"]:
    """Angle between two inputs' parameter gradients in a network of infinite width.

    The gradients are those of the whole network, all layers trained, without biases, at
    initialisation. For ReLU, with θˡ from `relu_embedding_angle`,

        cos φ_L = S_L/(L + 1),   S_0 = cos θ⁰,   S_l = S_{l−1} (1 − θ^{l−1}/π) + cos θˡ.

    L = 0, a linear model, leaves φ = θ. Small angles grow, φ ≈ √(Lθ/π), large ones shrink:
    the turning point is θ ≈ 66.8° at L = 1 and 73.1° at L = 50. As L → ∞, φ → arccos(1/4) =
    75.5° for all θ > 0. For other activations every layer is scaled by c_σ = 1/E[σ(u)²],
    u ~ N(0, 1), so that the variance stays 1.

    Args:
        theta: Angles between inputs in radians, 0 ≤ θ ≤ π.
        depth: Number of hidden layers L ≥ 0.
        activation: See `Activation`.

    Returns:
        φ_L in radians, float64: for ReLU to rounding, for other activations (by their cosine)
        to 10⁻⁸ for small angles.

    Raises:
        ValueError: If an angle is outside [0, π], `depth` is negative, or there is no such
            activation.

    Cost:
        `depth` passes over the angles.

    Example:
        Right angles shrink to arccos(1/(2π)) = 80.8° in a network with one hidden layer:

        >>> model_gradient_angle(torch.pi / 2, 1).rad2deg().round(decimals=1)
        tensor(80.8000, dtype=torch.float64)

    References:
        Liu, Hui (2023), arXiv:2305.08813: formula and both limits.
    """
    theta = _checked(theta, depth, "model_gradient_angle")
    if isinstance(activation, str) and activation == "relu":
        return _angle(relu_deficit(theta, depth) / (depth + 1))
    return torch.acos(_gradient_cosine(torch.cos(theta), depth, activation).clamp(-1, 1))


def relu_deficit(theta: Float[Tensor, "*shape"], depth: int) -> Float[Tensor, "*shape"]:
    """L + 1 − S_L, a sum of what each layer takes off: exact where S_L itself would be rounded.

    Like S, it does not depend on how the layers are scaled: ‖x‖‖z‖ S_L is the kernel.
    """
    deficit = 2 * torch.sin(theta / 2) ** 2
    for layer in range(1, depth + 1):
        before, theta = theta, _next_angle(theta)
        deficit = deficit + (layer - deficit) * before / math.pi + 2 * torch.sin(theta / 2) ** 2
    return deficit


def _next_angle(theta: Tensor) -> Tensor:
    """One layer's g(θ), through half angles."""
    square = theta**2
    series = theta * square * (1 / 3 - square * (1 / 30 - square * (1 / 840 - square / 45360)))
    gap = torch.where(theta < _SMALL, series, torch.sin(theta) - theta * torch.cos(theta))
    inner = torch.sin(theta / 2) ** 2 - gap / (2 * math.pi)
    return 2 * torch.asin(inner.clamp(0, 1).sqrt())


def _angle(deficit: Tensor) -> Tensor:
    """The angle whose cosine is 1 − `deficit`."""
    return 2 * torch.asin((deficit / 2).clamp(0, 1).sqrt())


def _gradient_cosine(cosine: Tensor, depth: int, activation: Activation) -> Tensor:
    """Kernel over its diagonal, both divided as they grow: the diagonal overflows with depth."""
    one = torch.ones((), dtype=cosine.dtype, device=cosine.device)
    second, slope = dual_activation(activation, one, one, one)
    # `new` is the diagonal's newest term, 1, as a share of the whole diagonal.
    signal, kernel, new = cosine, cosine, one
    for _ in range(depth):
        signal, slopes = (part / second for part in dual_activation(activation, signal, one, one))
        new = new / (new + slope / second)
        kernel = signal * new + slopes / (slope / second) * (1 - new) * kernel
    return kernel


def _checked(theta: Tensor | float, depth: int, name: str) -> Tensor:
    """The angles in float64."""
    theta = torch.as_tensor(theta, dtype=torch.float64)
    # Rounding π to single precision may exceed it.
    inside = bool(((theta >= 0) & (theta <= math.pi + 1e-6)).all())
    got = "" if inside else f"{float(theta.min()):.4g} to {float(theta.max()):.4g}"
    expect(inside, f"{name}(theta=...)", "angles from 0 to π", got, "angles here are in radians.")
    expect(depth >= 0, f"{name}(depth=...)", "a whole number ≥ 0 of hidden layers", depth)
    return theta.clamp(max=math.pi)
