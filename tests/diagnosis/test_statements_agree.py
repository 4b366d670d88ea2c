"""No two statements of a diagnosis advise opposite things, whatever was found."""

import re

from drawn_findings import findings
from hypothesis import given

from overparam._statement import Statement
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.rate_of_run import interval_to_set
from overparam.diagnosis.run_facts import dead, fell
from overparam.diagnosis.statements import conclude


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
    assert not (advised(said, r"widen") and advised(said, r"narrower")), said
    decay = advised(said, r"let the rate fall")
    assert not (decay and up), (decay, up)
    # Nor are two things to be tried at once.
    assert not (longer and advised(said, r"^try|change the rate")), said
    told = {s.name: s for s in said}
    assert not (advised(said, r"stop after") and told["test"].level == "good"), said
    nothing = any("Nothing was learned" in s.text for s in said)
    assert not (nothing and (decay or advised(said, r"widen|train longer\."))), said
    # Rates that two statements name are the same rate, or below it.
    if not found.diverged:
        rates = {
            m
            for s in said
            for m in re.findall(r"(?:Train at|it to|rate to) ([\d.,e-]+\d)", s.action)
        }
        assert len(rates) <= 1, rates


@given(findings())
def test_good_needs_a_network_that_learns(found: Findings) -> None:
    said = {s.name: s for s in conclude(found)}
    if found.diverged:
        assert said["learning_rate"].level == "critical"
        assert said["spikes"].level == "critical"
        assert said["test"].level != "good"
        assert said["progress"].level == "critical"
        low, high = interval_to_set(found)
        assert not low <= found.rate <= high
        assert not any("Plan" in s.action or "Train for" in s.action for s in said.values())
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


@given(findings())
def test_what_cannot_be_told_says_why_or_what_would_tell(found: Findings) -> None:
    for statement in conclude(found):
        if statement.level == "unknown":
            assert statement.action or ":" in statement.text or "so nothing" in statement.text
            assert not statement.bar


@given(findings())
def test_an_end_before_the_planned_steps_is_said(found: Findings) -> None:
    if found.cut:
        said = {s.name: s.text for s in conclude(found)}
        assert f"after {found.steps:,} of {found.cut:,} steps" in said["progress"]


@given(findings())
def test_what_the_budget_left_unfinished_is_not_judged_as_if_it_were_done(found: Findings) -> None:
    if found.cut and found.stopped == "budget" and 2 * found.steps < found.cut:
        regime = next(s for s in conclude(found) if s.name == "regime")
        assert "kernel method" not in regime.action


@given(findings())
def test_a_level_follows_from_the_words(found: Findings) -> None:
    # Of numbers, bars are the words; a level that the words do not explain has no reason.
    for statement in conclude(found):
        words = (
            statement.name,
            re.sub(r"\d[\d.,e-]*", "#", statement.text),
            statement.action != "",
        )
        if statement.bar and statement.name == "test":
            words = (*words, statement.level)
        assert LEVELS.setdefault(words, statement.level) == statement.level, words


LEVELS: dict[tuple, str] = {}


@given(findings())
def test_a_larger_budget_is_told_in_seconds(found: Findings) -> None:
    for statement in conclude(found):
        if statement.name != "learning_rate":
            assert "larger budget" not in statement.action, statement


@given(findings())
def test_a_bar_parts_the_levels_of_the_test_measure(found: Findings) -> None:
    said = next(s for s in conclude(found) if s.name == "test")
    if said.level in ("unknown", "warning"):
        return
    half, worse = (
        float(number.replace(",", "")) / (100 if found.test_measure == "error" else 1)
        for number in re.findall(r"(?:value,|from) ([\d.,e-]*\d)", said.bar)
    )
    close = 0.01 * max(half, worse, said.value)
    if "after a best of" in said.text:
        assert said.value > worse - close
    else:
        assert said.value <= worse + close
        assert said.value <= half + close if said.level == "good" else said.value > half - close


@given(findings())
def test_a_rate_that_the_run_did_not_reach_is_not_one_that_it_ran_at(found: Findings) -> None:
    said = next(s.text for s in conclude(found) if s.name == "learning_rate")
    if found.highest < 0.9 * found.rate:
        assert "did not reach" in said or "On the way to" in said
        assert "At the rate" not in said
