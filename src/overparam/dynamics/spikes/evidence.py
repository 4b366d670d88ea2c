"""What is known of a rise of the loss, in plain numbers that tests of its cause compare."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from overparam.dynamics.spikes.recent import Recent

Names = tuple[str, ...]

# Steps before a rise: those that may have caused it, and those that say what was normal.
_NEAR, _NORMAL = 3, 30
# Steps within which a rate counts as just raised, and over which it counts as climbing.
_JUMP, _CLIMB = 12, 60
# Adaptive optimizers take some steps to answer a gradient that was too long.
_ANSWER = 10
# A momentum of 0.9 takes ten steps to show.
_STATE_NEAR = 10
# Changes from outside that often in the steps before are how this run is trained.
_OFTEN = 3
# A layer moves once its gradient is this much longer than it was.
_MOVES = 1.5


@dataclass(frozen=True)
class Evidence:
    """Of a rise that opened at a step s; `nan`, `None` and empty are not known.

    "Relative" is over the median of the thirty steps before the last three.

    Attributes:
        rise: Loss over the level before it, at the opening.
        earlier: The largest of the three steps before, over the level.
        finite: Whether the loss was finite.
        below: Whether the level was zero or below: "over" is then that of `relative`.
        small: A rise of at most two steps that stayed below half of the first loss.
        not_finite: Layers whose gradient was not finite, at the first such step of the last three.
        forward: The first module whose outputs are not finite, of inputs that are.
        spoiled: The batch itself holds numbers that are not finite.
        changed: Layers whose weights were changed between two steps of the last four.
        lost: Layers whose moments were, of the last eleven.
        moments: Largest relative √(Σg²/Σv) of a layer, and
        stale: the layers of at least half of it.
        updates: Largest relative length of a layer's update.
        gradient: Largest relative length of a layer's gradient before the opening,
        gradient_layers: the layers of at least half of it, and
        gradient_loss: the loss over the level when it was largest.
        alike: How much longer than normal all gradients were at some step of the last ten, and
        alike_loss: the loss over the level then.
        rate: Relative rate, the largest of the groups.
        jump: Largest factor of a group's rate from a step to the next that was at least half of
            its climb, in the logarithm, over the last twelve or sixty steps, and
        jumped: the groups that made more than 1.4 of it.
        ramp: Factor of a group's rate over the last sixty steps, the largest, and
        climbing: the layers of groups that climbed, where others did not.
        cosine: Mean cosine of each gradient with the one before, of the last three.
        ratio: Stability ratio before; 1 is the edge.
        first: The layers whose gradients grew first.
        same_batch: Whether every step has the same batch.
        share: Part of the rise that this batch shows at weights of some steps before.
        age: Steps since those weights.
        foreign: Loss of the step over that of the batch that was passed.
        probe: Loss on the fixed batch over that at the weights of some steps before.
        later: Losses of the next batches at those weights, over the level.
        logged: Steps of the last thirty that the log holds.
        infinite: Layers whose weights are not finite.
        sustained: Whether gradients are still that long at the opening; of steps that are not
            logged, like the next two.
        against: Cosine of the gradient at the opening with the optimizer's momentum: negative
            where it went too far.
        untouched: Whether all that weights and moments came to is the optimizer's, of gradients
            that were not too long.
        trouble: What could not be computed, and why.
        unread: Why no losses at earlier weights were computed, a key of `causes.MISSING`.
    """

    rise: float = math.nan
    earlier: float = math.nan
    finite: bool = True
    below: bool = False
    small: bool = False
    not_finite: Names = ()
    forward: str = ""
    spoiled: bool = False
    changed: Names = ()
    lost: Names = ()
    moments: float = math.nan
    stale: Names = ()
    updates: float = math.nan
    gradient: float = math.nan
    gradient_layers: Names = ()
    gradient_loss: float = math.nan
    alike: float = math.nan
    alike_loss: float = math.nan
    rate: float = math.nan
    jump: float = math.nan
    jumped: Names = ()
    ramp: float = math.nan
    climbing: Names = ()
    cosine: float = math.nan
    ratio: float = math.nan
    first: Names = ()
    same_batch: bool | None = None
    share: float = math.nan
    age: int = 0
    foreign: float = math.nan
    probe: float = math.nan
    later: tuple[float, ...] = ()
    logged: int = 0
    infinite: Names = ()
    sustained: bool = False
    against: float = math.nan
    untouched: bool | None = None
    trouble: str = ""
    unread: str = ""


@dataclass(frozen=True)
class Parts:
    """What the columns of a log stand for.

    Attributes:
        layers: Names of the parameters.
        groups: Names of the optimizer's groups.
        group_of: The group of each layer.
    """

    layers: Names
    groups: Names
    group_of: tuple[int, ...]

    def named(self, chosen: np.ndarray) -> Names:
        """The layers for which an array of flags is true, each parameter under its module."""
        names = (name for name, flag in zip(self.layers, chosen, strict=True) if flag)
        return tuple(dict.fromkeys(names))


def from_log(
    recent: Recent, parts: Parts, step: int, losses: Mapping[int, float]
) -> dict[str, object]:
    """The fields of `Evidence` that the log gives for a rise at a step, of relative losses."""
    found: dict[str, object] = {}
    near, normal = recent.between(step - _NEAR, step), recent.between(step - _NORMAL, step - 4)
    before = near.before(step)
    found["logged"] = len(normal) + len(near)
    found["not_finite"] = _first_bad(before, parts)
    found["changed"] = _touched(recent, "changed", step, _NEAR, parts)
    found["lost"] = _touched(recent, "lost", step, _STATE_NEAR, parts)
    found |= _rates(recent, parts, step)
    if len(before):
        found["cosine"] = _mean(recent.between(step - 2, step).cosines)
    if len(before) and len(normal) >= 5:
        moments, largest = _relative(before.moments, normal.moments)
        found |= {"moments": largest, "stale": parts.named(moments >= largest / 2)}
        found["updates"] = _relative(before.updates, normal.updates)[1]
        found["rate"] = _relative(before.rates, normal.rates)[1]
        lengths, largest = _relative(before.norms, normal.norms)
        found |= {"gradient": largest, "gradient_layers": parts.named(lengths >= largest / 2)}
        found |= _longest_alike(recent, step, losses)
        if math.isfinite(largest):
            by_step = np.fmax.reduce(_over(before.norms, normal.norms), axis=1)
            at = int(before.steps[int(np.nanargmax(by_step))])
            found["gradient_loss"] = losses.get(at, math.nan)
        found["first"] = _first_movers(recent, parts, step)
    return found


def _longest_alike(recent: Recent, step: int, losses: Mapping[int, float]) -> dict[str, object]:
    """The step of the last ten at which the gradients of all layers were longest alike."""
    then = recent.between(step - _ANSWER, step - 1)
    over = _over(then.norms, recent.between(step - _NORMAL - _ANSWER, step - _ANSWER - 1).norms)
    least = np.where(np.isfinite(over), over, np.inf).min(axis=1)
    least = np.where(np.isfinite(least), least, -np.inf)
    if not len(least) or not np.isfinite(least.max()):
        return {}
    at = int(then.steps[int(least.argmax())])
    return {"alike": float(least.max()), "alike_loss": losses.get(at, math.nan)}


def _relative(near: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, float]:
    """The largest of each column over its normal, and the largest of all."""
    over = _over(near, normal)
    with np.errstate(all="ignore"):
        columns = np.fmax.reduce(over, axis=0)
    finite = columns[np.isfinite(columns)]
    return columns, float(finite.max()) if len(finite) else math.nan


def _over(values: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Values over the median of each column; `nan` where that is zero or not known."""
    with np.errstate(all="ignore"):
        middle = _median(normal)
        return values / np.where(middle > 0, middle, np.nan)


def _median(values: np.ndarray) -> np.ndarray:
    """Of each column, of the finite ones; `nan` where there are too few."""
    if len(values) < 5:
        return np.full(values.shape[1], np.nan)
    known = np.isfinite(values)
    ordered = np.sort(np.where(known, values, np.inf), axis=0)
    counts = known.sum(axis=0)
    middle = np.take_along_axis(ordered, np.maximum(counts - 1, 0)[None] // 2, axis=0)[0]
    return np.where(counts >= 5, middle, np.nan)


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


def _first_bad(near: Recent, parts: Parts) -> Names:
    rows = near.bad.any(axis=1)
    return parts.named(near.bad[int(rows.argmax())]) if rows.any() else ()


def _touched(recent: Recent, column: str, step: int, within: int, parts: Parts) -> Names:
    """Layers that were touched just before, unless that is usual."""
    usual = getattr(recent.before(step - within), column).any(axis=1)
    near = getattr(recent.between(step - within, step), column)
    return () if usual.sum() >= _OFTEN else parts.named(near.any(axis=0))


def _rates(recent: Recent, parts: Parts, step: int) -> dict[str, object]:
    """How the rates came to what they are."""
    if len(recent.between(step - _CLIMB, step)) < 2:
        return {}
    # The step of the opening itself comes too late to have caused it.
    jumps, ramps = _growth(recent.between(step - _CLIMB, step - 1).rates)
    with np.errstate(all="ignore"):
        jumped, climbs = np.asarray(jumps > 1.4), np.asarray(ramps > 1.3)
    some = climbs.any() and not climbs.all()
    return {
        "jump": _largest(jumps),
        "jumped": tuple(name for name, flag in zip(parts.groups, jumped, strict=False) if flag),
        "ramp": _largest(ramps),
        "climbing": parts.named(climbs[list(parts.group_of)]) if some else (),
    }


def from_rates(rates: Mapping[int, float], step: int) -> dict[str, object]:
    """The same of the largest rate of all groups, which is known of every step."""
    used = [[rates[at]] for at in sorted(rates) if step - _CLIMB <= at < step]
    if len(used) < 2:
        return {}
    jumps, ramps = _growth(np.array(used))
    return {"jump": _largest(jumps), "ramp": _largest(ramps)}


def _growth(rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each group the largest factor from a step to the next that is a jump, and of all steps."""
    with np.errstate(all="ignore"):
        factors = np.concatenate([np.ones((1, rates.shape[1])), rates[1:] / rates[:-1]])
        ramps = rates[-1] / rates[0] if len(rates) else np.full(rates.shape[1], np.nan)
        # A jump is at least half of the way up: the steps of a climb are none.
        jumps = np.ones(rates.shape[1])
        for last in (_JUMP, _CLIMB):
            largest = np.fmax.reduce(factors[-last:], axis=0)
            alone = largest**2 > factors[-last:].prod(axis=0)
            jumps = np.where(alone, np.fmax(jumps, largest), jumps)
    return jumps, ramps


def _largest(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else math.nan


def _first_movers(recent: Recent, parts: Parts, step: int) -> Names:
    """Layers whose gradient was the first to leave what was normal, of the last dozen steps."""
    then = recent.between(step - _JUMP, step - 1)
    over = _over(then.norms, recent.between(step - _CLIMB, step - _JUMP - 1).norms)
    moved = np.nan_to_num(over, nan=0.0) > _MOVES
    rows = [bool(flags.any()) for flags in moved]
    # From where on some layer has moved at every step.
    start = max((i + 1 for i, moves in enumerate(rows) if not moves), default=0)
    if start == len(rows):
        return ()
    first = np.where(moved[start], over[start], 0.0)
    return parts.named(first >= first.max() / 2)


def parts_of(names: Sequence[str], params: Sequence[object], groups: Sequence[Mapping]) -> Parts:
    """The layers of a log and the groups they belong to, by name.

    A group is called what it calls itself under ``"name"``; else by its only layer, by the
    module that all its layers are in, or by its first and last layer.
    """
    layers = tuple(name.rpartition(".")[0] or name for name in names)
    places = {id(p): i for i, group in enumerate(groups) for p in group["params"]}
    group_of = tuple(places.get(id(p), 0) for p in params)
    labels = []
    for i, group in enumerate(groups):
        own = list(dict.fromkeys(n for n, g in zip(layers, group_of, strict=True) if g == i))
        labels.append(str(group["name"]) if "name" in group else _label(own))
    return Parts(layers, tuple(labels), group_of)


def _label(layers: Sequence[str]) -> str:
    if len(layers) < 2:
        return layers[0] if layers else "no layer"
    shared = []
    for words in zip(*(layer.split(".") for layer in layers), strict=False):
        if len(set(words)) > 1:
            break
        shared.append(words[0])
    return ".".join(shared) or f"{layers[0]} to {layers[-1]}"
