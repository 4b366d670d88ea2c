"""Equalities that hold to rounding: Fourier multiplication, its kernel machine, gradients."""

import math

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from overparam.kernels.feature_matrix import KernelPredictor, predictor_agop
from overparam.kernels.functions import Quadratic
from overparam.kernels.modular.arithmetic import modular_arithmetic, operation_table
from overparam.kernels.modular.circulance import circulant
from overparam.kernels.modular.fourier import fourier_multiplication
from overparam.kernels.modular.quadratic_network import (
    QuadraticNetwork,
    quadratic_agop,
    quadratic_agop_trace,
)
from overparam.studies.mallinar2025_modular_grokking.machines import KERNELS, interpolate


def fourier(p: int, seed: int) -> dict[str, float]:
    """Errors of the algorithm on all pairs: as corrected, as printed, on vectors at random."""
    draw = torch.Generator().manual_seed(seed)
    pairs, tables = all_pairs(p), {op: operation_table(op, p) for op in ("add", "sub")}
    truth = {op: torch.eye(p, dtype=torch.float64)[table.flatten()] for op, table in tables.items()}
    errors = [
        float((fourier_multiplication(pairs, op) - truth[op]).abs().max()) for op in ("add", "sub")
    ]
    x = torch.randn(20, 2 * p, generator=draw, dtype=torch.float64)
    products = x[:, :p, None] * x[:, None, p:]
    for op in ("add", "sub"):
        sums = products.flatten(1) @ truth[op]
        errors.append(float((fourier_multiplication(x, op) - sums).abs().max()))
    return {
        "error": max(errors),
        "printed_error": float((printed_difference(pairs, p) - truth["sub"]).abs().max()),
    }


def printed_difference(pairs: Tensor, p: int) -> Tensor:
    """√p ⟨F x₁ ⊙ F e_{p−ℓ−1}, F x₂⟩, the formula for subtraction as it is printed."""
    index = torch.arange(p, dtype=torch.float64)
    angle = -2 * math.pi * index[:, None] * index / p
    transform = torch.polar(torch.full_like(angle, p**-0.5), angle)
    first, second = ((transform @ half.T.to(transform)).T for half in pairs.split(p, dim=1))
    shifted = transform.flip(1).T  # row ℓ is F e_{p−ℓ−1}
    return math.sqrt(p) * torch.einsum("nk,lk,nk->nl", first, shifted, second.conj()).real


def theorem(p: int, seed: int) -> dict[str, float]:
    """Theorem 5.1: the kernel machines of all p² pairs with fixed features, in closed form.

    Output ℓ is a machine with M_ℓ = [[0, P], [Pᵀ, 0]], where P[a, b] = 1 for the pairs of
    result ℓ; then with the other kind of circulant, and with permutations at random. The closed
    form holds for every input; the paper's, x₁ᵀPx₂, does on unit vectors with sums of 1.
    """
    draw = torch.Generator().manual_seed(seed)
    pairs = all_pairs(p)
    x = torch.randn(20, 2 * p, generator=draw, dtype=torch.float64)
    first, second = x.split(p, dim=1)
    correction = (
        first.square().sum(1) + second.square().sum(1) - 2 * first.sum(1) * second.sum(1)
    ) / (2 * p + 2)
    unit = torch.cat([_unit_with_sum_one(p, draw) for _ in range(2)])
    errors, printed = [], []
    for operation in ("add", "sub"):
        table = operation_table(operation, p)
        for answer in range(p):
            selects = (table == answer).double()
            for block in _couplings(p, answer, draw):
                zero = torch.zeros_like(block)
                metric = torch.cat([torch.cat([zero, block], 1), torch.cat([block.T, zero], 1)])
                machine = _machine(pairs, selects.flatten()[:, None], metric)
                bilinear = torch.einsum("na,ab,nb->n", first, selects, second)
                errors.append(float((machine(x)[:, 0] - bilinear - correction).abs().max()))
                printed.append(float((machine(x)[:, 0] - bilinear).abs().max()))
                on_unit = machine(unit[None])[0, 0]
                errors.append(float((on_unit - unit[:p] @ selects @ unit[p:]).abs()))
    return {"error": max(errors), "without_correction": max(printed)}


def gradients(seed: int) -> dict[str, float]:
    """Relative errors of closed-form AGOPs against automatic differentiation."""
    task = modular_arithmetic("add", 7, train_fraction=0.5, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    root = torch.randn(14, 14, generator=draw, dtype=torch.float64)
    metric = root @ root.T / 14
    errors = {}
    for name, kernel in KERNELS.items():
        machine = interpolate(kernel, task.x_train, task.y_train, metric)
        points = torch.randn(9, 14, generator=draw, dtype=torch.float64)
        jacobians = vmap(jacrev(lambda x, name=name, f=machine: _dense(name, f, x)))(points)
        for center in (False, True):
            mean = jacobians.mean(0) if center else 0
            dense = torch.einsum("nca,ncb->ab", jacobians - mean, jacobians - mean) / len(points)
            for method in ("gram", "streamed"):
                closed = predictor_agop(machine, points, method=method, center=center)
                errors[name, center, method] = _relative(closed, dense)
    net = QuadraticNetwork(14, 20, outputs=7, seed=draw, dtype=torch.float64)
    jacobians = vmap(jacrev(net))(task.x_train)
    dense = torch.einsum("nca,ncb->ab", jacobians, jacobians) / len(task.x_train)
    trace = quadratic_agop_trace(net, task.x_train)
    errors["network"] = _relative(quadratic_agop(net, task.x_train), dense)
    errors["trace"] = _relative(trace, dense.trace())
    return {"error": max(errors.values())}


def _dense(kernel: str, machine: KernelPredictor, x: Tensor) -> Tensor:
    """Outputs of a machine at one point, from the kernel's formula."""
    metric, centres = machine.feature_matrix, machine.centres
    assert metric is not None
    if kernel == "quadratic":
        values = (centres @ metric @ x).square()
    else:
        offsets = x - centres
        values = torch.exp(-0.08 * (offsets @ metric * offsets).sum(1))
    return values @ machine.dual


def all_pairs(p: int) -> Tensor:
    """Every e_a ⊕ e_b, a first."""
    unit = torch.eye(p, dtype=torch.float64)
    return torch.cat([unit.repeat_interleave(p, 0), unit.repeat(p, 1)], dim=1)


def _couplings(p: int, answer: int, draw: torch.Generator) -> list[Tensor]:
    """A circulant, a Hankel and a random permutation."""
    shift = torch.eye(p, dtype=torch.float64)[answer]
    order = torch.randperm(p, generator=draw)
    kinds = [circulant(shift), circulant(shift, kind="hankel")]
    return [*kinds, torch.eye(p, dtype=torch.float64)[order]]


def _machine(x: Tensor, y: Tensor, metric: Tensor) -> KernelPredictor:
    """The quadratic kernel's interpolant, of least norm should there be several."""
    gram = Quadratic().matrix(x, None, metric)
    return KernelPredictor(Quadratic(), x, torch.linalg.solve(gram, y), metric)


def _unit_with_sum_one(p: int, draw: torch.Generator) -> Tensor:
    """A vector of length 1 whose coordinates add up to 1."""
    across = torch.randn(p, generator=draw, dtype=torch.float64)
    across = across - across.mean()
    return torch.full_like(across, 1 / p) + across / across.norm() * math.sqrt(1 - 1 / p)


def _relative(value: Tensor, truth: Tensor) -> float:
    value, truth = value.detach(), truth.detach()
    return float((value - truth).norm() / truth.norm())
