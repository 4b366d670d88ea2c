"""Error against steps for each ρ, and rate against eigenvalue."""

from typing import Any

import pandas as pd
import torch

from overparam.claims.figures import figure
from overparam.claims.statistics import select
from overparam.optim.acceleration import spectral_rate
from overparam.studies.liu2018_parametrized_acceleration.claims import error_at
from overparam.studies.liu2018_parametrized_acceleration.runs import HORIZONS, RHOS


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Error against steps for each ρ, and rate against eigenvalue."""
    rows = select(table, {"measure": "regression", "method": ["nesterov", "gradient descent"]})
    curves = [
        {
            "name": "gradient descent" if rho == 1 else f"ρ = {rho:g}",
            "x": list(HORIZONS),
            "y": [error_at(rows, rho, t) for t in HORIZONS],
        }
        for rho in (1.0, *RHOS)
    ]
    best = {t: min((1.0, *RHOS), key=lambda rho, t=t: error_at(rows, rho, t)) for t in HORIZONS}
    s = torch.logspace(-7, 0, 80, dtype=torch.float64)
    low = torch.tensor([1e-6], dtype=torch.float64)
    rates, factors = [], []
    for method in ("nesterov", "chebyshev"):
        rate = spectral_rate(method, s, 1e-3).clamp(max=0.999)
        rates.append({"name": method, "x": s.tolist(), "y": rate.tolist()})
        factors.append(f"{float(spectral_rate(method, low, 1e-3) / low):.1f} ({method})")
    rates.append({"name": "gradient descent", "x": s.tolist(), "y": s.clamp(max=0.999).tolist()})
    return {
        "regression": figure(
            "line",
            "Best ρ: " + ", ".join(f"{rho:g} after {t} steps" for t, rho in best.items()),
            curves,
            x="steps",
            y="mean squared training error",
            caption="Mean over seeds; Nesterov's method, run with ρ in place of the inverse "
            "condition number; the error is the sum over ten outputs, mean over examples, 1 at "
            "the start.",
            x_scale="log",
            y_scale="log",
        ),
        "rates": figure(
            "line",
            f"At s = ρ/1000 directions fall {' and '.join(factors)} times as fast as under "
            "gradient descent",
            rates,
            x="eigenvalue over the largest, s",
            y="rate per step, 1 − |z₊|",
            caption="In the limit of many steps, ρ = 10⁻³.",
            x_scale="log",
            y_scale="log",
        ),
    }
