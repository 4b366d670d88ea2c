"""The Hessian norm of k weak models added up falls as k^(-1/2), unless one of them dominates.

Reference:
    Liu, Zhu, Belkin (2022), "Transition to linearity of wide neural networks is an emerging
    property of assembling weak models", arXiv:2203.05104, ICLR 2022: a wide network is an
    assembly of many weak submodels, linearity emerges from their number, and a dominant one
    prevents it.
Changed:
    The paper's own experiments could not be established, so the setting is ours: submodels with
    one hidden layer of 8 tanh units in NTK parametrisation, weights ±1, at one standard normal
    input in R^5, in float64. The control gives one submodel the weight √k. The paper's recursion,
    from submodels with parameters of their own to the neurons of a layer, which share those
    below, rests on gradients of neurons being nearly orthogonal; that is measured on 64 neurons
    of the second layer. The share of the largest submodel in the gradient is added, since it is
    what tells the control from the rest without second derivatives.
Cost:
    Processor time: smoke 3 s, quick 55 s, full 18 minutes and 7 GB.
Failure:
    If the slope of equal weights were flat, averaging would not be what makes wide networks
    nearly linear. If the control fell as well, number alone would do it and dominance, hence a
    bottleneck, would be harmless.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from overparam.claims.claim import Claim, Range
from overparam.claims.figures import figure, line_of_means
from overparam.claims.statistics import mean_at, select, slope
from overparam.claims.study import Study
from overparam.curvature.output_hessian import hessian_norm
from overparam.nets.assembly import AssemblyModel, dominance
from overparam.nets.mlp import ntk_mlp
from overparam.tangents.empirical import empirical_ntk, empirical_ntk_blocks

SIZES = {
    "smoke": {
        "numbers": (4, 16), "widths": (16, 64), "replicates": 2, "layers": (16, 32), "few": 2,
    },
    "quick": {
        "numbers": (4, 16, 64, 256, 1024),
        "widths": (32, 128, 512, 2048),
        "replicates": 20,
        "layers": (32, 128, 512),
        "few": 6,
    },
    "full": {
        "numbers": (4, 16, 64, 256, 1024, 4096, 16384),
        "widths": (32, 128, 512, 2048, 8192, 32768),
        "replicates": 20,
        "layers": (32, 128, 512, 2048),
        "few": 20,
    },
}  # fmt: skip
INPUTS, UNITS = 5, 8  # of a submodel
NEURONS = 64  # of the second layer, compared pairwise
LEVELS = {"level 1": 1, "level 2": 2, "level 3": 3, "identical": 2, "path": 2}  # hidden layers
STEPS, TARGET = 300, 1e-2  # of gradient descent, and the share of the loss that is left


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Assemblies with either kind of weights at every number, and the neurons at every width."""
    plan = [("assembly", kind, k) for kind in ("equal", "dominated") for k in config["numbers"]]
    plan += [("neurons", "shared layer", width) for width in config["widths"]]
    layers = [("layers", model, width) for model in LEVELS for width in config["layers"]]
    return [
        {"measure": measure, "model": model, "number": number, "replicate": replicate}
        for cells, replicates in ((plan, config["replicates"]), (layers, config["few"]))
        for measure, model, number in sorted(cells, key=lambda one: -one[2])
        # What identical neurons add up to is one normal number, with a spread of its own.
        for replicate in range(replicates * (3 if model == "identical" else 1))
    ]


def cell(measure: str, model: str, number: int, seed: int) -> dict[str, Any]:
    """One assembly of `number` submodels, or one layer of as many units below the neurons."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(1, INPUTS, generator=draw, dtype=torch.float64)
    if measure == "neurons":
        return {"cosine": mean_cosine(number, x, draw)}
    if measure == "layers":
        return recursion(model, number, x, draw)
    # Submodels before signs: the first, which may dominate, is then the same at every number.
    widths = [INPUTS, UNITS, 1]
    submodels = [ntk_mlp(widths, seed=draw, dtype=torch.float64) for _ in range(number)]
    weights = (2 * torch.randint(0, 2, (number,), generator=draw) - 1).double()
    if model == "dominated":
        weights[0] *= number**0.5
    whole = AssemblyModel(submodels, weights)
    # A looser iteration takes the second largest block where it is nearer than 1 in 1000.
    norm = hessian_norm(whole, x, tolerance=1e-4)
    squares = [v**2 * squared_gradient(g, x) for v, g in zip(weights, submodels, strict=True)]
    gradient = empirical_ntk(whole, x).item() ** 0.5
    mean = (float(sum(squares)) / number) ** 0.5
    share = float(max(squares) / sum(squares)) ** 0.5
    dominant = dominance(whole, x).item()
    largest = float((weights.abs() * exact_hessian_norms(whole, x)).max()) / number**0.5
    return {
        "hessian_norm": norm,
        "gradient_norm": gradient,
        "identity_error": abs(norm / largest - 1),
        "gradient_error": max(abs(gradient / mean - 1), abs(dominant / share - 1)),
        "dominance": dominant,
    }


def squared_gradient(net: torch.nn.Module, x: Tensor) -> Tensor:
    """‖∇g(x)‖² of one submodel, by one backward pass."""
    parts = torch.autograd.grad(net(x).sum(), list(net.parameters()))
    return torch.stack([part.square().sum() for part in parts]).sum()


def recursion(model: str, width: int, x: Tensor, draw: torch.Generator) -> dict[str, Any]:
    """‖∇²f‖ of a neuron above layers of `width` units, at the start or the largest on the path."""
    net = ntk_mlp([INPUTS, *[width] * LEVELS[model], 1], seed=draw, dtype=torch.float64)
    if model == "identical":
        with torch.no_grad():
            second = net.get_parameter("2.weight")
            second.copy_(second[:1].expand_as(second).clone())
    norms = [hessian_norm(net, x, tolerance=1e-2)]
    if model != "path":
        return {"hessian_norm": norms[0]}
    inputs = torch.randn(6, INPUTS, generator=draw, dtype=torch.float64)
    labels = 0.7 * (2 * torch.randint(0, 2, (6,), generator=draw) - 1).double()
    rate = 1 / float(torch.linalg.eigvalsh(empirical_ntk(net, inputs))[-1])
    parameters, first, targets = list(net.parameters()), 0.0, [TARGET**0.5, TARGET]
    for step in range(STEPS + 1):
        loss = (net(inputs)[:, 0] - labels).square().sum() / 2
        first = first or float(loss.detach())
        if float(loss.detach()) <= targets[0] * first or step == STEPS:
            norms.append(hessian_norm(net, x, tolerance=1e-2))
            targets.pop(0)
            if not targets or step == STEPS:
                break
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                p -= rate * g
    return {"hessian_norm": max(norms), "loss_ratio": float(loss.detach()) / first}


def exact_hessian_norms(whole: AssemblyModel, x: Tensor) -> Tensor:
    """‖∇²g_i‖ of every submodel, from its matrix of second derivatives."""
    one = whole.submodel(0)
    shapes = {name: p.shape for name, p in one.named_parameters()}
    sizes = [shape.numel() for shape in shapes.values()]

    def value(flat: Tensor) -> Tensor:
        parts = zip(shapes.items(), flat.split(sizes), strict=True)
        params = {name: part.view(shape) for (name, shape), part in parts}
        return torch.func.functional_call(one, params, (x,)).squeeze()

    points = torch.cat([p.detach().flatten(1) for p in whole.submodels.parameters()], 1)
    matrices = torch.vmap(torch.func.hessian(value), chunk_size=1024)(points)
    return torch.linalg.eigvalsh(matrices).abs().amax(1)


def mean_cosine(width: int, x: Tensor, draw: torch.Generator) -> float:
    """Mean |cos| between gradients of pairs of neurons above a shared layer of `width` units."""
    net = ntk_mlp([INPUTS, width, NEURONS], seed=draw, dtype=torch.float64)
    gram = empirical_ntk_blocks(net, x)[0, 0]
    lengths = gram.diagonal().sqrt()
    cosines = gram / (lengths[:, None] * lengths)
    upper = torch.triu_indices(NEURONS, NEURONS, 1)
    return float(cosines[upper[0], upper[1]].abs().mean())


MANY = "Abstract: linearity emerges from assembling a large number of weak submodels"
DIVERSE = "Abstract: that are diverse"
NONE_DOMINATES = "Abstract: and of which none dominates the assembly"
RECURSIVE = "Abstract: a network is an assembly built recursively from the submodels of its neurons"
REGION = "Abstract: it is near-linear in a region that contains the path of gradient descent"
HEADLINES = (MANY, DIVERSE, NONE_DOMINATES, RECURSIVE, REGION)
ORTHOGONAL = "Section on multiple layers: gradients of the neurons of a layer are nearly orthogonal"
EQUAL = {"measure": "assembly", "model": "equal"}
DOMINATED = {"measure": "assembly", "model": "dominated"}
BOTH = {"measure": "assembly"}
NEURON_ROWS = {"measure": "neurons"}
BLOCKS = "the Hessian of an assembly is block-diagonal: ‖∇²f‖ = max |v_i| ‖∇²g_i‖ / √k"


def over_equal(rows: pd.DataFrame) -> float:
    """Hessian norm of the control over that of equal weights, at the largest k."""
    control = mean_at(select(rows, DOMINATED), "number", "hessian_norm")
    return control / mean_at(select(rows, EQUAL), "number", "hessian_norm")


CLAIMS = [
    Claim(
        "hessian_norm_slope",
        "Under equal weights the Hessian norm falls as k^(-1/2).",
        paper=-0.5,
        source=BLOCKS,
        statistic=lambda rows: slope(rows, "number", "hessian_norm"),
        passes=Range(-0.55, -0.35),
        weaker=Range(-1, -0.25),
        tolerance="flatter than -1/2, since the largest of k draws grows as a root of log k",
        where=EQUAL,
        kind="paper",
        sentence=MANY,
        criterion="beforehand",
    ),
    Claim(
        "gradient_norm_slope",
        "Under equal weights the gradient norm does not depend on k.",
        paper=0.0,
        source="the squared gradient norm is a mean over submodels, Θ(1)",
        statistic=lambda rows: slope(rows, "number", "gradient_norm"),
        passes=Range(-0.1, 0.1),
        tolerance="a fifth of the Hessian's slope, so that the two cannot be confused",
        where=EQUAL,
        criterion="theory",
    ),
    Claim(
        "dominance_slope",
        "Under equal weights the largest submodel's share of the gradient falls as k^(-1/2).",
        paper="no submodel dominates",
        source="1/√k for submodels of the same gradient norm",
        statistic=lambda rows: slope(rows, "number", "dominance"),
        passes=Range(-0.55, -0.35),
        weaker=Range(-1, -0.25),
        tolerance="as for the Hessian, also a largest of k draws",
        where=EQUAL,
        criterion="beforehand",
    ),
    Claim(
        "hessian_norm_slope_dominated",
        "With one weight of √k the Hessian norm does not fall with k.",
        paper="Ω(1) at any k",
        source="discussion of bottlenecks and of dominating submodels",
        statistic=lambda rows: slope(rows, "number", "hessian_norm"),
        passes=Range(-0.1, 0.1),
        tolerance="a fifth of the exponent under equal weights",
        where=DOMINATED,
        kind="paper",
        sentence=NONE_DOMINATES,
        criterion="beforehand",
    ),
    Claim(
        "dominated_over_equal",
        "At the largest k one weight of √k makes the Hessian norm 10 times as large.",
        paper="Ω(1) against 1/√k",
        source="discussion of bottlenecks and of dominating submodels",
        statistic=over_equal,
        passes=Range(low=10),
        weaker=Range(low=3),
        tolerance="a third of √k at k = 1024: the dominant submodel is one draw, not the largest",
        where=BOTH,
        criterion="beforehand",
    ),
    Claim(
        "dominance_dominated",
        "With one weight of √k that submodel is half of the gradient or more at the largest k.",
        paper="1/√2 for submodels of the same gradient norm",
        source="its share is √k/√(2k - 1)",
        statistic=lambda rows: mean_at(rows, "number", "dominance"),
        passes=Range(low=0.5),
        tolerance="submodels differ in their gradient norms",
        where=DOMINATED,
        kind="identity",
        criterion="arithmetic",
    ),
    Claim(
        "block_identity",
        "The Hessian norm is the largest weighted one of a submodel over √k, to 1 part in 1000.",
        paper="exact",
        source=BLOCKS,
        statistic=lambda rows: float(np.max(rows["identity_error"].to_numpy(float))),
        passes=Range(high=1e-3),
        tolerance="ten times what the iteration for the Hessian norm is asked for",
        where=BOTH,
        smallest="smoke",
        kind="identity",
        criterion="arithmetic",
    ),
    Claim(
        "cosine_slope",
        "Gradients of two neurons of a layer have a mean |cos| that falls as width^(-1/2).",
        paper=-0.5,
        source="near orthogonality of neurons' gradients, Õ(1/√m)",
        statistic=lambda rows: slope(rows, "number", "cosine"),
        passes=Range(-0.6, -0.4),
        weaker=Range(-1, -0.25),
        tolerance="±0.1, for the logarithm in Õ",
        where=NEURON_ROWS,
        kind="paper",
        sentence=ORTHOGONAL,
        criterion="beforehand",
    ),
]


def steepest_level(rows: pd.DataFrame) -> float:
    """Of the exponents of one, two and three layers the one farthest from -1/2."""
    levels = [
        slope(select(rows, {"model": model}), "number", "hessian_norm")
        for model in LEVELS
        if model.startswith("level")
    ]
    return max(levels, key=lambda one: (one != one, abs(one + 0.5)))


LAYERS = {"measure": "layers"}
CLAIMS += [
    Claim(
        "recursion_slopes",
        "Neurons above one, two and three layers have Hessian norms that fall as width^(-1/2).",
        paper=-0.5,
        source="induction over layers",
        statistic=steepest_level,
        passes=Range(-0.6, -0.35),
        weaker=Range(-1, -0.25),
        tolerance="the exponent farthest from -1/2; the logarithm flattens one layer's, as above",
        where={**LAYERS, "model": [model for model in LEVELS if model.startswith("level")]},
        kind="paper",
        sentence=RECURSIVE,
        criterion="beforehand",
    ),
    Claim(
        "path_slope",
        "On the path of gradient descent, too, the largest Hessian norm falls as width^(-1/2).",
        paper=-0.5,
        source="region of the path",
        statistic=lambda rows: slope(rows, "number", "hessian_norm"),
        passes=Range(-0.6, -0.35),
        weaker=Range(-1, -0.25),
        tolerance="largest of start, middle and end, mean over seeds",
        where={**LAYERS, "model": "path"},
        kind="paper",
        sentence=REGION,
        criterion="beforehand",
    ),
    Claim(
        "path_converges",
        "That path removes 99 % of the loss.",
        paper="gradient descent converges",
        source="region of the path",
        statistic=lambda rows: float(np.max(rows["loss_ratio"].to_numpy(float))),
        passes=Range(high=TARGET),
        weaker=Range(high=0.1),
        tolerance="largest loss over initial loss; a path that goes nowhere would prove nothing",
        where={**LAYERS, "model": "path"},
        kind="control",
        criterion="beforehand",
    ),
    Claim(
        "identical_submodels_do_not_become_linear",
        "With as many neurons in the second layer, but all of them one, the Hessian norm does not "
        "fall with width.",
        paper="diversity is needed",
        source="discussion of near-orthogonal gradients",
        statistic=lambda rows: slope(rows, "number", "hessian_norm"),
        passes=Range(-0.25, 0.25),
        tolerance="half of the exponent of diverse neurons; a sum of identical ones is |N(0, 1)| "
        "times one, whose mean over n seeds has a spread of 0.76/√n of itself",
        where={**LAYERS, "model": "identical"},
        kind="paper",
        sentence=DIVERSE,
        criterion="beforehand",
    ),
    Claim(
        "gradient_identity",
        "Gradient norm and largest share are those of the submodels' own gradients, to 1e-10.",
        paper="exact",
        source="‖∇f‖² = Σ v_i² ‖∇g_i‖² / k; submodels by one backward pass each",
        statistic=lambda rows: float(np.max(rows["gradient_error"].to_numpy(float))),
        passes=Range(high=1e-10),
        tolerance="rounding in float64 over 10^5 terms at most",
        where=BOTH,
        smallest="smoke",
        kind="identity",
        criterion="arithmetic",
    ),
]


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """Hessian norm and dominance against k for both kinds of weights; cosines against width."""
    chosen = {"weights ±1": select(table, EQUAL), "one weight √k": select(table, DOMINATED)}
    neurons = select(table, NEURON_ROWS)
    drawn = {}
    for column, label in (
        ("hessian_norm", "‖∇²f‖"),
        ("dominance", "largest share of the gradient"),
    ):
        exponents = [
            f"{slope(rows, 'number', column):.2f} ({name})" for name, rows in chosen.items()
        ]
        what = column.replace("_", " ").capitalize()
        drawn[column] = figure(
            "line",
            f"{what} goes as k^p, p = {', '.join(exponents)}",
            [line_of_means(name, rows, "number", column) for name, rows in chosen.items()],
            x="number of submodels k",
            y=label,
            caption="Mean over seeds; exponents by least squares through the logarithms of means.",
            x_scale="log",
            y_scale="log",
        )
    drawn["cosine"] = figure(
        "line",
        f"The mean |cos| of two neurons' gradients goes as width^p, "
        f"p = {slope(neurons, 'number', 'cosine'):.2f}",
        [line_of_means("second layer", neurons, "number", "cosine")],
        x="units in the layer below",
        y="mean |cos|",
        caption=f"Mean over all pairs of {NEURONS} pre-activations of the second layer and over "
        "seeds; gradients by all weights below, shared and own.",
        x_scale="log",
        y_scale="log",
    )
    return drawn


STUDY = Study(cells, cell, SIZES, CLAIMS, figures, headlines=HEADLINES)
