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
    than double, and that step then diverges. The standard classes beside the perceptron are a
    convolutional network (two layers of m channels on 4 × 4 inputs), a residual one (two blocks)
    and ReLU in three layers, whose Hessian is not defined everywhere and is left out. The
    convolutional one is the exception to the title: with 16 channels its kernel multiplies. At full
    2 of 10 such networks diverge at that step, so that the slope of the change has no value and the
    loss does not fall in every network; from 32 channels on the slope is -0.56, and at quick, from
    16 on with three networks each, it depends on the seed. The ball's radius is 2, what gradient
    descent needs here; its rim is looked at in two random directions and along the top eigenvector
    of the Hessian, both ways, where it changes most.
Cost:
    Processor time: smoke 4 s, quick 70 s; full 27 minutes by the clock and 3 GB per job.
Failure:
    If a slope of the linear output were flat, wide networks would not be near their linearisation
    and the step sizes that this library derives from the kernel at initialisation would hold for
    a few steps only. If a control fell as well, width alone would explain the constancy, and the
    paper's mechanism (a small Hessian under a linear output) would be refuted.
"""

from typing import Any

from overparam.claims.study import Study
from overparam.studies.liu2020_kernel_constancy.claims import CLAIMS, HEADLINES
from overparam.studies.liu2020_kernel_constancy.measures import MODELS, NARROW, cell
from overparam.studies.liu2020_kernel_constancy.pictures import figures

__all__ = ["STUDY"]

SIZES = {
    "smoke": {
        "widths": (16, 64), "hessian_widths": (16, 64), "sweep": (10, 30), "replicates": 2,
        "cnn": (8, 16), "resnet": (16, 32), "relu": (16, 64), "ball": (16, 32), "few": 1,
    },
    "quick": {
        "widths": (64, 128, 256, 512, 1024),
        "hessian_widths": (64, 128, 256, 512, 1024),
        "sweep": (10, 30, 100, 300),
        "replicates": 5,
        "cnn": (16, 32, 64, 128),
        "resnet": (32, 64, 128, 256),
        "relu": (64, 128, 256, 512),
        "ball": (64, 128, 256, 512),
        "few": 3,
    },
    "full": {
        "widths": (64, 128, 256, 512, 1024, 2048, 4096, 8192),
        "hessian_widths": (64, 128, 256, 512, 1024, 2048),
        "sweep": (5, 10, 50, 100, 500, 1000),
        "replicates": 10,
        "cnn": (16, 32, 64, 128, 256),
        "resnet": (32, 64, 128, 256, 512, 1024),
        "relu": (64, 128, 256, 512, 1024, 2048),
        "ball": (64, 128, 256, 512, 1024),
        "few": 10,
    },
}  # fmt: skip


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Training and Hessian of every model at every width, the sweep, and the identities."""
    plan = []
    for model in ("linear output", "tanh output", "bottleneck"):
        for measure, widths in (("training", "widths"), ("hessian", "hessian_widths")):
            plan += [(measure, model, width, MODELS[model][1]) for width in config[widths]]
    widest = max(config["widths"])
    plan += [("training", "bottleneck", widest, narrow) for narrow in config["sweep"]]
    plan += [("identity", "tanh output", min(config["widths"]), 0)]
    plan += [("one layer", "linear output", width, 0) for width in (16, 256)]
    some = [
        (measure, model, width, 0)
        for model in ("cnn", "resnet", "relu")
        for measure in ("training", "hessian")
        for width in config[model]
        if (measure, model) != ("hessian", "relu")
    ]
    some += [
        ("ball", model, width, 0)
        for model in ("linear output", "tanh output")
        for width in config["ball"]
    ]
    assert NARROW not in config["sweep"]  # it is there already
    return [
        dict(zip(("measure", "model", "width", "narrow"), cell, strict=True), replicate=replicate)
        for cells, replicates in ((plan, config["replicates"]), (some, config["few"]))
        for cell in sorted(cells, key=lambda cell: -cell[2])  # the longest first: less idling
        for replicate in range(replicates)
    ]


STUDY = Study(cells, cell, SIZES, CLAIMS, figures, headlines=HEADLINES)
