"""The divergences that have a name."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, logit, xlogy

from overparam._errors import expect, unknown
from overparam._numbers import described, is_number
from overparam.clustering.divergence import BregmanDivergence

Divergence = str | tuple[str, Any] | BregmanDivergence

_INF = float("inf")

# Functions with a name of their own, so that what holds them can be pickled.


def _double(x: np.ndarray) -> np.ndarray:
    return 2.0 * x


def _half(x: np.ndarray) -> np.ndarray:
    return x / 2.0


def _two(x: np.ndarray) -> np.ndarray:
    return np.full(x.shape, 2.0)


def _entropy(x: np.ndarray) -> np.ndarray:
    return xlogy(x, x) - x


def _minus_log(x: np.ndarray) -> np.ndarray:
    return -np.log(x)


def _minus_inverse(x: np.ndarray) -> np.ndarray:
    return -1.0 / x


def _inverse_square(x: np.ndarray) -> np.ndarray:
    return x**-2.0


def _binary_entropy(x: np.ndarray) -> np.ndarray:
    return xlogy(x, x) + xlogy(1.0 - x, 1.0 - x)


def _binary_bend(x: np.ndarray) -> np.ndarray:
    return 1.0 / (x * (1.0 - x))


def _power(x: np.ndarray, p: float) -> np.ndarray:
    return x**p


def _power_slope(x: np.ndarray, p: float) -> np.ndarray:
    return p * x ** (p - 1.0)


def _power_inverse(theta: np.ndarray, p: float) -> np.ndarray:
    return (theta / p) ** (1.0 / (p - 1.0))


def _power_bend(x: np.ndarray, p: float) -> np.ndarray:
    return p * (p - 1.0) * x ** (p - 2.0)


def _form(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return np.einsum("ni,ni->n", x @ matrix, x)


def _form_slope(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return 2.0 * x @ matrix


def _form_bend(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return np.broadcast_to(2.0 * matrix, (len(x), *matrix.shape))


SIMPLE = {
    "euclidean": BregmanDivergence(
        np.square, _double, grad_inv=_half, hess=_two, name="euclidean"
    ),
    "kl": BregmanDivergence(
        _entropy, np.log, grad_inv=np.exp, hess=np.reciprocal,
        domain=(0.0, _INF), closed="left", name="kl",
    ),
    "itakura_saito": BregmanDivergence(
        _minus_log, _minus_inverse, grad_inv=_minus_inverse, hess=_inverse_square,
        domain=(0.0, _INF), name="itakura_saito",
    ),
    "logistic": BregmanDivergence(
        _binary_entropy, logit, grad_inv=expit, hess=_binary_bend,
        domain=(0.0, 1.0), closed="both", name="logistic",
    ),
    "exponential": BregmanDivergence(
        np.exp, np.exp, grad_inv=np.log, hess=np.exp, name="exponential"
    ),
}  # fmt: skip


def _power_divergence(p: Any, where: str) -> BregmanDivergence:
    fits = is_number(p) and 1 < p < _INF
    expect(fits, where, "an exponent above 1 for 'power'", described(p))
    p = float(p)
    return BregmanDivergence(
        partial(_power, p=p), partial(_power_slope, p=p), grad_inv=partial(_power_inverse, p=p),
        hess=partial(_power_bend, p=p), domain=(0.0, _INF), closed="left", name=f"power {p:g}",
    )  # fmt: skip


def _mahalanobis(matrix: Any, where: str) -> BregmanDivergence:
    words = "a symmetric positive definite matrix for 'mahalanobis'"
    try:
        form = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        form = np.empty(0)
    square = form.ndim == 2 and form.size > 0 and len(set(form.shape)) == 1
    fits = square and np.isfinite(form).all() and np.allclose(form, form.T)
    expect(fits and np.linalg.eigvalsh(form)[0] > 0, where, words, described(matrix))
    inverse = np.linalg.inv(4.0 * form)
    return BregmanDivergence(
        partial(_form, matrix=form), partial(_form_slope, matrix=form),
        grad_inv=partial(_form_slope, matrix=inverse), hess=partial(_form_bend, matrix=form),
        name="mahalanobis",
    )  # fmt: skip


WITH_ARGUMENT: dict[str, Callable[[Any, str], BregmanDivergence]] = {
    "power": _power_divergence,
    "mahalanobis": _mahalanobis,
}


def named_divergence(name: Divergence) -> BregmanDivergence:
    """The divergence that goes by a name.

    ================== ============ ============================ ===========================
    name               data         D(x, c), summed over columns best for
    ================== ============ ============================ ===========================
    "euclidean"        any          (x − c)²                     normal noise, equal spread
    "kl"               x ≥ 0        x log(x/c) − x + c           counts: Poisson
    "itakura_saito"    x > 0        x/c − log(x/c) − 1           spread ∝ mean: gamma
    "logistic"         0 ≤ x ≤ 1    "kl" of x and of 1 − x       yes or no: Bernoulli
    "exponential"      any          eˣ − eᶜ − (x − c) eᶜ         large x that matter more
    ("power", p)       x ≥ 0, p > 1 xᵖ − cᵖ − p cᵖ⁻¹ (x − c)     between and beyond
    ("mahalanobis", A) any          (x − c)ᵀ A (x − c)           correlated normal noise
    ================== ============ ============================ ===========================

    Args:
        name: As in the table; a divergence is handed through.

    Raises:
        ValueError: Another name, an exponent that is not above 1, or a matrix that is not
            symmetric and positive definite.

    Example:
        >>> named_divergence("kl")
        <Bregman divergence 'kl' on [0, ∞)>
    """
    where = "named_divergence(name=...)"
    if isinstance(name, BregmanDivergence):
        return name
    if isinstance(name, str):
        if name not in SIMPLE:
            expect(
                name not in WITH_ARGUMENT, where, f"a pair, ({name!r}, its argument)", repr(name)
            )
            unknown(where, "a divergence", name, [*SIMPLE, *WITH_ARGUMENT])
        return SIMPLE[name]
    pair = isinstance(name, tuple) and len(name) == 2 and isinstance(name[0], str)
    words = "a name, a pair of a name and its argument, or a BregmanDivergence"
    expect(pair, where, words, described(name), error=TypeError)
    kind, argument = name
    if kind not in WITH_ARGUMENT:
        unknown(where, "a divergence with an argument", kind, WITH_ARGUMENT)
    return WITH_ARGUMENT[kind](argument, where)
