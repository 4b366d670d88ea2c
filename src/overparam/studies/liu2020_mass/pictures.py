"""Rates against condition number and batch size, stability maps, and training losses."""

import math
from typing import Any

import pandas as pd
import torch

from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import mean_at, select, slope
from overparam.optim.second_moment import second_moment_rate
from overparam.studies.liu2020_mass.quadratics import alpha_of, problem


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """The exact rates, the regimes of the batch size, where training is stable, and the network."""
    spectrum = select(table, {"measure": "spectrum", "data": "decoupled"})
    regime, network = (select(table, {"measure": name}) for name in ("regime", "network"))
    exponents = (
        regime.sort_values("batch_size")["mass_slope"].iloc[[0, len(regime) // 2, -1]].tolist()
    )
    lowest = []
    for method in ("SGD", "Adam", "Nesterov", "MaSS"):
        rows = select(network, {"method": method})
        means = {
            (lr, alpha): mean_at(select(rows, {"alpha": alpha}), "lr", "loss", lr)
            for lr, alpha in set(zip(rows["lr"], rows["alpha"], strict=True))
        }
        best = min(means, key=lambda at, means=means: means[at])
        lowest.append(f"{means[best]:.2g} ({method} at {best[0]:g})")
    rates = {"MaSS": "mass_rate", "best Nesterov": "nesterov_rate", "SGD at 1/L₁": "sgd_rate"}
    x = "condition_number"
    return {
        "rates": figure(
            "line",
            f"Best rates go as κ^p, p = {slope(spectrum, x, 'mass_rate'):.2f} (MaSS), "
            f"{slope(spectrum, x, 'nesterov_rate'):.2f} (Nesterov)",
            [line_of_means(name, spectrum, x, column) for name, column in rates.items()],
            x="condition number κ = L₁/μ",
            y="exact rate per step",
            caption="1 − ρ for the spectral radius ρ of the map of second moments; decoupled "
            "data, batch size 1. Nesterov's rate and momentum are optimised for each κ.",
            x_scale="log",
            y_scale="log",
        ),
        "regimes": figure(
            "line",
            "From the smallest, a middle and the largest batch the rate of MaSS goes as m^p, p = "
            + ", ".join(f"{exponent:.2f}" for exponent in exponents),
            [
                line_of_means(name, regime, "batch_size", column)
                for name, column in (("MaSS", "mass_rate"), ("SGD", "sgd_rate"))
            ],
            x="batch size m",
            y="exact rate per step",
            caption="Gaussian data with 100 variances of 1 and 10⁶ − 100 of 10⁻⁶, so the critical "
            "batch sizes are 103 and 10⁶; optimal settings at each m.",
            x_scale="log",
            y_scale="log",
        ),
        "stability": stability_limits(),
        "map_nesterov": stability_map(1.0, "Nesterov's momentum"),
        "map_mass": stability_map(6.0, "MaSS with κ̃ = 6"),
        "network": figure(
            "line",
            "Lowest training loss: " + ", ".join(lowest),
            network_lines(network),
            x="learning rate",
            y="final training loss",
            caption="Mean over seeds of the cross-entropy after the last epoch; MaSS(α, κ̃).",
            x_scale="log",
            y_scale="log",
        ),
    }


def network_lines(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """One line for each method and setting."""
    names = {
        (method, alpha, kappa_t): f"MaSS({alpha:g}, {kappa_t:g})" if method == "MaSS" else method
        for method, alpha, kappa_t in zip(
            rows["method"], rows["alpha"], rows["kappa_t"], strict=True
        )
    }
    return [
        line_of_means(
            name,
            select(rows, dict(zip(("method", "alpha", "kappa_t"), key, strict=True))),
            "lr",
            "loss",
        )
        for key, name in sorted(names.items(), key=lambda item: item[1])
    ]


def stability_limits() -> dict[str, Any]:
    """Largest stable rate against momentum, for several strengths of compensation."""
    quadratic = problem("decoupled", 9)
    smoothness = quadratic.constants.single
    momentum = torch.linspace(0, 0.99, 34, dtype=torch.float64)
    rates = torch.linspace(0.005, 2.0, 400, dtype=torch.float64)
    lines = []
    for kappa_t in (1.0, 2.0, 6.0, 12.0):
        grid = second_moment_rate(
            quadratic, rates[:, None] / smoothness, alpha_of(momentum)[None], kappa_t
        )
        stable = (grid > 0).cumprod(0).sum(0)
        limit = torch.where(stable > 0, rates[(stable - 1).clamp(min=0)], 0.0)
        name = "Nesterov (κ̃ = 1)" if kappa_t == 1 else f"MaSS, κ̃ = {kappa_t:g}"
        lines.append({"name": name, "x": momentum.tolist(), "y": limit.tolist()})
    first = lines[0]["y"]
    return figure(
        "line",
        f"With momentum 0.9 Nesterov is stable up to {first[30]:.2f}/L₁ only, MaSS with κ̃ = 6 up "
        f"to {lines[2]['y'][30]:.2f}/L₁",
        lines,
        x="momentum γ",
        y="largest stable learning rate × L₁",
        caption="In mean square, exact; decoupled data with κ = 3072 and κ̃ = 6, batch size 1.",
    )


def stability_map(kappa_t: float, method: str) -> dict[str, Any]:
    """Rate of convergence over the plane of momentum and learning rate; empty where it diverges."""
    quadratic = problem("decoupled", 9)
    momentum = torch.linspace(0, 0.98, 50, dtype=torch.float64)
    rates = torch.linspace(0.02, 2.0, 50, dtype=torch.float64)
    grid = second_moment_rate(
        quadratic,
        rates[:, None] / quadratic.constants.single,
        alpha_of(momentum)[None],
        kappa_t,
    )
    stable = grid > 0
    best = float(grid.max())
    row, column = divmod(int(grid.argmax()), grid.shape[1])
    return figure(
        "heatmap",
        f"{method}: stable on {float(stable.double().mean()):.0%} of the plane, fastest "
        f"({best:.1e} per step) at {float(rates[row]):.2f}/L₁ with momentum "
        f"{float(momentum[column]):.2f}",
        [
            {
                "name": method,
                "x": momentum.tolist(),
                "y": rates.tolist(),
                "z": [
                    [math.log10(value) if value > 0 else None for value in line]
                    for line in grid.tolist()
                ],
            }
        ],
        x="momentum γ",
        y="learning rate × L₁",
        caption="Base-10 logarithm of the exact rate 1 − ρ per step in mean square; empty where "
        "E‖w − w*‖² grows. Decoupled data with κ = 3072 and κ̃ = 6, batch size 1.",
    )
