"""A word before the loss rises: layers whose updates or gradients leave what was normal."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from overparam.dynamics.spikes.evidence import Parts
from overparam.dynamics.spikes.recent import Recent

UPDATE, GRADIENT = 3.0, 4.0
_SIGNALS = (("update", UPDATE), ("gradient", GRADIENT))
# Steps before the first warning, and from one to the next.
_TRIED, _QUIET = 30, 30
_DECAY = 0.999


@dataclass(frozen=True)
class EarlyWarning:
    """A layer that left its normal range before the loss did.

    How often it is right, on small trainings (`x.py bench spikes --kept-aside`, one seed, when
    four steps at a time were compared with the thirty before them, and not yet each): a
    warning came before each of 13 spikes of rates that climbed, though none that the climb
    itself did not explain, and before each of 5 of steps that grew at a constant rate; one was
    false in 146 calm steps. Spikes that come about at a constant rate by themselves were too
    rare there to be counted.

    Attributes:
        step: Optimizer step.
        signal: ``"update"``, the layer's update over its weights is more than three times its
            median over the last thirty steps; or ``"gradient"``, its gradient is more than four
            times its root mean square, averaged over about a thousand steps.
        layer: Its name.
        factor: How many times.
        rate: The same factor of the learning rate: a rate that climbs raises updates with it.
    """

    step: int
    signal: str
    layer: str
    factor: float
    rate: float


class Lookout:
    """Watch new rows of the log for warnings."""

    def __init__(self) -> None:
        self.warnings: list[EarlyWarning] = []
        self._squares: np.ndarray | None = None
        self._seen = 0

    def look(self, recent: Recent, new: int, parts: Parts) -> list[EarlyWarning]:
        """Warnings of the last `new` rows; at most one in thirty steps.

        Each row is compared with those before it, however many come at once.
        """
        start = len(recent) - new
        found = []
        with np.errstate(all="ignore"):
            updates = _over_middle(recent.updates / recent.weights, recent.steps, start)
            gradients = self._over_average(recent.norms[start:])
            factors = np.stack([updates / UPDATE, gradients / GRADIENT], axis=1)
            factors = np.where(np.isfinite(factors), factors, -math.inf)
            tried = self._seen + 1 + np.arange(new) > _TRIED
            self._seen += new
            for i in np.flatnonzero(tried & (factors > 1).any(axis=(1, 2))):
                step = int(recent.steps[start + i])
                if not self._quiet(step):
                    continue
                signal, layer = np.unravel_index(int(factors[i].argmax()), factors[i].shape)
                name, limit = _SIGNALS[int(signal)]
                rates = _over_middle(recent.rates, recent.steps, start + int(i))[0]
                rate = float(np.where(np.isfinite(rates), rates, -math.inf).max())
                warning = EarlyWarning(
                    step, name, parts.layers[int(layer)], float(limit * factors[i].max()), rate
                )
                found.append(warning)
                self.warnings.append(warning)
        return found

    def forget(self) -> None:
        """What was normal is so no more."""
        self._squares, self._seen = None, 0

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs."""
        squares = None if self._squares is None else torch.from_numpy(self._squares)
        warnings = [vars(warning) for warning in self.warnings]
        return {"warnings": warnings, "squares": squares, "seen": self._seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.warnings = [EarlyWarning(**plain) for plain in state["warnings"]]
        squares, self._seen = state["squares"], state["seen"]
        self._squares = None if squares is None else squares.cpu().numpy()

    def _quiet(self, step: int) -> bool:
        return not self.warnings or step - self.warnings[-1].step >= _QUIET

    def _over_average(self, norms: np.ndarray) -> np.ndarray:
        """Gradients over their own average of the steps before, which they then enter."""
        squares = np.square(np.where(np.isfinite(norms), norms, 0.0))
        average = np.zeros_like(norms[0]) if self._squares is None else self._squares
        over = np.empty_like(norms)
        for i, (norm, square) in enumerate(zip(norms, squares, strict=True)):
            weight = 1 - _DECAY ** max(self._seen + i, 1)
            over[i] = norm / np.sqrt(average / weight)
            average = _DECAY * average + (1 - _DECAY) * square
        self._squares = average
        return over


def _over_middle(values: np.ndarray, steps: np.ndarray, start: int) -> np.ndarray:
    """Rows from `start` on over the medians of those of the thirty steps before each.

    `nan` where a median is zero, or there are fewer than ten rows to take it of.
    """
    over = np.full((len(values) - start, values.shape[1]), np.nan)
    begins = np.searchsorted(steps, steps[start:] - 30)
    lengths = np.arange(start, len(values)) - begins
    for n in np.unique(lengths[lengths >= 10]):  # one and the same, while no row is missing
        rows = np.flatnonzero(lengths == n)
        before = values[begins[rows][:, None] + np.arange(n)]
        middle = np.partition(before, n // 2, axis=1)[:, n // 2]
        over[rows] = values[start + rows] / np.where(middle > 0, middle, np.nan)
    return over
