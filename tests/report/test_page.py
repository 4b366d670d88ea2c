"""The page as text: what it says, in which order, and what it lets nobody smuggle in."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from overparam.report import render, write_report
from overparam.report.assets import asset

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&<b>&amp;{{ 7*7 }}\u2028"
)


class Page(HTMLParser):
    """Elements, and the text outside scripts and style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def hostile(value):
    """Every string of a document replaced; keys, kinds and numbers stay."""
    if isinstance(value, dict):
        return {k: v if k == "kind" and v in KINDS else hostile(v) for k, v in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


KINDS = ("diagnosis", "study", "line", "scatter", "bar", "heatmap")


def test_hostile_text_is_shown_and_never_interpreted(diagnosis, study):
    diagnosis["series"]["agop"] |= {"image_shape": None, "names": ["x"] * 64}
    clean, dirty = Page(render([diagnosis, study])), Page(render(hostile([diagnosis, study])))
    assert HOSTILE in dirty.text
    assert len(dirty.scripts) == len(clean.scripts) == 3
    assert dirty.scripts[1:] == clean.scripts[1:]
    known = {tag for tag, _ in clean.tags}
    assert {tag for tag, _ in dirty.tags} <= known
    assert not [attrs for _, attrs in dirty.tags if any(name.startswith("on") for name in attrs)]
    assert "<b>" not in dirty.scripts[0]
    drawn = json.dumps(list(json.loads(dirty.scripts[0]).values()), ensure_ascii=False)
    assert "&lt;/script&gt;" in drawn
    assert "<" not in drawn


def test_keys_of_series_cannot_break_out_either(study):
    study["series"] = {HOSTILE: study["series"]["change"]}
    page = Page(render([study]))
    assert len(page.scripts) == 3


def test_a_series_of_hostile_name_is_listed_as_text(diagnosis):
    diagnosis["series"][HOSTILE] = {"step": [1], "value": [2.0]}
    assert HOSTILE in Page(render([diagnosis])).text


def test_plotly_is_inlined_once_and_admitted_by_its_hash(diagnosis, study):
    html = render([diagnosis, study])
    assert len(re.findall(r"\* plotly\.js .*v\d", html)) == 1
    assert "<!--" not in html
    page = Page(html)
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    for script in page.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_nothing_on_the_page_points_outside(diagnosis, study):
    page = Page(render([diagnosis, study]))
    assert not page.all("script")[1].get("src")
    for _, attrs in page.tags:
        for name in ("src", "href", "action", "srcset", "poster"):
            assert str(attrs.get(name, "#")).startswith(("#", "data:"))
    assert "url(" not in asset("style.css")
    assert "@import" not in asset("style.css")


def test_the_order_is_found_set_measured_spikes_suspects_numbers_origin(diagnosis):
    titles = (
        "MLP on digits, What was found, What to set, What was measured, Loss spikes, "
        "Suspect labels, Numbers, How to reproduce"
    )
    found = re.findall(r"<h[12].*?>(.*?)</h[12]>", render([diagnosis]))
    assert found == titles.split(", ")


def test_statements_come_by_severity_with_word_number_and_action(diagnosis):
    html = render([diagnosis])
    levels = re.findall(r'class="card statement (\w+)"', html)
    # The rate, which is what was asked for, comes before what is no warning.
    assert levels == ["critical", "warning", "good", "unknown", "info", "info"]
    text = Page(html).text
    for statement in diagnosis["statements"]:
        assert statement["text"] in text
        assert statement["action"] in text
    for word in ("Critical", "Warning", "Cannot tell", "Note", "Good"):
        assert word in text


def test_an_unknown_level_is_a_note_and_no_class_of_its_own(diagnosis):
    diagnosis["statements"][0]["level"] = 'x" onclick="alert(1)'
    page = Page(render([diagnosis]))
    assert not [attrs for _, attrs in page.tags if "onclick" in attrs]


def test_advice_is_rounded_for_the_eye_and_whole_for_the_clipboard(diagnosis):
    html = render([diagnosis])
    assert "<code>0.0987</code>" in html
    assert 'data-copy="0.09871234567"' in html


def test_headings_never_skip_a_level(diagnosis, study):
    for documents in ([diagnosis], [study], [diagnosis, study]):
        page = Page(render(documents))
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b <= a + 1 for a, b in pairwise(levels))


def test_identifiers_are_unique_and_labels_lead_somewhere(diagnosis, study):
    page = Page(render([diagnosis, diagnosis, study]))
    names = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(names) == len(set(names))
    targets = [figure["aria-labelledby"] for figure in page.all("figure")]
    targets += [link["href"][1:] for link in [*page.all("a"), *page.all("use")]]
    assert set(targets) <= set(names)
    assert all(image["alt"] for image in page.all("img"))


@pytest.mark.parametrize("found", [None, []], ids=["not looked for", "none found"])
def test_no_spikes_and_no_suspects_are_said_in_words(diagnosis, found):
    diagnosis |= {"events": found, "suspects": found}
    text = Page(render([diagnosis])).text
    if found is None:
        assert "Spikes were not looked for." in text
        assert "Labels were not scored." in text
    else:
        assert text.count("None found.") == 2


def test_long_lists_say_how_many_rows_are_left_out(diagnosis):
    diagnosis["suspects"] *= 10
    assert "70 more rows are in the JSON file." in Page(render([diagnosis])).text


@pytest.mark.parametrize("kind", ["diagnosis", "study"])
def test_an_empty_document_still_makes_a_page(kind):
    text = Page(render([{"kind": kind}])).text
    assert "How to reproduce" in text
    assert "None" not in text
    assert "nan" not in text


def test_sections_that_are_null_are_as_good_as_missing(diagnosis):
    for name in diagnosis:
        if name != "kind":
            render([{**diagnosis, name: None}])


def test_rows_may_lack_any_of_their_keys(diagnosis, study):
    diagnosis |= {"statements": [{}], "events": [{}], "suspects": [{}], "advice": {"mass": None}}
    diagnosis["model"]["layers"] = [{}]
    study["claims"] = [{}]
    assert "no verdict" in Page(render([diagnosis, study])).text


def test_a_study_says_what_repeats_it(study):
    command = "overparam study run liu2020_kernel_constancy --size quick --seed 0"
    assert f'data-copy="{command}"' in render([study])


def test_several_results_have_an_index(diagnosis, study):
    html = render([diagnosis, study])
    assert '<a href="#part-1">MLP on digits</a>' in html
    assert '<a href="#part-2">The tangent kernel' in html
    assert "1 not reproduced" in html.split("</nav>")[0]
    assert "<nav" not in render([diagnosis])


def test_a_page_depends_on_its_documents_alone_and_leaves_them(diagnosis):
    before = json.dumps(diagnosis)
    assert render([diagnosis]) == render([json.loads(before)])
    assert json.dumps(diagnosis) == before


def test_rendering_does_not_need_torch():
    code = "import sys, overparam.report as r; r.render([{'kind': 'study'}]); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=200).returncode == 0


def test_nothing_to_report_is_an_error():
    with pytest.raises(ValueError, match=r"render\(documents=\.\.\.\)"):
        render([])


def test_a_report_is_written_whole_and_returns_its_path(tmp_path, diagnosis, study):
    file = tmp_path / "study.json"
    file.write_text(json.dumps(study))
    path = tmp_path / "report.html"
    path.write_text("old")
    assert write_report([diagnosis, file], path) == path
    assert path.read_text(encoding="utf-8") == render([diagnosis, study])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "study.json"]


def test_a_bad_source_leaves_the_old_report_alone(tmp_path, diagnosis):
    broken, path = tmp_path / "broken.json", tmp_path / "report.html"
    broken.write_text("{")
    path.write_text("old")
    with pytest.raises(ValueError, match=r"broken\.json"):
        write_report([diagnosis, broken], path)
    assert path.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.json", "report.html"]


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path, diagnosis):
    with pytest.raises(ValueError, match="a file in a folder that exists"):
        write_report([diagnosis], tmp_path / "no" / "report.html")


def test_a_page_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path, diagnosis):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OSError, match="report"):
        write_report([diagnosis], tmp_path / "report.html")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_by_at_least_4_5_to_1_in_light_and_dark():
    light, dark = re.findall(r":root \{(.*?)\}", asset("style.css"), re.DOTALL)[:2]
    for theme in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", theme))
        assert colours["surface"] != colours["ink"]
        for text in ("ink", "muted", "critical", "warning", "unknown", "info", "good"):
            for ground in ("page", "surface"):
                a, b = sorted(_luminance(colours[name]) for name in (text, ground))
                assert (b + 0.05) / (a + 0.05) >= 4.5, (text, ground)


def test_labels_that_were_not_judged_are_not_called_clean(diagnosis):
    said = {"name": "labels", "level": "unknown", "text": "Cannot tell wrong from hard ones."}
    diagnosis |= {"statements": [{**said, "value": 0.2744, "threshold": 0.02}], "suspects": []}
    text = Page(render([diagnosis])).text
    assert "Not judged. Cannot tell wrong from hard ones." in text
    assert "None found" not in text
    assert "0.2744" not in text


def test_a_run_that_the_budget_ended_says_so_in_its_header(diagnosis):
    diagnosis["data"] |= {"steps_run": 100, "steps_planned": 144, "stopped": "budget"}
    assert "100 steps of 144 (its part of the budget was used up)" in Page(render([diagnosis])).text


def test_what_to_set_is_what_the_statement_says_and_no_limit(diagnosis):
    kept = {"learning_rate": 0.123, "meaning": "the one in use; keep it"}
    diagnosis["advice"] |= {"set": kept}
    table = render([diagnosis]).partition("What to set")[2].partition("</table>")[0]
    assert "keep it" in table
    assert "0.123" in table
    assert "limit" not in table
    assert "Critical" not in table


def test_the_bar_is_told_in_words_and_records_without_one_keep_their_numbers(diagnosis):
    said = {"name": "progress", "level": "info", "text": "It fell.", "value": 0.123456}
    bar = {**said, "threshold": 0.01, "bar": "Stuck below 1 %."}
    page = Page(render([{**diagnosis, "statements": [bar]}])).text
    assert "Stuck below 1 %." in page
    assert "0.1235" not in page
    before = Page(render([{**diagnosis, "statements": [{**said, "threshold": 0.01}]}])).text
    assert "0.1235" in before


def test_a_run_says_what_ended_it(diagnosis):
    for stopped, words in (
        ("budget", "its part of the budget was used up"), ("diverged", "it diverged"),
        ("interpolated", "nothing was left to learn"),
    ):  # fmt: skip
        diagnosis["data"] |= {"steps_run": 100, "steps_planned": 1440, "stopped": stopped}
        assert f"100 steps of 1,440 ({words})" in Page(render([diagnosis])).text


def test_a_run_that_diverged_without_a_spike_is_not_said_to_have_had_none(diagnosis):
    said = {"name": "spikes", "level": "critical", "text": "Training diverged at once."}
    page = Page(render([{**diagnosis, "statements": [said], "events": []}])).text
    assert page.count("Training diverged at once.") == 2


def test_numbers_of_what_did_not_settle_are_not_summed_up(diagnosis):
    diagnosis["series"] = {
        "stability_ratio": {"step": [1, 2, 3], "value": [0.5, 777777.0, 0.7]},
        "sharpness_residual": {"step": [1, 2, 3], "value": [0.1, 0.9, 0.1]},
    }
    numbers = render([diagnosis]).partition("What was measured along the run")[2]
    table = numbers.partition("</table>")[0]
    assert "777,777" not in table
    assert table.count("did not settle") == 1
    assert re.findall(r">([^<>\n]+)</td>", table)[-1] == "1"
    # Of each series by itself, also where none settled.
    diagnosis["series"]["batch_critical_lr"] = {"step": [1, 2], "value": [0.1, 0.2]}
    diagnosis["series"]["batch_critical_lr_converged"] = {"step": [1, 2], "value": [0.0, 0.0]}
    row = render([diagnosis]).partition("batch critical lr")[2].partition("</tr>")[0]
    assert re.findall(r">([^<>\n]+)</td>", row) == ["0", "–", "–", "–", "–", "2"]


def test_a_regression_has_targets_and_no_labels(diagnosis):
    diagnosis["data"]["task"] = "regression"
    diagnosis |= {"suspects": [], "statements": [{"name": "labels", "level": "unknown"}]}
    text = Page(render([diagnosis])).text
    assert "Suspect targets" in text
    assert "of the targets" in text
    assert "Suspect labels" not in text
    assert "of the labels" not in text


def test_why_no_label_is_listed_is_said(diagnosis):
    sound = {"name": "labels", "level": "good", "text": "No sign of it: at most 1.63 % can be."}
    text = Page(render([{**diagnosis, "suspects": [], "statements": [sound]}])).text
    assert "None listed. No sign of it: at most 1.63 % can be." in text


def test_two_matrices_do_not_share_the_name_of_an_eigenvalue(diagnosis):
    diagnosis["series"]["eigenvalue_1"] = {"step": [1], "value": [3.0]}
    assert "eigenvalue 1 of the leading directions" in Page(render([diagnosis])).text


def test_where_no_rate_is_advised_nothing_is_said_to_hold_for_it(diagnosis):
    none = {"learning_rate": None, "meaning": "no rate is advised: none lowered the loss"}
    diagnosis["advice"] |= {"set": none, "learning_rate": None, "interval": [None, None]}
    table = render([diagnosis]).partition("What to set")[2].partition("</table>")[0]
    assert "no rate is advised: none lowered the loss" in table
    assert "not measured" not in table
    assert "hold for" not in table
