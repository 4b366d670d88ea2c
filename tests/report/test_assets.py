"""What is inlined: the drawing library is the one that is described, and draws what is drawn."""

import hashlib
import re
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest

from overparam.report import render
from overparam.report.assets import plotly
from overparam.report.documents import read_documents
from overparam.report.page import VIEWS
from overparam.watch.page import page
from overparam.watch.run import RunFile

FOLDER = files("overparam.report").joinpath("plotly")
WORDS = FOLDER.joinpath("README.md").read_text(encoding="utf-8")
CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
# What a page may weigh, which is sent by mail and opened on a telephone.
HEAVIEST = 2_000_000


def test_the_bundle_is_the_one_it_is_said_to_be():
    (digest,) = re.findall(r"\b[0-9a-f]{64}\b", WORDS)
    (number,) = re.findall(r"`plotly\.js-cartesian-dist-min`, version ([\d.]+)", WORDS)
    bundle = FOLDER.joinpath("plotly-cartesian.min.js").read_bytes()
    assert hashlib.sha256(bundle).hexdigest() == digest
    assert f"plotly.js (cartesian - minified) v{number}" in plotly()[:200]
    # Nothing is lost on the way into the page: its hash is taken of the text.
    assert plotly().encode() == bundle


def test_its_licence_lies_beside_it():
    assert FOLDER.joinpath("LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    assert "MIT license" in plotly()[:200]


def test_the_tests_ask_the_same_plotly_which_properties_there_are():
    offline = pytest.importorskip("plotly.offline")
    (pinned,) = re.findall(r"^plotly==(\S+)", CONSTRAINTS.read_text("utf-8"), re.MULTILINE)
    if version("plotly") != pinned:
        pytest.skip("another plotly than the pinned one is installed")
    assert f" v{offline.get_plotlyjs_version()}\n" in plotly()[:200]


def test_a_page_is_lighter_than_two_megabytes(diagnosis, fit, study):
    for documents in ([diagnosis], [fit], [study], [diagnosis, fit, study]):
        assert len(render(documents).encode()) < HEAVIEST


def test_so_is_a_page_that_compares_two_long_diagnoses(two_long_diagnoses):
    assert len(render(two_long_diagnoses).encode()) < HEAVIEST


def test_the_page_of_a_run_is_as_light(tmp_path):
    assert len(page(RunFile(tmp_path / "run.jsonl"))) < HEAVIEST


def trace_types(bundle: str) -> set[str]:
    """What a bundle of Plotly registers as a trace."""
    return set(re.findall(r'moduleType:"trace",name:"(\w+)"', bundle))


def test_the_bundle_holds_every_type_of_trace(one_of_each):
    (checked,) = zip(*map(read_documents, one_of_each), strict=True)
    figures = [figure for one in checked for figure in VIEWS[one["kind"]](one)["figures"]]
    drawn = {trace["type"] for figure in figures for trace in figure.data}
    assert drawn == {"bar", "heatmap", "scatter"}
    assert drawn <= trace_types(plotly())


DRAWN_AS = """return [...document.querySelectorAll('.plot')].map(plot =>
  [plot.id, plot.data.map(t => t.type), plot._fullData.map(t => t.type)])"""


def opened(browser, html: str, path: Path) -> list:
    path.write_text(html, encoding="utf-8")
    browser.get(path.as_uri())
    return browser.execute_script(DRAWN_AS)


def test_the_browser_draws_each_trace_as_what_it_is(browser, tmp_path, one_of_each):
    plots = opened(browser, render(one_of_each), tmp_path / "page.html")
    checked = [found for one in one_of_each for found in read_documents(one)]
    assert len(plots) == sum(len(VIEWS[one["kind"]](one)["figures"]) for one in checked) > 30
    for name, asked, drawn in plots:
        assert drawn == asked, name


def test_a_trace_that_the_bundle_lacks_is_noticed(browser, tmp_path, study):
    html = render([study]).replace('"type":"heatmap"', '"type":"heatmapgl"')
    plots = opened(browser, html, tmp_path / "page.html")
    assert [name for name, asked, drawn in plots if asked != drawn]
