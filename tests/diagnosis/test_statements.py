"""Conclusions from numbers: each threshold separates what it says it separates."""

import math
import re
from dataclasses import replace

import pytest

from overparam.diagnosis import statements
from overparam.diagnosis.comparison_statement import better, comparison_statements
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.gathered import told_losses
from overparam.diagnosis.label_evidence import LabelEvidence
from overparam.diagnosis.race.outcome import Outcome, Trial, with_run
from overparam.diagnosis.race.variant import Reached
from overparam.diagnosis.rate_of_run import interval_to_set
from overparam.diagnosis.rate_statement import RateFindings, comparison
from overparam.diagnosis.run_facts import worsened
from overparam.diagnosis.statements import conclude
from overparam.optim import NoiseScale, noise_scale
from overparam.report.statements import statement_rows

SOUND = LabelEvidence(
    epoch=9, classes=10, n_train=1000, held_out=500, error=0.1, error_by_class=0.1, sure=125,
    sure_wrong=0, implausible=1,
)  # fmt: skip
NOISY = LabelEvidence(
    epoch=7, classes=10, n_train=1000, held_out=500, error=0.22, error_by_class=0.22, sure=125,
    sure_wrong=25, implausible=46, suspects=210, learned=0.5,
)  # fmt: skip
OUTCOME = Outcome(
    losses={0.1: 0.5, 0.2: 0.3, 0.4: 0.7}, horizon=400, planned=400, epoch=40, learned=True,
    ceiling=math.inf, own={}, pair=(), spent=1500, step_seconds=1e-3, trials=(),
    stopped="finished",
)  # fmt: skip
FOUND = Findings(
    optimizer="SGD", outcome=OUTCOME, rate=0.1, rate_given=True, limits=[0.2, 0.1, 0.3],
    initial_limit=0.3, batch_size=32, critical_batch_size=4.0, n_train=1000, ratios=[0.4, 0.6],
    kernel_change=0.7, linearization_error=0.5, losses=[2.0 / 2**i for i in range(10)],
    train_error=0.05, test_errors=[0.5, 0.1, 0.1], labels=True, input_share=[0.5, 0.3, 0.15, 0.05],
    input_names=["a", "b", "c", "d"], output_spread=2.0, label_evidence=SOUND,
    noise=NoiseScale(70.0, 50.0, 110.0, 1.0, 70.0), noise_times=40,
)  # fmt: skip
UP = replace(OUTCOME, own={1e-3: 1.4})
DOWN = replace(OUTCOME, own={3.0: 5.0})


def test_every_subject_has_one_statement_and_the_urgent_come_first() -> None:
    found = conclude(replace(FOUND, rate=3.0, outcome=replace(DOWN, own={3.0: math.inf})))
    assert len({s.name for s in found}) == len(found) == 9
    assert found[0].name == "learning_rate"
    assert found[0].level == "critical"


def test_every_statement_carries_its_number_and_threshold() -> None:
    for statement in conclude(FOUND):
        assert math.isfinite(statement.value), statement
        assert math.isfinite(statement.threshold), statement


@pytest.mark.parametrize(
    ("rate", "outcome", "level", "word"),
    [(3.0, replace(OUTCOME, own={3.0: math.inf}), "critical", "Lower it to 0.2"),
     (3.0, DOWN, "warning", "Lower it to 0.2"), (0.15, OUTCOME, "good", ""),
     (1e-3, UP, "warning", "Raise it to 0.2"),
     # Outside the interval and yet as good: nothing to change.
     (3.0, replace(OUTCOME, own={3.0: 0.31}), "good", "")],
)  # fmt: skip
def test_learning_rate(rate: float, outcome: Outcome, level: str, word: str) -> None:
    statement = statements.learning_rate(replace(FOUND, rate=rate, outcome=outcome))
    assert (statement.level, statement.action[: len(word)]) == (level, word)


def test_a_run_that_diverged_has_the_last_word_on_its_rate() -> None:
    found = replace(FOUND, rate=0.2, diverged=True)
    statement = statements.learning_rate(found)
    assert statement.level == "critical"
    assert "though the race's trainings of 400 steps did not" in statement.text
    assert statement.action == "Train at 0.05 or below."
    assert statements.direction(found) == -1


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [({"ratios": [0.1, 0.2, 0.3]}, "info", "used 0.2 of it in the median"),
     ({"ratios": [1.5, 1.2, 0.9]}, "info", "edge of stability"),
     ({"ratios": [math.nan]}, "unknown", "Cannot tell"),
     ({"ratios": [], "unsettled": 3}, "unknown", "none of 3 measurements settled"),
     ({"ratios": [0.1], "output_spread": 0.0}, "unknown", "learned nothing"),
     ({"ratios": [0.1], "losses": [2.0] * 10}, "unknown", "learned nothing"),
     ({"ratios": [0.1], "diverged": True}, "unknown", "learned nothing")],
)  # fmt: skip
def test_stability_explains_and_advises_nothing(change: dict, level: str, words: str) -> None:
    statement = statements.stability_of_run(replace(FOUND, **change))
    assert statement.level == level
    assert words in statement.text
    assert "rate" not in statement.action


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


@pytest.mark.parametrize(
    ("cause", "outcome", "level", "word"),
    [("weights changed", "recovered", "info", "Find what writes"),
     ("bad batch", "lost", "critical", "Look at the examples"),
     ("rate raised", "lasting", "info", "Raise the rate"),
     ("above the limit", "divergence", "critical", "Lower the rate")],
)  # fmt: skip
def test_what_to_do_follows_the_cause_and_how_urgent_it_is_the_outcome(
    cause: str, outcome: str, level: str, word: str
) -> None:
    kind = outcome if outcome == "divergence" else cause
    event = {"kind": kind, "cause": cause, "outcome": outcome}
    statement = statements.spikes(replace(FOUND, events=[event]))
    assert (statement.level, statement.action[: len(word)]) == (level, word)


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
    ("change", "words"),
    [({}, "Let the rate fall"), ({"rate": 1e-3, "outcome": UP}, "Change the rate first"),
     ({"rate": 3.0, "outcome": DOWN}, "Change the rate first")],
)  # fmt: skip
def test_what_to_do_when_stuck(change: dict, words: str) -> None:
    stuck = replace(FOUND, losses=[2.0, 1.0] + [0.9] * 8, **change)
    assert statements.progress(stuck).action.startswith(words)
    # Of the beginning of a run nothing follows for the rest of it.
    begun = statements.progress(replace(stuck, steps=48, cut=1500))
    assert (begun.level, "is stuck:" in begun.text) == ("unknown", True)
    assert "Cannot tell whether" in begun.text
    assert "fall over" not in begun.action


def test_a_dead_network_is_called_dead_and_nothing_of_it_good() -> None:
    dead = replace(
        FOUND, output_spread=1e-9, losses=[2.4] + [2.3] * 9, rate=3.0, outcome=DOWN,
        test_errors=[0.9, 0.9], ratios=[0.01],
    )  # fmt: skip
    progress = statements.progress(dead)
    assert progress.level == "critical"
    assert "dead" in progress.text
    assert "lower rate" in progress.action
    assert statements.spikes(dead).level == "info"
    assert statements.stability_of_run(dead).level == "unknown"
    biased = replace(dead, rate=0.2, outcome=OUTCOME)  # whose bias learned the mean
    assert statements.learning_rate(biased).level == "info"


def test_longer_training_is_not_advised_where_the_test_measure_got_worse() -> None:
    falling = replace(FOUND, losses=[2.0 - 0.1 * i for i in range(10)])
    assert statements.progress(falling).action == "Train longer."
    worse = replace(falling, test_errors=[0.3, 0.1, 0.2])
    assert statements.progress(worse).action == ""
    untimed = replace(OUTCOME, step_seconds=math.nan)
    cut = replace(falling, steps=100, cut=300, budget=60.0, outcome=untimed)
    assert statements.progress(cut).action == "A budget of about 180 s sees it to its end."
    assert "larger budget" in statements.progress(replace(cut, budget=math.nan)).action


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
    turned = replace(FOUND, test_errors=[0.5, 0.1, 0.3])
    noisy = statements.labels(replace(turned, label_evidence=NOISY))
    assert (noisy.level, noisy.value) == ("warning", pytest.approx(0.2))
    assert "210 (21 %) look wrong" in noisy.text
    assert "Review the suspects. Stop after epoch 7" in noisy.action
    going = statements.labels(replace(FOUND, label_evidence=replace(NOISY, learned=0.01)))
    assert "Stop" not in going.action
    # Nor is there a reason to stop while the test examples are answered as well as ever.
    as_well = statements.labels(replace(FOUND, label_evidence=NOISY)).action
    assert "Stop" not in as_well
    assert "50 % of the suspects were learned by the end, which the test examples" in as_well
    misfit = replace(NOISY, error=0.7, error_by_class=0.7)
    few = replace(NOISY, held_out=40, sure=10, sure_wrong=0, implausible=0, error=0.05)
    for evidence, word in ((misfit, "hard ones"), (few, "with 40 test examples")):
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
    noisy = replace(found, label_evidence=NOISY, test_errors=[0.5, 0.1, 0.3])
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


def test_a_test_error_that_is_worse_by_chance_says_nothing() -> None:
    # 4 of 359 examples more: the standard error of the difference is 0.011.
    found = replace(FOUND, test_errors=[0.5, 0.0111, 0.0223], n_test=359)
    assert statements.generalisation(found).action == ""
    assert "Stop earlier" in statements.generalisation(replace(found, n_test=100_000)).action


def test_inputs_counts_what_holds_nine_tenths() -> None:
    statement = statements.inputs(FOUND)
    assert statement.text.startswith("3 of 4 inputs")
    assert "a (50 %)" in statement.text
    assert statements.inputs(replace(FOUND, input_share=())).level == "unknown"


def test_an_optimizer_without_a_known_limit_is_named_with_the_reason() -> None:
    found = replace(FOUND, no_limit="Lion is not known: there is no known limit, since ...")
    statement = statements.stability_of_run(found)
    assert statement.level == "unknown"
    assert "that of Lion is not known: there is no known limit" in statement.text


def test_a_kernel_that_was_not_measured_says_nothing_of_features() -> None:
    assert statements.regime(replace(FOUND, kernel_change=math.nan)).level == "unknown"


def test_features_are_not_learned_by_a_network_that_learns_nothing() -> None:
    still = replace(FOUND, kernel_change=20.0, losses=[2.0] * 10)
    assert statements.regime(still).level == "unknown"
    assert "less than 2 %" in statements.regime(still).text
    assert "dead" in statements.regime(replace(FOUND, output_spread=0.0)).text


def test_a_loss_that_rose_is_not_said_to_have_lost_something() -> None:
    risen = statements.progress(replace(FOUND, losses=[2.0, 1.0] + [0.9] * 7 + [1.08]))
    assert "its mean over the last quarter was 10 % above that of the quarter before" in risen.text
    assert risen.value == pytest.approx(-0.1)
    assert "it lost" not in risen.text


def test_a_run_that_the_budget_ended_says_so() -> None:
    falling = replace(FOUND, losses=[2.0 - 0.1 * i for i in range(10)], steps=100, cut=144)
    ended = "The run's part of the budget was used up after 100 of 144 steps"
    assert f"{ended}." in statements.progress(falling).text
    dear = replace(falling, overhead=3.0)
    assert f"{ended}; 75 % of it went into measuring." in statements.progress(dear).text
    short = statements.progress(replace(falling, losses=[2.0, 1.9]))
    assert "after 100 of 144 steps" in short.text
    assert "budget" not in statements.progress(replace(falling, cut=None)).text


def test_a_rate_above_the_limit_is_explained_and_one_as_good_is_kept() -> None:
    far = statements.stability_of_run(replace(FOUND, limits=[0.05]))
    assert "no ceiling for a fresh training" in far.text
    assert "ceiling" not in statements.stability_of_run(replace(FOUND, limits=[1.0])).text
    assert statements.rate_to_set(FOUND)[0] == FOUND.rate
    assert "keep it" in statements.rate_to_set(FOUND)[1]
    assert statements.rate_to_set(replace(FOUND, rate=1e-3, outcome=UP))[0] == OUTCOME.rate
    assert statements.rate_to_set(replace(FOUND, rate=0.2, diverged=True))[0] == 0.05


def test_labels_say_what_judging_them_needs() -> None:
    assert "class labels" in statements.labels(replace(FOUND, labels=False)).text
    other = replace(FOUND, labels=False, labels_need="an output for each of the two classes")
    assert "an output for each" in statements.labels(other).text


def test_a_median_does_not_hide_that_the_ratio_rose() -> None:
    rising = [0.009, 0.01, 0.05, 0.1, 0.4, 0.5]
    found = replace(FOUND, ratios=rising, limits=[0.1 / ratio for ratio in rising])
    statement = statements.stability_of_run(found)
    assert "used 0.0095 of it in the first third of the run, 0.45 in the last third" in (
        statement.text
    )
    assert "median" not in statement.text
    assert statement.value == pytest.approx(0.45)
    assert (
        "edge of stability"
        in statements.stability_of_run(replace(found, ratios=[10 * ratio for ratio in rising])).text
    )  # that is where it ended, whatever the median
    # Six numbers have no highest tenth.
    assert "0.6 at most" in statements.stability_of_run(FOUND).text
    many = statements.stability_of_run(replace(FOUND, ratios=[0.4, 0.6] * 5, limits=[0.2] * 10))
    assert "0.6 in the highest tenth" in many.text


def test_a_run_that_the_budget_cut_short_is_not_judged_as_one_that_was_finished() -> None:
    short = replace(FOUND, kernel_change=0.03, steps=28, cut=2480)
    regime = statements.regime(short)
    assert (regime.level, regime.bar) == ("unknown", "")
    assert "after 28 of 2,480 steps" in regime.text
    assert statements.regime(replace(short, cut=None)).level == "info"
    assert statements.regime(replace(short, kernel_change=2.0)).level == "good"
    assert statements.spikes(short).level == "info"


def test_the_losses_of_the_race_are_said_to_be_means_of_their_own() -> None:
    below = replace(FOUND, rate=1e-3, outcome=UP)
    said = statements.learning_rate(below).text
    assert "loss of 1.4, against 0.3 (means over the last quarter of the steps)" in said
    short = replace(UP, epoch=300)
    assert (
        "(on the same examples, at the end)"
        in statements.learning_rate(replace(below, outcome=short)).text
    )
    assert statements.progress(FOUND).text.startswith("The run's training loss")


def test_a_rate_in_use_that_came_furthest_is_the_one_that_did_best() -> None:
    best = replace(FOUND, rate=0.15, outcome=replace(OUTCOME, own={0.15: 0.25}))
    statement = statements.learning_rate(best)
    assert "the one in use, 0.15, did best" in statement.text
    assert (statement.level, statement.action) == ("good", "")
    same = replace(FOUND, rate=0.2, outcome=replace(OUTCOME, own={0.2: 0.3}))
    assert "0.2 did best" in statements.learning_rate(same).text
    assert statements.learning_rate(same).text.endswith(" 0.2 is the rate in use.")


def test_of_rates_that_came_equally_far_the_one_to_set_did_best() -> None:
    even = replace(OUTCOME, losses={0.1: 0.3, 0.2: 0.5, 0.4: 0.3}, own={0.4: 0.3})
    kept = statements.learning_rate(replace(FOUND, rate=0.4, outcome=even))
    assert "the one in use, 0.4, did best" in kept.text
    alone = RateFindings(outcome=even, optimizer="SGD", batch_size=32)
    assert f"{even.rate} did best" in comparison(alone)
    # Of which none is to be set: the lowest, as in the picture.
    assert "0.1 did best" in comparison(replace(alone, to_set=0.2))
    assert "0.1 did best" in comparison(replace(alone, to_set=math.nan))


def test_a_rough_answer_says_what_would_tell_and_an_interrupted_one_that_it_was() -> None:
    rough = replace(OUTCOME, horizon=10)
    for given in (0.15, 3.0):
        statement = statements.learning_rate(replace(FOUND, rate=given, outcome=rough))
        assert statement.level == "unknown"
        assert "budget of about 4 s compares whole trainings" in statement.action
    assert statements.learning_rate(replace(FOUND, rate=3.0, outcome=rough)).action.startswith(
        "Try 0.2. "
    )
    assert "no time" in statements.rate_to_set(replace(FOUND, rate=3.0, outcome=rough))[1]
    # Nor is a training at that rate to be made longer first.
    falling = replace(FOUND, losses=[2.0 - 0.1 * i for i in range(10)], rate=3.0, outcome=rough)
    assert statements.progress(falling).action.startswith("Change the rate first")
    kept = statements.rate_to_set(replace(FOUND, rate=0.15, outcome=rough))
    assert "as well as" not in kept[1]
    found = replace(FOUND, outcome=replace(OUTCOME, stopped="interrupted"))
    assert "interrupted; this is the best so far" in statements.learning_rate(found).text


def test_what_cannot_be_told_says_why() -> None:
    none = replace(FOUND, label_evidence=None)
    assert "did not complete an epoch" in statements.labels(none).text
    assert "no test examples" in statements.labels(replace(none, held_out=False)).text
    words = replace(FOUND, input_share=(), numeric=False)
    assert "no real numbers" in statements.inputs(words).text
    lost = replace(FOUND, diverged=True, input_share=())
    assert "the run diverged" in statements.inputs(lost).text
    assert "then it diverged" in statements.progress(lost).text
    seen = replace(FOUND, kernel_step=256)
    assert "by step 256." in statements.regime(seen).text


def test_what_to_do_about_the_test_measure_waits_for_the_rate() -> None:
    worse = replace(FOUND, test_errors=[0.3, 0.1, 0.2])
    assert statements.generalisation(worse).action == "Stop earlier, or regularise."
    higher = statements.generalisation(replace(worse, rate=1e-3, outcome=UP))
    assert higher.action.startswith("Change the rate first")


def test_a_loss_that_wavers_is_not_stuck() -> None:
    wavers = [2.0, 1.6, 1.3, 1.1, 1.0, 0.95, 0.9, 0.92, 0.8, 0.83, 0.78, 0.85]
    # The last stretch is above the one that the last quarter begins with; the quarter is lower.
    assert "still falling" in statements.progress(replace(FOUND, losses=wavers)).text


def test_noise_is_a_measurement_with_its_interval() -> None:
    said = statements.noise(FOUND)
    assert (said.level, said.value, said.threshold, said.action) == ("info", 70.0, 32, "")
    assert said.text == (
        "69 % of a step's gradient was noise, at 32 examples; it is half at the noise scale, 70 "
        "examples (50 to 110, from 40 measurements of the run)."
    )
    # Batches that are accumulated make one step.
    assert statements.noise(replace(FOUND, examples_per_step=128)).text.startswith("35 %")


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"noise": None}, "it was not measured"), ({"diverged": True}, "the run diverged"),
     ({"output_spread": 0.0}, "the network is dead"),
     ({"noise": NoiseScale(math.nan, 45.0, math.inf, 0.1, 70.0)},
      "cannot be told from zero. The noise scale is at least 45 examples.")],
)  # fmt: skip
def test_noise_that_is_not_known_is_not_told(changes: dict, words: str) -> None:
    said = statements.noise(replace(FOUND, **changes))
    assert said.level == "unknown"
    assert said.text.startswith("Cannot tell how much of a step's gradient is noise")
    assert words in said.text


def test_a_run_at_a_rate_that_was_not_compared_is_its_comparison() -> None:
    losses = [2.0] * 300 + [1.4] * 100 + [0.1] * 50
    outcome = with_run(OUTCOME, 1e-3, losses, 0)
    assert outcome.own == {1e-3: pytest.approx(1.4)}
    falling = replace(FOUND, losses=[2.0 - 0.1 * i for i in range(10)], rate=1e-3, outcome=outcome)
    said = statements.learning_rate(falling)
    assert (said.level, said.action) == ("warning", "Raise it to 0.2.")
    assert "no time" not in said.text
    assert "no time" not in statements.rate_to_set(falling)[1]
    assert statements.progress(falling).action == "Change the rate first, as advised."
    # A shorter run, one that is not judged by its losses, one that is compared already.
    assert with_run(OUTCOME, 1e-3, losses[:399], 0) is OUTCOME
    apart = replace(OUTCOME, epoch=300)
    assert with_run(apart, 1e-3, losses, 0) is apart
    assert with_run(UP, 1e-3, losses, 0) is UP


def test_a_rate_that_was_seen_to_fail_is_not_where_the_best_is_expected() -> None:
    def trial(rate: float, loss: float, *, lost: bool = False, began: float = 2.0) -> Trial:
        return Trial(rate, 0, 400, loss, lost, (began, began))

    good = [trial(0.01, 1.9), trial(0.1, 0.5), trial(0.2, 0.3)]
    wide = replace(OUTCOME, horizon=100, trials=(*good, trial(0.4, 0.7)))
    assert wide.interval == (pytest.approx(0.05), pytest.approx(0.8))
    # Lost, or not 2 % lower than it began: the rate and all above it are out.
    for failed in (trial(0.4, math.inf, lost=True), trial(0.4, 1.97), trial(0.4, 9.0)):
        losses = {**OUTCOME.losses, 0.4: failed.loss}
        cut = replace(wide, losses=losses, trials=(*good, failed))
        assert cut.interval == (pytest.approx(0.05), pytest.approx(0.36))
    # The page says why it ends there.
    short = replace(wide, losses={0.1: 0.5, 0.2: 0.3}, trials=(*good, trial(0.4, 1.97)))
    told = statements.learning_rate(replace(FOUND, outcome=short)).text
    assert "to 0.36. At 0.4 a shorter training learned nothing." in told
    # One below the best was too small, and says nothing of those above.
    small = replace(wide, trials=(trial(0.01, 2.5), *good[1:], trial(0.4, 0.7)))
    assert small.interval == wide.interval
    # What the smallest rate left it at is where it began, if a few batches were easy ones.
    easy = [trial(0.01, 1.9, began=0.2), *good[1:], trial(0.4, 0.7, began=0.2)]
    assert replace(wide, trials=tuple(easy)).interval == wide.interval


def test_a_rate_that_was_compared_and_did_far_worse_is_not_kept_for_lying_near() -> None:
    trials = (Trial(0.01, 0, 400, 1.9, False, (2.0,)),)
    far = replace(OUTCOME, own={0.4: 0.7}, trials=trials)
    said = statements.learning_rate(replace(FOUND, rate=0.4, outcome=far))
    assert (said.level, said.action) == ("warning", "Lower it to 0.2.")
    assert statements.rate_to_set(replace(FOUND, rate=0.4, outcome=far))[0] == 0.2
    # What another order of batches changes is no reason, and is told; a third more is one.
    near = statements.learning_rate(replace(FOUND, rate=0.4, outcome=replace(far, own={0.4: 0.35})))
    assert near.level == "good"
    assert near.text.endswith("0.4, lies there, and ended at a loss of 0.35, against 0.3.")
    dear = statements.learning_rate(replace(FOUND, rate=0.4, outcome=replace(far, own={0.4: 0.4})))
    assert (dear.level, dear.action) == ("warning", "Lower it to 0.2.")
    # Of what is left of a loss that is all but gone, twice as much is as good.
    gone = replace(far, losses={0.1: 5e-3, 0.2: 3e-3, 0.4: 9e-3}, own={0.4: 9e-3})
    assert statements.learning_rate(replace(FOUND, rate=0.4, outcome=gone)).level == "good"


def test_a_peak_that_the_run_did_not_reach_is_not_the_rate_it_ran_at() -> None:
    short = replace(FOUND, scheduled=True, highest=0.02)
    said = statements.learning_rate(short)
    assert said.text.endswith("The run did not reach 0.1: its schedule had come to 0.02.")
    lost = statements.learning_rate(replace(short, diverged=True))
    assert lost.text.startswith("On the way to the rate 0.1, at 0.02, the run diverged")
    assert "the peak of its schedule" in statements.rate_to_set(short)[1]
    for reached in (replace(short, highest=0.099), FOUND):
        assert "reach" not in statements.learning_rate(reached).text


def test_one_value_says_nothing_of_how_a_test_measure_ended() -> None:
    wavering = [0.5] + [0.1, 0.12] * 5 + [0.1, 0.1, 0.3]
    said = statements.generalisation(replace(FOUND, test_errors=wavering, n_test=5000))
    assert (said.level, said.value) == ("good", 0.1)
    assert "ended at 10 % (the median of its last 3 values), its best." in said.text
    risen = replace(FOUND, test_errors=[*wavering, 0.3, 0.3], n_test=5000)
    assert "Stop earlier" in statements.generalisation(risen).action


def test_words_and_bar_tell_a_note_from_what_is_good() -> None:
    little = statements.generalisation(replace(FOUND, test_errors=[0.5, 0.4]))
    assert (little.level, little.bar[:39]) == ("info", "Good up to half of its first value, 25 ")
    still = statements.spikes(replace(FOUND, losses=[2.0] * 10, steps=70))
    assert still.text == "The loss had no spikes in 70 steps, nor did it fall."
    short = statements.spikes(replace(FOUND, steps=70, cut=400))
    assert short.text == "The loss had no spikes in 70 steps of 400."


def test_a_loss_that_chance_moves_neither_falls_nor_is_stuck() -> None:
    rough = [6.87, 8.59, 7.17, 8.22, 6.04, 8.54, 7.01, 7.76, 7.52, 6.61, 8.32, 7.19]
    for losses in (rough, rough[::-1]):
        said = statements.progress(replace(FOUND, losses=losses))
        assert said.level == "info"
        assert "within chance" in said.text
    back = statements.progress(replace(FOUND, losses=[1.0, 2.0, 1.9, 1.8, 1.7, 1.6, 1.4, 1.3, 1.2]))
    assert "though it was falling by then" in back.text


def test_what_the_model_alone_knows_is_said_to_be_why() -> None:
    why = "the loss is computed inside the model. Pass loss=, a function of outputs and targets."
    found = replace(
        FOUND, unmeasured=why, limits=[], ratios=[], kernel_change=math.nan, test_errors=[],
        noise=None, noise_times=0, input_share=(), labels=False, budget=60.0,
    )  # fmt: skip
    told = (
        statements.stability_of_run, statements.regime, statements.noise, statements.labels,
        statements.generalisation, statements.inputs,
    )  # fmt: skip
    for statement in (tell(found) for tell in told):
        assert statement.level == "unknown"
        assert statement.text.endswith(": the loss is computed inside the model.")
        assert statement.action == "Pass loss=, a function of outputs and targets."


def test_what_more_time_would_tell_comes_with_an_amount() -> None:
    none = replace(FOUND, ratios=[], unsettled=3, budget=60.0)
    said = statements.stability_of_run(none)
    assert said.action == "A budget of about 120 s leaves time to measure it more often."
    unknown = statements.spikes(replace(none, events=[{"kind": "unexplained"}]))
    assert "about 120 s leaves more time" in unknown.action


def test_a_run_that_diverged_at_once_is_not_told_to_be_longer() -> None:
    lost = replace(
        FOUND, diverged=True, rate=40.0, losses=[0.1, 2.7e28], label_evidence=None, steps=5,
        cut=480, stopped="diverged", kernel_change=math.nan,
    )  # fmt: skip
    said = {statement.name: statement for statement in conclude(lost)}
    assert "went from 0.1 to 2.7e28, then it diverged" in said["progress"].text
    assert said["progress"].level == "critical"
    for name in ("labels", "regime", "stability"):
        assert "the run diverged" in said[name].text
        assert said[name].action == ""
    # Far above all where the best is expected: the race's rate is the one to train at.
    assert said["learning_rate"].action == "Train at 0.2."
    assert "did best" in statements.rate_to_set(lost)[1]
    near = replace(lost, rate=0.3)
    assert statements.learning_rate(near).action == "Train at 0.2 or below."
    assert interval_to_set(near) == (0.1, pytest.approx(0.27))


def test_the_budget_that_would_do_is_not_told_by_a_run_that_ended_early() -> None:
    unknown = replace(OUTCOME, step_seconds=math.nan)
    early = replace(FOUND, limits=[], ratios=[], steps=10, cut=900, budget=60.0, outcome=unknown)
    assert "about 5,400 s" in statements.stability_of_run(early).action
    done = replace(early, stopped="interpolated")
    assert "about 120 s" in statements.stability_of_run(done).action
    assert "no time to measure it" in statements.stability_of_run(done).text


def test_all_statements_of_a_run_cut_at_once_name_one_budget() -> None:
    # Three steps of 600: the budget went into what does not grow with them.
    outcome = replace(
        OUTCOME, horizon=38, planned=600, epoch=15, step_seconds=0.04, stopped="budget"
    )
    found = replace(
        FOUND, outcome=outcome, losses=[2.30, 2.25, 2.29], steps=3, cut=600, budget=20.0,
        ratios=[], limits=[], label_evidence=None,
    )  # fmt: skip
    said = {statement.name: statement for statement in conclude(found)}
    amounts = {name: re.findall("about ([0-9,]+) s", s.action) for name, s in said.items()}
    told = [name for name, amount in amounts.items() if amount]
    assert told == ["learning_rate", "stability", "progress", "regime", "labels", "inputs"]
    assert {amounts[name][0] for name in told} == {"240"}
    for name in ("stability", "regime", "inputs"):
        assert "over after 3 of 600 steps" in said[name].text


def test_a_dead_network_is_told_to_start_again_and_nothing_else() -> None:
    nothing = replace(
        OUTCOME, losses={0.125: 2.30, 0.5: 2.30}, own={0.1: 2.30}, learned=False, planned=1600,
    )  # fmt: skip
    hard = LabelEvidence(
        epoch=11, classes=10, n_train=1000, held_out=500, error=0.78, error_by_class=0.78, sure=0,
        sure_wrong=0, implausible=0, suspects=0, learned=0.0,
    )  # fmt: skip
    found = replace(
        FOUND, outcome=nothing, output_spread=0.0, losses=[2.30] * 10, label_evidence=hard,
        input_share=(), steps=400, cut=1600,
    )  # fmt: skip
    said = {statement.name: statement for statement in conclude(found)}
    assert "any of 3 rates from 0.1 to 0.5" in said["learning_rate"].text
    assert said["learning_rate"].action == "Do first what is said of progress."
    assert "Start again" in said["progress"].action
    for name in ("labels", "inputs", "stability", "regime", "noise"):
        assert "the network is dead" in said[name].text
        assert said[name].action == ""


def test_targets_of_a_regression_are_no_labels_where_it_diverged() -> None:
    lost = replace(FOUND, labels=False, label_evidence=None, diverged=True)
    assert statements.labels(lost).text.startswith("Cannot tell which targets are wrong")


def test_the_rate_to_train_at_after_a_divergence_comes_with_what_it_rests_on() -> None:
    said = statements.learning_rate(replace(FOUND, rate=40.0, diverged=True))
    assert said.text.startswith("At the rate 40 the run diverged. Of ")
    assert "0.2 did best in trainings of 400 steps" in said.text
    assert "Expect the best in 0.1 to 0.4." in said.text
    assert said.action == "Train at 0.2."


def test_a_lower_loss_on_labels_that_look_wrong_is_no_reason_to_raise_the_rate() -> None:
    found = replace(FOUND, rate=1e-3, outcome=UP, label_evidence=NOISY)
    said = {statement.name: statement for statement in conclude(found)}
    assert "learned by the end" in said["labels"].action
    assert said["learning_rate"].action == "Do first what is said of labels."
    assert said["learning_rate"].text.endswith("part of it: lower is no aim.")
    assert statements.direction(found) == 0
    rate, why = statements.rate_to_set(found)
    assert (rate, why.rpartition("; ")[2]) == (1e-3, "labels that look wrong come first")
    assert statements.learning_rate(replace(found, label_evidence=SOUND)).action.startswith("Raise")


def test_a_run_that_went_on_where_the_race_gave_up_is_not_said_to_have_diverged() -> None:
    found = replace(FOUND, rate=3.0, outcome=replace(OUTCOME, own={3.0: math.inf}))
    assert statements.learning_rate(found).text.endswith("first loss; the run went on.")
    assert "the run went on" not in statements.learning_rate(replace(found, diverged=True)).text


def test_spikes_that_come_all_the_time_are_what_batches_differ_by() -> None:
    often = replace(FOUND, events=[{"kind": "unexplained"}] * 66, steps=500)
    assert statements.spikes(often).text.endswith("one in 8 steps: batches differ so much.")
    assert "batches differ" not in statements.spikes(replace(often, steps=5000)).text
    once = replace(often, events=[{"kind": "divergence"}], steps=12, diverged=True)
    assert "batches differ" not in statements.spikes(once).text


def test_batch_sizes_are_compared_over_examples_and_not_steps() -> None:
    rows = [
        Reached("batch size", "32", 0.1, 0.5, 2.3, 368, 1500, "finished"),
        Reached("batch size", "128", 0.4, 0.9, 2.3, 92, 300, "finished"),
    ]
    text = comparison_statements(rows)[0].text
    assert text.startswith("Training loss at the end of as many examples as 368 steps of 32 see,")


def test_a_single_input_holds_and_several_hold() -> None:
    one = statements.inputs(replace(FOUND, input_share=[1.0, 0.0, 0.0, 0.0]))
    assert one.text.startswith("1 of 4 inputs holds 90 %")


def test_no_budget_that_is_told_is_smaller_than_the_one_there_was() -> None:
    short = replace(
        OUTCOME, horizon=20, planned=80, epoch=45, step_seconds=4.6e-3, stopped="budget"
    )
    said = statements.learning_rate(replace(FOUND, outcome=short, budget=20.0))
    assert said.action.endswith("A budget of about 40 s compares whole trainings.")


def test_three_times_the_limit_is_beyond_the_edge() -> None:
    above = statements.stability_of_run(replace(FOUND, ratios=[2.9, 3.0, 3.5]))
    assert "trained beyond the edge of stability" in above.text
    at = statements.stability_of_run(replace(FOUND, ratios=[0.9, 1.0, 1.1]))
    assert "trained at the edge of stability" in at.text


def test_what_a_budget_left_out_comes_with_the_budget_that_leaves_time() -> None:
    cut = replace(FOUND, kernel_change=math.nan, input_share=(), steps=300, cut=400, budget=30.0)
    said = {statement.name: statement for statement in conclude(cut)}
    for name in ("regime", "inputs"):
        assert "not measured" in said[name].text
        assert said[name].action.startswith("A budget of about 60 s leaves time")


def test_spikes_without_a_cause_wait_for_the_rate() -> None:
    unknown = replace(FOUND, events=[{"kind": "unexplained"}], budget=60.0)
    assert "about 120 s" in statements.spikes(unknown).action
    lower = replace(unknown, rate=3.0, outcome=DOWN)
    assert statements.spikes(lower).action == "Change the rate first, as advised."


FLAT = replace(OUTCOME, losses={0.125: 0.1733, 0.25: 0.1727, 0.5: 0.1704, 1.0: 0.1842})


def test_on_a_flat_bottom_the_middle_is_advised_and_said_to_be() -> None:
    # Which of three equal ones has the least loss is chance; next to the upper one it is worse.
    assert (FLAT.verdict, FLAT.rate, FLAT.interval) == ("flat", 0.25, (0.0625, 1.0))
    found = replace(FOUND, rate=0.25, rate_given=False, outcome=FLAT)
    said = statements.learning_rate(found)
    assert "0.5 did best in trainings of 400 steps (10 epochs)." in said.text
    assert "0.125 to 0.5 ended within 5 % of the least loss; 0.25 is in their middle." in said.text
    assert said.action == "Train at 0.25."
    rate, why = statements.rate_to_set(found)
    assert (rate, why) == (0.25, "in the middle of those that did about as well")
    # A rate next to it in which nothing was learned is no part of the bottom.
    trials = tuple(Trial(rate, 0, 400, loss, False, (0.178,)) for rate, loss in FLAT.losses.items())
    assert replace(FLAT, trials=trials, losses={**FLAT.losses, 0.125: 0.1775}).bottom == [0.25, 0.5]
    # One that did well in the longest trainings did not fail for a shorter one of another order.
    slow = Trial(0.5, 1, 100, 0.999, False, (1.0,))
    other = replace(FLAT, trials=(Trial(0.01, 0, 400, 0.9, False, (1.0,)), slow))
    assert other.interval == FLAT.interval
    # Two rates are a bottom of no width.
    two = replace(FLAT, losses={0.25: 0.31, 0.5: 0.3, 1.0: 0.5})
    assert (two.verdict, two.rate) == ("found", 0.5)


def test_half_of_a_rate_next_to_those_that_fail_is_said_to_be_that() -> None:
    start = Trial(0.1, 0, 400, 2.0, False, (2.0,) * 400)
    edge = replace(OUTCOME, losses={0.25: 0.33, 0.5: 0.3, 1.0: math.inf}, trials=(start,))
    found = replace(FOUND, rate=0.25, rate_given=False, outcome=edge)
    said = statements.learning_rate(found)
    assert edge.rate == 0.25
    assert "0.5 did best" in said.text
    assert "0.25 ended at 1.1 times that loss, and is further from rates that fail." in said.text
    assert "At 1 the training diverged." in said.text
    assert said.action == "Train at 0.25."
    assert "next to rates that fail" in statements.rate_to_set(found)[1]
    level = replace(edge, losses={**edge.losses, 0.25: 0.301})
    said = statements.learning_rate(replace(found, outcome=level))
    assert "0.25 ended at about the same loss" in said.text


def test_another_order_of_batches_is_told_of() -> None:
    start = Trial(0.1, 0, 400, 2.0, False, (2.0,) * 400)
    again = Trial(1.0, 1, 120, math.inf, True, (2.0, math.inf))
    losses = {0.25: 0.9, 0.5: 0.3, 1.0: math.inf}
    lost = replace(OUTCOME, losses=losses, trials=(start, again), ceiling=1.0)
    found = replace(FOUND, rate=0.5, rate_given=False, outcome=lost)
    said = statements.learning_rate(found)
    assert "At 1 the training diverged in another order of batches." in said.text
    both = replace(lost, trials=(start, replace(again, order=0), again))
    both_said = statements.learning_rate(replace(found, outcome=both)).text
    assert both_said.endswith("At 1 the training diverged.")
    kept = Trial(0.5, 1, 400, 0.31, False, (2.0,) * 400)
    beyond = Trial(1.0, 0, 20, math.inf, True, (2.0, math.inf))
    tried = replace(lost, trials=(start, beyond, kept))
    said = statements.learning_rate(replace(found, outcome=tried))
    told = "At 1 the training diverged. In another order of batches 0.5 did not diverge either."
    assert told in said.text
    assert said.action == "Train at 0.5."


def test_what_so_short_a_training_says_of_the_rate_in_use_is_a_try() -> None:
    short = replace(OUTCOME, horizon=15, planned=1860, epoch=62, own={1e-3: 1.4})
    said = statements.learning_rate(replace(FOUND, rate=1e-3, outcome=short))
    assert said.level == "unknown"
    assert said.action.startswith("Try 0.2. A budget of about")
    lost = replace(short, own={3.0: math.inf})
    said = statements.learning_rate(replace(FOUND, rate=3.0, outcome=lost))
    assert (said.level, said.action) == ("critical", "Lower it to 0.2.")


def test_a_length_that_nobody_planned_is_the_run_s() -> None:
    short = replace(OUTCOME, horizon=80, planned=320, epoch=43, chosen=True)
    found = replace(FOUND, rate=0.2, rate_given=False, outcome=short, budget=30.0)
    said = statements.learning_rate(found)
    assert "That is 1/4 of the run's 320." in said.text
    assert "planned" not in said.text
    # A run of a larger budget is longer as well, so that no budget compares all of it.
    told = "A budget of about 60 s compares longer trainings; say how long yours is to be."
    assert said.action == f"Train at 0.2. {told}"
    # Nor does it make ten steps enough that the clock left no time for more of them.
    ten = replace(short, horizon=10, planned=10)
    said = statements.learning_rate(replace(found, rate_given=True, outcome=ten))
    assert (ten.verdict, said.level) == ("rough", "unknown")
    assert "an order of magnitude: 0.05 to 0.8" in said.text
    assert replace(ten, chosen=False).verdict == "found"


def test_a_kernel_that_stood_still_while_little_was_learned_advises_nothing() -> None:
    little = replace(FOUND, kernel_change=0.04, losses=[1.09, 1.0, 0.95, 0.924])
    assert statements.regime(little).action == ""
    assert "kernel method" in statements.regime(replace(FOUND, kernel_change=0.04)).action


def test_a_network_that_is_sure_of_nothing_says_nothing_of_labels() -> None:
    early = replace(NOISY, confidence=0.1)
    said = statements.labels(replace(FOUND, label_evidence=early))
    assert said.level == "unknown"
    assert "after epoch 7, which tells most, the network is not sure of any class yet" in said.text


def test_one_epoch_is_one() -> None:
    once = replace(OUTCOME, horizon=40, planned=40)
    assert "40 steps (1 epoch)." in statements.learning_rate(replace(FOUND, outcome=once)).text


def test_wrong_labels_come_before_a_rate_that_would_learn_them_faster() -> None:
    # None of them is learned yet; what a larger rate has a lower loss by are they.
    early = replace(NOISY, learned=0.0)
    falling = [2.0 - 0.1 * i for i in range(10)]
    found = replace(FOUND, rate=1e-3, outcome=UP, label_evidence=early, losses=falling)
    said = {statement.name: statement for statement in conclude(found)}
    assert said["learning_rate"].action == "Do first what is said of labels."
    assert said["progress"].action == "Do first what is said of labels."
    assert statements.rate_to_set(found)[0] == 1e-3


def test_what_does_not_carry_over_is_not_told_to_train_longer() -> None:
    falling = [2.3 - 0.02 * i for i in range(10)]
    found = replace(
        FOUND, losses=falling, train_error=0.7, test_errors=[0.9, 0.89, 0.93], test_guess=0.88,
        n_test=240, label_evidence=None,
    )  # fmt: skip
    said = {statement.name: statement for statement in conclude(found)}
    assert said["test"].level == "warning"
    assert "no better than always answering the most frequent class (88 %)" in said["test"].text
    assert said["progress"].action == "Do first what is said of the test error."
    # Not of one that is better on test examples, nor of one that has not learned its own.
    for change in ({"test_errors": [0.9, 0.6]}, {"train_error": 0.88}, {"test_guess": math.nan}):
        other = {s.name: s for s in conclude(replace(found, **change))}
        assert other["test"].level != "warning"
        assert other["progress"].action == "Train longer."


def test_no_network_is_to_be_wider_and_narrower() -> None:
    stuck = replace(FOUND, losses=[2.0, 1.0] + [0.9] * 8)
    assert "widen it" in statements.progress(stuck).action
    lazy = replace(stuck, kernel_change=0.05)
    assert "narrower" in statements.regime(lazy).action
    assert "widen" not in statements.progress(lazy).action
    linear = statements.regime(replace(stuck, kernel_change=0.0))
    assert (linear.action, linear.text[:35]) == ("", "The model is linear in its paramete")


def test_a_limit_that_a_model_does_not_allow_to_measure_is_not_waited_for() -> None:
    why = "measuring it failed with NotImplementedError: no second derivative"
    said = statements.stability_of_run(replace(FOUND, ratios=[], limits=[], unsharp=why))
    assert said.text.endswith("NotImplementedError: no second derivative.")
    assert (said.level, said.action) == ("unknown", "")
    assert statements.stability_of_run(replace(FOUND, unsharp=why)).level == "info"


def test_the_rate_is_the_first_that_is_said_where_nothing_is_urgent() -> None:
    good = replace(FOUND, rate=0.15)
    assert next(s.name for s in conclude(good)) == "learning_rate"
    stuck = conclude(replace(good, losses=[2.0, 1.0] + [0.9] * 8))
    assert [s.name for s in stuck][:2] == ["progress", "learning_rate"]
    rows = statement_rows([vars(statement) for statement in stuck])
    assert [row["name"] for row in rows][:2] == ["Progress", "Learning rate"]


def test_what_a_dead_network_looks_at_is_rounding() -> None:
    found = statements.inputs(replace(FOUND, output_spread=1e-9))
    assert (found.level, found.text) == (
        "unknown", "Cannot tell which inputs matter: the network is dead."
    )  # fmt: skip


def test_the_rate_comes_before_spikes_that_it_may_have_made() -> None:
    lower = replace(FOUND, rate=3.0, outcome=DOWN)
    first = "Change the rate first, as advised."
    said = statements.spikes(replace(lower, events=[{"kind": "catapult"}]))
    assert said.action == first
    said = statements.spikes(replace(lower, events=[{"kind": "bad batch"}]))
    assert said.action.startswith(f"{first} Look at the examples")
    said = statements.spikes(replace(lower, events=[{"kind": "weights changed"}]))
    assert said.action.startswith("Find what writes")


def test_a_noise_scale_that_one_measurement_decides_is_not_told() -> None:
    one = noise_scale([4e7, 1.0, 2.0, -1.0, 1.0], [3e8, 20.0, 25.0, 22.0, 21.0])
    assert not one.known
    said = statements.noise(replace(FOUND, noise=one, noise_times=5))
    assert said.level == "unknown"
    assert "of 5 measurements one outweighs all others" in said.text
    said = statements.noise(replace(FOUND, noise=noise_scale([1.0], [20.0]), noise_times=1))
    assert said.text.endswith(": 1 measurement of it is too few.")
    single = replace(FOUND, noise=NoiseScale(1.02, 0.6, 3.1, 1.0, 1.02))
    assert "the noise scale, 1 example (0.6 to 3.1" in statements.noise(single).text


def test_a_loss_is_told_from_before_a_rate_drove_it_up() -> None:
    up = [0.69, *([3e4] * 5), *([0.33] * 154)]
    found = replace(FOUND, losses=told_losses(up), train_error=0.1)
    said = statements.progress(found)
    assert said.text.startswith("The run's training loss went from 0.69 to 0.33")
    assert "interpolates" not in said.text


def test_spikes_that_went_are_no_fall() -> None:
    level = [0.7, *([0.31, 0.3] * 6), 3.0, 0.3, 2.0, 0.31, 0.3, 0.31, 0.3, 0.31, 0.3, 0.3, 0.31]
    said = statements.progress(replace(FOUND, losses=level, events=[{"kind": "bad batch"}]))
    assert "falling" not in said.text
    steep = [2.0 / 1.2**i for i in range(24)]
    said = statements.progress(replace(FOUND, losses=steep, events=[{"kind": "bad batch"}]))
    assert "still falling: its median over the last quarter was" in said.text


def test_a_loss_below_zero_is_no_network_that_interpolates_and_offsets_change_nothing() -> None:
    """The negative log-likelihood of a density has no least value, and its zero means nothing."""
    course = [3 * 0.8**t + 1.0 for t in range(40)]
    falling = [3.0 - 0.05 * t for t in range(40)]
    for losses, ends in ((course, "stuck"), (falling, "still falling")):
        said = []
        for offset in (6.0, 60.0):
            shifted = [loss - offset for loss in losses]
            found = replace(FOUND, losses=shifted, label_evidence=None, train_error=math.nan)
            said.append(statements.progress(found))
        assert all(ends in one.text and "of the fall" in one.text for one in said), said
        assert said[0].value == pytest.approx(said[1].value)
    test = replace(FOUND, test_errors=[-1.0, -2.9, -3.0], test_measure="loss", label_evidence=None)
    assert not worsened(test)


def test_a_loss_that_goes_below_zero_has_no_end_there() -> None:
    falls = [0.5 - 0.2 * i for i in range(20)]
    found = replace(
        FOUND, losses=falls, train_error=math.nan, labels=False, test_measure="loss",
        test_errors=[0.4, -2.0, -3.1, -3.1], kernel_change=0.3,
    )  # fmt: skip
    assert "still falling" in statements.progress(found).text
    test = statements.generalisation(found)
    assert (test.text, test.action) == ("The test loss ended at -3.1, its best.", "")
    worse = replace(found, test_errors=[0.4, -3.1, -2.0, -2.0])
    assert "after a best of -3.1" in statements.generalisation(worse).text
    below = replace(OUTCOME, losses={0.1: -1.0, 0.2: -3.0, 0.4: -2.9, 0.8: math.inf}, ceiling=0.8)
    told = statements.learning_rate(replace(found, outcome=below)).text
    assert "times" not in told
    assert not better(reached(-2.0), reached(-2.1))
    assert better(reached(-3.0), reached(-2.1))


def reached(loss: float) -> Reached:
    return Reached("optimizer", "SGD", 0.1, loss, 2.0, 100, 100, "finished")


def test_a_loss_of_zero_leaves_nothing_to_learn_and_is_no_merit() -> None:
    none = replace(
        OUTCOME, losses={}, learned=False, horizon=0, step_seconds=math.nan, stopped="finished"
    )
    lost = statements.learning_rate(replace(FOUND, outcome=none, rate_given=False))
    assert (lost.level, lost.text) == (
        "critical", "No rate moves the parameters: their gradients are zero."
    )  # fmt: skip
    fitted = replace(none, first=0.0)
    told = statements.learning_rate(replace(FOUND, outcome=fitted, rate_given=False))
    assert told.level == "info"
    assert told.text.startswith("The loss is 0 before training: nothing is left to learn")
    zero = replace(FOUND, test_measure="loss", test_errors=[0.0, 0.0], labels=False)
    assert statements.generalisation(zero).level == "info"


def test_a_loss_that_rose_far_is_not_called_stuck() -> None:
    rose = replace(FOUND, losses=[5e15] * 6 + [4e24, 4e24, 5e24, 5e24], train_error=math.nan)
    assert "did not come down again" in statements.progress(rose).text
    assert "stuck" not in statements.progress(rose).text
