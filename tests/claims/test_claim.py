import math

import pandas as pd
import pytest

from overparam.claims import SIZES, VERDICTS, Claim, Moved, Range


def claim(**changes):
    settings = {
        "name": "mean",
        "statement": "The mean is 1.",
        "paper": 1.0,
        "source": "Table 1",
        "statistic": lambda rows: rows["value"].mean(skipna=False),
        "passes": Range(0.9, 1.1),
        "tolerance": "10 %",
        "weaker": Range(0.5, 1.5),
    }
    return Claim(**settings | changes)


def table(*values):
    return pd.DataFrame({"seed": range(len(values)), "kind": "a", "value": values})


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (1.0, "reproduced"),
        (0.9, "reproduced"),
        (0.89, "weaker"),
        (1.5, "weaker"),
        (1.51, "not reproduced"),
        (-1.0, "not reproduced"),
        (math.nan, "not reproduced"),
        (math.inf, "not reproduced"),
    ],
)
def test_verdict_is_where_the_number_lies(value, verdict):
    judged = claim().judge(table(value), "quick")
    assert judged["verdict"] == verdict
    assert judged["measured"] == value or math.isnan(value)


def test_without_a_weaker_range_there_is_no_weaker():
    assert claim(weaker=None).judge(table(1.2), "quick")["verdict"] == "not reproduced"


@pytest.mark.parametrize("smallest", SIZES)
def test_below_its_smallest_size_a_claim_is_not_testable(smallest):
    for size in SIZES:
        verdict = claim(smallest=smallest).judge(table(1.0), size)["verdict"]
        testable = SIZES.index(size) >= SIZES.index(smallest)
        assert verdict == ("reproduced" if testable else "not testable at this size")
        assert verdict in VERDICTS


def test_n_counts_the_seeds_of_the_selected_rows():
    cells = pd.DataFrame(
        {"seed": [0, 0, 1, 2], "kind": ["a", "a", "a", "b"], "value": [1.0, 1.0, 1.0, 9.0]}
    )
    judged = claim(where={"kind": "a"}).judge(cells, "quick")
    assert (judged["n"], judged["measured"]) == (2, 1.0)
    assert claim(where={"kind": ["a", "b"]}).judge(cells, "quick")["n"] == 3


def test_a_selection_of_nothing_is_a_mistake_not_a_verdict():
    with pytest.raises(ValueError, match=r"`Claim\('mean', where=\.\.\.\)`"):
        claim(where={"kind": "c"}).judge(table(1.0), "quick")


def test_nobody_types_a_verdict():
    with pytest.raises(TypeError, match="verdict"):
        claim(verdict="reproduced")


def test_impossible_claims():
    with pytest.raises(ValueError, match="contains `passes`"):
        claim(weaker=Range(1.0, 2.0))
    with pytest.raises(ValueError, match="smallest out of smoke, quick, full"):
        claim(smallest="tiny")


def test_a_claim_of_a_paper_names_the_sentence_and_where_its_bound_comes_from():
    with pytest.raises(ValueError, match="the sentence of the paper"):
        claim(kind="paper", criterion="paper")
    with pytest.raises(ValueError, match="criterion out of"):
        claim(kind="paper", sentence="Abstract: the mean is 1.")
    with pytest.raises(ValueError, match="kind out of"):
        claim(kind="headline")
    judged = claim(kind="paper", sentence="Abstract: the mean is 1.", criterion="paper").judge(
        table(1.0), "quick"
    )
    assert (judged["kind"], judged["criterion"]) == ("paper", "paper")
    assert judged["sentence"] == "Abstract: the mean is 1."


def test_a_moved_criterion_is_judged_by_the_old_one_unless_arithmetic_moved_it():
    old, new = Range(0.9, 1.1), Range(0.5, 1.5)
    moved = Moved(old, new, "seed 1 gives 1.3")
    assert claim(moved=moved).judge(table(1.3), "quick")["verdict"] == "weaker"
    with pytest.raises(
        ValueError, match=r"passes=between 0\.9 and 1\.1, which `moved` says judges"
    ):
        claim(passes=new, weaker=None, moved=moved)
    counted = Moved(old, new, "the mean of two coins has a spread of 0.35", arithmetic=True)
    judged = claim(passes=new, weaker=None, moved=counted).judge(table(1.3), "quick")
    assert judged["verdict"] == "reproduced"
    assert judged["moved"] == {
        "old": "between 0.9 and 1.1",
        "new": "between 0.5 and 1.5",
        "reason": "the mean of two coins has a spread of 0.35",
        "arithmetic": True,
    }
    with pytest.raises(ValueError, match="why the criterion was changed"):
        Moved(old, new, " ")
    with pytest.raises(ValueError, match="two criteria"):
        Moved(old, old, "no reason")
