"""Loss spikes: when one begins and when it is over."""

import math
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Any, Literal

from overparam._as_before import or_as_before
from overparam._checked import checked
from overparam._errors import expect
from overparam._numbers import described, is_number

Phase = Literal["quiet", "opened", "open", "closed", "lost", "dismissed"]


def relative(loss: float, level: float, first: float) -> float:
    """How high a loss stands over a level: their ratio, where the level is positive.

    A loss that has come to zero or below, as that of a likelihood does, has no ratio to anything.
    One more than its distance, in units of how far it has come, takes its place.

    Args:
        loss: The one.
        level: The other.
        first: The first loss of the run.
    """
    if level > 0:
        return loss / level
    size = _size(level, first)
    return 1 + (loss - level) / size if size else math.inf if loss > level else 1.0


def _size(level: float, first: float) -> float:
    """What a rise is measured in: the level, or how far it has come if that is not positive."""
    return level if level > 0 else first - level if first > level else -level


class CatapultCounter:
    """Count the times a loss rises well above its recent minimum and comes back.

    A rise opens when L > rise · min(L over the last `window` steps) and L > floor · L(0). It closes
    when L < close · the minimum at the opening. Rises are counted when they open. Where the
    minimum is below zero, as that of a likelihood may be, multiples are those of `relative`.

    Feed it the loss on a fixed set: a mini-batch loss also rises because one batch is harder
    than another. `noise` guards against that: the window's median then takes the place of its
    minimum, and a rise must also stand that many standard deviations (estimated by the median
    absolute deviation) above it. A rise of one or two steps that stays below half of the first
    loss is then one hard batch, and is taken back.

    Args:
        window: Steps the minimum is taken over.
        rise: Factor over the minimum that opens a rise.
        close: Factor over that minimum below which it is over.
        floor: Losses at or below this part of the first one never open a rise: what is left
            of a loss that has all but vanished is the noise of single examples.
        noise: Standard deviations above the median required in addition.
        patience: Steps after which an open rise counts as lost, and counting starts afresh.
        divergence: Factor over the first loss from which it is lost at once.

    Attributes:
        count: Rises opened so far.
        level: Loss before the present or last rise, its minimum (or median) over the window.
        peak: Largest loss of the present or last rise.
        length: Steps since the present rise opened, or that the last one took.

    Example:
        >>> counter = CatapultCounter()
        >>> [counter.update(loss) for loss in [1.0, 0.9, 2.0, 3.0, 1.0, 0.8]]
        ['quiet', 'quiet', 'opened', 'open', 'closed', 'quiet']
        >>> counter.count, counter.level, counter.peak, counter.length
        (1, 0.9, 3.0, 2)
    """

    @checked
    def __init__(
        self,
        window: int = 25,
        *,
        rise: float = 2.0,
        close: float = 1.2,
        floor: float = 0.0,
        noise: float = 0.0,
        patience: int = 500,
        divergence: float = 1e6,
    ) -> None:
        where = "CatapultCounter"
        expect(window >= 1, f"{where}(window=...)", "at least one step", window)
        expect(rise > 1, f"{where}(rise=...)", "a factor above 1", rise)
        expect(1 <= close <= rise, f"{where}(close=...)", "a factor from 1 to `rise`", close)
        expect(0 <= floor < 1, f"{where}(floor=...)", "a part of the first loss, in [0, 1)", floor)
        expect(noise >= 0, f"{where}(noise=...)", "a number ≥ 0", noise)
        expect(patience >= 1, f"{where}(patience=...)", "at least one step", patience)
        expect(divergence > rise, f"{where}(divergence=...)", "a factor above `rise`", divergence)
        self.rise, self.close, self.floor, self.noise = rise, close, floor, noise
        self.patience, self.divergence = patience, divergence
        self.recent: deque[float] = deque(maxlen=window)
        self.first = math.nan
        self.is_open = False
        self.count = self.length = 0
        self.level = self.peak = math.nan

    def update(self, loss: float) -> Phase:
        """Take the next loss; say where it leaves us.

        Returns:
            ``"opened"`` on the step a rise begins, ``"open"`` while it lasts, ``"closed"`` on
            the step it is over, ``"lost"`` on the step it is given up (too long, beyond the
            divergence factor, or not finite), ``"quiet"`` otherwise.
        """
        expect(
            is_number(loss), "CatapultCounter.update(loss=...)", "a number", described(loss),
            error=TypeError,
        )  # fmt: skip
        loss = float(loss)
        if not math.isfinite(loss):
            if not self.is_open:
                return "quiet"
            return self._end("lost")
        if math.isnan(self.first):
            self.first = loss
        if self.is_open:
            self.length += 1
            self.peak = max(self.peak, loss)
            # From an exact zero, which no multiple lies above, back to what never opens a rise.
            at_rest = self.level == 0 and loss <= self.floor * self.first
            if loss < self._times(self.close, self.level) or at_rest:
                self.recent.append(loss)
                half = self._times(1.5, self.level) if self.level < 0 else self.first / 2
                if self.noise and self.length <= 2 and self.peak < half:
                    self.count -= 1
                    return self._end("dismissed")
                return self._end("closed")
            above = self.first <= 0 or self.level < 0
            far = self._times(self.divergence, self.level if above else self.first)
            if self.length >= self.patience or loss > far:
                return self._end("lost")
            return "open"
        if loss > self.limit:
            self.is_open, self.length = True, 0
            self.count += 1
            self.level, self.peak = self._base(), loss
            return "opened"
        self.recent.append(loss)
        return "quiet"

    def quiet(self, losses: Sequence[float]) -> bool:
        """Take several losses at once if it is clear that none opens a rise.

        Nothing is taken otherwise; the result is that of one `update` after another.
        """
        if self.is_open or not self.recent:
            return False
        least = min(min(losses), min(self.recent))
        if not max(losses) <= self._times(self.rise, least) or not math.isfinite(sum(losses)):
            return False
        self.recent.extend(losses)
        return True

    @property
    def limit(self) -> float:
        """A larger loss opens a rise now; infinite before there is anything to compare with."""
        if not self.recent:
            return math.inf
        middle = self._base()
        least = self._times(self.rise, middle)
        if middle >= 0:
            least = max(self.floor * self.first, least)
        if not self.noise:
            return least
        if len(self.recent) < 5:  # no spread to compare with yet
            return max(least, self._times(max(self.rise**2, 4.0), middle))
        return max(least, middle + self.noise * self.deviation)

    @property
    def deviation(self) -> float:
        """Standard deviation of the losses in the window, by their median absolute deviation."""
        middle = median(self.recent)
        return 1.4826 * median(abs(value - middle) for value in self.recent)

    def _base(self) -> float:
        """What a rise is measured from. A minimum over noise is a level nothing returns to."""
        return median(self.recent) if self.noise else min(self.recent)

    def _times(self, factor: float, level: float) -> float:
        """The loss that stands so high over a level."""
        return level + (factor - 1) * _size(level, self.first) if level < 0 else factor * level

    def _end(self, phase: Phase) -> Phase:
        self.is_open = False
        if phase == "lost":  # what was normal before says nothing about what follows
            self.recent.clear()
        return phase

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs to go on exactly."""
        names = ("first", "is_open", "count", "length", "level", "peak")
        return {"recent": list(self.recent), **{name: getattr(self, name) for name in names}}

    @or_as_before
    @checked
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If it is not one that a counter gave.
        """
        expect(
            state.keys() == self.state_dict().keys(),
            "CatapultCounter.load_state_dict(state)",
            "a state that a counter gave",
            f"one with {', '.join(map(str, state)) or 'nothing'}",
        )
        state = dict(state)
        self.recent = deque(state.pop("recent"), maxlen=self.recent.maxlen)
        for name, value in state.items():
            setattr(self, name, value)
