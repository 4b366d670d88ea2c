"""Follow a run's loss through its rises, and ask for the measurements that explain them."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from overparam._types import Batch
from overparam.dynamics.budget import OverheadBudget
from overparam.dynamics.events import Event, Spike
from overparam.dynamics.loss_stream import Moment
from overparam.dynamics.probes.probe import Kind
from overparam.dynamics.spikes.causes import LATER, Verdict, judge
from overparam.dynamics.spikes.detector import Detector
from overparam.dynamics.spikes.early_warning import EarlyWarning
from overparam.dynamics.spikes.examiner import Examiner
from overparam.dynamics.spikes.outcome import Outcome, ended
from overparam.dynamics.spikes.rise import (
    Rise,
    event_as,
    event_from,
    event_of,
    event_plain,
    split_of,
)
from overparam.dynamics.subject import Subject

# Steps to wait for the sharpness after a spike before it is an event without.
_WAIT = 100
# Part of what is lent that rises to less than twice the level may use up.
_SMALL = 1 / 2
# The part of the way to the limit that is left when a loss is looked at on its step.
_EARLY = 3
_BEFORE = ("stability_ratio", "sharpness", "loss_top", "loss_rest")


class SpikeWatch:
    """Turn losses and measurements, as they come, into events with a cause and an outcome.

    Args:
        subject: What is trained.
        budget: What explaining may cost.
        window: Steps a loss is compared with.

    Attributes:
        events: Explained so far.
        wanted: The kinds of measurements that would explain the spike under way.
        alarm: A loss above it has to be looked at on its own step.
    """

    def __init__(self, subject: Subject, budget: OverheadBudget, window: int = 25) -> None:
        self.budget = budget
        self.detector = Detector(window)
        self.counter = self.detector.counter
        self.examiner = Examiner(subject, budget)
        self.events: list[Event] = []
        self.wanted: set[Kind] = set()
        self.quadratic = True
        self.alarm = math.inf
        self._before: dict[str, float] = {}
        self._rise: Rise | None = None
        self._finite = True
        self._recent: deque[Moment] = deque(maxlen=64)

    @property
    def rising(self) -> bool:
        """Whether a spike is under way, or over but not yet explained."""
        return self._rise is not None

    @property
    def under_way(self) -> bool:
        """Whether the loss has risen and is not back, so that each step counts.

        It does not where nothing can be found out: no more is lent, and steps are not logged.
        """
        rise = self._rise
        if rise is None or rise.ended is not None:
            return False
        return rise.afforded or self.examiner.log.detail > 0

    @property
    def warnings(self) -> list[EarlyWarning]:
        """Words before the loss rose, of all steps up to now."""
        self.examiner.catch_up()
        return self.examiner.lookout.warnings

    def calm(self, moments: Sequence[Moment]) -> bool:
        """Take several steps at once if no spike is under way or can open among them."""
        losses = [moment.loss for moment in moments]
        if self._rise is not None or not self._finite or not self.counter.quiet(losses):
            return False
        self._recent.extend(moments)
        return True

    def observe(self, moment: Moment) -> list[Event]:
        """Take a step; return the events it completes."""
        step, loss = moment.step, moment.loss
        found: list[Event] = []
        self._recent.append(moment)
        if not math.isfinite(loss):
            return self._lose(step)
        self._finite = True
        phase = self.detector.update(loss)
        rise = self._rise
        if phase == "opened":
            found += self._finish()  # a new rise: the last one waits no longer
            self._open(step, loss)
        elif phase == "open" and rise is not None:
            rise.worst = max(rise.worst, loss)
            # Once more on the step after the opening, which has felt a bad batch, and whenever
            # the loss has grown well beyond what was measured.
            if self.counter.length == 1 or loss > 1.5 * rise.measured_at:
                self._want_split()
        elif phase == "dismissed" and rise is not None:
            found += self._dismiss(step)
        elif phase in ("closed", "lost") and rise is not None:
            found += self._close(step, ended(phase, loss, self.counter.level, self.counter.first))
        elif rise and rise.ended is not None and step - rise.ended > _WAIT:
            found += self._finish()
        return found

    def attend(self, step: int, batch: Batch | None) -> list[Event]:
        """Take a look: gather what explains a spike while it can be had.

        Args:
            step: The present one, before the optimizer steps.
            batch: Its batch, if it was passed.

        Returns:
            The events that this completes.
        """
        rise = self._rise
        over = rise is None or rise.ended is not None
        self.examiner.attend(step, batch, calm=over and self._finite)
        self.alarm = self._alarm() if over else -math.inf if self.under_way else math.inf
        if rise is None:
            return []
        opened = rise.spike.step
        if not rise.examined:
            rise.examined = True
            level = rise.before.get("level", self.counter.level)
            rise.readings = self.examiner.open(
                opened, step, self._losses(), level, self.counter.first, afforded=rise.afforded
            )
        elif rise.readings is not None and rise.ended is None:
            rise.readings = self.examiner.later(rise.readings, batch)
        if not rise.spike.finite:
            return self._finish()
        # Where nothing more can be found out the next look is far off, and may come too late.
        first = rise.verdict is None and (step > opened or not rise.afforded)
        if rise.ended is None and (first or opened < step <= opened + LATER + 1):
            rise.verdict = self._judge(rise)
        return []

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
        """The spike under way, with what is known of it."""
        rise = self._rise
        if rise is None:
            return None
        if rise.ended is not None:
            return self._event(rise)
        spike = replace(split_of(rise, self.quadratic), peak_ratio=self.detector.peak_ratio)
        verdict = rise.verdict
        if verdict is None or verdict.cause == "unexplained":
            verdict = Verdict("unexplained", "the loss has not come back yet")
        return event_as(spike, verdict, "under way")

    def _alarm(self) -> float:
        """A loss that may open a rise before the next look, by when the limit may have fallen."""
        limit = self.counter.limit
        return limit - (limit - self.detector.level) / _EARLY if math.isfinite(limit) else limit

    def close(self) -> None:
        """Leave the optimizer alone."""
        self.examiner.close()

    def _open(self, step: int, loss: float) -> None:
        before = dict(self._before)
        # The ratio is proportional to the learning rate, which a schedule may just have raised.
        measured, used = before.get("measured lr", math.nan), self._recent[-2].rate
        if measured > 0 and used > 0 and "stability_ratio" in before:
            before["stability_ratio"] *= used / measured
        spike = Spike(
            step,
            ratio_before=before.get("stability_ratio", math.nan),
            sharpness_before=before.get("sharpness", math.nan),
            quadratic=self.quadratic,
            ids=self._ids(),
        )
        # Rises that will as a rule turn out to be none must not use up what others need.
        lent = 1.0 if self.detector.worthy else _SMALL
        self._rise = Rise(spike, before, worst=loss, afforded=self.budget.lends(lent))
        self._want_split()

    def _lose(self, step: int) -> list[Event]:
        """The loss is not finite: that ends a rise, and is one."""
        self.wanted.clear()
        if not self._finite:
            return []
        self._finite = False
        level = self.detector.level
        if self.detector.update(math.nan) == "lost":
            self._end(step, "lost")
        found = self._finish()
        spike = Spike(step, finite=False, ids=self._ids())
        self._rise = Rise(spike, {"level": level}, ended=step, outcome="lost")
        return found

    def _dismiss(self, step: int) -> list[Event]:
        """A small rise that is over at once is an event only if something says what it was."""
        assert self._rise is not None
        self._end(step, "recovered")
        verdict = self._judge(self._rise, small=True)
        slight = verdict.cause == "hard batch" and not self.detector.worthy
        if slight or verdict.cause in ("unexplained", "above the limit"):
            self._rise, self.wanted = None, set()
            return []
        self._rise.verdict = verdict
        return self._finish()

    def _close(self, step: int, outcome: Outcome) -> list[Event]:
        rise = self._rise
        assert rise is not None
        self._end(step, outcome)
        # Later the log no longer reaches back to the opening.
        if rise.verdict is None or step <= rise.spike.step + LATER + 1:
            rise.verdict = self._judge(rise)
        if outcome != "recovered" or not rise.afforded:
            return self._finish()
        self.wanted = {Kind.SHARPNESS}
        if self.counter.length <= 1:
            self._want_split()
        return []

    def _end(self, step: int, outcome: Outcome) -> None:
        rise = self._rise
        assert rise is not None
        rise.ended, rise.outcome = step, outcome
        rise.spike = replace(
            rise.spike,
            peak_ratio=self.detector.peak_ratio,
            steps_to_recover=step - rise.spike.step if outcome == "recovered" else None,
            diverged=outcome == "lost",
        )

    def _want_split(self) -> None:
        """Ask where the loss lies, unless the answer would not decide: it costs a kernel."""
        if self.quadratic and self._rise is not None and self._rise.afforded:
            self.wanted.add(Kind.LOSS_SPLIT)

    def _finish(self) -> list[Event]:
        """Make an event of the spike that is over, with what was measured."""
        rise, self.wanted = self._rise, set()
        if rise is None:
            return []
        event = self._event(rise)
        self._rise = None
        self.events.append(event)
        return [event]

    def _judge(self, rise: Rise, *, small: bool = False) -> Verdict:
        step = rise.spike.step
        level = rise.before.get("level", self.counter.level)
        first = self.counter.first
        evidence = self.examiner.evidence(
            step, self._losses(), self._rates(), level, first, rise.readings
        )
        evidence = replace(evidence, ratio=rise.spike.ratio_before, small=small)
        spike = rise.spike
        rise.spike = replace(
            spike,
            batch_share=evidence.share,
            probe_rise=max(spike.probe_rise, evidence.probe)
            if evidence.probe == evidence.probe and not evidence.below
            else spike.probe_rise,
        )
        return judge(evidence)

    def _event(self, rise: Rise) -> Event:
        return event_of(rise, rise.verdict or self._judge(rise), self.quadratic)

    def _losses(self) -> dict[int, float]:
        return {moment.step: moment.loss for moment in self._recent}

    def _rates(self) -> dict[int, float]:
        return {moment.step: moment.rate for moment in self._recent}

    def _ids(self) -> tuple[int, ...] | None:
        """Ids of the last two steps: the loss rises on a bad batch or just after it."""
        last = list(self._recent)[-2:]
        found = [moment.ids for moment in last if moment.ids is not None]
        return tuple(int(i) for ids in found for i in ids) if found else None

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs; a spike under way is carried along.

        The snapshot is not: it is renewed within some steps.
        """
        return {
            "counter": self.counter.state_dict(),
            "floor": self.counter.floor,
            "detector": self.detector.state_dict(),
            "events": [event_plain(event) for event in self.events],
            "wanted": sorted(kind.value for kind in self.wanted),
            "quadratic": self.quadratic,
            "before": dict(self._before),
            "finite": self._finite,
            "recent": [[moment.step, moment.loss, moment.rate] for moment in self._recent],
            "rise": None if self._rise is None else self._rise.to_dict(),
            "examiner": self.examiner.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        # A state from before 0.2 kept the floor with the rest of the counter.
        counter = dict(state["counter"])
        self.counter.floor = state.get("floor", counter.pop("floor", self.counter.floor))
        self.counter.load_state_dict(counter)
        if "detector" in state:
            self.detector.load_state_dict(state["detector"])
        self.events = [event_from(plain) for plain in state["events"]]
        self.wanted = {Kind(value) for value in state["wanted"]}
        self.quadratic = state["quadratic"]
        self._before, self._finite = dict(state["before"]), state["finite"]
        moments = (Moment(at, loss, rate, None) for at, loss, rate in state["recent"])
        self._recent = deque(moments, maxlen=self._recent.maxlen)
        self._rise = None if state["rise"] is None else Rise.from_dict(state["rise"])
        if "examiner" in state:
            self.examiner.load_state_dict(state["examiner"])
