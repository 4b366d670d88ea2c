"""Loss spikes: what was measured of one, and what it was."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from overparam._checked import checked

Kind = Literal[
    "catapult", "divergence", "non-finite", "bad batch", "hard batch", "data switched",
    "rate raised", "above the limit", "weights changed", "state lost", "stale moments",
    "gradient scale", "numerical", "unexplained",
]  # fmt: skip


@dataclass(frozen=True)
class Spike:
    """What was measured of a rise of the loss; `nan` is not measured.

    Attributes:
        step: Optimizer step at which it opened.
        peak_ratio: Largest loss over the loss before, if that is not below zero.
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
        batch_share: Part of the rise that its batch shows at the weights of some steps before:
            about 1 if the data are to blame, about 0 if the weights are.
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
    batch_share: float = math.nan


@dataclass(frozen=True)
class Event:
    """A spike with its cause.

    Attributes:
        kind: In a word or two: the outcome where it says more, ``"catapult"`` or
            ``"divergence"``; ``"non-finite"`` where the loss was; else the cause.
        reason: The comparison that decided, with its numbers, or what was not measured.
        spike: The measurements.
        cause: What made the loss rise: ``"above the limit"``, ``"rate raised"``,
            ``"bad batch"``, ``"hard batch"`` (one, and it was over at once), ``"data
            switched"``, ``"weights changed"`` and ``"state lost"`` (from outside the
            optimizer), ``"stale moments"``, ``"gradient scale"``, ``"numerical"`` or
            ``"unexplained"``. Empty in records of earlier versions.
        outcome: What became of it: ``"under way"``, ``"recovered"``, ``"lasting"`` (another
            level), ``"lost"``; ``"catapult"`` and ``"divergence"`` are recovered and lost with
            a rate above its limit.
        layers: Modules in which it began; empty if not known, or all.
        groups: Parameter groups whose rate did it; likewise.
        missing: Of an unexplained one, what was not known that could have decided: ``"log"``
            (steps too short to log), ``"batch"`` (none was passed), ``"look"`` (it was gone),
            ``"loss"``, ``"time"`` (for losses at earlier weights), ``"stability ratio"``, or a
            sentence on what failed.
    """

    kind: Kind
    reason: str
    spike: Spike
    cause: str = ""
    outcome: str = ""
    layers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        """Optimizer step at which the spike opened."""
        return self.spike.step

    def to_dict(self) -> dict[str, Any]:
        """Flat plain data; what was not measured is `None`."""
        plain = {
            "kind": self.kind, "cause": self.cause, "outcome": self.outcome,
            "reason": self.reason, "layers": list(self.layers), "groups": list(self.groups),
            "missing": list(self.missing),
            **asdict(self.spike),
        }  # fmt: skip
        for name, value in plain.items():
            if isinstance(value, float) and not math.isfinite(value):
                plain[name] = None
        plain["ids"] = None if self.spike.ids is None else list(self.spike.ids)
        return plain


@checked
@dataclass(frozen=True)
class SpikeClassifier:
    """Tell a catapult from a bad batch and from divergence, by what was measured of a spike.

    A `Monitor` knows more of a run, and judges by that; this is for measurements of your own.

    A spike is a catapult iff all three hold:

        learning rate > critical rate before the rise        (ratio_before > limit)
        the rise lies in the top eigenspace                  (top_share ≥ share)
        the sharpness is lower when the loss is back         (after ≤ (1 − fall) · before)

    One that does not come back is divergence, one with a loss that is not finite is called so.
    It is a bad batch if the batch shows most of the rise at earlier weights, too, or if the
    loss on a fixed set did not rise. The rest is unexplained: that it is no catapult does not
    say what it is.

    The second condition is for squared error, whose rise splits exactly. With another loss the
    eigenspace turns while the loss rises (cross-entropy: its curvature depends on confidence),
    the share stays far below one in a catapult, and the rule goes by the other two.

    Args:
        limit: Stability ratio above which a step is super-critical. The ratio is relative to
            the optimizer's own limit, so 1 whatever its momentum.
        share: Least part of the rise in the top (five) eigenvectors.
        fall: Least relative fall of the sharpness.
        batch: Least part of the rise that a bad batch shows at earlier weights.

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
    batch: float = 0.75

    def classify(self, spike: Spike) -> Event:
        """The spike with its kind and the reason for it."""
        if not spike.finite:
            return Event("non-finite", "the loss is NaN or infinite", spike)
        if spike.diverged:
            return Event("divergence", "the loss did not come back", spike)
        if spike.batch_share > self.batch:
            reason = f"{spike.batch_share:.0%} of the rise shows at earlier weights, too"
            return Event("bad batch", reason, spike)
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
            return Event("unexplained", "not a catapult: " + ", ".join(failed), spike)
        missing = [name for name, (value, _) in tests.items() if math.isnan(value)]
        if missing:
            return Event("unexplained", "not measured: " + ", ".join(missing), spike)
        numbers = ", ".join(f"{name} {value:.3g}" for name, (value, _) in tests.items())
        return Event("catapult", numbers, spike)
