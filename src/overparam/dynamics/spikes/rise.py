"""A spike on its way to an event: what is kept of it meanwhile, and what it becomes."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from overparam.dynamics.events import Event, Kind, Spike
from overparam.dynamics.spikes.causes import Verdict
from overparam.dynamics.spikes.examiner import Readings
from overparam.dynamics.spikes.outcome import Outcome, named

# Least part of a squared error's rise in the leading eigenvectors, and largest part of the
# sharpness that is left, in a catapult.
_SHARE, _KEPT = 0.95, 0.95


@dataclass
class Rise:
    """A spike that is not an event yet.

    Attributes:
        spike: What was measured.
        before: The last measurements before it.
        peak: The largest loss split in it.
        worst: The largest loss.
        measured_at: The loss at which the split was measured.
        ended: The step at which it was over.
        outcome: How.
        verdict: Its cause, as far as is known.
        readings: The losses that tell data from weights.
        examined: Whether they have been asked for.
        afforded: Whether measurements may be borrowed for it.
    """

    spike: Spike
    before: dict[str, float]
    peak: dict[str, float] = field(default_factory=dict)
    worst: float = 0.0
    measured_at: float = 0.0
    ended: int | None = None
    outcome: Outcome = "under way"
    verdict: Verdict | None = None
    readings: Readings | None = None
    examined: bool = False
    afforded: bool = True

    def to_dict(self) -> dict[str, Any]:
        """In plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Rise":
        """From plain data, also of an earlier version."""
        verdict, readings = plain.get("verdict"), plain.get("readings")
        return cls(
            **{
                **plain,
                "spike": Spike(**plain["spike"]),
                "verdict": None if verdict is None else Verdict(**verdict),
                "readings": None if readings is None else Readings(**readings),
            }
        )


def split_of(rise: Rise, quadratic: bool) -> Spike:
    """The spike with what the loss splits before and at the peak say."""
    if not rise.peak or "loss_top" not in rise.before:
        return rise.spike
    total = rise.peak["loss_top"] + rise.peak["loss_rest"]
    base = rise.before["loss_top"] + rise.before["loss_rest"]
    gained = total - base
    return replace(
        rise.spike,
        quadratic=quadratic,
        probe_rise=total / base if base > 0 else math.inf,
        top_share=(rise.peak["loss_top"] - rise.before["loss_top"]) / gained
        if gained > 0
        else math.nan,
    )


def event_of(rise: Rise, verdict: Verdict, quadratic: bool) -> Event:
    """What a spike that is over was."""
    spike = split_of(rise, quadratic)
    kept = spike.sharpness_after / spike.sharpness_before if spike.sharpness_before else 0.0
    refuted = kept > _KEPT or (quadratic and spike.top_share < _SHARE)
    above = spike.ratio_before > 1 and not refuted
    return event_as(spike, verdict, named(rise.outcome, verdict.cause, above=above))


def event_as(spike: Spike, verdict: Verdict, outcome: Outcome) -> Event:
    """A spike with its cause and outcome."""
    kind: Kind = verdict.cause
    if not spike.finite:
        kind = "non-finite"
    elif outcome == "catapult" or outcome == "divergence":
        kind = outcome
    elif outcome == "lost" and verdict.cause == "unexplained":
        kind = "divergence"
    return Event(
        kind, verdict.reason, spike, verdict.cause, outcome, verdict.layers, verdict.groups,
        tuple(verdict.missing),
    )  # fmt: skip


def event_plain(event: Event) -> dict[str, Any]:
    """An event to save."""
    rest = {key: value for key, value in vars(event).items() if key != "spike"}
    return {**rest, **vars(event.spike)}


def event_from(plain: Mapping[str, Any]) -> Event:
    """An event that was saved, also by an earlier version."""
    own = ("kind", "reason", "cause", "outcome", "layers", "groups", "missing")
    spike = Spike(**{key: value for key, value in plain.items() if key not in own})
    return Event(spike=spike, **{key: plain[key] for key in own if key in plain})
