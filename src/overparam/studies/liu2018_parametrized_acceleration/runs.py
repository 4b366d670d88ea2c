"""The three methods themselves, run on kernel regression and on spectra that are known."""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from overparam.datasets.named import load
from overparam.optim.acceleration import (
    chebyshev_weights,
    heavy_ball_parameters,
    nesterov_momentum,
    spectral_error,
    spectral_rate,
)

HORIZONS = (30, 100, 300, 1000, 3000)
RHOS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
FACTORS = {"too large": 1e3, "too small": 1e-3}
BANDWIDTH = {"digits": 1.5, "mnist": 5.0}
TIMES = range(200, 3001, 50)  # at which straight lines are fitted
WINDOW = 2000  # steps over which the largest error is sought: more than twice a slow oscillation
UNBOUNDED = 5000  # steps against a condition number of 10^12


def cell(measure: str, seed: int, **settings: Any) -> dict[str, Any]:
    """One experiment."""
    experiments = {
        "regression": regression,
        "guess": wrong_guess,
        "closed form": closed_form,
        "unbounded": unbounded,
        "worst case": worst_case,
    }
    return experiments[measure](seed=seed, **settings)


@lru_cache(maxsize=8)  # of what takes long to compute, little is kept
def kernel_problem(data: str, examples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of the kernel matrix over the largest, and squared targets along each."""
    if data == "digits":
        pixels, classes = load_digits(return_X_y=True)
        pixels = pixels / 16
    else:
        dataset = load(data)
        pixels, classes = dataset.x_train.reshape(len(dataset.x_train), -1) / 255, dataset.y_train
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))[:examples]
    x = torch.as_tensor(np.asarray(pixels)[order.numpy()])
    targets = nn.functional.one_hot(torch.as_tensor(np.asarray(classes))[order], 10).double()
    kernel = torch.exp(-torch.cdist(x, x).square() / (2 * BANDWIDTH[data] ** 2))
    values, vectors = torch.linalg.eigh(kernel)
    weights = (vectors.T @ targets).square().sum(1) / examples
    return (values / values[-1]).clamp(1e-15, 1).numpy(), weights.numpy()


def run(method: str, s: np.ndarray, rho: float) -> Iterator[np.ndarray]:
    """The method on ½ Σ s x² with steps 1/L, L = 1: x after 0, 1, 2, … steps, from 1."""
    x = np.ones_like(s)
    yield x
    if method == "gradient descent":
        while True:
            x = x - s * x
            yield x
    if method == "nesterov":
        momentum, y = nesterov_momentum(rho), x
        while True:
            before, x = x, y - s * y
            y = x + momentum * (x - before)
            yield x
    tau = 2 / (1 + rho)
    before, x = x, x - tau * s * x
    yield x
    if method == "heavy_ball":
        settings = heavy_ball_parameters(rho, 1.0)
        lr, momentum = settings["lr"], settings["momentum"]
        while True:
            before, x = x, x - lr * s * x + momentum * (x - before)
            yield x
    for weight in islice(chebyshev_weights(rho), 1, None):
        before, x = x, weight * (x - tau * s * x - before) + before
        yield x


def regression(method: str, rho: float, data: str, examples: int, seed: int) -> dict[str, Any]:
    """Mean squared training error, from 1 at the start, at each horizon."""
    s, weights = kernel_problem(data, examples, seed)
    return {
        f"error_{t}": float((weights * x**2).sum())
        for t, x in enumerate(islice(run(method, s, rho), max(HORIZONS) + 1))
        if t in HORIZONS
    }


def envelope(method: str, rho: float, t: int) -> float:
    """The largest |e_t(s)| over s in [ρ, 1], which each method attains at s = ρ."""
    q = math.sqrt(rho)
    if method == "nesterov":
        return (1 + t * q) * (1 - q) ** t
    if method == "heavy_ball":
        return (1 + 2 * q * t / (1 + rho)) * ((1 - q) / (1 + q)) ** t
    return 1 / math.cosh(t * math.acosh((1 + rho) / (1 - rho)))


def wrong_guess(
    method: Any, guess: str, data: str, examples: int, steps: int, seed: int
) -> dict[str, Any]:
    """A method with a ρ that is wrong by a factor 1000: how straight log|e| is, and how steep."""
    s, _ = kernel_problem(data, examples, seed)
    rho = float(s[0]) * FACTORS[guess]
    kept, excess = [], 0.0
    largest = {steps // 2: 0.0, steps: 0.0}  # in the windows that end there
    for t, x in enumerate(islice(run(method, s, rho), steps + 1)):
        if t in TIMES:
            kept.append(x)
            if guess == "too small":  # of s above ρ
                excess = max(excess, float(np.abs(x).max()) / envelope(method, rho, t))
        for end in largest:
            if end - WINDOW < t <= end:
                largest[end] = max(largest[end], float(np.abs(x).max()))
    slowest = float(spectral_rate(method, torch.as_tensor(s), rho).min())
    fall = math.log(largest[steps // 2] / largest[steps]) / (steps - steps // 2)
    found = {
        "rho": rho,
        "over_prediction": fall / -math.log1p(-slowest),
        "over_gradient_descent": fall / -math.log1p(-float(s[0])),
    }
    if guess == "too small":
        return {**found, "over_envelope": excess}
    slow = s <= rho / 10
    logs = np.log(np.abs(np.stack(kept)[:, slow]))
    times = np.array([t for t in TIMES if t <= steps], dtype=float)
    centred = times - times.mean()
    slopes = centred @ logs / (centred**2).sum()
    residual = ((logs - logs.mean(0) - centred[:, None] * slopes) ** 2).sum(0)
    spread = ((logs - logs.mean(0)) ** 2).sum(0)
    expected = torch.log1p(-spectral_rate(method, torch.as_tensor(s[slow]), rho)).numpy()
    return {
        **found,
        "unexplained": float((residual / spread).max()),
        "slope_error": float(np.abs(slopes / expected - 1).max()),
    }


def closed_form(method: Any, rho: float, steps: int, seed: int) -> dict[str, Any]:
    """Largest difference to the method itself over 60 eigenvalues, at every step."""
    s = torch.logspace(-8, 0, 60, dtype=torch.float64)
    difference = 0.0
    for t, x in enumerate(islice(run(method, s.numpy(), rho), steps + 1)):
        found = spectral_error(method, s, rho, t).numpy()
        difference = max(difference, float(np.abs(found - x).max()))
    return {"difference": difference}


def unbounded(method: str, rho: float, steps: int, seed: int) -> dict[str, Any]:
    """How much faster than gradient descent each direction far below ρ falls, down to 10^-12.

    The predicted factors are first orders in s/ρ ≤ 10^-3; the transient before the slow root
    takes over adds about 1/(√ρ t), below 1 % at `UNBOUNDED` steps.
    """
    s, root = np.logspace(-12, math.log10(rho) - 3, 40), math.sqrt(rho)
    *_, x = islice(run(method, s, rho), UNBOUNDED + 1)
    predicted = (1 + root) / (2 * root) if method == "nesterov" else 1 / root
    speed_ups = -np.log(x) / UNBOUNDED / s
    return {
        "speed_up_error": float(np.abs(speed_ups / predicted - 1).max()),
        "least_speed_up": float(speed_ups.min()),
    }


def worst_case(method: str, rho: float, steps: int, seed: int) -> dict[str, Any]:
    """The largest error over s in [ρ, 1] where ρ is right, at two times, against the envelope."""
    s = np.geomspace(rho, 1, 2000)
    s[0], s[-1] = rho, 1.0
    late = round(20 / math.sqrt(rho))
    rows = dict(enumerate(islice(run(method, s, rho), late + 1)))
    half, whole = (float(np.abs(rows[t]).max()) for t in (late // 2, late))
    exponent = 2 * math.log(half / whole) / (late - late // 2) / math.sqrt(rho)
    found = {"loss_exponent": exponent}  # in units of √ρ
    if method == "gradient descent":
        return found
    return {**found, "over_envelope": whole / envelope(method, rho, late)}
