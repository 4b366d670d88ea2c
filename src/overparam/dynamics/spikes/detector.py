"""When a rise of the loss begins and is over, on the noisy losses of mini-batches."""

import math
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

from overparam.dynamics.catapult_counter import CatapultCounter, Phase, relative

# A rise: this much above the median of the window, and four standard deviations. It is over when
# the median of three losses is back within a fifth, or two deviations, of that.
_RISE, _BACK, _NOISE, _SPREAD = 1.3, 1.2, 4.0, 2.0
# Steps until a rise that does not come back is another level, or lost.
_PATIENCE = 100
# A rise of at most two steps is worth a word from here on.
_WORTH = 2.0


class Detector:
    """A counter of rises that looks at three losses to see whether one is over.

    Args:
        window: Steps a loss is compared with.

    Attributes:
        counter: The counter.
    """

    def __init__(self, window: int) -> None:
        self.counter = CatapultCounter(
            window, rise=_RISE, close=_BACK, floor=0.05, noise=_NOISE, patience=_PATIENCE
        )
        self._last: deque[float] = deque(maxlen=3)

    def update(self, loss: float) -> Phase:
        """Take the next loss; what `CatapultCounter.update` says of it, and of those before.

        A rise of at most two steps to less than twice the level is ``"dismissed"``, too.
        """
        counter = self.counter
        self._last.append(loss)
        if not counter.is_open:
            phase = counter.update(loss)
            if phase == "opened":
                self._last = deque([loss], maxlen=3)
                # A loss that had come to an exact zero has no spread to compare with.
                level = counter.level
                spread = relative(level + counter.deviation, level, counter.first) if level else 1.0
                counter.close = max(_BACK, 1 + _SPREAD * (spread - 1))
            return phase
        three = list(self._last)
        smooth = loss if not math.isfinite(loss) else median(three) if three[2:] else max(three)
        phase = counter.update(smooth)
        counter.peak = max(counter.peak, loss)
        if phase == "closed" and counter.length <= 2 and not self.worthy:
            counter.count -= 1
            return "dismissed"
        return phase

    @property
    def level(self) -> float:
        """The loss before the present or last rise; while it is calm, the usual one."""
        calm = not self.counter.is_open and len(self.counter.recent) > 0
        return median(self.counter.recent) if calm else self.counter.level

    @property
    def peak_ratio(self) -> float:
        """The largest loss of the present or last rise over that before; `nan` from below zero."""
        level = self.counter.level
        return math.inf if level == 0 else self.counter.peak / level if level > 0 else math.nan

    def state_dict(self) -> dict[str, Any]:
        """What the counter's own state does not hold."""
        return {"last": list(self._last), "close": self.counter.close}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._last = deque(state["last"], maxlen=3)
        self.counter.close = state["close"]

    @property
    def worthy(self) -> bool:
        """Whether one hard batch of this height is worth a word."""
        counter = self.counter
        return relative(counter.peak, counter.level, counter.first) >= _WORTH
