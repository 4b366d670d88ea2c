"""The smallest ball that holds a whole run of gradient descent, from constants at its centre."""

import math

from scipy.optimize import brentq

KINDS = ("path", "paper")


def smallest_radius(
    low: float, high: float, smoothness: float, residual: float, kind: str
) -> float | None:
    """Smallest R that is as large as it makes itself; `None` if there is none.

    Within distance R singular values move by β R at most, σ_min ≥ low − βR and
    σ_max ≤ high + βR, so that R suffices if, for "path" and "paper",

        R ≥ 2 ‖r0‖ / (low − βR)        R ≥ 2 (high + βR) ‖r0‖ / (low − βR)².

    Args:
        low: σ_min of the Jacobian at the centre.
        high: σ_max there.
        smoothness: β ≥ 0, Lipschitz constant of the Jacobian.
        residual: ‖r0‖.
        kind: "path" or "paper".
    """
    if low <= 0:
        return None
    if residual == 0:
        return 0.0
    if smoothness == 0:
        return 2 * residual / low if kind == "path" else 2 * high * residual / low**2
    if kind == "path":
        inside = low**2 - 8 * smoothness * residual
        return None if inside < 0 else 4 * residual / (low + math.sqrt(inside))
    c = 2 * smoothness * residual

    def surplus(z: float) -> float:  # z = βR
        return z * (low - z) ** 2 - c * (high + z)

    top = (2 * low - math.sqrt(low**2 + 3 * c)) / 3
    if top <= 0 or surplus(top) < 0:
        return None
    root = brentq(surplus, 0.0, top, xtol=1e-300, rtol=1e-14)  # type: ignore[call-overload]
    return float(root) / smoothness  # type: ignore[arg-type]


def largest_smoothness(low: float, high: float, residual: float, kind: str) -> float:
    """The largest β for which there is a radius."""
    if low <= 0 or residual == 0:
        return math.inf if low > 0 else 0.0
    most = low**2 / (8 * residual)
    if kind == "path":
        return most
    below, above = 0.0, most  # the paper's ball is never smaller than the path's
    for _ in range(100):
        middle = (below + above) / 2
        fits = smallest_radius(low, high, middle, residual, kind) is not None
        below, above = (middle, above) if fits else (below, middle)
    return below
