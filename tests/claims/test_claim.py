import math

import pandas as pd
import pytest

from overparam.claims import SIZES, VERDICTS, Claim, Range


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
