"""Other ways to train the same network, each raced at rates of its own."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from statistics import fmean
from typing import Literal

from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from overparam._errors import complaint, expect, unknown
from overparam.diagnosis.race.outcome import Outcome, best
from overparam.diagnosis.race.recipe import Recipe
from overparam.diagnosis.race.run import Clock, run_race
from overparam.diagnosis.task import optimizer_name
from overparam.optim.mass import MaSS

OptimizerMaker = Callable[[Iterable[Tensor]], Optimizer]
Kind = Literal["optimizer", "batch size"]

# Full trainings that a race takes: from a bracket of its own, and around a rate that is known.
WHOLE, _NEAR = 4.0, 3.0


@dataclass(frozen=True)
class Variant:
    """A training that differs from the one planned in a single thing.

    Attributes:
        kind: What differs.
        name: How it differs, as a reader would say it.
        recipe: Of the training.
        stretch: Its steps over those of the training planned, so that both see as many examples.
        scale: The rate to look around, over the best one of the training planned; `None` looks
            everywhere.
        fixed: The one rate it is meant to be used at, or `None`.
    """

    kind: Kind
    name: str
    recipe: Recipe
    stretch: float = 1.0
    scale: float | None = None
    fixed: float | None = None

    @property
    def cost(self) -> float:
        """Full trainings that it takes, about."""
        return 1.0 if self.fixed else WHOLE if self.scale is None else _NEAR


@dataclass(frozen=True)
class Reached:
    """What a variant came to.

    Attributes:
        kind: What differs.
        name: How.
        rate: Its own best rate; `nan` if it learned nothing or there was no time.
        loss: Mean training loss over the last quarter of the steps there; `nan` likewise.
        began: Training loss before the first step.
        steps: Of the trainings that were compared; 0 if there was no time.
        trial_steps: Of all its trainings.
        stopped: What ended it: ``"finished"``, ``"budget"`` or ``"interrupted"``.
    """

    kind: Kind
    name: str
    rate: float
    loss: float
    began: float
    steps: int
    trial_steps: int
    stopped: str


def reached(variant: Variant, main: Outcome, *, order: int, clock: Clock) -> Reached:
    """Race a variant for as many examples as the training planned was compared at."""
    horizon = max(math.ceil(main.horizon * variant.stretch), 1)
    near: tuple[float, ...] | None = None
    if variant.fixed is not None:
        near = (variant.fixed,)
    elif variant.scale is not None:
        centre = 2.0 ** round(math.log2(main.rate * variant.scale))
        near = (centre / 2, centre, 2 * centre)
    found = run_race(
        variant.recipe, horizon, order=order, clock=clock, near=near,
        widen=variant.fixed is None, second=False,
    )  # fmt: skip
    whole = found.horizon == horizon and bool(found.losses)
    rate = best(found.losses) if whole and (found.learned or near is not None) else math.nan
    loss = _at_the_end(found, rate)
    return Reached(
        variant.kind, variant.name, rate if math.isfinite(loss) else math.nan,
        loss, _at_the_start(main), horizon if whole else 0, found.spent, found.stopped,
    )  # fmt: skip


def planned_row(main: Outcome, kind: Kind, name: str) -> Reached:
    """The training planned, as a row beside its variants."""
    loss = _at_the_end(main, main.rate)
    began = _at_the_start(main)
    return Reached(kind, name, main.rate, loss, began, main.horizon, main.spent, main.stopped)


def _at_the_start(found: Outcome) -> float:
    return next((trial.losses[0] for trial in found.trials if trial.losses), math.nan)


def _at_the_end(found: Outcome, rate: float) -> float:
    """Mean loss of a training over its last quarter.

    A race judges by more of a training, since that is surer; between optimizers it would count
    against those that start slowly.
    """
    for trial in found.trials:  # those of the first order of batches come first
        if trial.rate == rate and trial.steps >= found.horizon > 0 and not trial.lost:
            return fmean(trial.losses[found.horizon * 3 // 4 : found.horizon])
    return math.nan


def optimizer_variants(recipe: Recipe, makers: Mapping[str, OptimizerMaker]) -> list[Variant]:
    """The same training with other optimizers, of all parameters alike."""

    def params() -> list[Tensor]:
        return [p for group in recipe.optimizer.param_groups for p in group["params"]]

    made = {name: make(params()) for name, make in makers.items()}
    return [
        Variant(
            "optimizer", optimizer_name(optimizer) if name in KNOWN else name,
            replace(recipe, optimizer=optimizer), fixed=FIXED.get(name),
        )
        for name, optimizer in made.items()
    ]  # fmt: skip


def batch_size_variants(
    recipe_at: Callable[[int], Recipe], size: int, others: Sequence[int], *, linear: bool
) -> list[Variant]:
    """The same training in other batches, around a rate scaled to them.

    Args:
        recipe_at: The recipe at a batch size.
        size: That of the training planned.
        others: Sizes to try.
        linear: Whether the rate goes with the size, as for gradient descent, or with its root,
            as where steps are divided by the gradient's size.
    """
    return [
        Variant(
            "batch size", str(other), recipe_at(other), stretch=size / other,
            scale=other / size if linear else math.sqrt(other / size),
        )
        for other in others
        if other != size
    ]  # fmt: skip


def _prodigy(params: Iterable[Tensor]) -> Optimizer:
    from prodigyopt import Prodigy  # pyright: ignore[reportMissingImports]

    return Prodigy(params, lr=1.0)


def _schedule_free(params: Iterable[Tensor]) -> Optimizer:
    from schedulefree import AdamWScheduleFree  # pyright: ignore[reportMissingImports]

    optimizer = AdamWScheduleFree(params, lr=1e-3)
    optimizer.train()  # it averages from here on
    return optimizer


KNOWN: dict[str, OptimizerMaker] = {
    "sgd": partial(SGD, lr=1.0),
    "heavy ball": partial(SGD, lr=1.0, momentum=0.9),
    "nesterov": partial(SGD, lr=1.0, momentum=0.9, nesterov=True),
    "mass": partial(MaSS, lr=1.0),
    "adamw": partial(AdamW, lr=1.0),
    "prodigy": _prodigy,
    "schedule-free": _schedule_free,
}
"""Optimizers known by name; the rate is the race's."""
FIXED = {"prodigy": 1.0}
"""Those that are meant to be used at one rate."""
NEEDS = {"prodigy": "prodigyopt", "schedule-free": "schedulefree"}
"""Packages of those that neither PyTorch nor this library brings."""


def makers_of(
    optimizers: Sequence[str] | Mapping[str, OptimizerMaker], where: str
) -> dict[str, OptimizerMaker]:
    """Optimizers by name, as they were asked for."""
    words = "a list of names, or a dictionary from names to functions of parameters"
    if isinstance(optimizers, Mapping):
        for name, make in optimizers.items():
            expect(callable(make), where, words, f"{make!r:.60} for {name!r}", error=TypeError)
        return dict(optimizers)
    for name in optimizers:
        if not isinstance(name, str) or isinstance(optimizers, str):
            raise complaint(where, words, f"{optimizers!r:.60}", error=TypeError)
        if name not in KNOWN:
            unknown(where, "names", name, KNOWN)
        package = NEEDS.get(name)
        expect(
            package is None or find_spec(package), where, f"the package {package} for {name!r}",
            "none", hint=f"pip install {package}", error=ImportError,
        )  # fmt: skip
    return {name: KNOWN[name] for name in optimizers}
