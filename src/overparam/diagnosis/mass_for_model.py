"""MaSS for a model: settings from its constants, without a grid."""

import math
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import nn

from overparam._batch import call, n_examples
from overparam._checked import checked
from overparam._copies import copied_model
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._forward import seen_through
from overparam._model import gradients_on
from overparam._types import Forward, Loss
from overparam.diagnosis.batches import Batches, expect_batches, own_numbers, pair_of, repeated
from overparam.diagnosis.model_constants import loader_constants
from overparam.optim.acceleration import rho_for_budget
from overparam.optim.hyperparameters import MassHyperparameters, mass_hyperparameters
from overparam.optim.mass import MaSS

# Steps after which a probing run looks at the constants again, as shares of its length.
_LOOKS = (0.1, 0.3, 1.0)
# α = 1 is excluded, and a problem of one direction asks for it.
_FASTEST = 0.999


@checked
def mass_for_model(
    model: nn.Module,
    loss: Loss,
    data: Batches,
    *,
    steps: int | None = None,
    share: float = 0.9,
    probe_steps: int = 100,
    kind: type[MaSS] = MaSS,
    forward: Forward | None = None,
    **options: Any,
) -> MaSS:
    """The optimizer with settings from the model's own spectrum, without a grid.

    See `probed_hyperparameters` for what is measured. The rate is that of the theory for
    the curvature met in the first steps; it leaves out what changes later.

    Args:
        model: The network to be trained; it is not changed.
        loss: `loss(outputs, targets)`, a mean over examples.
        data: Mini-batches of the size that training will use, such as a `DataLoader`.
        steps: t, for how many steps training is planned, if known. α is then at least
            2√(10)/t: a smaller one counts on directions that so few steps cannot reach, and
            its momentum outlives the training.
        share: Part of the squared residual that the slowest direction still counts for:
            the larger, the more momentum.
        probe_steps: Steps of SGD on a copy before measuring.
        kind: The class to make, `MaSS` or one that is derived from it.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.
        options: Further options of it.

    Raises:
        ValueError: Data or a model that the loss does not take.

    Example:
        Two examples of the same direction need no momentum:

        >>> model = nn.Linear(1, 1, bias=False)
        >>> data = [(torch.tensor([[1.0], [1.0]]), torch.tensor([[2.0], [2.0]]))]
        >>> half_mean = lambda f, y: (f - y).square().mean() / 2
        >>> mass_for_model(model, half_mean, data).param_groups[0]["lr"]
        1.0
    """
    found = probed_hyperparameters(
        model, data, loss, share=share, probe_steps=probe_steps, forward=forward
    )
    # The squared error falls as (1 − α)ᵗ, the error of `rho_for_budget` as (1 − √ρ)ᵗ: hence 2.
    slowest = 0.0 if steps is None else 2 * math.sqrt(rho_for_budget(steps))
    alpha = min(max(found.alpha, slowest), _FASTEST)
    settings = {"lr": found.lr, "alpha": alpha, "kappa_t": min(found.kappa_t, 1 / alpha)}
    return kind((p for p in model.parameters() if p.requires_grad), **{**settings, **options})


@renamed(steps="probe_steps")
@checked
@gradients_on()
def probed_hyperparameters(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    *,
    batch_size: int | None = None,
    share: float = 0.9,
    probe_steps: int = 100,
    forward: Forward | None = None,
) -> MassHyperparameters:
    """Settings of MaSS for a network, from its constants after a short run of SGD on a copy.

    At initialisation the curvature of cross-entropy is far below what training meets a hundred
    steps later, and so is the rate it calls for far above. The copy is trained with half the
    rate the constants so far allow; L and L1 are the largest seen, μ and κ̃ the last.

    Args:
        model: The network to be trained; it is not changed.
        batches: Mini-batches; gone through as often as needed.
        loss: A mean over examples.
        batch_size: m; by default the length of the first batch.
        share: As for `model_constants`.
        probe_steps: Length of the run; 0 takes the constants as they are now.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Raises:
        ValueError: As `loader_constants`.

    Cost:
        The run, and four times `loader_constants`.
    """
    where = "probed_hyperparameters(batches=...)"
    expect_batches(batches, where, again=True)
    trial = seen_through(copied_model(model), forward, "probed_hyperparameters")
    with own_numbers(model):
        if batch_size is None:
            first = next(iter(batches), None)
            expect(first is not None, where, "at least one batch of examples", "none")
            batch_size = n_examples(pair_of(first, where)[0])
        found = loader_constants(trial, batches, loss, share=share)
        endless, done = repeated(batches, where), 0
        for look in _LOOKS if probe_steps else ():
            rate = mass_hyperparameters(found, batch_size).lr / 2
            _descend(trial, islice(endless, max(int(look * probe_steps) - done, 1)), loss, rate)
            done = int(look * probe_steps)
            now = loader_constants(trial, batches, loss, share=share)
            largest, single = max(now.largest, found.largest), max(now.single, found.single)
            found = replace(now, largest=largest, single=single)
    return mass_hyperparameters(found, batch_size)


def _descend(model: nn.Module, batches: Batches, loss: Loss, rate: float) -> None:
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=rate)
    for x, y in batches:
        optimizer.zero_grad()
        loss(call(model, x), y).backward()
        optimizer.step()
