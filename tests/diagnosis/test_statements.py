"""Conclusions from numbers: each threshold separates what it says it separates."""

import math
from dataclasses import replace

import pytest

from overparam.diagnosis import statements
from overparam.diagnosis.label_evidence import LabelEvidence
from overparam.diagnosis.statements import Findings, conclude

SOUND = LabelEvidence(
    epoch=9, classes=10, n_train=1000, held_out=500, error=0.1, error_by_class=0.1, sure=125,
    sure_wrong=0, implausible=1,
)  # fmt: skip
NOISY = LabelEvidence(
    epoch=7, classes=10, n_train=1000, held_out=500, error=0.22, error_by_class=0.22, sure=125,
    sure_wrong=25, implausible=46, suspects=210, learned=0.5,
)  # fmt: skip
FOUND = Findings(
    optimizer="SGD", rate=0.1, rate_given=True, advised=0.2, limit=0.2, initial_limit=0.3,
    batch_size=32, batch_regimes=(4.0, 60.0), n_train=1000, ratios=[0.4, 0.6],
    kernel_change=0.7, linearization_error=0.5, losses=[2.0 / 2**i for i in range(10)],
    train_error=0.05, test_errors=[0.5, 0.1, 0.1], labels=True, input_share=[0.5, 0.3, 0.15, 0.05],
    input_names=["a", "b", "c", "d"], label_evidence=SOUND,
)  # fmt: skip


def test_every_subject_has_one_statement_and_the_urgent_come_first() -> None:
    found = conclude(replace(FOUND, rate=0.5))
    assert len({s.name for s in found}) == len(found) == 9
    assert found[0].name == "learning_rate"
    assert found[0].level == "critical"


def test_every_statement_carries_its_number_and_threshold() -> None:
    for statement in conclude(FOUND):
        assert math.isfinite(statement.value), statement
        assert math.isfinite(statement.threshold), statement


@pytest.mark.parametrize(
    ("rate", "level", "word"),
    [(0.5, "critical", "Lower"), (0.3, "warning", "Lower"), (0.15, "good", ""),
     (0.01, "warning", "Raise")],
)  # fmt: skip
def test_learning_rate(rate: float, level: str, word: str) -> None:
    statement = statements.learning_rate(replace(FOUND, rate=rate))
    assert (statement.level, statement.action[: len(word)]) == (level, word)


def test_learning_rate_without_one_given_or_without_a_limit() -> None:
    free = statements.learning_rate(replace(FOUND, rate_given=False))
    assert (free.level, free.action) == ("info", "Train at 0.2.")
    blind = statements.learning_rate(replace(FOUND, limit=math.nan))
    assert blind.level == "unknown"


def test_a_limit_that_moved_is_told() -> None:
    assert "lowered it 8-fold" in statements.learning_rate(replace(FOUND, initial_limit=1.6)).text
    assert "fold" not in statements.learning_rate(FOUND).text


@pytest.mark.parametrize(
    ("ratios", "level", "word"),
    [([0.1, 0.2], "good", "stable"), ([0.5, 0.9, 1.2], "good", "edge"),
     ([1.5, 1.2, 0.9], "warning", "beyond"), ([math.nan], "unknown", "Cannot tell"),
     ([], "unknown", "Cannot tell")],
)  # fmt: skip
def test_stability(ratios: list[float], level: str, word: str) -> None:
    statement = statements.stability_of_run(replace(FOUND, ratios=ratios))
    assert statement.level == level
    assert word in statement.text


@pytest.mark.parametrize(
    ("kinds", "level"),
    [([], "good"), (["catapult"], "info"), (["catapult", "bad batch"], "info"),
     (["divergence"], "critical"), (["non-finite", "catapult"], "critical"),
     (["unexplained"], "info")],
)  # fmt: skip
def test_spikes(kinds: list[str], level: str) -> None:
    statement = statements.spikes(replace(FOUND, events=[{"kind": kind} for kind in kinds]))
    assert statement.level == level
    assert statement.value == len(kinds)


@pytest.mark.parametrize("kinds", [[], ["catapult"], ["non-finite"]])
def test_a_run_that_diverged_is_never_called_good(kinds: list[str]) -> None:
    found = replace(FOUND, diverged=True, test_errors=[0.3, 0.2])
    found = replace(found, events=[{"kind": kind} for kind in kinds])
    assert statements.spikes(found).level == "critical"
    assert statements.generalisation(found).level == "unknown"


@pytest.mark.parametrize(
    ("losses", "error", "level", "word"),
    [([2.0 / 2**i for i in range(10)], 0.1, "good", "interpolates"),
     ([2.0 - 0.1 * i for i in range(10)], 0.1, "info", "still falling"),
     ([2.0, 1.0] + [0.9] * 8, 0.1, "warning", "stuck"),
     ([2.0, 1.0] + [0.9] * 8, 0.0, "good", "interpolates"),
     ([2.0, 1.0], 0.1, "unknown", "too short")],
)  # fmt: skip
def test_progress(losses: list[float], error: float, level: str, word: str) -> None:
    statement = statements.progress(replace(FOUND, losses=losses, train_error=error))
    assert statement.level == level
    assert word in statement.text


@pytest.mark.parametrize(
    ("ratios", "momentum", "word"),
    [([0.1], 0.9, "Raise"), ([0.9], 0.9, "Decay the rate: at the edge"), ([0.5], 0.9, "Use mom"),
     ([0.5], math.nan, "Decay the rate, or widen")],
)  # fmt: skip
def test_what_to_do_when_stuck(ratios: list[float], momentum: float, word: str) -> None:
    stuck = replace(FOUND, losses=[2.0, 1.0] + [0.9] * 8, ratios=ratios, momentum=momentum)
    assert statements.progress(stuck).action.startswith(word)


@pytest.mark.parametrize(
    ("change", "word"),
    [(0.05, "Kernel regime"), (0.3, "Between"), (2.0, "Feature learning"),
     (math.nan, "Cannot tell")],
)  # fmt: skip
def test_regime(change: float, word: str) -> None:
    assert statements.regime(replace(FOUND, kernel_change=change)).text.startswith(word)


def test_labels() -> None:
    assert statements.labels(replace(FOUND, labels=False)).level == "unknown"
    assert statements.labels(replace(FOUND, label_evidence=None)).level == "unknown"
    sound = statements.labels(FOUND)
    assert (sound.level, sound.action) == ("good", "")
    noisy = statements.labels(replace(FOUND, label_evidence=NOISY))
    assert (noisy.level, noisy.value) == ("warning", pytest.approx(0.2))
    assert "210 (21 %) look wrong" in noisy.text
    assert "Review the suspects. Stop after epoch 7" in noisy.action
    going = statements.labels(replace(FOUND, label_evidence=replace(NOISY, learned=0.01)))
    assert "Stop" not in going.action
    misfit = replace(NOISY, error=0.7, error_by_class=0.7)
    few = replace(NOISY, held_out=40, sure=10, sure_wrong=0, implausible=0, error=0.05)
    for evidence, word in ((misfit, "hard ones"), (few, "with 40 held-out examples")):
        cannot = statements.labels(replace(FOUND, label_evidence=evidence))
        assert (cannot.level, cannot.text[:11]) == ("unknown", "Cannot tell")
        assert word in cannot.text
        assert cannot.action


def test_no_suspects_are_not_to_be_reviewed() -> None:
    none = replace(FOUND, label_evidence=replace(NOISY, suspects=0, learned=0.0))
    assert "eview" not in statements.labels(none).action
    assert "none stands out" in statements.labels(none).text


@pytest.mark.parametrize(
    "losses", [[2.0 - 0.1 * i for i in range(10)], [2.0, 1.0] + [0.9] * 8, [2.0] + [1e-3] * 9]
)
def test_nobody_is_told_to_train_longer_and_to_stop(losses: list[float]) -> None:
    found = replace(FOUND, losses=losses)
    alone = statements.progress(found)
    assert alone.action or alone.level == "good"
    noisy = replace(found, label_evidence=NOISY)
    assert "Stop after epoch" in statements.labels(noisy).action
    assert (statements.progress(noisy).level, statements.progress(noisy).action) == ("info", "")
    # While the wrong labels are not being learned, training may go on.
    early = replace(found, label_evidence=replace(NOISY, learned=0.0))
    assert statements.progress(early) == alone


def test_generalisation() -> None:
    assert statements.generalisation(FOUND).level == "good"
    worse = statements.generalisation(replace(FOUND, test_errors=[0.3, 0.1, 0.2]))
    assert worse.level == "info"
    assert "Stop earlier" in worse.action
    assert statements.generalisation(replace(FOUND, test_errors=[])).level == "unknown"


@pytest.mark.parametrize(
    ("size", "word"), [(2, "linear regime"), (32, "between"), (100, "saturated")]
)
def test_batch_size(size: int, word: str) -> None:
    assert word in statements.batch_size(replace(FOUND, batch_size=size)).text


def test_inputs_counts_what_holds_nine_tenths() -> None:
    statement = statements.inputs(FOUND)
    assert statement.text.startswith("3 of 4 inputs")
    assert "a (50 %)" in statement.text
    assert statements.inputs(replace(FOUND, input_share=())).level == "unknown"
