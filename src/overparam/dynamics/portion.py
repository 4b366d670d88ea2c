"""How much of its work a dear measurement is asked for, so that it comes round."""

import math
from collections.abc import Callable

# Less than that is no measurement any more.
_LEAST = 1 / 16
_PARTS = [2.0**-k for k in range(5)]
# Of more changes than that the numbers would not be comparable with one another any more.
_CHANGES = 6
# What a part takes, in any unit.
Cost = Callable[[float], float]


class Portion:
    """A part of the work, halved where a measurement is too dear and doubled where it is cheap.

    What a part costs is the less of two runs, since the first one is cold and any may be
    interrupted; that it is cheap is to be seen at once. Where half of the work takes about as long
    as all of it, nothing is gained by less, and it is left at that.

    Attributes:
        part: In (0, 1], a power of two.
    """

    def __init__(self) -> None:
        self.part, self._least, self._changes = 1.0, _LEAST, 0
        self._last: float | None = None
        self._before: tuple[float, float] | None = None

    def guess(self, cost: Cost, allowed: float) -> float:
        """Choose the largest part that is expected to fit; what it should take, in seconds.

        Where none fits, the largest of those that take about as little as the least.
        """
        costs = {part: cost(part) for part in _PARTS}
        most = max(allowed, 1.1 * min(costs.values()))
        self.part = next((part for part in _PARTS if costs[part] <= most), _LEAST)
        return costs[self.part]

    def ran(self, seconds: float, allowed: float, cost: Cost = float) -> float | None:
        """Take note of a run; what the next one should take if another part was chosen.

        Args:
            seconds: What it took.
            allowed: What it may take.
            cost: What a part is expected to take, relative to others; as if in proportion.
        """
        if self._changes >= _CHANGES:
            return None
        if self.part < 1 and 2 * seconds <= 0.8 * allowed:
            more = seconds * max(2.0, cost(2 * self.part) / cost(self.part))
            if more <= 0.8 * allowed:
                return self._choose(2 * self.part, more)
        last, self._last = self._last, seconds
        if last is None:
            return None
        seconds, before, self._before = min(last, seconds), self._before, None
        if before is not None and before[0] > self.part:
            part, took = before
            # By a quarter of what was to be hoped for, at least.
            if took < seconds * (1 + (part / self.part - 1) / 4):
                self._least = part
                return self._choose(part, took)
        if seconds > 1.25 * allowed and self.part > self._least:
            part = max(self.part * _power_of_two(allowed / seconds), self._least)
            before = self.part, seconds
            less = self._choose(part, seconds * cost(part) / cost(self.part))
            self._before = before
            return less
        return None

    def _choose(self, part: float, seconds: float) -> float:
        self.part, self._last, self._before = part, None, None
        self._changes += 1
        return seconds

    def state_dict(self) -> list[float]:
        """What it is and may still become."""
        return [self.part, self._least, self._changes]

    def load_state_dict(self, state: list[float]) -> None:
        """Go on from a saved state."""
        self.part, self._least = state[:2]
        self._changes = int(state[2])


def _power_of_two(ratio: float) -> float:
    """The largest power of two that is at most a ratio below one, within limits."""
    return max(2.0 ** math.floor(math.log2(ratio)), _LEAST) if ratio > 0 else _LEAST
