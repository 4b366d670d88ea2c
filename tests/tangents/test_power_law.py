import math

import numpy as np
import pytest
import torch
from scipy.stats import linregress

from overparam.tangents import power_law_fit


@pytest.mark.parametrize("q", [0.5, 1.5, 3.0])
def test_recovers_a_power_law(q: float) -> None:
    law = power_law_fit(4 * torch.arange(1, 301).double() ** -q)
    assert law.exponent == pytest.approx(q, rel=1e-9)
    assert law.scale == pytest.approx(4, rel=1e-9)
    assert law.uncertainty < 1e-9
    assert f"({q:.3g} ±" in str(law)
    assert math.isnan(law.loss_exponent) == (q <= 1)
    if q > 1:
        assert law.loss_exponent == pytest.approx(1 - 1 / q)
        assert law.steps_exponent == pytest.approx(1 / law.loss_exponent)


@pytest.mark.parametrize("q", [1.5, 2.0, 3.0])
def test_the_loss_falls_at_the_rate_that_follows(q: float) -> None:
    values = torch.arange(1, 1_000_001).double() ** -q
    law = power_law_fit(values[:2000])
    # tr[(1 − ηK)^{2t} K] between 1/λ_max and 1/λ_min, with the step 1/(2 λ_max).
    loss = [float((values * (1 - values / 2) ** (2 * t)).sum()) for t in (100, 1000)]
    measured = -math.log10(loss[1] / loss[0])
    assert measured == pytest.approx(law.loss_exponent, abs=0.02)


def test_uncertainty_covers_noise_and_shows_curvature() -> None:
    draw = torch.Generator().manual_seed(0)
    rank = torch.arange(1, 201).double()
    misses = []
    for _ in range(60):
        noise = 0.3 * torch.randn(200, generator=draw, dtype=torch.float64)
        law = power_law_fit(rank**-2 * noise.exp())
        misses.append((law.exponent - 2) / law.uncertainty)
    # Sorting the noisy values pulls neighbours together: not a standard normal, but near.
    assert float(torch.tensor(misses).abs().median()) < 2.5
    curved = power_law_fit(torch.exp(-rank / 20))
    assert curved.uncertainty > 0.2


def test_uncertainty_is_the_standard_error_of_the_slope() -> None:
    """Three eigenvalues in three bins: of a line through three points."""
    values = np.array([1.0, 0.3, 0.05])
    line = linregress(np.log([1.0, 2.0, 3.0]), np.log(values))
    law = power_law_fit(torch.from_numpy(values), n_bins=3)
    assert law.exponent == pytest.approx(-line.slope, rel=1e-12)
    assert law.scale == pytest.approx(math.exp(line.intercept), rel=1e-12)
    assert law.uncertainty == pytest.approx(line.stderr, rel=1e-10)


def test_ranks_and_noise() -> None:
    values = torch.cat([torch.tensor([1e6]).double(), torch.arange(2, 101).double() ** -2])
    whole, rest = power_law_fit(values), power_law_fit(values, ranks=(2, 100))
    assert rest.exponent == pytest.approx(2, rel=1e-9) != whole.exponent
    assert rest.ranks == (2, 100)
    with_noise = torch.cat([torch.arange(1, 51).double() ** -2, torch.full((50,), 1e-18).double()])
    assert power_law_fit(with_noise).ranks == (1, 50)
    assert power_law_fit(-with_noise.flip(0).neg()).exponent == pytest.approx(2, rel=1e-9)


@pytest.mark.parametrize(
    ("argument", "given"),
    [("eigenvalues", {"eigenvalues": torch.ones(2, 2)}),
     ("eigenvalues", {"eigenvalues": torch.ones(0)}),
     ("eigenvalues", {"eigenvalues": torch.tensor([1.0, torch.nan, 1.0])}),
     ("eigenvalues", {"eigenvalues": torch.tensor([1.0, 0.5])}),
     ("eigenvalues", {"eigenvalues": torch.zeros(9)}),
     ("eigenvalues", {"eigenvalues": -torch.ones(9)}),
     ("eigenvalues", {"eigenvalues": torch.arange(1.0, 9), "ranks": (20, 30)}),
     ("ranks", {"eigenvalues": torch.arange(1.0, 9), "ranks": (0, 4)}),
     ("ranks", {"eigenvalues": torch.arange(1.0, 9), "ranks": (4, 4)}),
     ("n_bins", {"eigenvalues": torch.arange(1.0, 9), "n_bins": 2})],
)  # fmt: skip
def test_bad_input(argument: str, given: dict) -> None:
    with pytest.raises(ValueError, match=rf"`power_law_fit\({argument}=...\)` expected"):
        power_law_fit(**given)


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match=r"`power_law_fit\(eigenvalues=...\)` expected a tensor"):
        power_law_fit([1.0, 2.0])
    with pytest.raises(TypeError, match=r"`power_law_fit\(eigenvalues=...\)` expected real"):
        power_law_fit(torch.arange(1, 9))
