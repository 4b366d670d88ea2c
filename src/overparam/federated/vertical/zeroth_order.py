"""Gradients from two values of a loss, along one random direction."""

import math
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from overparam._checked import checked
from overparam._types import Count, Natural, Positive

Kind: TypeAlias = Literal["sphere", "gaussian"]


@checked
def direction(size: Count, seed: Natural, *, kind: Kind = "sphere") -> Tensor:
    """A random direction u of d numbers with E uuᵀ = I, the same for everyone who has the seed.

    Args:
        size: d.
        seed: Public by design: a party draws it again instead of keeping it.
        kind: "sphere" is uniform on the sphere of radius √d; "gaussian" is normal.

    Returns:
        (d,) in double precision.

    Example:
        >>> round(float(direction(50, 0).norm() ** 2), 6)
        50.0
    """
    u = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return u * (math.sqrt(size) / u.norm()) if kind == "sphere" else u


@checked
def two_point(
    loss_plus: Float[Tensor, "*n"], loss_minus: Float[Tensor, "*n"], smoothing: Positive
) -> Float[Tensor, "*n"]:
    """(f(w + λu) − f(w − λu))/(2λ) of each example: its slope along u, up to O(λ²).

    Times u it is an unbiased gradient to that order, in mean square d times as long as the true
    one for directions of the sphere, d + 2 times for normal ones. Too small a λ cancels: the
    relative error is the precision over λ.

    Args:
        loss_plus: f(w + λu), in single precision at least.
        loss_minus: f(w − λu).
        smoothing: λ.

    Example:
        >>> two_point(torch.tensor([1.1, 2.0]), torch.tensor([0.9, 2.0]), 0.1)
        tensor([1.0000, 0.0000])
    """
    return slopes(loss_plus, loss_minus, smoothing)


def slopes(loss_plus: Tensor, loss_minus: Tensor, smoothing: float) -> Tensor:
    """`two_point` of whatever there is: of a loss that is not finite, infinity or NaN."""
    return (loss_plus - loss_minus) / (2 * smoothing)
