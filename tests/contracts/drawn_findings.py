"""Findings of any kind, drawn for the contracts of what is said of them."""

import math

from hypothesis import strategies as st

from overparam.diagnosis.findings import Findings
from overparam.diagnosis.label_evidence import LabelEvidence
from overparam.diagnosis.race.outcome import Outcome, Trial
from overparam.optim import NoiseScale

RATES = st.sampled_from([2.0**k for k in range(-12, 4)])
LOSS = st.one_of(st.floats(1e-6, 10), st.just(math.inf))
MAYBE = st.one_of(st.just(math.nan), st.floats(0, 10))

OUTCOME = Outcome(
    losses={0.1: 0.5, 0.2: 0.3, 0.4: 0.7}, horizon=400, planned=400, epoch=40, learned=True,
    ceiling=math.inf, own={1e-3: 1.4}, pair=(), spent=1500, step_seconds=1e-3,
    trials=tuple(
        Trial(rate, 0, 400, loss, False, ())
        for rate, loss in ((1e-3, 1.4), (0.1, 0.5), (0.2, 0.3), (0.4, 0.7))
    ),
    stopped="finished",
)  # fmt: skip


@st.composite
def outcomes(draw, given: bool = True) -> Outcome:
    """A race of any result; without a rate of the user's none of theirs was compared."""
    low = draw(RATES)
    losses = {low * 2**i: draw(LOSS) for i in range(draw(st.integers(0, 6)))}
    kept = any(math.isfinite(loss) for loss in losses.values())
    planned = draw(st.one_of(st.none(), st.integers(1, 5000)))
    horizon = draw(st.integers(1, planned or 5000)) if losses else 0
    second = {rate: draw(st.floats(1e-6, 10)) for rate in losses}
    own = {draw(RATES): draw(LOSS)} if given and draw(st.booleans()) else {}
    # A race that compared the user's rate among its own does not train it once more.
    own |= {rate: losses[rate] for rate in own if rate in losses}
    began = draw(st.floats(1e-3, 12))
    return Outcome(
        losses=losses, horizon=horizon, planned=planned, epoch=draw(st.integers(1, 200)),
        learned=kept and draw(st.booleans()), ceiling=draw(st.one_of(RATES, st.just(math.inf))),
        own=own, pair=(losses, second) if kept and draw(st.booleans()) else (), spent=3 * horizon,
        step_seconds=draw(st.sampled_from([math.nan, 1e-3, 2.0])),
        trials=tuple(
            Trial(rate, 0, horizon, loss, math.isinf(loss), (began,) * 4)
            for rate, loss in (losses | own).items()
        ),
        stopped=draw(st.sampled_from(["finished", "budget", "interrupted"])),
    )  # fmt: skip


@st.composite
def evidences(draw) -> LabelEvidence:
    """Any counts of labels."""
    sure = draw(st.integers(1, 500))
    share, classes = st.floats(0, 1), draw(st.integers(2, 100))
    return LabelEvidence(
        epoch=draw(st.integers(1, 50)), classes=classes, n_train=1000,
        held_out=2 * sure, error=draw(share), error_by_class=draw(share), sure=sure,
        sure_wrong=draw(st.integers(0, sure)),
        implausible=draw(st.integers(0, 2 * sure)) if classes > 2 else None,
        excess=draw(st.floats(-1, 1)), excess_deviation=draw(st.floats(1e-3, 1)),
        excess_error=draw(share), suspects=draw(st.integers(0, 300)), learned=draw(share),
    )  # fmt: skip


@st.composite
def findings(draw) -> Findings:
    """Any combination of numbers that a run may leave behind."""
    given = draw(st.booleans())
    outcome, diverged = draw(outcomes(given)), draw(st.booleans())
    steps, scheduled = draw(st.integers(1, 5000)), draw(st.booleans())
    own = list(outcome.own) or [draw(RATES)]
    events = draw(st.lists(st.sampled_from(["catapult", "bad batch", "divergence", "non-finite"])))
    return Findings(
        optimizer="SGD", outcome=outcome, rate=own[0], rate_given=given,
        batch_size=32, n_train=1000, limits=draw(st.lists(MAYBE, max_size=9)),
        ratios=draw(st.lists(st.floats(1e-6, 100), max_size=12)), steps=steps,
        cut=draw(st.one_of(st.none(), st.integers(steps + 1, 10_000))),
        stopped="diverged" if diverged else draw(st.sampled_from(["budget", "interpolated"])),
        kernel_step=draw(st.one_of(st.none(), st.integers(1, steps))),
        held_out=draw(st.booleans()), numeric=draw(st.booleans()),
        unsettled=draw(st.integers(0, 3)), events=[{"kind": kind} for kind in events],
        losses=draw(st.lists(MAYBE, max_size=12)), train_error=draw(MAYBE),
        test_errors=draw(st.lists(MAYBE, max_size=5)), labels=draw(st.booleans()),
        label_evidence=draw(st.one_of(st.none(), evidences())), epochs=draw(st.floats(0, 100)),
        diverged=diverged, output_spread=draw(MAYBE), kernel_change=draw(MAYBE),
        linearization_error=draw(MAYBE), input_share=draw(st.lists(MAYBE, max_size=4)),
        noise=draw(st.one_of(st.none(), st.builds(NoiseScale, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE))),
        noise_times=draw(st.integers(0, 40)), budget=draw(st.sampled_from([30.0, 3600.0])),
        n_test=draw(st.sampled_from([0, 40, 5000])), scheduled=scheduled,
        highest=own[0] * draw(st.sampled_from([1e-3, 0.5, 1.0])) if scheduled else math.nan,
        test_guess=draw(st.one_of(st.just(math.nan), st.floats(0, 1))),
        overhead=draw(MAYBE), test_measure=draw(st.sampled_from(["error", "loss"])),
        unmeasured=draw(st.sampled_from(["", "", "", "the loss is in the model. Pass loss=."])),
    )  # fmt: skip
