"""A two-layer network of 2^14 units is certified at its start to reach zero loss, and does.

Reference:
    Liu, Zhu, Belkin (2022), "Loss landscapes and optimization in over-parameterized non-linear
    systems and neural networks", arXiv:2003.00307, Applied and Computational Harmonic Analysis
    59: PL* from the smallest eigenvalue of the tangent kernel, convergence of (stochastic)
    gradient descent in a ball, networks with a non-linear output.
Changed:
    The paper has no experiment of its own; its theorems are turned into numbers here. The
    certificate is that of `pl_certificate`: f = m^(-1/2) Σ v_j tanh(w_jᵀx), v_j = ±1 fixed, six
    unit inputs in R^20, labels ±1, f = 0 at the start, so that ‖r_0‖ = √6. The paper's radius
    2 L_F ‖r_0‖/μ is compared with the path's 2 ‖r_0‖/√μ, which the same descent inequality
    gives. Two forms are corrected. μ = λ_min(K) belongs to ½‖∇L‖² ≥ μL; without the half, which
    is how it is often quoted, twice that constant holds and the rate (1 − ημ)^t with it would
    not. And the step size nμ/(λ(n²λ + μ(s − 1))) quoted for SGD diverges where losses and
    batches are summed; μ/(λ(nλ + μ(s − 1))) does not. The output map is tanh on a network of
    three hidden layers; ten inputs of length √10, labels ±0.7.
Cost:
    Processor time: smoke 5 s, quick 30 s and up to 1 GB, full 2 minutes and 1 GB per job.
Failure:
    If a certified run left its ball or its bound, the certificate's proof or its arithmetic
    would be wrong, and nothing it says could be relied on. If a network with a non-linear output
    did not converge, convergence would come from the constancy of the kernel, and PL* would
    explain nothing that linearity does not.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from overparam.claims.study import Study
from overparam.nets.linear import NTKLinear
from overparam.nets.mlp import ntk_mlp
from overparam.studies.liu2022_pl_condition.claims import CLAIMS, HEADLINES
from overparam.studies.liu2022_pl_condition.landscape import (
    almost,
    convexity,
    most_of_space,
    sgd_on_a_wide_network,
)
from overparam.studies.liu2022_pl_condition.pictures import figures
from overparam.tangents.empirical import empirical_ntk
from overparam.tangents.pl.certificate import pl_certificate
from overparam.tangents.pl.step_sizes import sgd_step_size
from overparam.tangents.pl.trace import pl_trace
from overparam.tangents.spectrum import kernel_change

__all__ = ["STUDY"]

SIZES = {
    "smoke": {"widths": (2**8, 2**14), "descent": 2**14, "deep": 64, "runs": 20, "replicates": 2},
    "quick": {
        "widths": tuple(2**k for k in (8, 10, 12, 13, 14, 15, 16, 17, 18)),
        "descent": 2**14,
        "deep": 512,
        "runs": 200,
        "replicates": 3,
    },
    "full": {
        "widths": tuple(2**k for k in range(8, 20)),
        "descent": 2**14,
        "deep": 2048,
        "runs": 1000,
        "replicates": 10,
    },
}
INPUTS, DIMENSION = 6, 20
STEPS = 60  # of the certified run
ROWS, COLUMNS, SGD_STEPS = 10, 30, 200  # of the linear system
BATCHES = (1, 4, 10, 100)
HUGE, FEW = 10**6, 40  # batch size and steps at which the quoted step size shows
DEEP_STEPS, DEEP_EVERY = 3000, 100
SECOND_TANH = 4 / (3 * math.sqrt(3))  # sup |tanh''|


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Certificates by width, the certified run, SGD, and the cases that must be refused."""
    plan: list[tuple[str, int, str]] = [("tanh output", config["deep"], "")]
    plan += [
        ("certificate", width, kind)
        for width in sorted(config["widths"], reverse=True)
        for kind in ("path", "paper")
    ]
    plan += [("descent", config["descent"], "path")]
    plan += [("sgd", batch, "independent") for batch in BATCHES]
    plan += [("convexity", 60, kind) for kind in ("network", "linear")]
    plan += [("almost", 60, ""), ("most", 60, "")]
    plan += [("wide sgd", batch, "") for batch in (1, INPUTS)]
    plan += [("sgd", HUGE, "parallel"), ("gaussian", 60, ""), ("duplicate", 2**10, "path")]
    return [
        {"measure": measure, "at": at, "kind": kind, "runs": config["runs"], "replicate": replicate}
        for measure, at, kind in plan
        for replicate in range(config["replicates"])
    ]


def cell(measure: str, at: int, kind: str, runs: int, seed: int) -> dict[str, Any]:
    """One measurement; `at` is a width, a batch size or a number of parameters."""
    draw = torch.Generator().manual_seed(seed)
    if measure == "sgd":
        return stochastic(at, kind, runs, seed)
    if measure == "gaussian":
        return gaussian(at, runs, draw)
    if measure == "tanh output":
        return tanh_output(at, draw)
    if measure == "convexity":
        return convexity(kind, draw)
    if measure == "most":
        return most_of_space(runs, draw)
    if measure == "almost":
        return almost(draw)
    if measure == "wide sgd":
        return sgd_on_a_wide_network(at, 6, np.random.default_rng(seed))
    x = torch.randn(INPUTS, DIMENSION, generator=draw, dtype=torch.float64)
    x /= x.norm(dim=1, keepdim=True)
    y = (2 * torch.randint(0, 2, (INPUTS, 1), generator=draw) - 1).double()
    if measure == "duplicate":
        x, y = torch.cat([x, x[:1]]), torch.cat([y, -y[:1]])
    net = two_layers(at, draw)
    found = pl_certificate(net, x, y, radius=kind)  # type: ignore[arg-type]
    if measure == "descent":
        return descent(net, x, y, found, draw)
    # What the radius must be, from ‖r_0‖ = √6 and the constants of the ball.
    steep = 1.0 if kind == "path" else found.lipschitz / math.sqrt(found.mu or math.nan)
    radius = 2 * math.sqrt(INPUTS) / math.sqrt(found.mu or math.nan) * steep
    sigma = torch.linalg.eigvalsh(closed_kernel(net.get_parameter("0.weight").detach(), x)).sqrt()
    low, high = float(sigma[0]), float(sigma[-1])
    smoothness = SECOND_TANH * float(torch.linalg.matrix_norm(x, 2)) / math.sqrt(at)
    return {
        "certified": found.certified,
        "mu": found.mu,
        "margin": found.margin,
        "radius_over": found.radius / radius,
        "sigma_over": found.sigma[0] / low,
        "top_sigma_over": found.sigma[1] / high,
        "smoothness_over": found.smoothness / smoothness,
        "margin_over": found.margin * smoothness / most_smoothness(low, high, kind),
    }


def most_smoothness(low: float, high: float, kind: str) -> float:
    """The largest β with which some R is large enough, by a search over R: u is β R/σ_min.

    R ≥ 2‖r_0‖/(σ_min − βR) or 2(σ_max + βR)‖r_0‖/(σ_min − βR)², both solved for β at a given u.
    """
    u = np.linspace(0, 1, 100_001)[1:-1]
    if kind == "path":
        allowed = low**2 * u * (1 - u)
    else:
        allowed = low**3 * u * (1 - u) ** 2 / (high + low * u)
    return float(allowed.max()) / (2 * math.sqrt(INPUTS))


def closed_kernel(weight: Tensor, x: Tensor) -> Tensor:
    """K of m^(−1/2) Σ ±tanh(w_jᵀx) by its hidden weights: (1/m) Σ σ'(w_jᵀx) σ'(w_jᵀz) xᵀz."""
    slopes = 1 - torch.tanh(x @ weight.T).square()
    return slopes @ slopes.T * (x @ x.T) / len(weight)


def steepest(start: Tensor, x: Tensor, radius: float, which: int) -> Tensor:
    """The point of the rim that a few linear searches find for K's lowest or highest eigenvalue."""
    weight = start
    for _ in range(3):
        weight = weight.clone().requires_grad_()
        value = torch.linalg.eigvalsh(closed_kernel(weight, x))[which]
        (g,) = torch.autograd.grad(-value if which == 0 else value, weight)
        weight = start + g * (radius / g.norm())
    return weight.detach()


def two_layers(width: int, draw: torch.Generator) -> nn.Sequential:
    """m^(-1/2) Σ ±tanh(w_jᵀx); the second half of the units cancels the first."""
    hidden = NTKLinear(
        DIMENSION, width, weight_scale=math.sqrt(DIMENSION), seed=draw, dtype=torch.float64
    )
    output = NTKLinear(width, 1, seed=draw, dtype=torch.float64).requires_grad_(False)
    with torch.no_grad():
        hidden.weight[width // 2 :] = hidden.weight[: width // 2]
        output.weight.copy_(output.weight.sign())
        output.weight[:, width // 2 :] = -output.weight[:, : width // 2]
    return nn.Sequential(hidden, nn.Tanh(), output)


def descent(
    net: nn.Sequential, x: Tensor, y: Tensor, found: Any, draw: torch.Generator
) -> dict[str, Any]:
    """Gradient descent with the certified step, against everything the certificate says."""
    if not found.certified:
        return {"certified": False, **dict.fromkeys(DESCENT, math.nan), "losses": [math.nan]}
    weight = net.get_parameter("0.weight")
    start, bounds = weight.detach().clone(), found.loss_bound(range(STEPS + 1))
    losses, length, farthest, kept = [], 0.0, 0.0, {}
    for step in range(STEPS + 1):
        if step % 15 == 0:
            kept[step] = {"0.weight": weight.detach().clone()}
        farthest = max(farthest, float((weight.detach() - start).norm()))
        loss = (net(x) - y).square().sum() / 2
        losses.append(float(loss.detach()))
        (gradient,) = torch.autograd.grad(loss, weight)
        with torch.no_grad():
            weight -= found.lr * gradient
        length += found.lr * float(gradient.norm())
    for number in (-1, -2, -3):  # the rim of the ball, in directions of their own
        step = torch.randn(weight.shape, generator=draw, dtype=torch.float64)
        kept[STEPS - number] = {"0.weight": start + step * (found.radius / step.norm())}
    for number, which in ((4, 0), (5, -1)):
        kept[STEPS + number] = {"0.weight": steepest(start, x, found.radius, which)}
    trace = pl_trace(net, x, y, kept, radius=found.radius_kind)
    # 1/η, from the closed kernel at the start and R: the network's outputs are 0 there.
    bend = SECOND_TANH * float(torch.linalg.matrix_norm(x, 2)) / math.sqrt(len(start))
    steep = math.sqrt(float(torch.linalg.eigvalsh(closed_kernel(start, x))[-1]))
    curvature = (steep + bend * found.radius) ** 2 + bend * math.sqrt(INPUTS)
    ratios = torch.tensor(losses, dtype=torch.float64) / bounds
    return {
        "certified": True,
        "bound_ratio": float(ratios[1:].max()),  # at the start it is 1
        "path_share": length / found.radius,
        "distance_share": farthest / found.radius,
        "mu_share": found.mu / trace.mu,
        "lipschitz_share": float(trace.lipschitz.max()) / found.lipschitz,
        "pl_ratio": float((trace.ratios / trace.mus).min()),
        "loss_ratio": losses[-1] / losses[0],
        "step_over": found.lr * curvature,
        "losses": [value / losses[0] for value in losses],
        "bounds": (bounds / losses[0]).tolist(),
    }


DESCENT = (
    "bound_ratio", "path_share", "distance_share", "mu_share", "lipschitz_share", "pl_ratio",
    "loss_ratio", "step_over",
)  # fmt: skip


def stochastic(batch: int, kind: str, runs: int, seed: int) -> dict[str, Any]:
    """Mean loss of SGD on a linear system, over its bound; with the quoted step size as well."""
    draw = np.random.default_rng(seed)
    a = draw.normal(size=(ROWS, COLUMNS)) / math.sqrt(COLUMNS)
    if kind == "parallel":
        a = a[:1] + 0.1 * a
    b = a @ draw.normal(size=COLUMNS)
    mu = float(np.linalg.eigvalsh(a @ a.T)[0])
    smoothness = float((a**2).sum(1).max())
    safe = sgd_step_size(mu, smoothness, ROWS, batch)
    steps = FEW if kind == "parallel" else SGD_STEPS
    mean = mean_loss(a, b, safe.lr, batch, steps, runs, draw)
    result = {"loss": mean, "bound": safe.rate**steps, "bound_ratio": mean / safe.rate**steps}
    lr = mu / (smoothness * (ROWS * smoothness + mu * (batch - 1)))
    result |= {"lr_over": safe.lr / lr, "decrease_over": (1 - safe.rate) / (lr * mu * batch / ROWS)}
    if kind == "parallel":
        quoted = ROWS * mu / (smoothness * (ROWS**2 * smoothness + mu * (batch - 1)))
        result["log10_quoted"] = math.log10(mean_loss(a, b, quoted, batch, steps, runs, draw))
    return result


def mean_loss(
    a: np.ndarray, b: np.ndarray, lr: float, batch: int, steps: int, runs: int,
    draw: np.random.Generator,
) -> float:  # fmt: skip
    """E L_T / L_0 for L = Σ ½(a_i w − b_i)², batches summed, drawn with replacement."""
    w = np.zeros((runs, a.shape[1]))
    for _ in range(steps):
        # How often each row was drawn is all that matters of a batch.
        counts = draw.multinomial(batch, np.full(len(a), 1 / len(a)), size=runs)
        w -= lr * (counts * (w @ a.T - b)) @ a
    return float(((w @ a.T - b) ** 2).sum(1).mean() / (b**2).sum())


def gaussian(parameters: int, runs: int, draw: torch.Generator) -> dict[str, Any]:
    """Mean log κ(K) of Gaussian Jacobians of p parameters, minus the bound; the worst n."""
    worst = -math.inf
    for n in (2, parameters // 2, parameters - 1, parameters):
        jacobian = torch.randn(runs, n, parameters, generator=draw, dtype=torch.float64)
        sigma = torch.linalg.svdvals(jacobian)
        logs = 2 * (sigma[:, 0] / sigma[:, -1]).log()
        bound = 2 * math.log(parameters / (parameters - n + 1)) + 5
        worst = max(worst, float(logs.mean()) - bound)
    return {"log_excess": worst}


def tanh_output(width: int, draw: torch.Generator) -> dict[str, Any]:
    """Gradient descent through a tanh output: change of the kernel, loss, PL* on the way."""
    x = torch.randn(10, 10, generator=draw, dtype=torch.float64)
    x = math.sqrt(10) * x / x.norm(dim=1, keepdim=True)
    y = 0.7 * (2 * torch.randint(0, 2, (10, 1), generator=draw) - 1).double()
    inner = ntk_mlp([10, width, width, width, 1], seed=draw, dtype=torch.float64)
    net = nn.Sequential(*inner, nn.Tanh())
    kernel = empirical_ntk(net, x)
    lr = 1 / float(torch.linalg.eigvalsh(kernel)[-1])
    kept, changes, losses, output_map = {}, [], [], []
    net, inner = net.float(), inner.float()
    for step in range(DEEP_STEPS + 1):
        loss = (net(x.float()) - y.float()).square().sum() / 2
        losses.append(float(loss.detach()))
        done = losses[-1] <= 1e-3 * losses[0] or step == DEEP_STEPS
        if done or step % DEEP_EVERY == 0:
            kept[step] = {k: v.clone() for k, v in net.state_dict().items()}
            changes.append(kernel_change(empirical_ntk(net, x.float()).double(), kernel))
            slopes = 1 - net(x.float()).detach().double().square()
            inside = pl_trace(inner, x, y, {0: inner.state_dict()}).mu
            outside = pl_trace(net, x, y, {0: net.state_dict()}).mu
            output_map.append(outside / (float(slopes.min()) ** 2 * inside))
        if done or not math.isfinite(losses[-1]):
            break
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for p, g in zip(net.parameters(), gradients, strict=True):
                p -= lr * g
    trace = pl_trace(net, x, y, kept)
    return {
        "kernel_change": max(changes),
        "loss_ratio": losses[-1] / losses[0],
        "steps": step,
        "pl_ratio": float((trace.ratios / trace.mus).min()),
        "mu_kept": trace.mu / float(trace.mus[0]),
        "output_map": min(output_map),
    }


STUDY = Study(cells, cell, SIZES, CLAIMS, figures, headlines=HEADLINES)
