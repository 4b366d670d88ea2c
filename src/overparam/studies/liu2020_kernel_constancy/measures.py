"""Networks trained by gradient descent, and their Hessians at the start, in a ball, on the path."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from overparam.curvature.output_hessian import OutputHessian, hessian_norm
from overparam.expansions.linearized import linearization_error
from overparam.nets.cnn import ntk_cnn
from overparam.nets.mlp import ntk_mlp
from overparam.nets.resnet import ntk_resnet
from overparam.tangents.empirical import empirical_ntk
from overparam.tangents.spectrum import kernel_change

NARROW = 3  # units in the bottleneck of the control
# Output activation, units in the middle hidden layer (0: as wide as the others), and the
# fraction of the initial loss at which training stops.
MODELS = {
    "linear output": ("identity", 0, 1e-3),
    "tanh output": ("tanh", 0, 1e-2),
    "bottleneck": ("identity", NARROW, 1e-2),
    "cnn": ("identity", 0, 1e-2),
    "resnet": ("identity", 0, 1e-2),
    "relu": ("identity", 0, 1e-2),
}
STEPS, EVERY = 300, 5
RADIUS = 2.0  # of the ball in which the Hessian is looked at


def cell(measure: str, model: str, width: int, narrow: int, seed: int) -> dict[str, Any]:
    """One measurement on one network; inputs are the same for every width and model."""
    draw = torch.Generator().manual_seed(seed)
    if measure == "one layer":
        return one_layer(width, draw)
    dtype = torch.float32 if measure == "training" else torch.float64
    size = 16 if model == "cnn" else 10
    x = torch.randn(10, size, generator=draw, dtype=torch.float64)
    x = (math.sqrt(size) * x / x.norm(dim=1, keepdim=True)).to(dtype)
    y = 0.7 * (2 * torch.randint(0, 2, (10,), generator=draw) - 1).to(dtype)
    net = network(model, width, narrow, draw, dtype)
    x = x.view(10, 1, 4, 4) if model == "cnn" else x
    target = MODELS[model][2]
    if measure == "training":
        return train(net, x, y, target)
    if measure == "ball":
        return in_a_ball(net, x, y, target, draw)
    if measure == "hessian":
        gradient = empirical_ntk(net, x[:1]).item() ** 0.5
        return {"hessian_norm": hessian_norm(net, x[:1], tolerance=1e-2), "gradient_norm": gradient}
    # K of φ∘f is φ'(f(x)) φ'(f(z)) times K of f, here with φ = tanh, φ' = 1 − φ².
    slopes = 1 - net(x).detach() ** 2
    expected = slopes * slopes.T * empirical_ntk(net[:-1], x)
    return {"identity_error": kernel_change(empirical_ntk(net, x), expected)}


def network(
    model: str, width: int, narrow: int, draw: torch.Generator, dtype: torch.dtype
) -> nn.Sequential:
    """One of `MODELS`."""
    if model == "cnn":
        return ntk_cnn((1, 4, 4), [width, width], activation="tanh", seed=draw, dtype=dtype)
    if model == "resnet":
        return ntk_resnet((10,), width, blocks=2, activation="tanh", seed=draw, dtype=dtype)
    activation, scale = ("relu", math.sqrt(2)) if model == "relu" else ("tanh", 1.0)
    return ntk_mlp(
        [10, width, narrow or width, width, 1],
        activation,
        output_activation=MODELS[model][0],
        weight_scale=scale,
        seed=draw,
        dtype=dtype,
    )


def one_layer(width: int, draw: torch.Generator) -> dict[str, Any]:
    """m^(−1/2) Σ v_i tanh(w_i x) with fixed v: Hessian and kernel over their closed forms."""
    net = ntk_mlp([1, width, 1], seed=draw, dtype=torch.float64)
    v = net.get_parameter("2.weight").requires_grad_(False)[0]
    w = net.get_parameter("0.weight").detach()[:, 0]
    x = torch.tensor([[1.3], [-0.4]], dtype=torch.float64)
    first, second = (torch.tanh(w * z) for z in (1.3, -0.4))
    # σ' = 1 − tanh², σ'' = −2 tanh (1 − tanh²); the Hessian is diagonal.
    curvature = (2 * v * first * (1 - first**2)).abs().max() * 1.3**2 / math.sqrt(width)
    kernel = 1.3 * -0.4 / width * (v**2 * (1 - first**2) * (1 - second**2)).sum()
    return {
        "hessian_over": hessian_norm(net, x[:1], tolerance=1e-5) / float(curvature),
        "kernel_over": float(empirical_ntk(net, x)[0, 1] / kernel),
    }


def in_a_ball(
    net: nn.Sequential, x: Tensor, y: Tensor, target: float, draw: torch.Generator
) -> dict[str, Any]:
    """Largest ‖∇²f‖ on the path of gradient descent, and at the start and on the ball's rim."""

    def norm() -> float:
        return hessian_norm(net, x[:1], tolerance=1e-2)

    parameters = list(net.parameters())
    start = nn.utils.parameters_to_vector(parameters).detach().clone()
    top = OutputHessian(net, x[:1]).eigenpairs(which="magnitude", tolerance=1e-2).vectors[:, 0]
    directions = [top, -top, *torch.randn(2, len(top), generator=draw, dtype=torch.float64)]
    rim = [norm()]
    for step in directions:
        nn.utils.vector_to_parameters(start + RADIUS * step / step.norm(), parameters)
        rim.append(norm())
    nn.utils.vector_to_parameters(start.clone(), parameters)
    path = [rim[0]]
    for part in (target**0.5, target):  # half-way in the logarithm of the loss, and the end
        ratio = train(net, x, y, part, changes=False)["loss_ratio"]
        path.append(norm())
        if part != target:
            nn.utils.vector_to_parameters(start.clone(), parameters)
    return {"rim_hessian": max(rim), "path_hessian": max(path), "loss_ratio": ratio}


def train(
    net: nn.Module, x: Tensor, y: Tensor, target: float, *, changes: bool = True
) -> dict[str, Any]:
    """Gradient descent until the loss is `target` of its start; what changed on the way."""
    start = {name: p.detach().clone() for name, p in net.named_parameters()}
    kernel = empirical_ntk(net, x)
    rate = 1 / torch.linalg.eigvalsh(kernel.double())[-1].item()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    moved, first, ratio, step = [0.0], 0.0, 1.0, 0
    for step in range(STEPS + 1):
        optimizer.zero_grad()
        loss = ((net(x)[:, 0] - y) ** 2).sum() / 2
        first = first or loss.item()
        ratio = loss.item() / first
        if not math.isfinite(ratio):
            lost = ("kernel_change", "linearization_error", "weight_change", "loss_ratio")
            return dict.fromkeys(lost, math.nan)
        stop = ratio <= target or step == STEPS
        if changes and (stop or step % EVERY == 0):
            moved.append(kernel_change(empirical_ntk(net, x), kernel))
        if stop:
            break
        loss.backward()
        optimizer.step()
    net.zero_grad(set_to_none=True)
    found: dict[str, Any] = {"loss_ratio": ratio, "steps": step}
    if changes:
        squares = sum(
            float((p.detach() - start[n]).square().sum()) for n, p in net.named_parameters()
        )
        total = sum(float(p.square().sum()) for p in start.values())
        found["kernel_change"] = torch.tensor(moved).max().item()
        found["linearization_error"] = linearization_error(net, start, x)
        found["weight_change"] = math.sqrt(squares / total)
    return found
