"""The matrix whose largest eigenvalue says how near an optimizer is to its edge of stability."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from overparam._errors import expect
from overparam._model import undisturbed
from overparam._types import Params
from overparam.curvature.gauss_newton import GGNOperator
from overparam.linalg.operator import DiagonalOperator, SymmetricOperator
from overparam.optim.limits import Rule, divisor, is_adaptive

# Groups of an optimizer, each with the parameters of the model that it trains, by name.
Groups = list[tuple[dict, Params]]


def scaled_curvature(
    optimizer: Optimizer,
    groups: Groups,
    rules: list[Rule],
    rates: list[float],
    operator: GGNOperator,
) -> SymmetricOperator:
    """D^½ (G + wd) D^½, where 1 is the edge.

    Args:
        optimizer: In its present state.
        groups: Of it, as `trained_groups` gives them.
        rules: Limit of each.
        rates: Learning rate of each.
        operator: G.
    """
    scale, shift = _scaling(optimizer, groups, rules, rates, operator)
    matrix = operator.scaled(scale)
    return matrix + DiagonalOperator(shift) if bool(shift.any()) else matrix


def trained_groups(
    where: str, model: nn.Module, optimizer: Optimizer
) -> tuple[dict[nn.Parameter, str], Groups]:
    """Names of the trainable parameters, and the groups with those that each of them trains."""
    names = {p: name for name, p in model.named_parameters() if p.requires_grad}
    groups = [
        (group, {names[p]: p for p in group["params"] if p in names})
        for group in optimizer.param_groups
    ]
    groups = [(group, members) for group, members in groups if members]
    expect(
        groups,
        f"{where}(optimizer=...)",
        "an optimizer that trains parameters of the model",
        f"{type(optimizer).__name__} over other tensors",
        hint="build it from model.parameters(), after moving the model to its device.",
    )
    return names, groups


def _scaling(
    optimizer: Optimizer,
    groups: Groups,
    rules: list[Rule],
    rates: list[float],
    operator: GGNOperator,
) -> tuple[Tensor, Tensor]:
    """D and the additive part of every coordinate, flat, in the operator's order."""
    adaptive = is_adaptive(optimizer)
    still = _still(operator) if adaptive and any(rule.coupled for rule in rules) else set()
    scales, shifts = {}, {}
    for (group, members), rule, rate in zip(groups, rules, rates, strict=True):
        for name, p in members.items():
            by = divisor(optimizer, group, p) if adaptive else 1.0
            scale = torch.full_like(p.detach(), rate / rule.threshold) / by
            coupled = 0.0 if name in still else rule.coupled
            scales[name] = scale.flatten()
            shifts[name] = (scale * coupled + rate * rule.beside).flatten()
    order = operator.at.params
    return torch.cat([scales[n] for n in order]), torch.cat([shifts[n] for n in order])


def _still(operator: GGNOperator) -> set[str]:
    """Parameters that the loss does not move, such as a bias before batch norm.

    Weight decay alone moves those, by steps that an adaptive optimizer makes as large as all
    others: they end by wavering about 0, and have no part in the limit. By the gradient of random
    combinations of the outputs, where a sum of terms that cancel leaves their rounding.
    """
    at = operator.at
    generator = torch.Generator().manual_seed(0)
    cotangent = torch.randn(at.outputs.shape, generator=generator, dtype=torch.float64)
    with undisturbed(at.model):
        pulled = at.split(at.pull_back(cotangent.to(at.outputs)))
    sizes = {name: float(part.abs().max()) for name, part in pulled.items()}
    rounding = 1e3 * torch.finfo(at.dtype).eps * max(sizes.values())
    return {name for name, size in sizes.items() if size <= rounding}
