"""Where the centres of very many clusters lie, and what error they leave."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import cubature, quad

from overparam._checked import checked
from overparam._errors import complaint, expect
from overparam._numbers import described, is_number
from overparam._user_line import user_level
from overparam.clustering.divergence import BregmanDivergence
from overparam.clustering.named import Divergence, named_divergence

Density = Callable[[np.ndarray], np.ndarray]
Bounds = Sequence[Sequence[float]]

_RTOL = 1e-8
_PIECES = 20_000  # of the box, before the integral is called unsettled
_GRID_DIMENSIONS = 3


@dataclass(frozen=True)
class CenterDensity:
    """The law that the centres of k clusters tend to as k grows; a function of points.

    Attributes:
        normalizer: The integral that the formula is divided by.
        relative: The formula before that, of points ``(n, d)``.
    """

    normalizer: float
    relative: Callable[[np.ndarray], np.ndarray]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Density at points, shape ``(n, d)``, as ``(n,)``: its integral is 1."""
        return self.relative(np.asarray(x, dtype=np.float64)) / self.normalizer


@checked
def quantization_constant(
    density: Density,
    divergence: Divergence = "euclidean",
    *,
    bounds: Bounds | None = None,
    samples: np.ndarray | None = None,
    r: float = 2.0,
    cell_constant: float | None = None,
) -> float:
    """The limit of k^(r/d) · V_k for the best k centres of a distribution.

        V_k = inf over k centres of E min_j D(X, c_j)^(r/2)
        k^(r/d) V_k → 2^(−r/2) Q_{r,d} ‖(det ∇²φ)^(r/(2d)) f‖_{d/(d+r)}

    For r = 2, V_k is the inertia over n of ordinary Bregman clustering. It is a law of the best
    centres of the distribution: on a sample, n/k of 100 and less fit the sample and not its law,
    and centres that are only locally best stay above it.

    Args:
        density: f of points, shape ``(n, d)`` to ``(n,)``, ≥ 0.
        divergence: As for `BregmanKMeans`.
        bounds: ``(low, high)`` of every coordinate, outside of which f is 0; up to three
            dimensions. Infinite ends are allowed.
        samples: Instead, points drawn from f, ``(n, d)``: the integral is then a mean over them,
            with an error of about n^(−1/2).
        r: Order > 0.
        cell_constant: Q_{r,d}, the limit of k^(r/d) ∫ min_j ‖x − c_j‖^r over the unit cube. In
            one dimension it is 1/((r + 1) 2^r), in two that of the hexagon; None takes these.

    Raises:
        ValueError: Neither or both of `bounds` and `samples`, three dimensions or more without
            a `cell_constant`, a density that is negative or NaN, an integral that is infinite.

    Example:
        Numbers spread evenly over [1, 2], and squared distances:

        >>> round(quantization_constant(lambda x: np.ones(len(x)), bounds=[(1, 2)]) * 12, 6)
        1.0

    References:
        Liu, Belkin (2016), "Clustering with Bregman divergences: an asymptotic analysis", NIPS,
        Theorem 1. Zador (1982) for squared distances; Fejes Tóth (1972) for the hexagon.
    """
    where = "quantization_constant({}=...)"
    chosen = _read(divergence, r, bounds, samples, where)
    law, d = chosen
    if cell_constant is None:
        expect(
            d <= 2, where.format("cell_constant"), f"Q for r = {r:g} in {d} dimensions",
            "None, and nobody knows it in closed form", hint="2d/(2πe)^(r/2)-like values bound it: "
            "d/(2πe) is its limit for r = 2 and large d.",
        )  # fmt: skip
        cell_constant = _cell_constant(r, d)
    fits = is_number(cell_constant) and 0 < cell_constant < math.inf
    expect(fits, where.format("cell_constant"), "a positive number", described(cell_constant))
    p = d / (d + r)
    norm = law.integral(density, p, bounds, samples, where) ** (1 / p)
    value = 2 ** (-r / 2) * float(cell_constant) * norm
    expect(math.isfinite(value), where.format("density"), "an integral that is finite", value)
    return value


@checked
def asymptotic_center_density(
    density: Density,
    divergence: Divergence = "euclidean",
    *,
    bounds: Bounds | None = None,
    samples: np.ndarray | None = None,
    r: float = 2.0,
) -> CenterDensity:
    """The law of the best centres as their number grows.

        (1/k) Σ_j δ_{c_j} → (det ∇²φ)^(r/(2(d+r))) f^(d/(d+r)) / ∫

    Neither f nor uniform: of squared distances in one dimension f^(1/3), and where φ bends more
    there are more centres.

    Args:
        density: As for `quantization_constant`, and so the rest.
        divergence: See there.
        bounds: See there.
        samples: See there; they serve for the normaliser alone.
        r: See there.

    Returns:
        A density that can be called, and its normaliser.

    Raises:
        ValueError: As there.

    Example:
        For counts the law of the centres is steeper than that of the data:

        >>> law = asymptotic_center_density(
        ...     lambda x: np.ones(len(x)), "kl", bounds=[(1.0, 2.0)]
        ... )
        >>> law(np.array([[1.0], [2.0]])).round(3)
        array([1.135, 0.901])

    References:
        Liu, Belkin (2016), NIPS, Theorem 2.
    """
    where = "asymptotic_center_density({}=...)"
    law, d = _read(divergence, r, bounds, samples, where)
    p = d / (d + r)
    normalizer = law.integral(density, p, bounds, samples, where)
    fits = math.isfinite(normalizer) and normalizer > 0
    expect(fits, where.format("density"), "an integral that is positive and finite", normalizer)
    return CenterDensity(normalizer, lambda x: law.relative(density, x, p))


@dataclass(frozen=True)
class _Law:
    """g^p with g = (det ∇²φ)^(r/(2d)) f."""

    divergence: BregmanDivergence
    r: float
    d: int

    def relative(self, density: Density, x: np.ndarray, p: float) -> np.ndarray:
        with np.errstate(all="ignore"):
            f = np.asarray(density(x), dtype=np.float64)
            bend = self.divergence.log_det_hessian(x) * (self.r / (2 * self.d))
            # Where f is 0 nothing is, however φ bends.
            return np.where(f > 0, np.exp(p * (bend + np.log(np.where(f > 0, f, 1.0)))), 0.0)

    def integral(self, density: Density, p: float, bounds: Any, samples: Any, where: str) -> float:
        """∫ g^p over the box, or E_f [g^p / f]."""
        if samples is not None:
            points = np.asarray(samples, dtype=np.float64)
            f = _looked_at(density, points, where)
            expect(
                (f > 0).all(), where.format("samples"), "points at which the density is positive",
                f"{int((f <= 0).sum())} others",
            )  # fmt: skip
            return float(np.mean(self.relative(density, points, p) / f))
        low, high = np.array(bounds, dtype=np.float64).T
        finite = np.isfinite(low) & np.isfinite(high)
        middle = np.where(finite, np.where(finite, low, 0) / 2 + np.where(finite, high, 0) / 2, 0.0)
        _looked_at(density, np.clip(middle, low, high)[None], where)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = cubature(
                lambda x: self.relative(density, x, p), low, high,
                rule="gk21" if self.d < 3 else "genz-malik", rtol=_RTOL,
                max_subdivisions=_PIECES // 21 ** (self.d - 1) if self.d < 3 else _PIECES,
            )  # fmt: skip
        value, error = float(found.estimate), float(np.max(found.error))
        expect(not math.isnan(value), where.format("density"), "numbers ≥ 0", "NaN")
        if found.status != "converged" and error > 1e-4 * abs(value):
            warnings.warn(
                f"the integral is {value:.6g} to ±{error:.1g} only: choose `bounds` at the edges "
                "of the density, or pass `samples`.",
                RuntimeWarning,
                stacklevel=user_level(),
            )
        return value


def _looked_at(density: Density, points: np.ndarray, where: str) -> np.ndarray:
    """The density at points, if it is one."""
    f = np.asarray(density(points))
    words = f"numbers ≥ 0 of shape ({len(points)},) for points {points.shape}"
    fits = f.shape == (len(points),) and f.dtype.kind in "fiu"
    expect(fits, where.format("density"), words, described(f))
    expect((f >= 0).all(), where.format("density"), words, "negative ones, or NaN")
    return f.astype(np.float64)


def _read(divergence: Any, r: Any, bounds: Any, samples: Any, where: str) -> tuple[_Law, int]:
    """The law and its dimension."""
    expect(is_number(r) and 0 < r < math.inf, where.format("r"), "a positive number", described(r))
    chosen = named_divergence(divergence)
    given = [
        name for name, value in (("bounds", bounds), ("samples", samples)) if value is not None
    ]
    expect(
        len(given) == 1, where.format("bounds"), "either bounds or samples",
        " and ".join(given) or "neither", error=TypeError,
    )  # fmt: skip
    value = bounds if samples is None else samples
    name = given[0]
    words = "a pair (low, high) for every coordinate"
    if name == "samples":
        words = "finite points, shape (n, d)"
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise complaint(where.format(name), words, described(value)) from problem
    expect(array.ndim == 2 and array.size > 0, where.format(name), words, described(array))
    if name == "samples":
        expect(np.isfinite(array).all(), where.format(name), words, "NaN or infinity among them")
        inside = chosen.inside(array).all()
        d = array.shape[1]
    else:
        fits = array.shape[1] == 2 and (array[:, 0] < array[:, 1]).all()
        expect(fits, where.format(name), words, array.tolist())
        d = len(array)
        expect(
            d <= _GRID_DIMENSIONS, where.format(name), f"at most {_GRID_DIMENSIONS} dimensions", d,
            hint="pass samples=..., points drawn from the density.",
        )  # fmt: skip
        inside = (array >= chosen.domain[0]).all() and (array <= chosen.domain[1]).all()
    expect(
        inside, where.format(name), f"numbers in {chosen.interval}, as {chosen.name!r} needs",
        f"from {array.min():g} to {array.max():g}",
    )  # fmt: skip
    return _Law(chosen, float(r), d), d


def _cell_constant(r: float, d: int) -> float:
    """∫ ‖x‖^r over the interval of length 1, or over the hexagon of area 1, around 0."""
    if d == 1:
        return 1 / ((r + 1) * 2**r)
    apothem = math.sqrt(1 / (2 * math.sqrt(3)))
    wedge, _ = quad(lambda angle: (apothem / math.cos(angle)) ** (r + 2), 0, math.pi / 6)
    return 12 * wedge / (r + 2)
