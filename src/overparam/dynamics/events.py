"""Loss spikes: when one begins and ends, and what it was."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from overparam._as_before import or_as_before
from overparam._checked import checked
from overparam._errors import expect
from overparam._numbers import described, is_number

Phase = Literal["quiet", "opened", "open", "closed", "lost", "dismissed"]
Kind = Literal["catapult", "bad batch", "divergence", "non-finite", "unexplained"]


class CatapultCounter:
    """Count the times a loss rises well above its recent minimum and comes back.

    A rise opens when L > rise · min(L over the last `window` steps) and L > floor · L(0). It closes
    when L < close · the minimum at the opening. Rises are counted when they open.

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
            if loss < self.close * self.level:
                self.recent.append(loss)
                if self.noise and self.length <= 2 and self.peak < self.first / 2:
                    self.count -= 1
                    return self._end("dismissed")
                return self._end("closed")
            if self.length >= self.patience or loss > self.divergence * self.first:
                return self._end("lost")
            return "open"
        if self._opens(loss):
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
        if not max(losses) <= self.rise * least or not math.isfinite(sum(losses)):
            return False
        self.recent.extend(losses)
        return True

    def _opens(self, loss: float) -> bool:
        small = loss <= self.floor * self.first
        if not self.recent or small or loss <= self.rise * self._base():
            return False
        if not self.noise:
            return True
        middle = self._base()
        if len(self.recent) < 5:  # no spread to compare with yet
            return loss > self.rise**2 * middle
        deviation = 1.4826 * median(abs(value - middle) for value in self.recent)
        return loss > middle + self.noise * deviation

    def _base(self) -> float:
        """What a rise is measured from. A minimum over noise is a level nothing returns to."""
        return median(self.recent) if self.noise else min(self.recent)

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


@dataclass(frozen=True)
class Spike:
    """What was measured of a rise of the loss; `nan` is not measured.

    Attributes:
        step: Optimizer step at which it opened.
        peak_ratio: Largest loss over the loss before.
        steps_to_recover: Steps until the loss was back; `None` if it has not come back.
        ratio_before: Learning rate over its critical value, before the rise; 1 is the edge of
            stability of this optimizer. (For plain gradient descent, half of lr · λ_max.)
        top_share: Part of the rise that lies in the top eigenvectors of the tangent kernel.
        quadratic: Whether the loss is a squared error; only then does the share tell anything.
        probe_rise: Largest loss on the fixed probe set over that before: whether the model got
            worse, or only the batch was unusual.
        sharpness_before: Top eigenvalue of the curvature before the rise.
        sharpness_after: The same when the loss is back.
        diverged: The loss left for good, or grew beyond the divergence factor.
        finite: Whether the loss stayed finite.
        ids: Examples of the batches at the opening, if known.
    """

    step: int
    peak_ratio: float = math.nan
    steps_to_recover: int | None = None
    ratio_before: float = math.nan
    top_share: float = math.nan
    quadratic: bool = True
    probe_rise: float = math.nan
    sharpness_before: float = math.nan
    sharpness_after: float = math.nan
    diverged: bool = False
    finite: bool = True
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Event:
    """A spike with its cause.

    Attributes:
        kind: The cause.
        reason: The comparison that decided, with its numbers, or what was not measured.
        spike: The measurements.
    """

    kind: Kind
    reason: str
    spike: Spike

    @property
    def step(self) -> int:
        """Optimizer step at which the spike opened."""
        return self.spike.step

    def to_dict(self) -> dict[str, Any]:
        """Flat plain data; what was not measured is `None`."""
        plain = {"kind": self.kind, "reason": self.reason, **asdict(self.spike)}
        for name, value in plain.items():
            if isinstance(value, float) and not math.isfinite(value):
                plain[name] = None
        plain["ids"] = None if self.spike.ids is None else list(self.spike.ids)
        return plain


@checked
@dataclass(frozen=True)
class SpikeClassifier:
    """Tell a catapult from a bad batch and from divergence.

    A spike is a catapult iff all three hold:

        learning rate > critical rate before the rise        (ratio_before > limit)
        the rise lies in the top eigenspace                  (top_share ≥ share)
        the sharpness is lower when the loss is back         (after ≤ (1 − fall) · before)

    One that does not come back is divergence, one with a loss that is not finite is called so.
    Of the rest, one that fails a measured condition is a bad batch (or bad inputs); one that
    fails none, with a condition that was not measured, is unexplained.

    The second condition is for squared error, whose rise splits exactly. With another loss the
    eigenspace turns while the loss rises (cross-entropy: its curvature depends on confidence),
    the share stays far below one in a catapult, and the rule goes by the other two.

    Args:
        limit: Stability ratio above which a step is super-critical. The ratio is relative to
            the optimizer's own limit, so 1 whatever its momentum.
        share: Least part of the rise in the top (five) eigenvectors.
        fall: Least relative fall of the sharpness.

    Example:
        >>> measured = Spike(step=7, ratio_before=1.4, top_share=1.0, sharpness_before=9.0,
        ...                  sharpness_after=3.0, steps_to_recover=12)
        >>> SpikeClassifier().classify(measured).kind
        'catapult'

    References:
        Lewkowycz et al. (2020), arXiv:2003.02218: catapults. Zhu, Liu, Radhakrishnan, Belkin
        (2023), arXiv:2306.04815: spikes of stochastic gradient descent are catapults in the
        top eigenspace of the tangent kernel. The rule that combines the three is ours.
    """

    limit: float = 1.0
    share: float = 0.95
    fall: float = 0.05

    def classify(self, spike: Spike) -> Event:
        """The spike with its kind and the reason for it."""
        if not spike.finite:
            return Event("non-finite", "the loss is NaN or infinite", spike)
        if spike.diverged:
            return Event("divergence", "the loss did not come back", spike)
        if spike.probe_rise <= 1.05:
            reason = f"the loss on the probe set did not rise (×{spike.probe_rise:.2f})"
            return Event("bad batch", reason, spike)
        kept = (
            spike.sharpness_after / spike.sharpness_before if spike.sharpness_before else math.nan
        )
        tests = {
            "stability ratio": (spike.ratio_before, spike.ratio_before > self.limit),
            "spectral share": (spike.top_share, spike.top_share >= self.share),
            "sharpness kept": (kept, kept <= 1 - self.fall),
        }
        if not spike.quadratic:
            del tests["spectral share"]
        failed = [
            f"{name} {value:.3g}"
            for name, (value, holds) in tests.items()
            if not math.isnan(value) and not holds
        ]
        if failed:
            return Event("bad batch", "not a catapult: " + ", ".join(failed), spike)
        missing = [name for name, (value, _) in tests.items() if math.isnan(value)]
        if missing:
            return Event("unexplained", "not measured: " + ", ".join(missing), spike)
        numbers = ", ".join(f"{name} {value:.3g}" for name, (value, _) in tests.items())
        return Event("catapult", numbers, spike)
