"""Closed forms of accelerated methods against their recursions."""

import math
from itertools import islice

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from overparam.optim.acceleration import (
    METHODS,
    chebyshev_weights,
    heavy_ball_parameters,
    nesterov_momentum,
    rho_for_budget,
    spectral_error,
    spectral_rate,
)

SPECTRUM = torch.logspace(-8, 0, 60, dtype=torch.float64)
RHOS = [0.25, 1e-1, 1e-3, 1e-5]


def recursion(method: str, s: Tensor, rho: float, steps: int) -> Tensor:
    """Errors of the method on f = ½ Σ s x², from 1, one row per step."""
    before = x = y = torch.ones_like(s)
    rows, tau = [x], 2 / (1 + rho)
    fixed = 2 * (1 + rho) / (1 + math.sqrt(rho)) ** 2
    weights = chebyshev_weights(rho)
    for step in range(steps):
        if method == "nesterov":
            before, x = x, y - s * y
            y = x + nesterov_momentum(rho) * (x - before)
        else:
            weight = next(weights) if method == "chebyshev" else (fixed if step else 1.0)
            before, x = x, weight * (x - tau * s * x - before) + before
        rows.append(x)
    return torch.stack(rows)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rho", RHOS)
def test_the_error_is_the_recursions(method, rho):
    ends = torch.tensor([0.0, rho, rho * (1 + 1e-9), rho * (1 - 1e-12), 1 - 1e-9])
    s = torch.cat([SPECTRUM, ends.double()])
    found = torch.stack([spectral_error(method, s, rho, t) for t in range(401)])
    assert_close(found, recursion(method, s, rho, 400), rtol=0, atol=1e-10)


@pytest.mark.parametrize("rho", RHOS)
def test_the_envelope_of_nesterovs_method(rho):
    s = SPECTRUM[rho <= SPECTRUM]
    for t in (0, 1, 10, 100, 1000):
        envelope = (1 + t * math.sqrt(rho)) * (1 - math.sqrt(rho)) ** t
        assert float(spectral_error("nesterov", s, rho, t).abs().max()) <= envelope * (1 + 1e-12)


@pytest.mark.parametrize("rho", RHOS)
def test_the_envelope_of_the_chebyshev_iteration(rho):
    s = SPECTRUM[rho <= SPECTRUM]
    for t in (1, 10, 100, 1000):
        angle = t * math.acosh((1 + rho) / (1 - rho))
        bound = 2 * math.exp(-angle) / (1 + math.exp(-2 * angle))
        found = float(spectral_error("chebyshev", s, rho, t).abs().max())
        assert found == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize(("method", "slow"), [("nesterov", lambda q: (1 + q) / (2 * q)),
                                              ("heavy_ball", lambda q: 1 / q),
                                              ("chebyshev", lambda q: 1 / q)])  # fmt: skip
@pytest.mark.parametrize("rho", RHOS)
def test_the_rate_below_rho(method, slow, rho):
    s = torch.tensor([1e-3 * rho], dtype=torch.float64)
    rate = spectral_rate(method, s, rho)
    assert_close(rate, s * slow(math.sqrt(rho)), rtol=1e-3, atol=0)
    t = int(3 / float(rate))
    errors = [float(spectral_error(method, s, rho, steps)) for steps in (t, 2 * t)]
    assert math.log(errors[0] / errors[1]) / t == pytest.approx(-math.log1p(-float(rate)), rel=1e-6)
    tiny = torch.tensor([1e-13 * rho], dtype=torch.float64)
    assert_close(spectral_rate(method, tiny, rho), tiny * slow(math.sqrt(rho)), rtol=1e-10, atol=0)


def test_far_below_the_smallest_float_nothing_overflows():
    for method in METHODS:
        found = spectral_error(method, torch.linspace(0, 1, 50), 0.3, 100_000)
        assert torch.isfinite(found).all()
        assert_close(found[0], torch.tensor(1.0, dtype=torch.float64))


def test_weights_fall_to_the_heavy_ball():
    weights = list(islice(chebyshev_weights(0.01), 400))
    limit = 2 * 1.01 / 1.1**2
    assert weights[0] == 1.0
    assert weights[1] == pytest.approx(1 / (1 - (0.99 / 1.01) ** 2 / 2), rel=1e-14)
    assert weights[-1] == pytest.approx(limit, rel=1e-12)
    lr, momentum = heavy_ball_parameters(0.01, 1.0).values()
    assert momentum == pytest.approx(limit - 1, rel=1e-12)
    assert lr == pytest.approx(limit * 2 / 1.01, rel=1e-12)


def test_torch_runs_them():
    """SGD with these parameters is the method, for the heavy ball after its own first step."""
    rho, s = 0.04, torch.tensor([1.0, 0.3, 0.02], dtype=torch.float64)
    for method, options in (
        ("nesterov", {"lr": 1.0, "momentum": nesterov_momentum(rho), "nesterov": True}),
        ("heavy_ball", heavy_ball_parameters(rho, 1.0)),
    ):
        w = nn.Parameter(torch.ones(3, dtype=torch.float64))
        if method == "heavy_ball":
            first = torch.optim.SGD([w], lr=2 / (1 + rho))
            w.grad = s * w.detach()
            first.step()
        optimizer = torch.optim.SGD([w], **options)
        if method == "heavy_ball":
            optimizer.state[w]["momentum_buffer"] = s * 2 / (1 + rho) / options["lr"]
        for _ in range(29 if method == "heavy_ball" else 30):
            w.grad = s * w.detach()
            optimizer.step()
        if method == "nesterov":  # torch holds y, the point of the gradient: x = y − momentum
            buffer = optimizer.state[w]["momentum_buffer"]
            w = w + options["momentum"] * buffer
        assert_close(w.detach(), spectral_error(method, s, rho, 30), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rho", [0.0, 1.0, -0.1, math.nan, 2.0])
def test_rho_out_of_range(rho):
    s = torch.ones(1)
    for where, call in (
        ("nesterov_momentum", lambda: nesterov_momentum(rho)),
        ("heavy_ball_parameters", lambda: heavy_ball_parameters(rho, 1.0)),
        ("chebyshev_weights", lambda: chebyshev_weights(rho)),
        ("spectral_error", lambda: spectral_error("nesterov", s, rho, 1)),
        ("spectral_rate", lambda: spectral_rate("nesterov", s, rho)),
    ):
        with pytest.raises(ValueError, match=rf"`{where}\(rho=...\)` expected a number in \(0, 1"):
            call()


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: spectral_error("nesterov", torch.tensor([1.01]), 0.1, 1), r"spectral_error\(s="),
        (lambda: spectral_error("nesterov", torch.tensor([math.nan]), 0.1, 1), r"_error\(s="),
        (lambda: spectral_error("nesterov", torch.ones(1), 0.1, -1), r"spectral_error\(steps="),
        (lambda: spectral_rate("nestorov", torch.ones(1), 0.1), "did you mean 'nesterov'"),
        (lambda: heavy_ball_parameters(0.1, 0.0), r"heavy_ball_parameters\(largest="),
        (lambda: rho_for_budget(0), r"rho_for_budget\(steps="),
    ],
)
def test_bad_arguments(call, where):
    with pytest.raises(ValueError, match=where):
        call()
