"""Follow a run's loss through its spikes, and ask for the measurements that explain them."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from overparam.dynamics.events import CatapultCounter, Event, Spike, SpikeClassifier
from overparam.dynamics.loss_stream import Moment
from overparam.dynamics.probes.probe import Kind

# Steps to wait for the sharpness after a spike before it is classified without.
_WAIT = 100
_BEFORE = ("stability_ratio", "sharpness", "loss_top", "loss_rest")


@dataclass
class _Rise:
    """A spike that is not classified yet."""

    spike: Spike
    before: dict[str, float]
    peak: dict[str, float] = field(default_factory=dict)
    worst: float = 0.0
    measured_at: float = 0.0
    ended: int | None = None


class SpikeWatch:
    """Turn losses and measurements, as they come, into classified events.

    Attributes:
        events: Classified so far.
        wanted: The kinds of measurements that would explain the spike under way.
    """

    def __init__(self, classifier: SpikeClassifier, counter: CatapultCounter) -> None:
        self.classifier, self.counter = classifier, counter
        self.events: list[Event] = []
        self.wanted: set[Kind] = set()
        self.quadratic = True
        self._before: dict[str, float] = {}
        self._rise: _Rise | None = None
        self._finite = True
        self._recent: deque[Moment] = deque(maxlen=2)

    @property
    def rising(self) -> bool:
        """Whether a spike is under way, or over but not yet explained."""
        return self._rise is not None

    def calm(self, moments: Sequence[Moment]) -> bool:
        """Take several steps at once if no spike is under way or can open among them."""
        losses = [moment.loss for moment in moments]
        if self._rise is not None or not self._finite or not self.counter.quiet(losses):
            return False
        self._recent.extend(moments[-2:])
        return True

    def observe(self, moment: Moment) -> list[Event]:
        """Take a step; return the events it completes."""
        step, loss = moment.step, moment.loss
        found: list[Event] = []
        self._recent.append(moment)
        if not math.isfinite(loss):
            self.wanted.clear()
            if self._finite:
                self._finite = False
                if self.counter.update(loss) == "lost":
                    found += self._close(step, lost=True)
                found += self._finish()
                spike = Spike(step, finite=False, ids=self._ids())
                found.append(self._add(spike))
            return found
        self._finite = True
        phase = self.counter.update(loss)
        if phase == "opened":
            found += self._finish()  # a new rise: the last one waits no longer
            self._open(step, loss)
        elif phase == "open" and self._rise is not None:
            rise = self._rise
            rise.worst = max(rise.worst, loss)
            # Once more on the step after the opening, which has felt a bad batch, and whenever
            # the loss has grown well beyond what was measured.
            if self.counter.length == 1 or loss > 1.5 * rise.measured_at:
                self._want_split()
        elif phase == "dismissed":
            self._rise = None
            self.wanted = set()
        elif phase in ("closed", "lost") and self._rise is not None:
            found += self._close(step, lost=phase == "lost")
        elif self._rise and self._rise.ended is not None and step - self._rise.ended > _WAIT:
            found += self._finish()
        return found

    def note(self, values: Mapping[str, float]) -> list[Event]:
        """Take what a probe measured, with the loss and rate; return the event it completes."""
        rise = self._rise
        if rise is None or rise.ended is not None:
            self._before.update({key: values[key] for key in _BEFORE if key in values})
            if "stability_ratio" in values:
                self._before["measured lr"] = values["lr"]
        if rise is None:
            return []
        if "loss_top" in values:
            total = values["loss_top"] + values["loss_rest"]
            if rise.ended is None or self.counter.length <= 1:
                if total > sum(rise.peak.values()):
                    rise.peak = {key: values[key] for key in ("loss_top", "loss_rest")}
                rise.measured_at = max(rise.measured_at, values["loss"])
        if rise.ended is not None and "sharpness" in values:
            rise.spike = replace(rise.spike, sharpness_after=values["sharpness"])
            return self._finish()
        return []

    def pending(self) -> Event | None:
        """The spike under way, classified with what is known of it."""
        if self._rise is None:
            return None
        if self._rise.ended is None:
            spike = replace(self._spike(self._rise), peak_ratio=self._peak_ratio())
            return Event("unexplained", "the loss has not come back yet", spike)
        return self.classifier.classify(self._spike(self._rise))

    def _open(self, step: int, loss: float) -> None:
        before = dict(self._before)
        # The ratio is proportional to the learning rate, which a schedule may just have raised.
        measured, used = before.get("measured lr", math.nan), self._recent[0].rate
        if measured > 0 and used > 0 and "stability_ratio" in before:
            before["stability_ratio"] *= used / measured
        spike = Spike(
            step,
            ratio_before=before.get("stability_ratio", math.nan),
            sharpness_before=before.get("sharpness", math.nan),
            quadratic=self.quadratic,
            ids=self._ids(),
        )
        self._rise = _Rise(spike, before, worst=loss)
        self._want_split()

    def _close(self, step: int, *, lost: bool) -> list[Event]:
        assert self._rise is not None
        rise = self._rise
        rise.ended = step
        recovered = None if lost else step - rise.spike.step
        rise.spike = replace(
            rise.spike, peak_ratio=self._peak_ratio(), steps_to_recover=recovered, diverged=lost
        )
        if lost:
            return self._finish()
        self.wanted = {Kind.SHARPNESS}
        if self.counter.length <= 1:
            self._want_split()
        return []

    def _want_split(self) -> None:
        """Ask where the loss lies, unless the answer would not decide: it costs a kernel."""
        if self.quadratic:
            self.wanted.add(Kind.LOSS_SPLIT)

    def _finish(self) -> list[Event]:
        """Classify the spike that is over, with what was measured."""
        rise, self._rise = self._rise, None
        self.wanted = set()
        return [] if rise is None else [self._add(self._spike(rise))]

    def _spike(self, rise: _Rise) -> Spike:
        """The spike with what the loss splits before and at the peak say."""
        if not rise.peak or "loss_top" not in rise.before:
            return rise.spike
        total = rise.peak["loss_top"] + rise.peak["loss_rest"]
        base = rise.before["loss_top"] + rise.before["loss_rest"]
        gained = total - base
        return replace(
            rise.spike,
            quadratic=self.quadratic,
            probe_rise=total / base if base > 0 else math.inf,
            top_share=(rise.peak["loss_top"] - rise.before["loss_top"]) / gained
            if gained > 0
            else math.nan,
        )

    def _peak_ratio(self) -> float:
        return self.counter.peak / self.counter.level if self.counter.level else math.inf

    def _add(self, spike: Spike) -> Event:
        event = self.classifier.classify(spike)
        self.events.append(event)
        return event

    def _ids(self) -> tuple[int, ...] | None:
        """Ids of the last two steps: the loss rises on a bad batch or just after it."""
        found = [moment.ids for moment in self._recent if moment.ids is not None]
        return tuple(int(i) for ids in found for i in ids) if found else None

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs; a spike under way is carried along."""
        rise = self._rise
        return {
            "counter": self.counter.state_dict(),
            "floor": self.counter.floor,
            "events": [{"kind": e.kind, "reason": e.reason, **vars(e.spike)} for e in self.events],
            "wanted": sorted(kind.value for kind in self.wanted),
            "quadratic": self.quadratic,
            "before": dict(self._before),
            "finite": self._finite,
            "recent": [[moment.step, moment.loss, moment.rate] for moment in self._recent],
            "rise": None if rise is None else {**vars(rise), "spike": dict(vars(rise.spike))},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        # A state from before 0.2 kept the floor with the rest of the counter.
        counter = dict(state["counter"])
        self.counter.floor = state.get("floor", counter.pop("floor", self.counter.floor))
        self.counter.load_state_dict(counter)
        self.events = []
        for plain in state["events"]:
            rest = {key: value for key, value in plain.items() if key not in ("kind", "reason")}
            self.events.append(Event(plain["kind"], plain["reason"], Spike(**rest)))
        self.wanted = {Kind(value) for value in state["wanted"]}
        self.quadratic = state["quadratic"]
        self._before, self._finite = dict(state["before"]), state["finite"]
        self._recent = deque(
            (Moment(at, loss, rate, None) for at, loss, rate in state["recent"]), maxlen=2
        )
        self._rise = None
        if state["rise"] is not None:
            self._rise = _Rise(**{**state["rise"], "spike": Spike(**state["rise"]["spike"])})
