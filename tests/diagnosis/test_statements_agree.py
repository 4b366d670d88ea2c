"""No two statements of a diagnosis advise opposite things, whatever was found."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from overparam._statement import Statement
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.label_evidence import LabelEvidence
from overparam.diagnosis.race.outcome import Outcome, Trial
from overparam.diagnosis.statements import conclude, dead, fell
from overparam.optim import NoiseScale

RATES = st.sampled_from([2.0**k for k in range(-12, 4)])
LOSS = st.one_of(st.floats(1e-6, 10), st.just(math.inf))
MAYBE = st.one_of(st.just(math.nan), st.floats(0, 10))


@st.composite
def outcomes(draw) -> Outcome:
    """A race of any result."""
    low = draw(RATES)
    losses = {low * 2**i: draw(LOSS) for i in range(draw(st.integers(0, 6)))}
    kept = any(math.isfinite(loss) for loss in losses.values())
    planned = draw(st.one_of(st.none(), st.integers(1, 5000)))
    horizon = draw(st.integers(1, planned or 5000)) if losses else 0
    second = {rate: draw(st.floats(1e-6, 10)) for rate in losses}
    own = {draw(RATES): draw(LOSS)} if draw(st.booleans()) else {}
    return Outcome(
        losses=losses, horizon=horizon, planned=planned, epoch=draw(st.integers(1, 200)),
        learned=kept and draw(st.booleans()), ceiling=draw(st.one_of(RATES, st.just(math.inf))),
        own=own, pair=(losses, second) if kept and draw(st.booleans()) else (), spent=3 * horizon,
        step_seconds=draw(st.sampled_from([math.nan, 1e-3, 2.0])),
        trials=tuple(
            Trial(rate, 0, horizon, loss, math.isinf(loss), ()) for rate, loss in losses.items()
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
    outcome = draw(outcomes())
    own = list(outcome.own) or [draw(RATES)]
    events = draw(st.lists(st.sampled_from(["catapult", "bad batch", "divergence", "non-finite"])))
    return Findings(
        optimizer="SGD", outcome=outcome, rate=own[0], rate_given=draw(st.booleans()),
        batch_size=32, n_train=1000, limit=draw(MAYBE), ratios=draw(st.lists(MAYBE, max_size=5)),
        unsettled=draw(st.integers(0, 3)), events=[{"kind": kind} for kind in events],
        losses=draw(st.lists(MAYBE, max_size=12)), train_error=draw(MAYBE),
        test_errors=draw(st.lists(MAYBE, max_size=5)), labels=draw(st.booleans()),
        label_evidence=draw(st.one_of(st.none(), evidences())), epochs=draw(st.floats(0, 100)),
        diverged=draw(st.booleans()), output_spread=draw(MAYBE), kernel_change=draw(MAYBE),
        linearization_error=draw(MAYBE), input_share=draw(st.lists(MAYBE, max_size=4)),
        noise=draw(st.one_of(st.none(), st.builds(NoiseScale, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE))),
    )  # fmt: skip


def advised(statements: list[Statement], words: str) -> list[str]:
    """Statements whose action holds one of some words."""
    return [s.name for s in statements if re.search(words, s.action, re.IGNORECASE)]


@given(findings())
def test_no_two_advise_opposite_things(found: Findings) -> None:
    said = conclude(found)
    up = advised(said, r"\braise\b")
    down = advised(said, r"\blower (it|the rate)|a lower rate|train at .* or below")
    assert not (up and down), (up, down)
    longer = advised(said, r"train longer")
    shorter = advised(said, r"stop (earlier|after)")
    assert not (longer and shorter), (longer, shorter)
    decay = advised(said, r"decay the rate")
    assert not (decay and up), (decay, up)
    # Rates that two statements name are the same rate, or below it.
    if not found.diverged:
        rates = {
            m
            for s in said
            for m in re.findall(r"(?:Train at|it to|rate to) ([\d.e-]+\d)", s.action)
        }
        assert len(rates) <= 1, rates


@given(findings())
def test_good_needs_a_network_that_learns(found: Findings) -> None:
    said = {s.name: s for s in conclude(found)}
    if found.diverged:
        assert said["learning_rate"].level == "critical"
        assert said["spikes"].level == "critical"
        assert said["test"].level != "good"
    if dead(found) or not fell(found):
        assert said["stability"].level != "good"
        assert said["spikes"].level != "good"
        assert said["regime"].level != "good"
    if not found.outcome.learned:
        assert said["learning_rate"].level != "good"


@given(findings())
def test_every_sentence_is_whole(found: Findings) -> None:
    for statement in conclude(found):
        for text in (statement.text, statement.action):
            assert "nan" not in text, text
            assert "  " not in text, text
            assert text == text.strip()
            assert not text or text.endswith((".", ")")), text
