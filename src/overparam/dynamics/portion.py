"""How much of its work a dear measurement is asked for, so that it comes round."""

import math

# Less than that is no measurement any more.
_LEAST = 1 / 16
# Of more changes than that the numbers would not be comparable with one another any more.
_CHANGES = 6


class Portion:
    """A part of the work, halved where a measurement is too dear and doubled where it is cheap.

    What a part costs is seen from the second run on, since the first one is cold: that it is cheap
    is to be seen even then. Where half of the work takes about as long as all of it, nothing is
    gained by less, and it is left at that.

    Attributes:
        part: In (0, 1], a power of two.
    """

    def __init__(self) -> None:
        self.part, self._least, self._changes, self._runs = 1.0, _LEAST, 0, 0
        self._before: tuple[float, float] | None = None

    def guess(self, seconds: float, allowed: float) -> float:
        """Choose a part by what the whole is expected to take; what that part should take."""
        self.part = _power_of_two(allowed / seconds) if seconds > allowed else 1.0
        return seconds * self.part

    def ran(self, seconds: float, allowed: float) -> float | None:
        """Take note of a run; what the next one should take if another part was chosen."""
        self._runs += 1
        if self._changes >= _CHANGES:
            return None
        before, self._before = self._before, None
        if before is not None and before[0] > self.part:
            part, took = before
            # By a quarter of what was to be hoped for, at least.
            if took < seconds * (1 + (part / self.part - 1) / 4):
                self._least = part
                return self._choose(part, took)
        if self._runs > 1 and seconds > 1.25 * allowed and self.part > self._least:
            part = max(self.part * _power_of_two(allowed / seconds), self._least)
            self._before = self.part, seconds
            return self._choose(part, seconds * part / self.part)
        if self.part < 1 and 2 * seconds <= 0.8 * allowed:
            return self._choose(2 * self.part, 2 * seconds)
        return None

    def _choose(self, part: float, seconds: float) -> float:
        self.part = part
        self._changes += 1
        return seconds

    def state_dict(self) -> list[float]:
        """What it is and may still become."""
        return [self.part, self._least, self._changes, self._runs]

    def load_state_dict(self, state: list[float]) -> None:
        """Go on from a saved state."""
        self.part, self._least = state[:2]
        self._changes, self._runs = int(state[2]), int(state[3])


def _power_of_two(ratio: float) -> float:
    """The largest power of two that is at most a ratio below one, within limits."""
    return max(2.0 ** math.floor(math.log2(ratio)), _LEAST) if ratio > 0 else _LEAST
