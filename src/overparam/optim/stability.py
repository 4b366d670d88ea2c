"""How large a step each optimizer may take: its learning rate against its own limit."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from overparam._checked import checked
from overparam._model import undisturbed
from overparam._order import expect_order
from overparam._own_loss import seen_with_loss
from overparam._training_mode import as_trained
from overparam._types import Forward, Inputs, Loss, Targets
from overparam._user_line import user_level
from overparam.curvature.gauss_newton import GGNOperator
from overparam.curvature.loss_at_point import LossAtPoint
from overparam.linalg.lanczos import power_iteration
from overparam.optim.limits import limit_unknown, rule_of
from overparam.optim.scaled_curvature import Groups, scaled_curvature, trained_groups


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
        >>> has_stability_limit(torch.optim.SGD(weights, lr=0.1, momentum=0.9))
        True
        >>> has_stability_limit(torch.optim.Rprop(weights))
        False
    """
    return all(rule_of(optimizer, group) is not None for group in optimizer.param_groups)


@checked(result="anything")
def stability(
    model: nn.Module,
    x: Inputs,
    y: Targets | None,
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
    return measured("stability", model, x, y, loss, optimizer, v0, products, chunk_size, seed)


def measured(
    where: str,
    model: nn.Module,
    x: Inputs,
    y: Any,
    loss: Loss,
    optimizer: Optimizer,
    v0: Tensor | None,
    products: int | None,
    chunk_size: int | None,
    seed: int,
) -> Stability:
    """The measurement of a model under its call, with its loss, for the public call `where`."""
    names, groups = trained_groups(where, model, optimizer)
    order = [name for name in names.values() if any(name in members for _, members in groups)]
    unknown = limit_unknown(optimizer)
    if unknown:
        text = f"the stability limit of {unknown}; what depends on it is nan"
        if where == "critical_learning_rate":
            text += "; steps= finds the rate by real steps"
        warnings.warn(text, stacklevel=user_level())
        size = sum(p.numel() for p, name in names.items() if name in order)
        return Stability(math.nan, math.nan, math.nan, math.nan, torch.zeros(size))
    with undisturbed(model), as_trained(model, x):
        at = LossAtPoint(where, model, x, y, loss, order, chunk_size)
        return _of_groups(optimizer, groups, GGNOperator.at_point(at), v0, products, seed)


def _of_groups(
    optimizer: Optimizer,
    groups: Groups,
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
    matrix = scaled_curvature(optimizer, groups, rules, probed, operator)

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
