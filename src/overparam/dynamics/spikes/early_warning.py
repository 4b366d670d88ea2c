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
# Steps before the first warning, and from one to the next.
_TRIED, _QUIET = 30, 30
_DECAY = 0.999


@dataclass(frozen=True)
class EarlyWarning:
    """A layer that left its normal range before the loss did.

    How often it is right, on small trainings (`x.py bench spikes --kept-aside`, one seed): a
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
        """Warnings of the last `new` rows; at most one in thirty steps."""
        start = len(recent) - new
        normal = recent.between(int(recent.steps[start]) - 30, int(recent.steps[start]) - 1)
        with np.errstate(all="ignore"):
            size = recent.updates / recent.weights
            middle = _middle(normal.updates / normal.weights)
            rates = _middle(normal.rates)
            found = []
            for i in range(start, len(recent)):
                gradients = self._over_average(recent.norms[i])
                updates = size[i] / middle
                self._seen += 1
                if self._seen <= _TRIED:
                    continue
                signal = max(
                    (_most(updates), UPDATE, "update"), (_most(gradients), GRADIENT, "gradient"),
                    key=lambda s: s[0][0] / s[1],
                )  # fmt: skip
                (factor, layer), limit, name = signal
                step = int(recent.steps[i])
                if factor > limit and self._quiet(step):
                    rate = _most(recent.rates[i] / rates)[0]
                    warning = EarlyWarning(step, name, parts.layers[layer], factor, rate)
                    found.append(warning)
                    self.warnings.append(warning)
        return found

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
        if self._squares is None:
            self._squares = np.zeros_like(squares)
        weight = 1 - _DECAY ** max(self._seen, 1)
        over = norms / np.sqrt(self._squares / weight)
        self._squares = _DECAY * self._squares + (1 - _DECAY) * squares
        return over


def _middle(values: np.ndarray) -> np.ndarray:
    """Median of each column, `nan` where it is zero or of fewer than ten."""
    if len(values) < 10:
        return np.full(values.shape[1], np.nan)
    middle = np.sort(values, axis=0)[len(values) // 2]
    return np.where(middle > 0, middle, np.nan)


def _most(values: np.ndarray) -> tuple[float, int]:
    finite = np.where(np.isfinite(values), values, -math.inf)
    at = int(finite.argmax())
    return float(finite[at]), at
