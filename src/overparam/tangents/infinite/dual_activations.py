"""Products of activations averaged over two correlated Gaussians: all that infinite width needs."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from overparam._batch import chunks
from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam._exclusive import forward_mode
from overparam._user_line import user_level

Activation: TypeAlias = str | Callable[[Tensor], Tensor]
"""A name out of relu, erf, gelu, identity (closed forms), tanh, swish (quadrature), or any
smooth function that maps a tensor element by element (quadrature)."""

Moments: TypeAlias = tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]

POINTS = (64, 128, 256)
"""Nodes of the Gauss-Hermite rules in each of two directions; the first that suffices is taken."""

# Pairs of nodes whose weight is below this change no digit; most of the square's corners.
_NEGLIGIBLE = 1e-20
# Values of the activation held at a time, and what the rule may be off before it says so.
_HELD = 2**21
# Relative error with which a rule suffices, and with which the finest one is used in silence.
_SUFFICES, _TOLERATED = 1e-10, 1e-6


@checked
def dual_activation(
    activation: Activation,
    covariance: Float[Tensor, "*#shape"],
    variance1: Float[Tensor, "*#shape"],
    variance2: Float[Tensor, "*#shape"],
) -> Moments:
    """Means of φ(u)φ(v) and of φ'(u)φ'(v) over centred Gaussians u, v.

    With a = E[u²], b = E[v²], c = E[uv], and θ = arccos(c/√(ab)),

        relu   φφ: √(ab) (sin θ + (π − θ) cos θ)/(2π)       φ'φ': (π − θ)/(2π)
        erf    φφ: (2/π) arcsin(2c/√((1 + 2a)(1 + 2b)))     φ'φ': (4/π)/√((1 + 2a)(1 + 2b) − 4c²)
        gelu   φφ: c/4 + (cω + (c² + abΔ²)/(ΠΔ))/(2π)
               φ'φ': 1/4 + ω/(2π) + c (1 + 1/Δ² + (1 − ab)/Π)/(2πΔ)
               where Π = (1 + a)(1 + b), Δ² = Π − c², ω = arctan(c/Δ)

    φ is not normalised: relu halves the variance, E[φ(u)²] = a/2. gelu is the exact x Φ(x).
    Every other φ is integrated by Gauss-Hermite with 64 × 64 points, or up to 256 × 256 where
    an estimate of the error asks for more: 64 give tanh at a variance of 1 to 5·10⁻⁷ only.

    Args:
        activation: φ, see `Activation`.
        covariance: c, anything with |c| ≤ √(ab); what rounding puts beyond counts as ±√(ab).
        variance1: a ≥ 0, of a shape that broadcasts with the others.
        variance2: b ≥ 0.

    Returns:
        E[φ(u)φ(v)] and E[φ'(u)φ'(v)], in float64, of the common shape.

    Raises:
        ValueError: If there is no activation of that name, or a function changes the shape.

    Warns:
        UserWarning: If even the finest rule misses 10⁻⁶, as for a function with a kink.

    Cost:
        Constant per entry for closed forms; by quadrature about 1600 values of φ and of φ'
        per entry with 64 points, 16 MB at a time.

    Example:
        Half of all u are positive, and a ReLU passes those:

        >>> one = torch.ones(1)
        >>> dual_activation("relu", one, one, one)
        (tensor([0.5000], dtype=torch.float64), tensor([0.5000], dtype=torch.float64))

    References:
        Cho, Saul (2009): relu. Williams (1996): erf. Tsuchida, Pearce, van der Heide, Roosta,
        Gallagher (2020), arXiv:2002.08517: gelu, there by a different expression.
    """
    a, b, c = torch.broadcast_tensors(variance1, variance2, covariance)
    a, b, c = a.double(), b.double(), c.double()
    for name, variance in (("variance1", a), ("variance2", b)):
        expect(
            (variance >= 0).all(),
            f"dual_activation({name}=...)",
            "variances ≥ 0",
            f"one of {variance.min():.3g}" if variance.numel() else "none",
        )
    size = (a * b).sqrt()
    c = torch.maximum(torch.minimum(c, size), -size)
    if isinstance(activation, str):
        if activation in _CLOSED:
            return _CLOSED[activation](a, b, c)
        if activation not in _SMOOTH:
            unknown("dual_activation(activation=...)", "an activation", activation, names())
        return _integrated(_SMOOTH[activation], a, b, c)
    return _integrated(activation, a, b, c)


def names() -> list[str]:
    """Activations that may be given by name."""
    return sorted({*_CLOSED, *_SMOOTH})


def unit_gain(activation: Activation) -> float:
    """The factor c_σ = 1/E[φ(u)²], u ~ N(0, 1), that keeps a variance of 1 through a layer.

    Example:
        >>> unit_gain("relu")
        2.0
    """
    one = torch.ones((), dtype=torch.float64)
    return 1 / float(dual_activation(activation, one, one, one)[0])


def _relu(a: Tensor, b: Tensor, c: Tensor) -> Moments:
    """By the angle, whose sine is a product of differences: c = √(ab) gives exactly 0."""
    size = (a * b).sqrt()
    sine = ((size - c) * (size + c)).sqrt()
    open_angle = math.pi - torch.atan2(sine, c)
    return (sine + open_angle * c) / (2 * math.pi), open_angle / (2 * math.pi)


def _erf(a: Tensor, b: Tensor, c: Tensor) -> Moments:
    """Arcsine and its derivative."""
    product = (1 + 2 * a) * (1 + 2 * b)
    values = 2 / math.pi * torch.asin(2 * c / product.sqrt())
    return values, 4 / math.pi / (product - 4 * c**2).sqrt()


def _gelu(a: Tensor, b: Tensor, c: Tensor) -> Moments:
    """In the docstring's letters: `product` is Π, `square` is Δ²."""
    product = (1 + a) * (1 + b)
    square = product - c**2
    root = square.sqrt()
    angle = torch.atan2(c, root)
    values = c / 4 + (c * angle + (c**2 + a * b * square) / (product * root)) / (2 * math.pi)
    inner = 1 + 1 / square + (1 - a * b) / product
    return values, 0.25 + (angle + c / root * inner) / (2 * math.pi)


def _identity(a: Tensor, b: Tensor, c: Tensor) -> Moments:
    """A linear network."""
    return c.clone(), torch.ones_like(c)


_CLOSED = {"relu": _relu, "erf": _erf, "gelu": _gelu, "identity": _identity}
_SMOOTH: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "swish": torch.nn.functional.silu,
}


def _integrated(function: Callable[[Tensor], Tensor], a: Tensor, b: Tensor, c: Tensor) -> Moments:
    """Both moments by the Gauss-Hermite rule, a block of entries at a time."""
    if not c.numel():
        return c.clone(), c.clone()
    size = (a * b).sqrt()
    rho = torch.where(size > 0, c / size.clamp_min(torch.finfo(a.dtype).tiny), 0.0)
    points = _enough_points(function, torch.maximum(a, b).max())
    first, second, weights = (part.to(a.device) for part in _grid(points))
    values, slopes = torch.empty_like(c), torch.empty_like(c)
    flat = [part.flatten() for part in (a.sqrt(), b.sqrt(), rho, values, slopes)]
    for block in chunks(c.numel(), max(1, _HELD // len(weights))):
        root_a, root_b, correlation = (part[block, None] for part in flat[:3])
        independent = ((1 - correlation) * (1 + correlation)).clamp_min(0).sqrt()
        u = _with_slope(function, root_a * first)
        v = _with_slope(function, root_b * (correlation * first + independent * second))
        flat[3][block], flat[4][block] = ((x * y) @ weights for x, y in zip(u, v, strict=True))
    return flat[3].view_as(c), flat[4].view_as(c)


def _with_slope(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """φ(x) and φ'(x), element by element."""
    with forward_mode():
        values, slopes = torch.func.jvp(function, (x,), (torch.ones_like(x),))[:2]
    expect(
        values.shape == x.shape,
        "dual_activation(activation=...)",
        "a function that keeps the shape",
        f"one that maps {tuple(x.shape)} to {tuple(values.shape)}",
    )
    return values, slopes


@functools.cache
def _rule(points: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights for the standard normal distribution."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return torch.from_numpy(nodes), torch.from_numpy(weights / math.sqrt(2 * math.pi))


@functools.cache
def _grid(points: int) -> tuple[Tensor, Tensor, Tensor]:
    """Both coordinates and the weight of each point that counts."""
    nodes, weights = _rule(points)
    products = weights[:, None] * weights
    i, j = torch.nonzero(products > _NEGLIGIBLE, as_tuple=True)
    return nodes[i], nodes[j], products[i, j]


def _enough_points(function: Callable[[Tensor], Tensor], variance: Tensor) -> int:
    """The smallest rule that suffices for E[φ²] and E[φ'²], or the finest, with a warning."""
    error = math.inf
    for points in POINTS:
        error = _error(function, variance, points)
        if error <= _SUFFICES:
            return points
    if not error <= _TOLERATED:
        warnings.warn(
            f"{POINTS[-1]} Gauss-Hermite points integrate this activation to about {error:.0e} "
            f"only at variance {float(variance):.3g}: it has a kink, or bends within a fraction "
            "of its input's spread.",
            stacklevel=user_level(),
        )
    return POINTS[-1]


def _error(function: Callable[[Tensor], Tensor], variance: Tensor, points: int) -> float:
    """How much E[φ²] or E[φ'²] changes with one node less, which moves them all."""

    def squares(number: int) -> Tensor:
        nodes, weights = (part.to(variance.device) for part in _rule(number))
        both = torch.stack(_with_slope(function, variance.sqrt() * nodes))
        return (both**2 * weights).sum(1)

    fine, coarse = squares(points), squares(points - 1)
    return float(((fine - coarse).abs() / fine.abs().clamp_min(1e-300)).max())
