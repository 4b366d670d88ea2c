"""The page of a fitted table: what its figures find, and what it survives."""

import pytest

from overparam.report import render
from overparam.report.documents import read_documents
from overparam.report.figures.fit import fit_figures


@pytest.fixture
def document(fit) -> dict:
    return fit


def figures(document) -> dict:
    return {figure.name: figure for figure in fit_figures(read_documents(document)[0])}


def plotted(value):
    if isinstance(value, dict):
        return {key: plotted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plotted(item) for item in value]
    return "#123456" if isinstance(value, str) and value.startswith("var(") else value


def test_findings_are_computed_from_the_numbers(document):
    found = figures(document)
    assert found["scores"].title == "Ours is the best of 2: R² 0.5 against 0.4 of a forest"
    assert found["importances"].title.startswith("2 columns of 3 carry 90")
    assert found["feature-matrix"].title == "b and a act together most, with opposite signs"
    document["scores"][1]["mean"] = 0.9
    assert figures(document)["scores"].title.startswith("A forest is ahead: R² 0.9 against 0.5")
    document["scores"][1]["mean"] = document["scores"][0]["mean"]
    assert figures(document)["scores"].title == "Ours and a forest are level: R² 0.5"


def test_plotly_knows_every_property_drawn(document):
    go = pytest.importorskip("plotly.graph_objects")
    for figure in figures(document).values():
        go.Figure(data=plotted(figure.data), layout=plotted(figure.layout))


def test_columns_are_drawn_by_weight(document):
    labels = figures(document)["importances"].layout["yaxis"]["ticktext"]
    assert labels == ["b", "a", "c"]


@pytest.mark.parametrize("part", ["importances", "feature_matrix", "dependence"])
def test_what_was_not_measured_is_left_out(document, part):
    full = len(figures(document))
    document["series"][part] = None
    assert len(figures(document)) == full - 1
    assert "It works." in render([document])


def test_names_are_shown_and_never_interpreted(document):
    evil = "<script>alert(1)</script>"
    document["data"]["name"] = document["scores"][0]["name"] = evil
    document["series"]["importances"]["names"][0] = evil
    page = render([document])
    assert evil not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
