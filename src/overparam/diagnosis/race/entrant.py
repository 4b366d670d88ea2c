"""A training at one rate, which can be gone on with."""

import math
from collections.abc import Sequence
from itertools import islice
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from overparam._copies import copied
from overparam._model import undisturbed
from overparam._random_numbers import OwnStream, own_random_numbers
from overparam.diagnosis.race.outcome import averages
from overparam.diagnosis.race.recipe import Recipe
from overparam.diagnosis.scheduled import fastest, laid_out

# A loss this many times the first one, or 1, does not come back in time.
_LOST = 1e3
# Losses are fetched from the device this many at a time.
_FETCHED = 16


class Entrant:
    """A copy of the model and the optimizer that trains at one rate.

    Attributes:
        model: The copy.
        optimizer: Of its parameters.
        rate: Of the fastest group; the others keep their proportion to it.
        order: Seed of the order of batches, and of random layers.
        losses: Of each step, before it was taken.
        lost: Whether the loss left all bounds; it is not trained any further.
    """

    def __init__(self, recipe: Recipe, rate: float, *, order: int, horizon: int) -> None:
        """Copy what the recipe starts from.

        Args:
            recipe: Of the training.
            rate: The learning rate.
            order: Seed of the order of batches.
            horizon: Steps that the schedule, if there is one, is laid out for.
        """
        self.rate, self.order = rate, order
        self.losses: list[float] = []
        self.lost = False
        self._recipe = recipe
        self.model, self.optimizer = copied(recipe.model, recipe.optimizer)
        for group in self.optimizer.param_groups:
            group.pop("initial_lr", None)  # of a scheduler that the user has made already
        set_rate(self.optimizer, rate)
        schedule = recipe.schedule
        self._scheduler = None if schedule is None else laid_out(schedule, self.optimizer, horizon)
        self._batches = recipe.batches(order)
        self._random = OwnStream(order, recipe.device)

    @property
    def steps(self) -> int:
        """Optimizer steps so far."""
        return len(self.losses)

    def advance(self, to: int) -> int:
        """Train until `to` steps are taken or it is lost; returns the steps taken now."""
        before = self.steps
        with self._random:
            while self.steps < to and not self.lost:
                several = [self._step() for _ in range(min(_FETCHED, to - self.steps))]
                self._keep(torch.stack(several).tolist())
        return self.steps - before

    def loss(self, horizon: int) -> float:
        """The loss that the training of `horizon` steps is judged by; infinite if it was lost.

        The mean over the last quarter, as far as `averages` says so, else the loss on the probe,
        with layers in the mode of training.
        """
        if self.lost or self.steps < horizon:
            return math.inf
        if averages(horizon, self._recipe.epoch):
            return fmean(self.losses[horizon - horizon // 4 : horizon])
        found = loss_on(self._recipe, self.model, self._recipe.probe, seed=self.order)
        return found if math.isfinite(found) else math.inf

    def state(self) -> dict[str, Any]:
        """Weights, moments, losses and the place in the random numbers."""
        scheduler = self._scheduler
        return {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "scheduler": None if scheduler is None else scheduler.state_dict(),
            "losses": list(self.losses), "lost": self.lost, "random": self._random.state(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of an entrant of the same recipe, rate and order."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self._scheduler is not None:
            self._scheduler.load_state_dict(state["scheduler"])
        self.losses, self.lost = list(state["losses"]), state["lost"]
        seen = self.steps * self._recipe.accumulate
        next(islice(self._batches, seen, seen), None)
        self._random.restore(state["random"])

    def _step(self) -> Tensor:
        recipe, total = self._recipe, None
        self.optimizer.zero_grad()
        for _ in range(recipe.accumulate):
            value = recipe.loss_of(self.model, next(self._batches)) / recipe.accumulate
            value.backward()
            total = value.detach() if total is None else total + value.detach()
        finish_step(recipe.clip_norm, self.optimizer)
        if self._scheduler is not None:
            self._scheduler.step()
        assert total is not None
        return total

    def _keep(self, losses: Sequence[float]) -> None:
        for loss in losses:
            self.losses.append(loss)
            bound = _LOST * max(abs(self.losses[0]), 1.0)
            if not math.isfinite(loss) or loss > bound:
                self.lost = True
                return


def finish_step(clip_norm: float | None, optimizer: torch.optim.Optimizer) -> None:
    """Clip the gradient to a norm, if there is one, and take the step."""
    if clip_norm is not None:
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, clip_norm)
    optimizer.step()


def loss_on(recipe: Recipe, model: nn.Module, batches: Sequence, *, seed: int) -> float:
    """Mean loss over batches, layers in the mode they are in; nothing of the model changes."""
    with undisturbed(model), own_random_numbers({recipe.device}), torch.no_grad():
        torch.manual_seed(seed)
        return fmean(float(recipe.loss_of(model, batch)) for batch in batches)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give the fastest group that rate, and leave the others their proportion to it."""
    groups = optimizer.param_groups
    top = fastest(optimizer)
    for group in groups:
        own = rate * (float(group["lr"]) / top if top else 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(own)
        else:
            group["lr"] = own
