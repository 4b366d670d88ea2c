"""From evidence to a cause: named tests, tried in order; the first that holds decides.

To add a cause, write a test and put it into `TESTS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from overparam.dynamics.spikes.evidence import Evidence, Names

Cause = Literal[
    "numerical", "weights changed", "state lost", "gradient scale", "stale moments", "bad batch",
    "hard batch", "data switched", "rate raised", "above the limit", "unexplained",
]  # fmt: skip

# Part of a rise that the batch shows at earlier weights, from which on the data are to blame.
_SHARE = 0.75
# Part of a rise that the fixed batch may show then.
_PROBE = 0.25
# A rate below this part of its limit is not above it, however roughly that was measured.
FAR = 0.01
# Batches that are looked at to tell one bad batch from others to come.
LATER = 5


@dataclass(frozen=True)
class Verdict:
    """A cause, what decided, and where it sits.

    Attributes:
        cause: Of the list above.
        reason: The comparison, with its numbers.
        layers: The layers it began in; empty is all of them, or not known.
        groups: The optimizer's groups concerned; empty likewise.
        missing: Of an unexplained rise, what was not known that could have decided: keys of
            `MISSING`, or a sentence.
    """

    cause: Cause
    reason: str
    layers: Names = ()
    groups: Names = ()
    missing: Names = ()


# What may not be known of a rise, in the words of a monitor.
MISSING = {
    "log": "steps are too short to log within max_overhead",
    "batch": "no batch was measured: pass batch= at every step",
    "look": "its batch was gone when the rise was looked at",
    "loss": "the model's own loss is not known yet",
    "time": "max_overhead leaves no time for losses at earlier weights",
    "stability ratio": "not measured: stability ratio",
}


def cannot_tell(missing: Sequence[str], words: Mapping[str, str] = MISSING) -> str:
    """The reason of a rise that nothing explains, from what was not known of it."""
    return f"cannot tell: {'; '.join(words.get(one, one) for one in missing) or 'no test holds'}"


def judge(e: Evidence) -> Verdict:
    """The first cause whose test holds, or "unexplained"."""
    for test in TESTS:
        verdict = test(e)
        if verdict is not None:
            return verdict
    missing = _missing(e)
    return Verdict("unexplained", cannot_tell(missing), e.first, missing=missing)


def spoiled_batch(e: Evidence) -> Verdict | None:
    """The batch holds what no network makes a number of."""
    if e.spoiled:
        return Verdict("bad batch", "the batch holds numbers that are not finite")
    return None


def not_finite(e: Evidence) -> Verdict | None:
    """A gradient or the loss was not finite, though the loss was as before."""
    if e.finite and not e.not_finite:
        return None
    if e.earlier >= 2:
        reason = f"the loss was {_high(e.earlier, e)} before it ceased to be finite"
        return Verdict("above the limit", reason, e.first)
    if e.not_finite:
        return Verdict("numerical", "a gradient was not finite", e.not_finite)
    if e.infinite:
        return Verdict("numerical", "weights are not finite", e.infinite)
    if e.forward:
        reason = f"NaN or infinity is born in the forward pass, in {e.forward}"
        return Verdict("numerical", reason, (e.forward,))
    return Verdict("numerical", "the loss is NaN or infinite")


def weights_changed(e: Evidence) -> Verdict | None:
    """Weights are not what the step before had left."""
    if not e.changed:
        return None
    return Verdict("weights changed", "weights were changed between two steps", e.changed)


def state_lost(e: Evidence) -> Verdict | None:
    """Moments are not."""
    if not e.lost:
        return None
    reason = "the optimizer's moments or step count were changed between two steps"
    return Verdict("state lost", reason, e.lost)


def gradient_scale(e: Evidence) -> Verdict | None:
    """All gradients were longer alike, at a loss that was as before."""
    if e.alike > 20 and e.alike_loss < 3 and not e.ramp >= 1.3 and not e.sustained:
        reason = f"gradients of all layers were ×{e.alike:.3g} or more of normal"
        return Verdict("gradient scale", f"{reason}, with the loss {_high(e.alike_loss, e)}")
    return None


def stale_moments(e: Evidence) -> Verdict | None:
    """A layer's gradients are not of the size that its second moments expect."""
    if e.sustained and e.alike_loss < 3 and not e.ramp >= 1.3:
        reason = f"gradients are ×{e.alike:.3g} or more of what second moments expect, and stay so"
        return Verdict("stale moments", reason, e.stale)
    # Longer updates than that are of a rate above its limit, whose gradients grow, too.
    theirs = 3 * max(e.rate, 1) < e.updates < 2 * e.moments and not e.cosine < -0.2
    if e.moments > 4 and theirs and e.ramp < 1.3:
        reason = f"√(Σg²/Σv) ×{e.moments:.3g} and updates ×{e.updates:.3g} of normal"
        return Verdict("stale moments", reason, e.stale)
    return None


def data(e: Evidence) -> Verdict | None:
    """The batch shows the rise at earlier weights, too, and a fixed batch does not."""
    # Weights that had begun to move by then say nothing of those before.
    moved = e.updates > 3 and (e.ramp > 2 or e.age <= 3)
    if e.same_batch or moved:
        return None
    if e.probe - 1 >= _PROBE * (e.rise - 1):
        return None
    if e.foreign > 1.3:
        # Of an accumulated step only one batch is known, and the loss comes from another.
        if not e.probe - 1 < _PROBE / 2 * (e.rise - 1):
            return None
        high = _high(e.probe, e)
        reason = f"the loss on the fixed batch is {high}, that of the batch passed normal"
        return Verdict("bad batch", reason)
    if not e.share > _SHARE:
        return None
    reason = f"{min(e.share, 1):.0%} of the rise shows at earlier weights, too"
    high = sum(value > 1 + 0.5 * (e.rise - 1) for value in e.later)
    if len(e.later) >= 3 and high >= 0.8 * len(e.later):
        return Verdict("data switched", f"{reason}, and so do {high} of the next {len(e.later)}")
    if e.small:
        return Verdict("hard batch", f"{reason}; it is small, and over at once")
    return Verdict("bad batch", reason)


def rate_raised(e: Evidence) -> Verdict | None:
    """A group's rate has just been raised."""
    if not e.jump > 1.4:
        return None
    ratio = f", to {e.ratio:.3g} of its limit" if e.ratio > 0 else ""
    reason = f"the rate was raised ×{e.jump:.3g} in a step{ratio}"
    return Verdict("rate raised", reason, e.first, e.jumped)


def longer_gradient(e: Evidence) -> Verdict | None:
    """A gradient was far longer than normal, at a loss that was as before."""
    steady = not e.ramp >= 1.3 and not e.cosine <= -0.4
    if e.gradient > 20 and e.gradient_loss < 1.5 and steady:
        high = _high(e.gradient_loss, e)
        reason = f"the gradient was ×{e.gradient:.3g} of normal, with the loss {high}"
        return Verdict("gradient scale", reason, e.gradient_layers)
    return None


def above_the_limit(e: Evidence) -> Verdict | None:
    """The rate climbs, gradients turn against each other, or the ratio is above 1."""
    if e.ratio < FAR:
        return None
    signs = [
        f"the rate grew ×{e.ramp:.3g}" * (e.ramp > 1.3),
        f"gradients turn about, cosine {e.cosine:.2f}" * (e.cosine < -0.2),
        f"stability ratio {e.ratio:.3g}" * (e.ratio > 1 and e.untouched is not False),
        f"steps went too far, cosine {e.against:.2f}"
        * (e.untouched is True and e.against < -0.2 and _by_weights(e)),
    ]
    if not any(signs):
        return None
    reason = ", ".join(sign for sign in signs if sign)
    return Verdict("above the limit", reason, e.climbing or e.first)


def grown_from_within(e: Evidence) -> Verdict | None:
    """The network got worse on a fixed batch, and it had begun before."""
    if e.ratio < FAR:
        return None
    high = _high(e.probe, e)
    if e.probe > 1.2 and e.untouched and _by_weights(e):
        reason = f"inferred: the loss on the fixed batch is {high}, and nothing else has come in"
        return Verdict("above the limit", reason, e.first)
    if not e.logged and not e.untouched:
        return None  # others may have come in
    if e.probe > 1.2 and (e.gradient > 1.5 or e.earlier > 1.5):
        reason = f"inferred: the loss on the fixed batch is {high}, and the rise began before"
        return Verdict("above the limit", reason, e.first)
    return None


TESTS: tuple[Callable[[Evidence], Verdict | None], ...] = (
    spoiled_batch,
    weights_changed,  # whatever else, even NaN, may come of it
    not_finite,
    state_lost,
    gradient_scale,
    stale_moments,
    data,
    rate_raised,
    longer_gradient,
    above_the_limit,
    grown_from_within,
)


def _by_weights(e: Evidence) -> bool:
    """Whether most of the rise is known not to be that of the batch."""
    return bool(e.same_batch) or e.share < 0.5 or e.probe - 1 >= 0.5 * (e.rise - 1)


def _high(factor: float, e: Evidence) -> str:
    """How high a loss was over the level, in words that hold below zero, too."""
    return f"up by {factor - 1:.2g} of its fall" if e.below else f"×{factor:.3g}"


def _missing(e: Evidence) -> Names:
    """What was not known that could have decided."""
    found = [f"not measured, since {e.trouble}"] if e.trouble else []
    if e.logged < 5:
        found.append("log")
    if e.share != e.share and not e.same_batch and not e.trouble:
        found.append(e.unread or "look")
    if e.ratio != e.ratio:
        found.append("stability ratio")
    return tuple(found)
