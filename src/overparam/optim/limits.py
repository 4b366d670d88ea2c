"""The largest stable step of each optimizer's update on a quadratic, and what it divides by.

Where the update on an eigen-direction λ leaves stability, its characteristic polynomial has the
root −1: parameter and memory change sign at every step. With s = lr·λ/P, P what the optimizer
divides gradients by, that gives s for each:

    heavy ball        m ← βm + (1−τ)g, w ← w − lr·m                    (2+2β)/(1−τ)
    Nesterov, MaSS    the same m, w ← w − lr(g + βm)                   (2+2β)/(1+β(1−τ)+β)
    Adam, RAdam,      m ← βm + (1−β)g, w ← w − lr·m/P                  (2+2β)/(1−β)
    Adamax
    NAdam             the same m, w ← w − lr((1−μ)g + μ'm)/P           2/(1−μ + μ'(1−β)/(1+β))
    RMSprop           m ← βm + g/P, w ← w − lr·m                       2+2β
    Adagrad,          w ← w − lr·g/P                                   2
    Adafactor
    schedule-free     y ← (1−c)y + cz − lr(1−β(1−c))g/P, z ← z − lr·g/P  (2−c)/(1−β(1−c)−c/2)

P is taken as it is now, and so are weights of averages that follow the number of steps (NAdam's μ,
c, RAdam's factor). The corrections of first moments for a start from 0, gone after 1/(1−β) steps,
and what only makes steps smaller (Adafactor's clip) are left out.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import (
    SGD,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
)

from overparam.optim.known_kinds import is_schedule_free, known_kind, unknown_because
from overparam.optim.mass import MaSS, alpha_of
from overparam.optim.mass_step import coefficients

# Steps from which second moments count as known. A mean of k squares of independent gradients is
# below a hundredth of its expectation with a probability of 8 % for k = 1 and of 3e-9 for k = 10:
# before, among the many numbers of a network, some are divided by far too little.
HISTORY = 10


@dataclass(frozen=True)
class Rule:
    """The stability of a group's update on an eigen-direction λ.

    It holds while lr·(λ + coupled)/(P·threshold) + lr·beside ≤ 1.

    Attributes:
        threshold: The largest stable lr·λ/P.
        coupled: Weight decay that is added to the gradient and so divided by P.
        beside: The share of the whole that other weight decay takes, per unit of the rate.
        ceiling: The largest rate that has an effect: a larger one is cut off there.
    """

    threshold: float
    coupled: float = 0.0
    beside: float = 0.0
    ceiling: float = math.inf


def rule_of(optimizer: Optimizer, group: dict[str, Any]) -> Rule | None:
    """The limit of one parameter group, or `None` if it is not known."""
    if group.get("maximize") or getattr(optimizer, "maximize", False):
        return None
    decay = float(group.get("weight_decay", 0.0))
    kind = known_kind(optimizer)
    # w ← (1 − lr·decay)w − …: at the root −1 that takes lr·decay/2 of the threshold.
    outside = kind is AdamW or group.get("decoupled_weight_decay") or kind is Adafactor
    beside = decay / 2 if outside else 0.0
    coupled = 0.0 if outside else decay
    if kind in (SGD, MaSS):
        return Rule(_momentum(kind, group), decay)
    if kind in (Adam, AdamW, RAdam, Adamax):
        beta = float(group["betas"][0])
        return Rule((2 + 2 * beta) / (1 - beta), coupled, beside)
    if kind is NAdam:
        return Rule(_nadam(group, _steps(optimizer, group)), coupled, beside)
    if kind is RMSprop:
        return Rule(2 + 2 * group["momentum"], decay)
    if kind is Adagrad:
        return Rule(2.0, decay)
    if kind is Adafactor:
        ceiling = 1 / math.sqrt(max(_steps(optimizer, group), 1))
        return Rule(2.0, coupled, beside, ceiling)
    if is_schedule_free(kind):
        return _schedule_free(group, decay)
    return None


def _momentum(kind: type[Optimizer] | None, group: dict[str, Any]) -> float:
    if kind is MaSS:
        beta, share = coefficients(alpha_of(group), group["kappa_t"])
    else:
        beta, share = group["momentum"], 1 - group["dampening"]
    if kind is MaSS or group["nesterov"]:
        return (2 + 2 * beta) / (1 + beta * share + beta)
    return (2 + 2 * beta) / (share if beta else 1.0)


def _nadam(group: dict[str, Any], steps: float) -> float:
    beta = float(group["betas"][0])
    now, following = (
        beta * (1 - 0.5 * 0.96 ** ((steps + more) * group["momentum_decay"])) for more in (1, 2)
    )
    return 2 / (1 - now + following * (1 - beta) / (1 + beta))


def _schedule_free(group: dict[str, Any], decay: float) -> Rule:
    """Weight decay is added to the gradient, of AdamW after the division."""
    adaptive = "betas" in group
    beta = float(group["betas"][0] if adaptive else group["momentum"])
    step = float(group.get("k", group.get("step", 0))) + 1
    rate = max(float(group["lr"]), float(group.get("lr_max", -1.0)))
    weight = step ** group["r"] * rate ** group["weight_lr_power"]
    total = float(group["weight_sum"]) + weight
    c = weight / total if total else 1.0
    if group.get("decoupling_c"):
        c = min(1.0, c * (1 - beta) * group["decoupling_c"])
    threshold = (2 - c) / (1 - beta * (1 - c) - c / 2)
    return Rule(threshold, beside=decay / threshold) if adaptive else Rule(threshold, decay)


def limit_unknown(optimizer: Optimizer) -> str:
    """Why the limit is not known now, as what follows "the stability limit of"; else nothing."""
    if any(rule_of(optimizer, group) is None for group in optimizer.param_groups):
        return unknown_because(optimizer)
    if is_early(optimizer):
        return (
            f"{type(optimizer).__name__} is not known yet: its second moments have a history of "
            f"{_history(optimizer):.0f} steps, and {HISTORY} are needed"
        )
    return ""


def is_early(optimizer: Optimizer) -> bool:
    """Whether a known optimizer divides by second moments that have no history yet."""
    return is_adaptive(optimizer) and _history(optimizer) < HISTORY


def _history(optimizer: Optimizer) -> float:
    counts = (_steps(optimizer, group) for group in optimizer.param_groups)
    return min(filter(None, counts), default=0.0)


def is_adaptive(optimizer: Optimizer) -> bool:
    """Whether a known optimizer divides by what it has seen of gradients."""
    kind = known_kind(optimizer)
    if is_schedule_free(kind):
        return "betas" in optimizer.defaults
    return kind not in (None, SGD, MaSS)


def _steps(optimizer: Optimizer, group: dict[str, Any]) -> float:
    """The steps that the parameters of a group have had; those that never had one do not count."""
    states = [optimizer.state[p] for p in group["params"] if optimizer.state.get(p)]
    return max((_steps_in(state, group) for state in states), default=0.0)


def _steps_in(state: dict[str, Any], group: dict[str, Any]) -> float:
    """The steps that a parameter with a state has had; some optimizers count them by group."""
    return float(state["step"] if "step" in state else group.get("k", group.get("step", 0.0)))


def divisor(optimizer: Optimizer, group: dict[str, Any], p: Tensor) -> Tensor:
    """P, what the optimizer divides the gradient of a parameter by.

    Infinite where it has never seen one: there training does not move. The caller's to change.
    """
    return divisor_of_kind(known_kind(optimizer), optimizer, group, p)


def divisor_of_kind(
    kind: type[Optimizer] | None, optimizer: Optimizer, group: dict[str, Any], p: Tensor
) -> Tensor:
    """The same for an optimizer of a kind that is known, which takes a while to find out."""
    state: dict[str, Any] = optimizer.state.get(p) or {}
    if not state:
        return torch.full_like(p.detach(), math.inf)
    steps = _steps_in(state, group)
    if kind is RMSprop:
        second = state["square_avg"]
        if group["centered"]:
            second = (second - state["grad_avg"].square()).clamp(min=0)
        return _never(state["square_avg"], second.sqrt().add_(group["eps"]))
    if kind is Adagrad:
        slowed = 1 + max(steps - 1, 0) * group["lr_decay"]
        return _never(state["sum"], (state["sum"].sqrt() + group["eps"]) * slowed)
    if kind is Adamax:
        return state["exp_inf"].clone()
    if kind is Adafactor:
        return _adafactor(state, group, p.detach())
    beta = group["betas"][1]
    second = state["max_exp_avg_sq" if _bounded(group) else "exp_avg_sq"]
    corrected = 1.0 if group.get("ams_bound") else 1 - beta**steps
    p_now = (second / corrected).sqrt_().add_(group["eps"])
    if kind is RAdam:
        p_now = _rectified(second, beta, steps, group["eps"])
    return _never(second, p_now)


def _bounded(group: dict[str, Any]) -> bool:
    return bool(group.get("amsgrad") or group.get("ams_bound"))


def _never(second: Tensor, p_now: Tensor) -> Tensor:
    """Infinite, in its place, where the second moment is exactly 0: no gradient ever came there."""
    return p_now.masked_fill_(second == 0, math.inf)


def _rectified(second: Tensor, beta: float, steps: float, eps: float) -> Tensor:
    """Of RAdam, which divides by nothing while the variance is not known."""
    longest = 2 / (1 - beta) - 1
    length = longest - 2 * steps * beta**steps / (1 - beta**steps)
    if length <= 5:
        return torch.ones_like(second)
    factor = (length - 4) * (length - 2) * longest
    factor = math.sqrt(factor / ((longest - 4) * (longest - 2) * length))
    return (second.sqrt() + eps) / math.sqrt(1 - beta**steps) / factor


def _adafactor(state: dict[str, Any], group: dict[str, Any], p: Tensor) -> Tensor:
    """The root of the estimated second moment, over the size of the parameter."""
    floor, smallest = group["eps"]
    floor = torch.finfo(p.dtype).eps if floor is None else floor
    if "row_var" in state:
        row, column = state["row_var"], state["col_var"]
        second = (row @ column) / row.mean(dim=-2, keepdim=True).clamp(min=floor)
    else:
        second = state["variance"]
    size = max(smallest, float(p.norm(2)) / math.sqrt(p.numel()))
    return _never(second, second.clamp(min=floor**2).sqrt() / size)
