"""How large a step each optimizer may take: its learning rate against its own limit."""

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from overparam._checked import checked
from overparam._errors import expect
from overparam._model import trainable, undisturbed
from overparam._order import expect_order
from overparam._own_loss import seen_with_loss
from overparam._training_mode import as_trained
from overparam._types import Forward, Inputs, Loss, Params
from overparam.curvature.gauss_newton import GGNOperator
from overparam.curvature.loss_at_point import LossAtPoint
from overparam.linalg.lanczos import power_iteration
from overparam.linalg.operator import DiagonalOperator
from overparam.optim.known_kinds import expect_plain_steps
from overparam.optim.limits import Rule, divisor, is_adaptive, limit_unknown, rule_of
from overparam.optim.trial_steps import rate_by_steps


@dataclass(frozen=True)
class Stability:
    """Where an optimizer stands relative to the edge of its stability.

    Attributes:
        ratio: Learning rate over critical learning rate; 1 is the edge. `nan` for an
            optimizer whose limit is not known.
        sharpness: The eigenvalue that meets the limit: λ_max of the Gauss–Newton matrix, with
            weight decay, and preconditioned for an adaptive optimizer.
        limit: The largest stable sharpness at the present learning rate: 2/lr for plain
            gradient descent. With several groups, that of the fastest.
        critical_learning_rate: The learning rate (of the fastest group, the others keeping
            their proportion) at which `ratio` would be 1.
        vector: The direction of `sharpness`, flat and of unit length, to start from next time.
        residual: ‖Av − λv‖ / λ at the last product: an eigenvalue lies within that part of λ. 0
            where it was iterated to the end.
    """

    ratio: float
    sharpness: float
    limit: float
    critical_learning_rate: float
    vector: Tensor
    residual: float = math.nan


@checked
def has_stability_limit(optimizer: Optimizer) -> bool:
    """Whether the largest stable step of an optimizer, with its options, is known.

    Of those that divide by what they have seen of gradients it is known from their tenth step on;
    before, this is true and `stability` gives `nan`.

    Example:
        >>> weights = [torch.zeros(1, requires_grad=True)]
        >>> has_stability_limit(SGD(weights, lr=0.1, momentum=0.9))
        True
        >>> has_stability_limit(torch.optim.Rprop(weights))
        False
    """
    return all(rule_of(optimizer, group) is not None for group in optimizer.param_groups)


@checked(result="anything")
def stability(
    model: nn.Module,
    x: Inputs,
    y: Tensor,
    loss: Loss | None,
    optimizer: Optimizer,
    *,
    v0: Tensor | None = None,
    products: int | None = None,
    chunk_size: int | None = None,
    seed: int = 0,
    forward: Forward | None = None,
) -> Stability:
    """Learning rate of an optimizer relative to the largest it could take on this batch.

        ratio = λ_max( D^½ (G + wd) D^½ ),    D = lr / (threshold · preconditioner)

    with G the Gauss–Newton matrix of the loss. The threshold is that of the update on a
    quadratic: lr·λ ≤ 2 for gradient descent, 2+2β for heavy ball, (2+2β)/(1+2β) for Nesterov,
    and for an exponential average of gradients (Adam) (2+2β₁)/(1−β₁) with λ the eigenvalue of
    the preconditioned matrix. Several parameter groups, each with its own rate, enter D.

    Measured is the network that is trained: batch norm and other layers that tie a batch together
    use the statistics of this batch, a random layer in training mode draws one and the same mask
    in every pass. The preconditioner is taken as it is now, so it is the limit for small errors
    and the next steps; it moves along with training, at rates above the limit as well.

    Args:
        model: The module the optimizer trains, in the mode in which it is trained. If no part of
            it is in training mode and training would tie examples together, as batch norm does,
            training mode is measured; without such layers evaluation mode is.
        x: Batch of inputs to measure on.
        y: Targets.
        loss: `loss(outputs, targets)`, with the reduction the training uses; `None` for the one
            that the model computes inside, as for `critical_learning_rate`.
        optimizer: `SGD`, `MaSS`, `Adam`, `AdamW`, `NAdam`, `RAdam`, `Adamax`, `RMSprop`,
            `Adagrad`, `Adafactor`, or schedule-free SGD or AdamW of the packages ``schedulefree``
            and ``pytorch_optimizer``, in its present state. A subclass counts as one of them
            unless it overrides `step`. For others the limit is not known (for those whose steps
            keep their size, such as Lion and Muon, there is none), nor for an adaptive one in its
            first ten steps, whose second moments have no history: one warning, and `nan`.
        v0: Direction to start from, such as an earlier result's `vector`.
        products: Products with G to spend; `None` iterates to a relative accuracy of 1e-3.
            Two suffice from a random start for a dominant eigenvalue, one from a warm one.
        chunk_size: Examples pushed through at a time; changes memory, never the result. Only for
            a model without layers that mix examples or are random.
        seed: Of the random start.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        The measurement; `ratio` 0 and `sharpness` 0 where the gradient of every output is 0.

    Raises:
        ValueError: As `GGNOperator`; or an optimizer that trains none of the model.

    Cost:
        One product is a forward pass with tangents and a backward pass.

    Example:
        λ = (2/n)Σ x² = 5 for f = w·x, so the limit is lr = 2/5, and 0.2 is half of it:

        >>> model = nn.Linear(1, 1, bias=False)
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> sgd = torch.optim.SGD(model.parameters(), lr=0.2)
        >>> measured = stability(model, x, torch.zeros(2, 1), nn.functional.mse_loss, sgd)
        >>> round(measured.ratio, 4), round(measured.limit, 4)
        (0.5, 10.0)

    References:
        Lewkowycz et al. (2020), arXiv:2003.02218: the limit 2/lr and what happens beyond it.
        Cohen et al. (2022), arXiv:2207.14484: preconditioned sharpness of adaptive optimizers.
    """
    expect_order("stability", model=model, x=x, y=y, loss=loss, optimizer=optimizer)
    model, loss = seen_with_loss("stability", model, x, y, loss, forward)
    return _measure("stability", model, x, y, loss, optimizer, v0, products, chunk_size, seed)


def _measure(
    where: str,
    model: nn.Module,
    x: Inputs,
    y: Tensor,
    loss: Loss,
    optimizer: Optimizer,
    v0: Tensor | None,
    products: int | None,
    chunk_size: int | None,
    seed: int,
) -> Stability:
    names, groups = _trained(where, model, optimizer)
    order = [name for name in names.values() if any(name in members for _, members in groups)]
    unknown = limit_unknown(optimizer)
    if unknown:
        text = f"the stability limit of {unknown}; what depends on it is nan"
        if where == "critical_learning_rate":
            text += "; steps= finds the rate by real steps"
        warnings.warn(text, stacklevel=3)
        size = sum(p.numel() for p, name in names.items() if name in order)
        return Stability(math.nan, math.nan, math.nan, math.nan, torch.zeros(size))
    with undisturbed(model), as_trained(model, x):
        at = LossAtPoint(where, model, x, y, loss, order, chunk_size)
        return _of_groups(optimizer, groups, GGNOperator.at_point(at), v0, products, seed)


def _trained(
    where: str, model: nn.Module, optimizer: Optimizer
) -> tuple[dict[nn.Parameter, str], list[tuple[dict, Params]]]:
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


def _of_groups(
    optimizer: Optimizer,
    groups: list[tuple[dict, Params]],
    operator: GGNOperator,
    v0: Tensor | None,
    products: int | None,
    seed: int,
) -> Stability:
    rules = [rule for group, _ in groups if (rule := rule_of(optimizer, group)) is not None]
    # Everything is measured at these rates and scaled back, so that a rate of 0 (a warm-up's
    # first step) still has a critical rate.
    rates = [
        min(float(group["lr"]), rule.ceiling)
        for (group, _), rule in zip(groups, rules, strict=True)
    ]
    probed = rates if any(rates) else [1.0] * len(rates)
    scale, shift = _scaling(optimizer, groups, rules, probed, operator)
    matrix = operator.scaled(scale)
    if bool(shift.any()):
        matrix = matrix + DiagonalOperator(shift)

    if products is None:
        pair = matrix.eigenpairs(v0=v0, tolerance=1e-3, seed=seed)
        probed_ratio, vector = float(pair.values[0]), pair.vectors[:, 0]
        residual = 0.0
    else:
        if v0 is None:
            generator = torch.Generator().manual_seed(seed)
            v0 = torch.randn(operator.size, generator=generator)
        if products > 1:
            _, v0 = power_iteration(matrix, v0, products=products - 1)
        probed_ratio, vector = power_iteration(matrix, v0, products=1)
        residual = _tangent(v0, vector)
    fastest = max(range(len(probed)), key=probed.__getitem__)
    threshold, rate = rules[fastest].threshold, probed[fastest]
    critical = rate / probed_ratio if probed_ratio > 0 else math.inf
    return Stability(
        ratio=probed_ratio if any(rates) else 0.0,
        sharpness=probed_ratio * threshold / rate,
        limit=threshold / rate if any(rates) else math.inf,
        critical_learning_rate=critical if critical <= rules[fastest].ceiling else math.inf,
        vector=vector,
        residual=residual,
    )


def _tangent(v: Tensor, following: Tensor) -> float:
    """‖A v − λ v‖ / λ for λ = vᵀ A v: the tangent of the angle between v and A v."""
    v = v.to(following)
    cosine = float(v @ following / v.norm())
    return math.sqrt(max(1 - cosine**2, 0.0)) / cosine if cosine > 0 else math.inf


def _scaling(
    optimizer: Optimizer,
    groups: list[tuple[dict, Params]],
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


@checked(result="anything")
def critical_learning_rate(
    model: nn.Module,
    x: Inputs,
    y: Tensor,
    loss: Loss | None,
    optimizer: Optimizer | None = None,
    *,
    steps: int | None = None,
    chunk_size: int | None = None,
    seed: int = 0,
    forward: Forward | None = None,
) -> float:
    """Largest stable learning rate of an optimizer on this batch, at the present parameters.

        lr* = threshold / λ_max,    2 / λ_max(G) for plain gradient descent

    λ_max is that of the Gauss–Newton matrix of the loss *as called*, so every normalisation is
    right by construction: for L = ½Σr² it is 2/λ₁(K), for (1/n)Σr² it is n/λ₁(K), for
    (1/2n)Σr² it is 2n/λ₁(K), K being the tangent kernel. Slightly above it the loss rises,
    the curvature falls, and training recovers (a catapult); from about twice it, it diverges.

    That is the limit of linear stability: the rate from which small errors grow in steps on this
    batch, with weights and preconditioner where they are. The next steps change both. A run often
    shows it only above the limit, since curvature falls as the network fits and the loss has far
    to rise; or already below, where a rate raised at once by a large factor carries momentum and
    weights away from here. `steps` tells what real steps do: the rate at which the loss of copies
    begins to be not finite or a tenth above its start. It needs neither a known limit nor a
    history. It says nothing of batches other than this one, of what comes much later, nor of which
    rate is best.

    Args:
        model: Any module, in the mode in which it is trained; see `stability`.
        x: Batch of inputs. A mini-batch gives the limit for steps on that mini-batch.
        y: Targets.
        loss: `loss(outputs, targets)`, a scalar; `None` for the one that the model computes
            inside when it is given its labels, as those of transformers do: then the logits are
            what `forward` picks by default.
        optimizer: Its kind, momentum, weight decay and present state set the threshold; see
            `stability`. `None` means plain gradient descent. With several groups, the rate of
            the fastest group, the others keeping their proportion.
        steps: Real steps to take with copies of model and optimizer, at each of some rates about
            the limit; 20 say what 200 would. `None` takes none: the limit of linear stability.
        chunk_size: Examples pushed through at a time; changes memory, never the result. Real steps
            take the whole batch.
        seed: Of the iteration's random start.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        The rate; `inf` where the outputs do not depend on the parameters to first order,
        `nan` (with a warning) for an optimizer whose limit is not known, or not yet; see
        `stability`. With `steps`, to about 10 %; `inf` where no rate raises the loss.

    Raises:
        ValueError: Bad inputs, as `GGNOperator`; with `steps`, an optimizer whose step takes more
            than one gradient.

    Cost:
        About 10 to 30 products with G, each two forward and one backward pass. With `steps`, some
        six times as many steps more, and a copy of the model and of the optimizer's state.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> x, y = torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1)
        >>> round(critical_learning_rate(model, x, y, nn.functional.mse_loss), 4)
        0.4
        >>> heavy_ball = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.5)
        >>> round(critical_learning_rate(model, x, y, nn.functional.mse_loss, heavy_ball), 4)
        0.6

    References:
        Zhu, Liu, Radhakrishnan, Belkin (2022), arXiv:2205.11787: the window beyond the rate.
    """
    who = "critical_learning_rate"
    expect_order(who, model=model, x=x, y=y, loss=loss, optimizer=optimizer)
    model, loss = seen_with_loss(who, model, x, y, loss, forward)
    if optimizer is None:
        everything = trainable(model, None, "critical_learning_rate(model=...)")
        optimizer = SGD(everything.values(), lr=1.0)
    linear = math.nan
    if steps is None or not limit_unknown(optimizer):
        measured = _measure(who, model, x, y, loss, optimizer, None, None, chunk_size, seed)
        linear = measured.critical_learning_rate
    if steps is None:
        return linear
    expect(steps >= 1, f"{who}(steps=...)", "a positive number of steps, or None", steps)
    expect_plain_steps(optimizer, f"{who}(optimizer=...)")
    _, groups = _trained(who, model, optimizer)
    start = linear if 0 < linear < math.inf else max(float(group["lr"]) for group, _ in groups)
    return rate_by_steps(who, model, x, y, loss, optimizer, steps, start or 1e-3)
