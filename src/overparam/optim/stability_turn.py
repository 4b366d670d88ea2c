"""An optimizer's distance from its limit, a little more exact with every call."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from overparam._types import Loss, Params
from overparam.curvature.output_iteration import Direction, across_batches, iterate_outputs
from overparam.optim.known_kinds import known_kind
from overparam.optim.limits import Rule, divisor_of_kind, is_adaptive, rule_of
from overparam.optim.stability import Stability


@dataclass(frozen=True)
class Turn(Stability):
    """What a turn gives.

    Attributes:
        direction: That of `vector` among the parameters, of their size: for another batch at the
            same weights.
    """

    direction: Direction | None = None


def stability_turn(
    model: nn.Module,
    x: Any,
    y: Any,
    loss: Loss,
    optimizer: Optimizer,
    *,
    change: Tensor | None = None,
    turns: int = 1,
    known: tuple[Any, Any, Tensor] | Direction | None = None,
    seed: int = 0,
    differences: bool = False,
) -> Turn | None:
    """What `stability` measures, by turns that go on from one call to the next.

    Between calls only a vector of the size of the outputs is kept, and within one a single vector
    of the size of the parameters. Nothing is checked: the caller has evaluated model and loss on
    this batch before, in the mode they are in.

    Args:
        model: The module the optimizer trains.
        x: Inputs, as the model takes them.
        y: Targets.
        loss: `loss(outputs, targets)`.
        optimizer: In its present state.
        change: The `vector` of the last call on the same examples.
        turns: Products with the matrix; 1 as a rule.
        known: Another batch, and the `vector` of a call on it, to begin with in place of `change`;
            one product. Or the `direction` of such a call at these weights, for half of one.
        seed: Of the start, and of random layers.
        differences: Whether products may be differences, as for `iterate_outputs`.

    Returns:
        The measurement, with as `vector` the change of the outputs in the leading direction;
        weight decay is counted in along it. `None` where only `stability` can tell: an optimizer
        without a known limit or without the statistics its limit depends on, an adaptive one with
        weight decay in its gradients where batch norm keeps parameters from moving, operations
        without a forward-mode derivative.

    Cost:
        A forward and a backward pass, and a forward pass with tangents.
    """
    names = {p: name for name, p in model.named_parameters() if p.requires_grad}
    groups = [group for group in optimizer.param_groups if any(p in names for p in group["params"])]
    rules = [rule_of(optimizer, group) for group in groups]
    plain, kind = not is_adaptive(optimizer), known_kind(optimizer)
    if not groups:
        return None
    tied = any(isinstance(part, _BatchNorm) for part in model.modules())
    rates = [float(group["lr"]) for group in groups]
    probed = rates if any(rates) else [1.0] * len(rates)
    places: dict[str, tuple[Tensor, dict, Rule, float]] = {}
    for group, rule, rate in zip(groups, rules, probed, strict=True):
        for p in group["params"]:
            if rule is None or math.isfinite(rule.ceiling):
                return None
            if tied and rule.coupled and not plain:
                return None  # to tell what training does not move takes another pass
            if not (plain or optimizer.state.get(p) or p not in names):
                return None
            if p in names:
                places[names[p]] = p, group, rule, rate
    params: Params = {name: place[0] for name, place in places.items()}

    def rescale(name: str, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p, group, rule, rate = places[name]
        # In the gradient's own memory: of a large parameter every copy is felt.
        if plain:
            step, inner = gradient, _squared(gradient)
        else:
            root = divisor_of_kind(
                kind, optimizer, group, p
            ).rsqrt_()  # 0 where training does not move
            inner = _squared(gradient.mul_(root))
            step = gradient.mul_(root)
        scale = rate / rule.threshold
        step, inner = step.mul_(scale), scale * inner
        shifted = rate * rule.beside * inner
        return step, inner, shifted + rule.coupled * _squared(step) if rule.coupled else shifted

    how: Any = {"seed": seed, "differences": differences}
    try:
        if known is not None:
            found = across_batches(model, known, x, y, loss, params, rescale, **how)
        else:
            found = iterate_outputs(
                model, x, y, loss, params, rescale, change=change, turns=turns, **how
            )
    except (NotImplementedError, RuntimeError) as problem:
        if isinstance(problem, NotImplementedError) or "forward" in str(problem):
            return None
        raise
    fastest = max(range(len(probed)), key=probed.__getitem__)
    rule, rate, ratio = rules[fastest], probed[fastest], found.value
    assert rule is not None
    return Turn(
        ratio=ratio if any(rates) else 0.0,
        sharpness=ratio * rule.threshold / rate,
        limit=rule.threshold / rate if any(rates) else math.inf,
        critical_learning_rate=rate / ratio if ratio > 0 else math.inf,
        vector=found.change,
        residual=found.residual,
        direction=found.direction,
    )


def _squared(tensor: Tensor) -> Tensor:
    return torch.linalg.vector_norm(tensor).double().square()
