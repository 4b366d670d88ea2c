"""The page of all studies."""

import copy
import re

import pytest

from overparam.report.catalogue import catalogue_view, render_catalogue
from overparam.report.documents import read_documents


def told(study, name="a2020_b", **more):
    """A study's result whose claims say whose they are."""
    result = copy.deepcopy(study) | {"study": name, **more}
    kinds = ["paper", "paper", "control", "paper"]
    for claim, kind in zip(result["claims"], kinds, strict=True):
        claim |= {"kind": kind, "sentence": f"Abstract: {kind}."}
    return result


def view(*results):
    return catalogue_view([document for one in results for document in read_documents(one)])


def test_only_the_papers_claims_are_counted_and_the_others_folded_by_kind(study):
    found = view(told(study))
    assert found["outcome"] == [
        ("good", "1 reproduced"),
        ("warning", "1 weaker"),
        ("unknown", "1 not testable at this size"),
    ]
    assert [(part["words"], len(part["claims"])) for part in found["others"]] == [("controls", 1)]
    assert len(found["figures"]) == 1


def test_a_verdict_of_another_seed_stands_beside(study):
    claims = {
        claim["name"]: {"measured": 1.0, "verdict": "reproduced"} for claim in study["claims"]
    }
    repeated = [{"seed": 7, "environment": {"device": "x"}, "claims": claims}]
    small = told(study, size="smoke")
    found = view(small, told(study, repeated=repeated))
    elsewhere = {claim["name"]: claim["elsewhere"] for claim in found["paper"]}
    assert elsewhere["slope"] == ""
    assert elsewhere["hessian"] == "reproduced at quick, seed 7"
    assert ("warning", "2 held in some runs") in found["outcome"]
    assert [run[:2] for run in found["runs"]] == [["smoke", "0"], ["quick", "0"], ["quick", "7"]]
    assert "seeds 0, 7" in found["kind"]


def test_of_many_claims_on_a_sentence_those_that_held_are_folded(study):
    result = told(study)
    slope = result["claims"][0]
    result["claims"] = [{**slope, "name": f"c{i}"} for i in range(5)]
    result["claims"][3]["verdict"] = "not reproduced"
    (part,) = view(result)["tested"]
    assert ([claim["name"] for claim in part["shown"]], len(part["folded"])) == (["c3"], 4)


def test_the_page_says_what_would_change_it_and_what_was_moved(study):
    result = told(study, failure="If it rose.", changed="The <data>.", cost="One second.")
    moved = {"old": "at least 2", "new": "at least 1", "reason": "seen", "arithmetic": False}
    result["claims"][1]["moved"] = moved
    page = render_catalogue([result, told(study, "c2021_d")])
    assert "What would change our mind" in page
    assert "If it rose." in page
    assert "The &lt;data&gt;." in page
    assert "from at least 2 to at least 1: seen; the old one judges" in page
    assert (
        "What 2 papers say, each at its largest size: 2 reproduced, 2 weaker, 2 not testable"
        in page
    )
    assert re.findall(r'<a href="#(part-\d)"', page) == ["part-1", "part-2"]
    assert page.count('class="plot"') == 2


@pytest.mark.parametrize("claims", [[], [{}]])
def test_a_result_that_says_little_is_shown_all_the_same(claims):
    page = render_catalogue([{"kind": "study", "study": "x", "size": "quick", "seed": 0,
                              "claims": claims}])  # fmt: skip
    assert "No claim is marked as the paper's." in page.replace("&#39;", "'")


@pytest.mark.parametrize("width", [1280, 375])
def test_it_draws_and_fits_in_a_browser(browser, tmp_path, study, width):
    page = tmp_path / "studies.html"
    page.write_text(render_catalogue([told(study), told(study, "c2021_d")]), encoding="utf-8")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    drawn = "return document.querySelectorAll('.plot .main-svg').length > 0"
    assert browser.execute_script(drawn)
    assert browser.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0
    assert browser.get_log("browser") == []
