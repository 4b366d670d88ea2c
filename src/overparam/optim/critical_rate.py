"""The largest stable learning rate: by the curvature at a point, or by real steps from there."""

import math

from torch import nn
from torch.optim import SGD, Optimizer

from overparam._checked import checked
from overparam._errors import expect
from overparam._model import trainable, undisturbed
from overparam._order import expect_order
from overparam._own_loss import seen_with_loss
from overparam._training_mode import uses_batch_statistics, waits_for_others
from overparam._types import Forward, Inputs, Loss, Targets
from overparam.optim.known_kinds import expect_plain_steps, takes_plain_steps
from overparam.optim.limits import limit_unknown
from overparam.optim.scaled_curvature import trained_groups
from overparam.optim.stability import measured
from overparam.optim.trial_steps import rate_by_steps


@checked(result="anything")
def critical_learning_rate(
    model: nn.Module,
    x: Inputs,
    y: Targets | None,
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
    weights away from here.

    Where layers normalise by the statistics of their batch, as batch norm does in training, it is
    no guide to that: it was .32 to 8 times the rate at which 200 real steps begin to diverge. The
    rate is then found by real steps: that at which the loss of copies begins to be not finite or a
    tenth above its start within 20 of them, 1.0 to 1.2 times as far (`x.py bench limits
    --kept-aside`, six networks with batch norm). `steps` asks for either, of any network. Real
    steps need neither a known limit nor a history. Where runs break down at a rate and not at some
    higher one, it may be either. They say nothing of batches other than this one, of what comes
    much later, nor of which rate is best.

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
            the limit; 20 say what 200 would. 0 takes none: the limit of linear stability. `None`
            takes 20 where a layer uses the statistics of its batch and the optimizer steps by one
            gradient, and else none.
        chunk_size: Examples pushed through at a time; changes memory, never the result. Real steps
            take the whole batch.
        seed: Of the iteration's random start.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        The rate; `inf` where the outputs do not depend on the parameters to first order,
        `nan` (with a warning) for an optimizer whose limit is not known, or not yet; see
        `stability`. By real steps to about 10 %; `inf` where no rate raises the loss.

    Raises:
        ValueError: Bad inputs, as `GGNOperator`; with `steps` > 0, an optimizer whose step takes
            more than one gradient.

    Cost:
        About 10 to 30 products with G, each two forward and one backward pass. By real steps, some
        six times as many steps more, and a copy of the model and of the optimizer's state: for a
        network with batch norm that is measured over and over, `steps=0` is cheaper.

    Example:
        >>> import torch
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
    if steps is None:
        steps = _STEPS if takes_plain_steps(optimizer) and _normalises(model, x) else 0
    expect(steps >= 0, f"{who}(steps=...)", "a number of steps ≥ 0, or None", steps)
    linear = math.nan
    if not (steps and limit_unknown(optimizer)):
        found = measured(who, model, x, y, loss, optimizer, None, None, chunk_size, seed)
        linear = found.critical_learning_rate
    if not steps:
        return linear
    expect_plain_steps(optimizer, f"{who}(optimizer=...)")
    _, groups = trained_groups(who, model, optimizer)
    start = linear if 0 < linear < math.inf else max(float(group["lr"]) for group, _ in groups)
    return rate_by_steps(who, model, x, y, loss, optimizer, steps, start or 1e-3)


def _normalises(model: nn.Module, x: Inputs) -> bool:
    with undisturbed(model):
        return not waits_for_others(model) and uses_batch_statistics(model, x)


# What says as much as ten times as many would.
_STEPS = 20
