"""The page of an electrode: what its figures find, and what it survives."""

import pytest

from overparam.report import render
from overparam.report.documents import read_documents
from overparam.report.figures.electrode import electrode_figures


def figures(document) -> dict:
    return {figure.name: figure for figure in electrode_figures(read_documents(document)[0])}


def plotted(value):
    if isinstance(value, dict):
        return {key: plotted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plotted(item) for item in value]
    return "#123456" if isinstance(value, str) and value.startswith("var(") else value


def test_findings_are_computed_from_the_numbers(electrode):
    found = figures(electrode)
    assert found["front"].title.startswith("The simulated front dominates 1.5 times")
    assert found["importance"].title.startswith("Energy at 1C responds most to solids (70")
    assert "pulse power to calendering (60" in found["importance"].title
    assert found["discharge"].title.endswith("most power 75\N{NO-BREAK SPACE}%")
    electrode["series"]["effects"]["importance"]["energy"]["share"] = [0.8, 0.1, 0.1]
    assert "most to active material (80" in figures(electrode)["importance"].title


def test_a_failed_design_is_no_mark_and_each_stage_has_its_own(electrode):
    drawn = {trace["name"]: trace for trace in figures(electrode)["front"].data}
    assert len(drawn["sampled"]["x"]) == 6
    assert len(drawn["simulated last, to check"]["x"]) == 1
    assert drawn["best compromise"]["x"] == [1900.0]


def test_plotly_knows_every_property_drawn(electrode):
    go = pytest.importorskip("plotly.graph_objects")
    for figure in figures(electrode).values():
        go.Figure(data=plotted(figure.data), layout=plotted(figure.layout))


@pytest.mark.parametrize("part", ["designs", "chosen", "effects"])
def test_what_was_not_simulated_is_left_out(electrode, part):
    full = len(figures(electrode))
    electrode["series"][part] = None
    assert len(figures(electrode)) < full
    assert "It trades well." in render([electrode])


def test_an_electrode_without_anything_still_makes_a_page():
    assert "Nothing was simulated." in render([{"kind": "electrode"}])


def test_names_are_shown_and_never_interpreted(electrode):
    evil = "<script>alert(1)</script>"
    electrode["process"]["name"] = electrode["objectives"][0]["words"] = evil
    electrode["series"]["chosen"][0]["label"] = evil
    electrode["series"]["effects"]["dependence"][0]["parameter"] = evil
    assert evil not in render([electrode])
