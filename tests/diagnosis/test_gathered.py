"""What a diagnosis tells of its spikes: nothing that the rest of the run speaks against."""

import math

import torch

from overparam.diagnosis.document import _event
from overparam.diagnosis.gathered import _guess, _plausible, _unsharp, _until_lost
from overparam.dynamics.instruments import ProbeStatus
from overparam.dynamics.spikes.causes import MISSING, cannot_tell

SPIKE = {
    "step": 9, "kind": "catapult", "cause": "above the limit", "outcome": "catapult",
    "reason": "gradients turn about, cosine -0.56",
}  # fmt: skip


def test_no_catapult_in_a_run_that_was_far_below_its_limit() -> None:
    told = _plausible(SPIKE, [2e-4, 3e-4])
    assert (told["kind"], told["cause"], told["outcome"]) == (
        "unexplained", "unexplained", "recovered"
    )  # fmt: skip
    assert told["reason"].endswith("and the rate was at most 3e-4 of its limit")
    # Far is where no run of `bench limits` began to diverge.
    assert _plausible(SPIKE, [0.02, 0.12])["kind"] == "unexplained"
    for ratios in ([], [2e-4, 0.3]):
        assert _plausible(SPIKE, ratios) == SPIKE
    lost = {**SPIKE, "outcome": "divergence"}
    assert _plausible(lost, [2e-4]) == lost


def test_a_reason_names_nothing_that_a_diagnosis_does_not_take() -> None:
    missing = ["batch", "log", "not measured, since of a reason of its own"]
    told = _event({**SPIKE, "reason": cannot_tell(missing), "missing": missing})["reason"]
    assert told == (
        "cannot tell: no batch was measured; steps are too short to log in the time there was; "
        "not measured, since of a reason of its own"
    )
    for one in MISSING:
        assert "batch=" not in _event({**SPIKE, "missing": [one]})["reason"]
        assert "max_overhead" not in _event({**SPIKE, "missing": [one]})["reason"]


def test_a_loss_that_leaves_for_good_is_one_spike() -> None:
    back = {**SPIKE, "step": 3, "outcome": "recovered"}
    gone = {**SPIKE, "step": 20, "kind": "divergence", "outcome": "lost"}
    later = {**gone, "step": 25, "kind": "numerical"}
    events = [back, gone, later, {**later, "kind": "non-finite", "step": 30}]
    assert _until_lost(events, True) == [back, gone]
    assert _until_lost(events, False) == events
    assert _until_lost([gone, back, later], True) == [gone, back, later]
    assert _until_lost([], True) == []


def test_a_guess_is_the_class_most_frequent_in_training() -> None:
    assert _guess(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 0, 0])) == 0.75
    assert math.isnan(_guess(torch.rand(3), torch.rand(2)))
    assert math.isnan(_guess(torch.tensor([1]), torch.tensor([], dtype=torch.int64)))


def test_a_probe_that_was_given_up_says_why_in_the_words_of_what_failed() -> None:
    def status(words: str) -> ProbeStatus:
        return ProbeStatus("sharpness", words, 0, math.nan, 1.0, math.nan, ("stability_ratio",))

    failed = (
        "switched off after InvalidValue: `f(...)` expected a graph, got NotImplementedError: no."
    )
    assert _unsharp([status(failed)]) == "measuring it failed with NotImplementedError: no"
    assert _unsharp([status("measures"), status("does not apply: graphs")]) == ""
