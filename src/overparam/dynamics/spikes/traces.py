"""What has been done to weights and moments between two marks, by whom, and with what gradients."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple
from weakref import ReferenceType

import numpy as np
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from overparam.dynamics.spikes.evidence import Parts
from overparam.dynamics.spikes.sample import Sample

# Intervals between marks that say what is usual, at least.
LEAST = 2
# A layer that others wrote to is changed if it moved so many times as far as usual; one of which
# that was not seen, if it moved so many times as far as the optimizer could have taken it.
_MOVED, _TOO_FAR = 3.0, 4.0
# Gradients of all layers this many times as long as normal are none of a loss that is as before.
_LONG = 20.0
# Second moments below this part of what must be left of them have not faded by themselves: they
# are rounded at every step, in half precision by up to .4 %.
_FADED = 0.5
_FIRST, _SECOND = ("momentum_buffer", "exp_avg"), ("exp_avg_sq", "square_avg")


class Mark(NamedTuple):
    """Weights and moments before a step.

    Attributes:
        step: The monitor's count.
        run: Marks between which something was changed, or may have been, differ in it.
        count: The optimizer's steps, `nan` where it does not count.
        writes: How often each layer's weights were written to, ever.
        keys: Layer and name of each tensor of the optimizer's state.
        held: Which tensors those are; a number of one that is gone may be another's.
        state_writes: How often each was written to.
        weights: Sampled.
        moments: Sampled, a row of each kind; `None` without any.
        kinds: What the optimizer calls them.
        settings: Of each group, rate, decay of first and of second moments.
    """

    step: int
    run: int
    count: float
    writes: list[int]
    keys: list[tuple[int, str]]
    held: list[ReferenceType[Tensor]]
    state_writes: list[int]
    weights: Tensor
    moments: Tensor | None
    kinds: tuple[str, ...]
    settings: list[tuple[float | Tensor, float, float]]

    def row(self, kinds: Sequence[str]) -> np.ndarray | None:
        """The sampled moments of the first of some kinds that there is."""
        for kind in kinds:
            if self.moments is not None and kind in self.kinds:
                return numbers(self.moments[self.kinds.index(kind)])
        return None


Pairs = Sequence[tuple[Mark, Mark]]


@dataclass(frozen=True)
class Habit:
    """What has come from one mark of calm to the next, ever.

    Attributes:
        writes: To each layer's weights, the most in a step.
        keys: As of a `Mark`, for the other two.
        kept: Which tensors have always stayed: some optimizers make new ones at every step.
        state_writes: To each, the most in a step.
    """

    writes: np.ndarray
    keys: list[tuple[int, str]]
    kept: np.ndarray
    state_writes: np.ndarray


def habit(a: Mark, b: Mark, before: Habit | None) -> Habit:
    """One more pair of marks beside those before."""
    steps = steps_between(a, b)
    writes = (np.array(b.writes) - np.array(a.writes)) / steps
    if before is not None:
        writes = np.maximum(before.writes, writes)
    if a.keys != b.keys:  # the state has only now come into being
        return Habit(writes, [], np.zeros(0, dtype=bool), np.zeros(0))
    kept = np.array([one is other for one, other in zip(a.held, b.held, strict=True)], dtype=bool)
    state = (np.array(b.state_writes) - np.array(a.state_writes)) / steps
    if before is not None and before.keys == b.keys:
        kept, state = before.kept & kept, np.maximum(before.state_writes, state)
    return Habit(writes, b.keys, kept, state)


@dataclass(frozen=True)
class Window:
    """From the last mark to the present.

    Attributes:
        usual: Pairs of marks that followed each other in calm.
        base, end: Where it begins and ends.
        steps: Of the optimizer.
        rates, first, second: Of each layer the larger rate of the two, and the larger decays.
        least: The smaller decay of second moments.
        sample: What is sampled of each layer.
    """

    usual: Pairs
    base: Mark
    end: Mark
    steps: float
    rates: np.ndarray
    first: np.ndarray
    second: np.ndarray
    least: np.ndarray
    sample: Sample

    def lengths(self, sampled: np.ndarray) -> np.ndarray:
        """Euclidean, of each layer."""
        return np.sqrt(self.sample.layered(np.square(sampled)))

    def repeated(self, by_layer: np.ndarray) -> np.ndarray:
        """The number of its layer for each that is sampled."""
        return np.repeat(by_layer, self.sample.counts)


@dataclass
class Gradients:
    """What moments say of the gradients in a window; `nan` is not known.

    Attributes:
        longer: By layer, how many times as long as normal one has been, at least.
        present: The same of the present one, the least of all layers.
        reach: By layer, the length of the optimizer's longest step at a rate of 1.
        fallen: Layers whose second moments are below what is left of those before.
    """

    longer: np.ndarray
    present: float
    reach: np.ndarray
    fallen: np.ndarray


def traces(
    usual: Pairs,
    base: Mark,
    end: Mark,
    gradient: Tensor | None,
    parts: Parts,
    optimizer: Optimizer,
    sample: Sample,
    habits: Habit,
    *,
    prompt: bool,
) -> dict[str, Any]:
    """Fields of `Evidence` that a window gives.

    Args:
        usual: Pairs of marks that followed each other in calm, at least `LEAST`.
        base: The last mark before the rise.
        end: The present.
        gradient: The present one, sampled.
        parts: What the layers are called.
        optimizer: Which.
        sample: What is sampled.
        habits: What was seen before.
        prompt: Whether the rise began at this step: else gradients have grown with it.
    """
    layers = list(parts.group_of)
    with np.errstate(all="ignore"):
        before, now = _settings(base, layers), _settings(end, layers)
        rates, first, second = np.fmax(before, now)
        window = Window(usual, base, end, steps_between(base, end), rates, first, second,
                        np.fmin(before[2], now[2]), sample)  # fmt: skip
        g = None if gradient is None else numbers(gradient)
        # At a rate that was raised steps are longer, and not others'.
        faster = [rates / np.fmax(*(_settings(mark, layers)[0] for mark in pair)) for pair in usual]
        moved, way = _moved(window, usual, lambda mark: mark.weights, faster)
        found = _gradients(window, g, moved, optimizer)
        others = np.array(end.writes) - np.array(base.writes) > habits.writes * window.steps + 0.5
        outside = way > _TOO_FAR * window.steps * rates * found.reach
        outside &= (moved > _TOO_FAR * _MOVED) & prompt
        changed = ~(moved < _MOVED) & (others | outside)
        lost = _state_written(window, habits) | found.fallen | (end.count < base.count)
        known = found.longer[np.isfinite(found.longer)]
        alike = float(known.min()) if len(known) else math.nan
        growth = [float(b[0]) / float(a[0]) if float(a[0]) else 1.0
                  for a, b in zip(base.settings, end.settings, strict=False)]  # fmt: skip
        climbs = now[0] / before[0] > 1.3
        against = _against(window, g)
    untouched = None
    if not math.isnan(alike):
        untouched = not (changed.any() or lost.any() or alike > _LONG)
    long = prompt and alike > _LONG
    return {
        "changed": parts.named(changed),
        "lost": parts.named(lost),
        "alike": alike if prompt else math.nan,
        "sustained": bool(long and found.present >= alike / math.sqrt(window.steps) / 3),
        "against": against,
        "untouched": untouched,
        "jumped": tuple(n for n, by in zip(parts.groups, growth, strict=False) if by > 1.4),
        "climbing": parts.named(climbs) if climbs.any() and not climbs.all() else (),
    }


def steps_between(one: Mark, other: Mark) -> float:
    """Of the optimizer, from one mark to another."""
    counted = other.count - one.count
    return counted if counted > 0 else float(max(other.step - one.step, 1))


def numbers(tensor: Tensor) -> np.ndarray:
    """As an array of doubles."""
    return tensor.detach().cpu().double().numpy()


def _settings(mark: Mark, layers: Sequence[int]) -> np.ndarray:
    """Rate and decays of each layer, in rows."""
    settings = np.array([[float(number) for number in group] for group in mark.settings])
    return settings[layers].T


def _moved(
    window: Window, usual: Pairs, of: Callable[[Mark], Tensor], faster: Sequence[np.ndarray | float]
) -> tuple[np.ndarray, np.ndarray]:
    """How far numbers of each layer have gone over how far they go as usual, and how far."""
    allowed = np.zeros(len(window.sample.counts))
    for (a, b), factor in zip(usual, faster, strict=True):
        # Steps add up like those of a random walk, or in one direction.
        ratio = window.steps / steps_between(a, b)
        way = window.lengths(numbers(of(b)) - numbers(of(a)))
        allowed = np.fmax(allowed, way * max(ratio, math.sqrt(ratio)) * factor)
    way = window.lengths(numbers(of(window.end)) - numbers(of(window.base)))
    return np.where(way == 0, 0.0, way / allowed), way


def _state_written(window: Window, habits: Habit) -> np.ndarray:
    """Layers whose moments others wrote to, or replaced by other tensors, of other numbers.

    A state that is loaded again may be the same.
    """
    base, end = window.base, window.end
    found = np.zeros(len(window.sample.counts), dtype=bool)
    usual = [(a, b) for a, b in window.usual if a.keys == base.keys and b.keys == base.keys]
    if len(usual) < LEAST or not base.keys or habits.keys != base.keys:
        return found
    places = {key: i for i, key in enumerate(end.keys)}
    gone = [layer for layer, kind in base.keys if (layer, kind) not in places]
    if gone:
        found[gone] = True
        return found
    order = [places[key] for key in base.keys]
    other = np.array([end.held[i] is not one for i, one in zip(order, base.held, strict=True)])
    writes = np.array(end.state_writes)[order] - np.array(base.state_writes)
    more = writes > habits.state_writes * window.steps + 0.5
    found[np.array([layer for layer, _ in base.keys])[habits.kept & (other | more)]] = True
    return found & _other_moments(window, usual)


def _other_moments(window: Window, usual: Pairs) -> np.ndarray:
    """Layers of which moments of some kind have gone farther than they do as usual."""
    found = np.zeros(len(window.sample.counts), dtype=bool)
    for kind in window.end.kinds:

        def row(mark: Mark, kind: str = kind) -> Tensor:
            assert mark.moments is not None
            return mark.moments[mark.kinds.index(kind)]

        if all(kind in mark.kinds for mark in (window.base, *chain(*usual))):
            moved, _ = _moved(window, usual, row, [1.0] * len(usual))
            found |= ~(moved < _MOVED)
    return found


def _gradients(
    window: Window, g: np.ndarray | None, moved: np.ndarray, optimizer: Optimizer
) -> Gradients:
    """From second moments, else from momentum, else from the way that weights have gone."""
    unknown = np.full(len(window.sample.counts), np.nan)
    found = Gradients(unknown, math.nan, unknown, np.zeros(len(unknown), dtype=bool))
    first, earlier = window.end.row(_FIRST), window.base.row(_FIRST)
    squares, before = window.end.row(_SECOND), window.base.row(_SECOND)
    layered = window.sample.layered
    if squares is not None and before is not None:
        # v = βᵏ v₀ + (1 − β) Σ βʲ g²: the sum is at least the square of the longest, if recent.
        least = window.repeated(window.least) ** (window.steps + 1) * before
        found.fallen = window.sample.somewhere(squares < _FADED * least)
        added = np.fmax(squares - window.repeated(window.second) ** window.steps * before, 0)
        # In Adam they begin at zero.
        begun = 1 - window.second**window.base.count if "exp_avg" in window.base.kinds else 1.0
        normal = layered(before) / np.where(begun > 0, begun, 1.0)
        normal = np.where(normal > 0, normal, np.nan)
        total = layered(added) / (1 - window.second) / normal
        found.longer = np.sqrt(np.fmax(total - window.steps, 0))
        if g is not None:
            over = np.sqrt(layered(np.square(g)) / normal)
            found.present = float(np.nanmin(over)) if not np.isnan(over).all() else math.nan
        if isinstance(optimizer, (Adam, AdamW)):  # a number moves by about its rate
            found.reach = np.sqrt(layered(np.ones(sum(window.sample.counts))))
    elif first is not None and earlier is not None:
        added = first - window.repeated(window.first) ** window.steps * earlier
        marks = [window.usual[0][0], *(b for _, b in window.usual)]
        rows = [row for row in (mark.row(_FIRST) for mark in marks) if row is not None]
        usual = np.median([window.lengths(row) for row in rows], axis=0)
        # Of gradients in all directions momentum is 1/√(1 − μ²) times as long as one, or longer.
        alone = usual * np.sqrt(1 - np.square(window.first))
        found.longer = window.lengths(added) / np.where(alone > 0, alone, np.nan)
        if isinstance(optimizer, SGD):
            longest = np.fmax(window.lengths(first), window.lengths(earlier))
            found.reach = np.where(longest > 0, longest, np.nan)  # of none, nothing is sampled
    elif isinstance(optimizer, SGD):
        found.longer = moved
    return found


def _against(window: Window, g: np.ndarray | None) -> float:
    """Cosine of the gradient with the momentum, in the measure that the optimizer divides by."""
    first, squares = window.end.row(_FIRST), window.end.row(_SECOND)
    if first is None or g is None:
        return math.nan
    measure = np.ones_like(g) if squares is None else 1 / np.sqrt(squares)
    measure = np.where(np.isfinite(measure), measure, 0.0)
    product, one, other = (
        float(window.sample.layered(measure * a * b).sum())
        for a, b in ((g, first), (g, g), (first, first))
    )
    return product / math.sqrt(one * other) if one * other > 0 else math.nan
