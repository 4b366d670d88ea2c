"""From evidence to a cause: each test in its place, and what was not known is said."""

import math
from dataclasses import replace

import pytest

from overparam.dynamics.spikes.causes import TESTS, cannot_tell, judge
from overparam.dynamics.spikes.evidence import Evidence
from overparam.dynamics.spikes.outcome import ended, named

# A rise that nothing is known to have caused.
BARE = Evidence(
    rise=4.0, earlier=1.1, updates=1.0, gradient=1.2, gradient_loss=1.0, alike=1.1, alike_loss=1.0,
    rate=1.0, jump=1.0, ramp=1.0, cosine=0.1, share=0.1, foreign=1.0, probe=1.0, logged=30,
    same_batch=False, age=7,
)  # fmt: skip
DATA = {"share": 0.95, "probe": 1.05}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({}, "unexplained"),
        (DATA, "bad batch"),
        (DATA | {"small": True}, "hard batch"),
        (DATA | {"later": (3.5, 3.0, 4.0, 1.0, 3.2)}, "data switched"),
        (DATA | {"later": (3.5, 1.0, 1.0, 1.0, 1.0)}, "bad batch"),
        (DATA | {"same_batch": True}, "unexplained"),
        (DATA | {"probe": 2.5}, "unexplained"),
        (DATA | {"updates": 4.0}, "bad batch"),
        (DATA | {"updates": 4.0, "age": 2}, "unexplained"),
        (DATA | {"ramp": 3.0, "updates": 4.0}, "above the limit"),
        ({"foreign": 3.5, "share": 0.0, "probe": 1.02}, "bad batch"),
        ({"foreign": 3.5, "share": 0.9, "probe": 1.6}, "unexplained"),
        ({"spoiled": True, "finite": False, "rise": math.nan}, "bad batch"),
        ({"changed": ("head",)}, "weights changed"),
        ({"changed": ("head",), "not_finite": ("head",)}, "weights changed"),
        ({"lost": ("head",)}, "state lost"),
        ({"not_finite": ("head",)}, "numerical"),
        ({"finite": False, "forward": "body.1", "rise": math.nan}, "numerical"),
        ({"finite": False, "earlier": 30.0, "rise": math.nan}, "above the limit"),
        ({"alike": 200.0}, "gradient scale"),
        ({"alike": 200.0, "alike_loss": 9.0}, "unexplained"),
        ({"gradient": 50.0, "gradient_layers": ("head",)}, "gradient scale"),
        ({"gradient": 50.0, "cosine": -0.6}, "above the limit"),
        ({"moments": 9.0, "updates": 5.0, "stale": ("head",)}, "stale moments"),
        ({"moments": 9.0, "updates": 5.0, "rate": 4.0}, "unexplained"),
        ({"moments": 6.0, "updates": 60.0}, "unexplained"),
        ({"moments": 9.0, "updates": 5.0, "cosine": -0.4}, "above the limit"),
        ({"jump": 20.0, "ramp": 20.0, "jumped": ("head",)}, "rate raised"),
        ({"ramp": 1.5}, "above the limit"),
        ({"cosine": -0.5}, "above the limit"),
        ({"ratio": 1.2}, "above the limit"),
        ({"probe": 3.0, "gradient": 2.0}, "above the limit"),
        ({"probe": 3.0}, "unexplained"),
        ({"probe": 3.0, "gradient": 2.0, "logged": 0}, "unexplained"),
        # What is known of steps that are not logged.
        ({"infinite": ("head",), "finite": False}, "numerical"),
        ({"sustained": True, "alike": 200.0}, "stale moments"),
        ({"untouched": True, "against": -0.5}, "above the limit"),
        ({"untouched": True, "probe": 3.0}, "above the limit"),
        ({"untouched": True, "probe": 3.0, "share": math.nan}, "above the limit"),
        # A hard batch pulls against the momentum, too, and a step on it harms others.
        ({"untouched": True, "against": -0.5, "share": math.nan}, "unexplained"),
        ({"untouched": True, "probe": 1.4, "share": 0.6}, "unexplained"),
        ({"untouched": False, "against": -0.5, "probe": 3.0}, "unexplained"),
        ({"untouched": False, "ratio": 1.2}, "unexplained"),
        ({"untouched": None, "ratio": 1.2}, "above the limit"),
        # Whatever the gradients do, a rate of a thousandth of its limit is not above it.
        ({"cosine": -0.5, "ratio": 1e-3}, "unexplained"),
        ({"probe": 3.0, "gradient": 2.0, "ratio": 1e-3}, "unexplained"),
    ],
)
def test_the_first_test_that_holds_decides(change, cause):
    verdict = judge(replace(BARE, **change))
    assert verdict.cause == cause, verdict
    assert verdict.reason


def test_every_test_is_silent_about_nothing():
    assert [test(Evidence()) for test in TESTS] == [None] * len(TESTS)


def test_what_is_above_the_limit_says_where_it_began():
    verdict = judge(replace(BARE, ramp=2.0, climbing=("body.3",), first=("head",)))
    assert verdict.layers == ("body.3",)
    assert judge(replace(BARE, cosine=-0.5, first=("head",))).layers == ("head",)
    assert judge(replace(BARE, jump=9.0, jumped=("decoder",))).groups == ("decoder",)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, "max_overhead"),
        ({"logged": 30, "unread": "batch"}, "pass batch="),
        ({"logged": 30, "unread": "time"}, "max_overhead leaves no time"),
        ({"logged": 30}, "its batch was gone"),
        ({"logged": 30, "trouble": "TypeError: no"}, "TypeError: no"),
        ({"logged": 30, "share": 0.1}, "stability ratio"),
        ({"logged": 30, "share": 0.1, "ratio": 0.5}, "no test holds"),
    ],
)
def test_unexplained_says_what_was_lacking(known, words):
    verdict = judge(Evidence(rise=3.0, **known))
    assert verdict.cause == "unexplained"
    assert words in verdict.reason
    assert cannot_tell(verdict.missing) == verdict.reason


@pytest.mark.parametrize(
    ("phase", "loss", "outcome"),
    [("closed", 1.0, "recovered"), ("dismissed", 1.0, "recovered"), ("lost", 9.0, "lost"),
     ("lost", 1.9, "lasting"), ("lost", 5.5, "lasting")],
)  # fmt: skip
def test_lost_is_worse_than_at_the_start_and_than_twice_before(phase, loss, outcome):
    assert ended(phase, loss, level=1.0, first=5.0) == outcome


@pytest.mark.parametrize(
    ("outcome", "cause", "above", "name"),
    [
        ("recovered", "above the limit", False, "catapult"),
        ("recovered", "rate raised", True, "catapult"),
        ("recovered", "rate raised", False, "recovered"),
        ("recovered", "bad batch", True, "recovered"),
        ("lost", "rate raised", False, "divergence"),
        ("lost", "weights changed", True, "lost"),
        ("lasting", "above the limit", True, "lasting"),
    ],
)
def test_an_outcome_has_its_own_name_where_the_rate_did_it(outcome, cause, above, name):
    assert named(outcome, cause, above=above) == name
