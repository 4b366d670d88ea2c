"""Kernel change along gradient descent falls at least as width^(-1/2) under a linear output.

Reference:
    Liu, Zhu, Belkin (2020), "On the linearity of large non-linear models: when and why the
    tangent kernel is constant", arXiv:2010.01092, NeurIPS 2020: the theorems on the Hessian norm
    and on the change of the kernel, and the two experiments that make it fail, a non-linear
    output and a bottleneck.
Changed:
    Ten inputs on the sphere of radius √10 in R^10 with random labels ±0.7, since the paper's
    data, learning rate and activations could not be established; tanh in three hidden layers
    without biases; gradient descent on ½ Σ r² with step 1/λ_max(K(w0)) until the loss is 10⁻³ of
    its start (10⁻² for the controls), at most 300 steps; K every five steps. The non-linear
    output is tanh: swish reaches only a tenth of the initial loss in 200 such steps. The sweep
    of bottlenecks starts at three units, as the paper's: with a single unit the kernel can more
    than double, and that step then diverges.
Cost:
    Processor time: smoke 2 s, quick 40 s. full about an hour and a half and up to 4 GB per job,
    extrapolated from single cells.
Failure:
    If a slope of the linear output were flat, wide networks would not be near their linearisation
    and the step sizes that this library derives from the kernel at initialisation would hold for
    a few steps only. If a control fell as well, width alone would explain the constancy, and the
    paper's mechanism (a small Hessian under a linear output) would be refuted.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from overparam.claims.claim import Claim, Range
from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import mean_at, seed_means, select, slope
from overparam.claims.study import Study
from overparam.curvature.output_hessian import hessian_norm
from overparam.expansions.linearized import linearization_error
from overparam.nets.mlp import ntk_mlp
from overparam.tangents.empirical import empirical_ntk
from overparam.tangents.spectrum import kernel_change

SIZES = {
    "smoke": {"widths": (16, 64), "hessian_widths": (16, 64), "sweep": (10, 30), "replicates": 2},
    "quick": {
        "widths": (64, 128, 256, 512, 1024),
        "hessian_widths": (64, 128, 256, 512, 1024),
        "sweep": (10, 30, 100, 300),
        "replicates": 5,
    },
    "full": {
        "widths": (64, 128, 256, 512, 1024, 2048, 4096, 8192),
        "hessian_widths": (64, 128, 256, 512, 1024, 2048),
        "sweep": (5, 10, 50, 100, 500, 1000),
        "replicates": 10,
    },
}
NARROW = 3  # units in the bottleneck of the control
# Output activation, units in the middle hidden layer (0: as wide as the others), and the
# fraction of the initial loss at which training stops.
MODELS = {
    "linear output": ("identity", 0, 1e-3),
    "tanh output": ("tanh", 0, 1e-2),
    "bottleneck": ("identity", NARROW, 1e-2),
}
STEPS, EVERY = 300, 5


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Training and Hessian of every model at every width, the sweep, and the identity."""
    plan = []
    for model, (_, narrow, _) in MODELS.items():
        for measure, widths in (("training", "widths"), ("hessian", "hessian_widths")):
            plan += [(measure, model, width, narrow) for width in config[widths]]
    widest = max(config["widths"])
    plan += [("training", "bottleneck", widest, narrow) for narrow in config["sweep"]]
    plan += [("identity", "tanh output", min(config["widths"]), 0)]
    return [
        dict(zip(("measure", "model", "width", "narrow"), cell, strict=True), replicate=replicate)
        for cell in sorted(plan, key=lambda cell: -cell[2])  # the longest first: less idling
        for replicate in range(config["replicates"])
    ]


def cell(measure: str, model: str, width: int, narrow: int, seed: int) -> dict[str, Any]:
    """One measurement on one network; inputs are the same for every width and model."""
    draw = torch.Generator().manual_seed(seed)
    dtype = torch.float32 if measure == "training" else torch.float64
    x = torch.randn(10, 10, generator=draw, dtype=torch.float64)
    x = (math.sqrt(10) * x / x.norm(dim=1, keepdim=True)).to(dtype)
    y = 0.7 * (2 * torch.randint(0, 2, (10,), generator=draw) - 1).to(dtype)
    output, _, target = MODELS[model]
    widths = [10, width, narrow or width, width, 1]
    net = ntk_mlp(widths, output_activation=output, seed=draw, dtype=dtype)
    if measure == "training":
        return train(net, x, y, target)
    if measure == "hessian":
        gradient = empirical_ntk(net, x[:1]).item() ** 0.5
        return {"hessian_norm": hessian_norm(net, x[:1], tolerance=1e-2), "gradient_norm": gradient}
    # K of φ∘f is φ'(f(x)) φ'(f(z)) times K of f, here with φ = tanh, φ' = 1 − φ².
    slopes = 1 - net(x).detach() ** 2
    expected = slopes * slopes.T * empirical_ntk(net[:-1], x)
    return {"identity_error": kernel_change(empirical_ntk(net, x), expected)}


def train(net: nn.Module, x: Tensor, y: Tensor, target: float) -> dict[str, Any]:
    """Gradient descent until the loss is `target` of its start; what changed on the way."""
    start = {name: p.detach().clone() for name, p in net.named_parameters()}
    kernel = empirical_ntk(net, x)
    rate = 1 / torch.linalg.eigvalsh(kernel.double())[-1].item()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    changes, first, ratio = [0.0], 0.0, 1.0
    for step in range(STEPS + 1):
        optimizer.zero_grad()
        loss = ((net(x)[:, 0] - y) ** 2).sum() / 2
        first = first or loss.item()
        ratio = loss.item() / first
        if not math.isfinite(ratio):
            return dict.fromkeys(("kernel_change", "linearization_error", "loss_ratio"), math.nan)
        stop = ratio <= target or step == STEPS
        if stop or step % EVERY == 0:
            changes.append(kernel_change(empirical_ntk(net, x), kernel))
        if stop:
            break
        loss.backward()
        optimizer.step()
    return {
        "kernel_change": torch.tensor(changes).max().item(),
        "linearization_error": linearization_error(net, start, x),
        "loss_ratio": ratio,
        "steps": step,
    }


LINEAR = {"model": "linear output", "narrow": 0}
CONTROLS = {
    "tanh_output": {"model": "tanh output", "narrow": 0},
    "bottleneck": {"model": "bottleneck", "narrow": NARROW},
}
# Controls are compared with the linear output, so their rows come along.
BOTH = {
    "tanh_output": {"model": ["linear output", "tanh output"], "narrow": 0},
    "bottleneck": {"model": ["linear output", "bottleneck"], "narrow": [0, NARROW]},
}
TRAINING, HESSIAN = {"measure": "training"}, {"measure": "hessian"}
FLAT = "the theorem gives 0; the spread of seed means over a factor 16 in width"
STEEP = "one-sided: the theorem bounds the size from above, and kernels change less than it allows"


def over_linear(rows: pd.DataFrame) -> float:
    """Kernel change of the control at the largest width, as a multiple of the linear output's."""
    linear = select(rows, LINEAR)
    control = rows.drop(linear.index)
    return mean_at(control, "width", "kernel_change") / mean_at(linear, "width", "kernel_change")


def sweep_steps(rows: pd.DataFrame) -> list[float]:
    """Kernel change at ascending bottleneck widths of 10 and more, seed means."""
    means = seed_means(select(rows, {"width": rows["width"].max()}), "narrow", "kernel_change")
    return [change for narrow, change in means.items() if narrow >= 10]


def largest_step(rows: pd.DataFrame) -> float:
    """Largest ratio of the kernel changes of neighbours in the sweep; below 1 if all fall."""
    steps = sweep_steps(rows)
    return float(np.max([after / before for before, after in pairwise(steps)]))


def worst_loss(rows: pd.DataFrame) -> float:
    """Largest seed mean of final over initial loss, over networks."""
    networks = rows.assign(network=rows[["model", "width", "narrow"]].astype(str).agg("/".join, 1))
    return float(np.max(list(seed_means(networks, "network", "loss_ratio").values())))


def control_claims(name: str) -> list[Claim]:
    """What must fail when the output is not linear, or a layer is narrow."""
    what = name.replace("_", " ")
    selection = CONTROLS[name]
    flat = [
        Claim(
            f"{quantity}_slope_{name}",
            f"Under a {what}, the {quantity.replace('_', ' ')} does not fall with width.",
            paper="Ω(1) at any width",
            source=source,
            statistic=lambda rows, column=column: slope(rows, "width", column),
            passes=Range(-0.25, 0.25),
            tolerance=FLAT,
            where={**selection, **measure},
        )
        for quantity, column, measure, source in (
            ("hessian_norm", "hessian_norm", HESSIAN, "section on when the kernel is not constant"),
            ("kernel_change", "kernel_change", TRAINING, "experiments, change of the kernel"),
            ("linearization_error", "linearization_error", TRAINING, "follows from the Hessian"),
        )
    ]
    return [
        *flat,
        Claim(
            f"kernel_change_{name}",
            f"Under a {what}, the kernel changes by 30 % or more at the largest width.",
            paper="Ω(1)",
            source="experiments, change of the kernel",
            statistic=lambda rows: mean_at(rows, "width", "kernel_change"),
            passes=Range(low=0.3),
            weaker=Range(low=0.1),
            tolerance="about half of what both controls show at any width",
            where={**selection, **TRAINING},
        ),
        Claim(
            f"kernel_change_{name}_over_linear",
            f"At the largest width a {what} changes the kernel 5 times as much as a linear one.",
            paper="Ω(1) against 0",
            source="experiments, change of the kernel",
            statistic=over_linear,
            passes=Range(low=5),
            weaker=Range(low=2),
            tolerance="far below the ratio at width 1024, which grows with width",
            where={**BOTH[name], **TRAINING},
        ),
    ]


CLAIMS = [
    Claim(
        "hessian_norm_slope",
        "Under a linear output, the Hessian norm falls as width^(-1/2).",
        paper=-0.5,
        source="theorem on the Hessian norm of fully connected networks, Õ(1/√m)",
        statistic=lambda rows: slope(rows, "width", "hessian_norm"),
        passes=Range(-0.6, -0.4),
        weaker=Range(-1, -0.25),
        tolerance="±0.1, for the logarithm in Õ, which flattens the slope at these widths",
        where={**LINEAR, **HESSIAN},
    ),
    Claim(
        "gradient_norm_slope",
        "Under a linear output, the gradient norm does not depend on width.",
        paper=0.0,
        source="the gradient is Θ(1) in this parametrisation",
        statistic=lambda rows: slope(rows, "width", "gradient_norm"),
        passes=Range(-0.1, 0.1),
        tolerance="a fifth of the Hessian's slope, so that the two cannot be confused",
        where={**LINEAR, **HESSIAN},
    ),
    Claim(
        "kernel_change_slope",
        "Under a linear output, the change of the kernel falls at least as width^(-1/2).",
        paper=-0.5,
        source="proposition: a small Hessian in a ball bounds the change of the kernel",
        statistic=lambda rows: slope(rows, "width", "kernel_change"),
        passes=Range(high=-0.5),
        weaker=Range(high=-0.25),
        tolerance=STEEP,
        where={**LINEAR, **TRAINING},
    ),
    Claim(
        "kernel_change",
        "Under a linear output, the kernel changes by 10 % at most at the largest width.",
        paper="→ 0",
        source="experiments, change of the kernel",
        statistic=lambda rows: mean_at(rows, "width", "kernel_change"),
        passes=Range(high=0.1),
        weaker=Range(high=0.3),
        tolerance="a third of what the controls must exceed",
        where={**LINEAR, **TRAINING},
    ),
    Claim(
        "linearization_error_slope",
        "Under a linear output, the linearisation error falls at least as width^(-1/2).",
        paper=-0.5,
        source="half the Hessian norm times the squared distance bounds it",
        statistic=lambda rows: slope(rows, "width", "linearization_error"),
        passes=Range(high=-0.5),
        weaker=Range(high=-0.25),
        tolerance=STEEP,
        where={**LINEAR, **TRAINING},
    ),
    *control_claims("tanh_output"),
    *control_claims("bottleneck"),
    Claim(
        "bottleneck_sweep_falls",
        "Each wider bottleneck from 10 units on changes the kernel less than the one before.",
        paper="decreasing in the bottleneck's width",
        source="experiments, sweep of the bottleneck",
        statistic=largest_step,
        passes=Range(high=1),
        tolerance="the largest ratio of neighbours; 1 is no fall at all",
        where={"model": "bottleneck", **TRAINING},
    ),
    Claim(
        "bottleneck_sweep_ratio",
        "From the bottleneck of 10 units to the widest the kernel change falls 4 times.",
        paper="from Ω(1) towards 0",
        source="experiments, sweep of the bottleneck",
        statistic=lambda rows: sweep_steps(rows)[0] / sweep_steps(rows)[-1],
        passes=Range(low=4),
        weaker=Range(low=2),
        tolerance="the bottleneck widens 30 times; its square root is 5.5",
        where={"model": "bottleneck", **TRAINING},
    ),
    Claim(
        "loss_falls",
        "Gradient descent removes 90 % of the loss in every network, constant kernel or not.",
        paper="converges in all of them",
        source="experiments",
        statistic=worst_loss,
        passes=Range(high=0.1),
        tolerance="largest seed mean of final over initial loss",
        where=TRAINING,
        smallest="smoke",
    ),
    Claim(
        "output_identity",
        "A tanh output multiplies the kernel by φ'(f(x)) φ'(f(z)), to 1 part in 10^12.",
        paper="exact",
        source="chain rule",
        statistic=lambda rows: float(rows["identity_error"].to_numpy().max()),
        passes=Range(high=1e-12),
        tolerance="rounding in float64",
        where={"measure": "identity"},
        smallest="smoke",
    ),
]


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Change of the kernel, Hessian and linearisation error by width, and the sweep."""
    width = table["width"].max()
    sweep = select(table, {**TRAINING, "model": "bottleneck", "width": width})
    steps = sweep_steps(sweep)
    return {
        "kernel_change": by_width(table, "training", "kernel_change", "‖ΔK‖/‖K‖"),
        "hessian_norm": by_width(table, "hessian", "hessian_norm", "‖∇²f‖"),
        "linearization_error": by_width(table, "training", "linearization_error", "‖f − f_lin‖/√n"),
        "bottleneck": figure(
            "line",
            f"Widening the bottleneck from 10 units on divides the kernel change by "
            f"{steps[0] / steps[-1]:.1f}",
            [line_of_means("bottleneck", sweep, "narrow", "kernel_change")],
            x="units in the bottleneck",
            y="largest relative change of K",
            caption=f"Mean over seeds; the outer layers have {width} units.",
            x_scale="log",
            y_scale="log",
        ),
    }


def by_width(table: pd.DataFrame, measure: str, column: str, symbol: str) -> dict[str, Any]:
    """A quantity against width for the three networks, exponents in the title."""
    chosen = {
        "linear output": LINEAR,
        "tanh output": CONTROLS["tanh_output"],
        f"bottleneck of {NARROW}": CONTROLS["bottleneck"],
    }
    lines, exponents = [], []
    for name, where in chosen.items():
        rows = select(table, {**where, "measure": measure})
        lines.append(line_of_means(name, rows, "width", column))
        exponents.append(f"{slope(rows, 'width', column):.2f} ({name})")
    what = column.replace("_", " ").capitalize()
    return figure(
        "line",
        f"{what} goes as width^p, p = {', '.join(exponents)}",
        lines,
        x="width",
        y=f"{what.lower()} {symbol}",
        caption="Mean over seeds; exponents by least squares through the logarithms of the means.",
        x_scale="log",
        y_scale="log",
    )


STUDY = Study(cells, cell, SIZES, CLAIMS, figures)
