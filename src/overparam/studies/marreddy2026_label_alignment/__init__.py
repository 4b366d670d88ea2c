"""Labels of digits align with the kernel as λ^1.3 to λ^1.8, in a convolutional net as λ^0.9.

Reference:
    Marreddy, Liu (2026), "Label-NTK alignment", arXiv:2605.25275: labels and initial residuals
    lie along the leading eigenvectors of the tangent kernel, with exponents of about 2 and 1;
    a bound on the training loss by tr[(1 − ηK)^{2t} K], without the smallest eigenvalue.
Changed:
    ReLU networks of four hidden layers of 512 (five on MNIST) in NTK parametrisation, α^l = √(2/m)
    relu(W α^{l−1}), inputs of unit length; kernels are means over outputs, classes one-hot with ±1.
    Kernels of batches of 100 with the first eigenvalue of each left out, 15 bins of the pooled
    eigenvalues, lines through the logarithms of the bins' means. The exponents are empirical and
    not 2 and 1 here: of labels and of residuals both lie between 1.3 and 1.9, and at 0.9 in the
    convolutional network. So a floor, the correlation and random labels are tested on images, and
    the exponent 2 on the target ‖x − e₁‖ on a sphere, which is Lipschitz as the derivation asks.
    The bound's constant is ‖r_0‖²/tr K, which makes it exact at the start. Even against odd is
    centred, unlike one-hot labels, and there this constant gives no bound for every draw: the first
    eigenvector holds half of tr K and, depending on the mean of the random f(w_0), from 1 to 84 %
    of r_0; the bound after 10 steps is 0.5 to 3.6 times the linear model's loss. It is a bound, at
    1 to 3 times that loss, once that eigenvector's part is taken exactly; both are claims. The time
    T_ε is corrected: eigenvalues i^−q give t^−(1 − 1/q), hence T_ε ~ ε^(−q/(q − 1)), not
    O(log(1/ε)/(q − 1)). How far the bound by λ_min is above the loss after 100 steps depends on
    r_0's first part too, which is gone after one step: it was 15 times in one small reproduction,
    which asked for 10, but 5 to 19 times over 16 further draws, 10 or more in three of them, and 5
    to 38 times in the runs kept. So 10 is asked after 1000 steps of the linear model as well, where
    it was 200 times there, 50 to 290 in those draws and 39 to 474 in the runs kept. Over 300 steps
    the exponent of labels is not as stable as said: it falls from 1.4 to 1.0, with a spread of 0.10
    between batches of one network. The convolutional network has three layers of 16 and 32 channels
    and sees the 8 × 8 digits; colour images are left out. The bound on the test loss is asked of
    the minimum-norm fit of 100 and of 400 digits, even against odd, with the constants that are
    derived here, and of 1000 at full. It is no bound there: the constant stands for labels that go
    as λ^2, and it is 0.8 to 1.0 times the loss at 100 digits, 0.5 to 0.7 times at 400, 0.4 to 0.5
    times at 1000. With random labels it is a half to a third of that.
Cost:
    Processor time: smoke 5 s, quick 55 s, full 17 minutes.
Failure:
    If random labels aligned as well, alignment would be a property of the kernel alone and say
    nothing of labels. If the bounds were below the loss on true labels, their condition would not
    be what makes them hold; so it came out, of the training loss on centred labels in some draws
    and of the test loss at every n. What is left of the condition is that bound over loss is
    larger with true labels than with random ones.
"""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from overparam.claims.study import Study
from overparam.datasets.named import load
from overparam.nets.linear import NTKLinear
from overparam.studies.marreddy2026_label_alignment.checks import Images, brute_force, fit_loss
from overparam.studies.marreddy2026_label_alignment.claims import CLAIMS, HEADLINES, LABELS, MNIST
from overparam.studies.marreddy2026_label_alignment.pictures import figures
from overparam.tangents.alignment import AlignmentResult, eigen_alignment, pool_alignments
from overparam.tangents.empirical import empirical_ntk
from overparam.tangents.loss_bounds import (
    classical_loss_bound,
    linearized_loss,
    spectral_loss_bound,
)

__all__ = ["STUDY"]

SIZES = {
    "smoke": {"batches": 3, "width": 64, "n": 40, "mnist": 0, "replicates": 2, "draws": 3,
              "cnn": 1, "fits": (20, 40)},
    "quick": {"batches": 20, "width": 512, "n": 150, "mnist": 10, "replicates": 3, "draws": 8,
              "cnn": 6, "fits": (100, 400)},
    "full": {"batches": 100, "width": 512, "n": 150, "mnist": 500, "replicates": 5, "draws": 20,
             "cnn": 100, "fits": (100, 400, 1000)},
}  # fmt: skip
BATCH, BINS, LAYERS = 100, 15, 4
LABELS_OF_CNN = ("even", "random")
TIMES = (0, 10, 100, 300)
TESTED = 400  # examples of the test loss
LATE = 1000  # steps of the linear model alone
DECAYS = (1.5, 2.0, 3.0)


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Loss against bounds, alignment of every kind of labels, and the rate of a power law."""
    plan: list[tuple[str, str, str, int, int]] = []
    for labels in ("even", "random"):
        plan.append(("bounds", "digits", labels, config["n"], config["width"]))
    linear = [
        ("linear bounds", "digits", labels, config["n"], config["width"])
        for labels in ("even", "one-hot", "random")
    ]
    full = config is SIZES["full"]
    for data, kinds in LABELS.items():
        batches = config["mnist" if data == "mnist" else "batches"]
        if data == "mnist" and not (MNIST or full):
            batches = 0  # nothing to read
        plan += [("alignment", data, labels, batches, config["width"]) for labels in kinds]
    plan += [("alignment", "digits cnn", labels, config["cnn"], 0) for labels in LABELS_OF_CNN]
    plan += [
        ("test loss", "digits", labels, n, config["width"])
        for labels in ("even", "random")
        for n in config["fits"]
    ]
    plan += [("brute force", "none", "none", 20, 0)]
    return [
        dict(zip(("measure", "data", "labels", "n", "width"), cell, strict=True), replicate=r)
        for cells, replicates in ((plan, config["replicates"]), (linear, config["draws"]))
        for cell in cells
        for r in range(replicates)
    ] + [
        {"measure": "rate", "data": "none", "labels": f"{q:g}", "n": 10**6, "width": 0,
         "replicate": 0}
        for q in DECAYS
    ]  # fmt: skip


def cell(measure: str, data: str, labels: str, n: int, width: int, seed: int) -> dict[str, Any]:
    """One network on one kind of labels; `n` is a number of batches or of examples."""
    if measure == "rate":
        return rate(float(labels), n)
    draw = torch.Generator().manual_seed(seed)
    if measure == "brute force":
        return brute_force(draw)
    if measure == "test loss":
        x, y = batch("digits", labels, *everything("digits"), n + TESTED, draw)
        return fit_loss(network(x.shape[1], width, LAYERS, 1, draw), x, y, n)
    if n == 0:
        nothing = dict.fromkeys(("slope", "corr", "residual_slope", "output_slope"), math.nan)
        return {"absent": "no MNIST in a folder of data", **nothing}
    if measure in ("bounds", "linear bounds"):
        return bounds(labels, n, width, draw, trained=measure == "bounds")
    return alignment(data, labels, n, width, draw)


def alignment(data: str, labels: str, batches: int, width: int, draw: torch.Generator) -> dict:
    """Exponents of labels, residual and output of one network, over batches of 100."""
    points, classes = everything(data)
    outputs = 10 if labels == "one-hot" else 1
    if data == "digits cnn":
        net: nn.Module = Images(outputs, draw)
    else:
        net = network(inputs_of(data, points), width, LAYERS + (data == "mnist"), outputs, draw)
    found: dict[str, list[AlignmentResult]] = {"labels": [], "residual": [], "output": []}
    for _ in range(batches):
        x, y = batch(data, labels, points, classes, BATCH, draw)
        kernel = empirical_ntk(net, x)
        f = net(x).detach()
        for name, values in (("labels", y), ("residual", f - y), ("output", f)):
            found[name].append(eigen_alignment(kernel, values, n_bins=BINS))
    pooled = {
        name: pool_alignments(results, n_bins=BINS, drop_top=1) for name, results in found.items()
    }
    shown = pooled["labels"]
    return {
        "slope": shown.slope,
        "corr": shown.corr,
        "residual_slope": pooled["residual"].slope,
        "output_slope": pooled["output"].slope,
        "top_share": sum(result.top_share for result in found["labels"]) / batches,
        "values": [float(v.log().mean().exp()) for v in shown.eigenvalues.tensor_split(BINS)],
        "projections": [float(p.mean()) for p in shown.projections.tensor_split(BINS)],
    }


@cache
def everything(data: str) -> tuple[Tensor | None, Tensor | None]:
    """All images and their classes; nothing for points that are drawn."""
    if data.startswith("sphere"):
        return None, None
    if data == "mnist":
        stored = load("mnist")
        return torch.as_tensor(stored.x_train).flatten(1), torch.as_tensor(stored.y_train)
    pixels, classes = load_digits(return_X_y=True)
    return torch.as_tensor(pixels), torch.as_tensor(classes)


def inputs_of(data: str, points: Tensor | None) -> int:
    """Number of inputs."""
    return int(data.split()[1]) if points is None else points.shape[1]


def batch(
    data: str, labels: str, points: Tensor | None, classes: Tensor | None, n: int,
    draw: torch.Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Inputs of unit length and their labels."""
    if points is None or classes is None:
        x = torch.randn(n, inputs_of(data, None), generator=draw, dtype=torch.float64)
        x = x / x.norm(dim=1, keepdim=True)
        pole = torch.zeros(x.shape[1]).double()
        pole[0] = 1.0
        y = (x - pole).norm(dim=1) if labels == "distance" else x[:, 0].sign()
    else:
        chosen = torch.randperm(len(points), generator=draw)[:n]
        x = points[chosen].double()
        x, digit = x / x.norm(dim=1, keepdim=True), classes[chosen]
        if labels == "one-hot":
            return x, 2 * nn.functional.one_hot(digit.long(), 10).double() - 1
        y = torch.where(digit % 2 == 0 if labels == "even" else digit < 5, 1.0, -1.0).double()
    if labels == "random":
        y = 2 * torch.randint(0, 2, (n,), generator=draw).double() - 1
    return x, y[:, None]


def network(inputs: int, width: int, layers: int, outputs: int, draw: torch.Generator) -> nn.Module:
    """α^l = √(2/m) relu(W α^{l−1}) with α⁰ = x, and f = W α^L."""
    parts: list[nn.Module] = []
    for layer in range(layers):
        fan_in, scale = (width, math.sqrt(2)) if layer else (inputs, math.sqrt(inputs))
        parts += [
            NTKLinear(fan_in, width, weight_scale=scale, seed=draw, dtype=torch.float64),
            nn.ReLU(),
        ]
    last = NTKLinear(width, outputs, weight_scale=math.sqrt(2), seed=draw, dtype=torch.float64)
    return nn.Sequential(*parts, last)


def bounds(
    labels: str, n: int, width: int, draw: torch.Generator, *, trained: bool
) -> dict[str, Any]:
    """Loss of the network and of its linearisation by time, and the bounds."""
    points, classes = everything("digits")
    x, y = batch("digits", labels, points, classes, n, draw)
    net = network(x.shape[1], width, LAYERS, y.shape[1], draw)
    kernel, r0 = empirical_ntk(net, x), (net(x) - y).detach()
    values = torch.linalg.eigvalsh(kernel)
    lr = 1 / float(values[-1])
    linear = linearized_loss(kernel, r0, lr, TIMES).tolist()
    trace = spectral_loss_bound(kernel, r0, lr, TIMES).tolist()
    if not trained:
        far = classical_loss_bound(kernel, r0, lr, (LATE,)) / linearized_loss(
            kernel, r0, lr, (LATE,)
        )
        share = eigen_alignment(kernel, r0).top_share - float(values[-1] / values.sum())
        return {"share": share, "early_over": trace[1] / linear[1],
                "log_over": math.log(trace[2] / linear[2]),
                "least_over": min(ratios(trace, linear)), "classical_over": far.item()}  # fmt: skip
    result: dict[str, Any] = {"times": list(TIMES), "linear": linear, "trace": trace}
    if labels == "random":
        return {**result, "trace_over_linear": trace[2] / linear[2]}
    result["classical"] = classical_loss_bound(kernel, r0, lr, TIMES).tolist()
    result["exact_top"] = spectral_loss_bound(kernel, r0, lr, TIMES, exact_top=1).tolist()
    start = eigen_alignment(kernel, y, n_bins=BINS, drop_top=1).slope
    actual = result["actual"] = train(net.float(), x.float(), y.float(), lr)
    after = eigen_alignment(empirical_ntk(net.double(), x), y, n_bins=BINS, drop_top=1).slope
    return {
        **result,
        "least_over": min(ratios(trace, actual)),
        "most_over": max(ratios(trace, actual)),
        "least_over_exact_top": min(ratios(result["exact_top"], actual)),
        "most_over_exact_top": max(ratios(result["exact_top"], actual)),
        "classical_over": result["classical"][2] / actual[2],
        "classical_over_exact_top": result["classical"][2] / result["exact_top"][2],
        "slope_fall": start - after,
    }


def ratios(bound: list[float], loss: list[float]) -> list[float]:
    """Bound over loss after the start."""
    return [above / below for above, below in zip(bound[1:], loss[1:], strict=True)]


def train(net: nn.Module, x: Tensor, y: Tensor, lr: float) -> list[float]:
    """½ Σ r² of gradient descent at `TIMES`."""
    losses = []
    for step in range(max(TIMES) + 1):
        loss = (net(x) - y).square().sum() / 2
        if step in TIMES:
            losses.append(float(loss.detach()))
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for p, g in zip(net.parameters(), gradients, strict=True):
                p -= lr * g
    return losses


def rate(q: float, n: int) -> dict[str, Any]:
    """Exponents of tr[exp(−2Kt) K] in t, and of the time to ε in 1/ε, for eigenvalues i^−q."""
    values = np.arange(1, n + 1, dtype=float) ** -q
    # From 1/λ_max on, and far before 1/λ_min, where the smallest eigenvalue would show.
    times = np.geomspace(30, 3000, 9)
    loss = np.array([(np.exp(-2 * values * t) * values).sum() for t in times])
    exponent = float(np.polyfit(np.log(times), np.log(loss), 1)[0])
    # log T against log(1/ε): the same curve, read the other way round.
    growth = float(np.polyfit(-np.log(loss), np.log(times), 1)[0])
    return {"rate_error": abs(exponent + 1 - 1 / q), "time_ratio": growth * (q - 1) / q}


STUDY = Study(cells, cell, SIZES, CLAIMS, figures, data=("mnist",), headlines=HEADLINES)
