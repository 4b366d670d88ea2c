"""Marks of weights and moments, for runs whose steps are too short to log each of them."""

import math
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from functools import reduce
from itertools import pairwise
from typing import Any

from torch import Tensor

from overparam.dynamics.spikes.evidence import Parts
from overparam.dynamics.spikes.step_log import StepLog
from overparam.dynamics.spikes.traces import LEAST, Habit, Mark, Pairs, habit, traces

# Marks that are kept.
_KEPT = 8
# Steps from a mark to a rise, so that what caused it came after; and after which it says nothing.
_AGO, _OLD = 10, 150
# Part of the limit that marks may take, and the fewest and most steps from one to the next.
_PART, _SOON, _LATE = 1 / 80, 10, 100


class Marks:
    """Marks of some steps of the past, and what has come of them.

    A tensor counts how often it is written to. An optimizer writes equally often at each step, so
    that once more is somebody else. How long gradients have been is left in the moments.

    Args:
        log: The optimizer's, which knows where weights and moments are.

    Attributes:
        trouble: What ended them, if anything did.
    """

    def __init__(self, log: StepLog) -> None:
        self._log = log
        self._kept: deque[Mark] = deque(maxlen=_KEPT)
        self._sample = log.sample
        self._run = 0
        self._habit: Habit | None = None
        self._cost = math.nan
        self.trouble = ""

    def due(self, step: int, granted: float) -> bool:
        """Whether to take one.

        Args:
            step: The present one.
            granted: Seconds of a step that it may be watched for.
        """
        if self.trouble or not self._log.names:
            return False
        if not self._kept or self._sample is not self._log.sample:
            return True
        apart = max(self._cost / (_PART * granted) if granted > 0 else math.inf, _SOON)
        if self._kept[-1].run != self._run:  # after a rise there is nothing yet to compare with
            apart = min(apart, _SOON)
        return apart <= _LATE and step - self._kept[-1].step >= apart

    def take(self, step: int) -> None:
        """Keep what is there now, of a calm step."""
        start = self._log.clock()
        if self._sample is not self._log.sample:  # other layers are trained
            self._kept.clear()
            self._sample, self._habit = self._log.sample, None
        try:
            if len(self._kept) == _KEPT:
                # What comes seldom, such as averaged weights that are put in and out.
                self._habit = self._habits(_calm([(self._kept[0], self._kept[1])]))
            self._kept.append(self._mark(step))
        except Exception as problem:  # of a state that nobody has thought of
            self.trouble = f"{type(problem).__name__}: {problem}"
        took = self._log.clock() - start
        self._cost = took if math.isnan(self._cost) else min(took, 2 * self._cost)

    def forget(self) -> None:
        """Weights or moments become others."""
        self._kept.clear()

    def since(self, opened: int, now: int, parts: Parts, scale: float = 1.0) -> dict[str, Any]:
        """What has become of the last mark before a rise: fields of `Evidence`; none if unknown.

        Args:
            opened: The step at which the rise began.
            now: The present one.
            parts: What the layers are called.
            scale: What gradients are multiplied by.
        """
        found = self._compared(opened, now, parts, scale)
        if not found or found["changed"] or found["lost"] or found["untouched"] is False:
            self._run += 1  # what comes is not to be compared with what was before
        return found

    def _habits(self, pairs: Pairs) -> Habit | None:
        """Those of earlier marks, and of these that followed each other in calm."""
        return reduce(lambda known, pair: habit(*pair, known), pairs, self._habit)

    def _compared(self, opened: int, now: int, parts: Parts, scale: float) -> dict[str, Any]:
        if self.trouble or self._sample is not self._log.sample:
            return {}
        marks = [mark for mark in self._kept if mark.step <= opened - _AGO]
        usual = _calm(pairwise(marks))
        known = self._habits(usual)
        if (
            known is None
            or len(usual) < LEAST
            or marks[-1].run != self._run
            or opened - marks[-1].step > _OLD
        ):
            return {}
        try:
            gradient = self._log.gradient()
            return traces(
                usual, marks[-1], self._mark(now),
                None if gradient is None else gradient / scale,
                parts, self._log.optimizer, self._sample, known, prompt=now == opened,
            )  # fmt: skip
        except Exception as problem:
            self.trouble = f"{type(problem).__name__}: {problem}"
            return {}

    def _mark(self, step: int) -> Mark:
        log = self._log
        weights, moments, kinds = log.present()
        get = log.optimizer.state.get
        keys, tensors = [], []
        for i, p in enumerate(log.params):
            for kind, value in (get(p) or {}).items():
                if isinstance(value, Tensor):
                    keys.append((i, kind))
                    tensors.append(value)
        return Mark(
            step, self._run, log.counted(), [p._version for p in log.params], keys,
            list(map(weakref.ref, tensors)), [value._version for value in tensors],
            weights, moments, kinds,
            [_settings(group) for group in log.optimizer.param_groups],
        )  # fmt: skip


def _calm(pairs: Iterable[tuple[Mark, Mark]]) -> list[tuple[Mark, Mark]]:
    return [(a, b) for a, b in pairs if a.run == b.run]


def _settings(group: Mapping[str, Any]) -> tuple[float | Tensor, float, float]:
    """Rate, decay of the first moments and of the second."""
    rate, betas = group["lr"], group.get("betas", ())
    if isinstance(rate, Tensor):
        rate = rate.detach().clone()
    pair = betas if isinstance(betas, (tuple, list)) and len(betas) == 2 else (math.nan, math.nan)
    first, second = group.get("momentum", pair[0]), group.get("alpha", pair[1])
    return rate, _number(first), _number(second)


def _number(value: Any) -> float:
    """`nan` for what is none, as where an optimizer leaves a setting to another one."""
    return float(value) if isinstance(value, (int, float, Tensor)) else math.nan
