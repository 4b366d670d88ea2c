"""Random labels, sound ones, or cannot tell: each threshold separates what it says."""

from dataclasses import replace

import pytest

from overparam.diagnosis.label_evidence import LabelEvidence, held_out_rate, judge

# A tenth of the labels random, a network that errs on 2 % of the others: sure predictions are
# contradicted as often as any, and 4 of 9 wrong labels lie in the lower half of the nine
# alternatives.
NOISY = LabelEvidence(
    epoch=8, classes=10, n_train=2000, held_out=500, error=0.12, error_by_class=0.12, sure=125,
    sure_wrong=13, implausible=22, suspects=210, learned=0.4,
)  # fmt: skip


def test_random_labels_are_as_many_as_the_sure_predictions_that_are_contradicted() -> None:
    found = judge(NOISY)
    assert found.kind == "random"
    # 22/500 · 9/4 = 0.099, less than 13/125.
    assert found.rate == pytest.approx(0.099)
    assert found.low < 0.1 < found.high


@pytest.mark.parametrize(
    ("counts", "kind"),
    [
        # The same errors, where the network is unsure: misfit.
        ({"sure_wrong": 1}, "sound"),
        # The same errors, the label being the second guess: misfit.
        ({"implausible": 1}, "sound"),
        # A fifth random, and a quarter that is not: a network that was lost on the way.
        ({"error": 0.45, "error_by_class": 0.45, "sure_wrong": 30, "implausible": 45}, "misfit"),
        # Both as with random labels, among far more errors.
        ({"error": 0.45, "error_by_class": 0.45}, "misfit"),
        # A network that has learned nothing contradicts everything at random.
        ({"error": 0.9, "error_by_class": 0.9, "sure_wrong": 112, "implausible": 200}, "misfit"),
        # One that has hardly begun to learn is not sure where it is surest, and errs by itself.
        ({"confidence": 0.2}, "misfit"),
        # Or one that gives the most frequent of its classes.
        ({"error_by_class": 0.8}, "misfit"),
        # Few examples: one wrong of nine is no sign, and none is no sign of none.
        ({"held_out": 36, "sure": 9, "sure_wrong": 1, "implausible": 2}, "few"),
        ({"held_out": 36, "sure": 9, "sure_wrong": 0, "implausible": 0, "error": 0.0}, "few"),
        ({"error": 0.0, "error_by_class": 0.0, "sure_wrong": 0, "implausible": 0}, "sound"),
    ],
)
def test_what_is_not_noise_is_not_called_so(counts: dict, kind: str) -> None:
    assert judge(replace(NOISY, **counts)).kind == kind


def test_two_classes_are_judged_by_the_sure_predictions() -> None:
    two = replace(NOISY, classes=2, implausible=None, error=0.14, error_by_class=0.14)
    assert judge(two).kind == "random"
    assert judge(two).rate == 13 / 125
    assert judge(replace(two, sure_wrong=2)).kind == "sound"
    # Coin tosses: a guess is wrong every other time.
    assert judge(replace(two, error=0.5, error_by_class=0.5, sure_wrong=62)).kind == "misfit"


def test_labels_wrong_in_the_training_part_alone() -> None:
    corrected = replace(NOISY, error=0.02, error_by_class=0.02, sure_wrong=0, implausible=0)
    assert judge(corrected).kind == "sound"
    by_excess = replace(corrected, excess=0.1, excess_deviation=0.01, excess_error=0.12)
    assert judge(by_excess).kind == "random"
    assert judge(by_excess).rate == 0.1
    # At most all that it contradicts in the training part.
    assert (judge(by_excess).low, judge(by_excess).high) == pytest.approx((0.08, 0.12))
    loose = replace(by_excess, excess_error=0.3)
    assert (judge(loose).kind, judge(loose).high) == ("random", 0.3)
    # What chance explains, and what a network that misfits both parts makes of a few.
    assert judge(replace(by_excess, excess_deviation=0.03)).kind == "sound"
    assert judge(replace(by_excess, excess_error=0.4)).kind == "misfit"


@pytest.mark.parametrize("classes", [3, 4, 10, 100])
def test_the_rate_of_random_labels_is_recovered(classes: int) -> None:
    # A perfect network on 9000 examples of which a fifth are random.
    alternatives = classes - 1
    expected = 1800 * (alternatives // 2) / alternatives
    found = replace(
        NOISY, classes=classes, held_out=9000, error=0.2, sure=2250, sure_wrong=450,
        implausible=round(expected),
    )  # fmt: skip
    rate, low, high = held_out_rate(found)
    # Rounding to a whole label is 2/9000 of a share.
    assert rate == pytest.approx(0.2, abs=3e-4)
    assert low < 0.2 < high


def test_the_interval_holds_at_the_ends() -> None:
    none = replace(NOISY, sure_wrong=0, implausible=0)
    assert held_out_rate(none)[:2] == (0.0, 0.0)
    assert 0 < held_out_rate(none)[2] < 0.1
    everything = replace(NOISY, sure_wrong=125, implausible=500)
    assert held_out_rate(everything)[0] == 1.0
    assert held_out_rate(everything)[2] == pytest.approx(1.0, abs=1e-12)
    assert held_out_rate(replace(NOISY, sure=0, sure_wrong=0))[2] == 1.0
