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
    assert found["scores"].title == "Ours is ahead of 1 other: R² 0.5 against 0.4 of a forest"
    assert "A guess gets 0." in found["scores"].caption
    assert found["importances"].title.startswith("2 columns of 3 carry 90")
    assert "1 column cannot be told from noise" in found["importances"].caption
    matrix = "The slopes by b and a go together most, with opposite signs"
    assert found["feature-matrix"].title == matrix
    assert (
        found["interactions"].title == "a and b act together: 20\N{NO-BREAK SPACE}% of the variance"
    )
    assert found["effects"].title.endswith("goes from 1 to 2.5 on average along b")
    assert found["predicted"].title.startswith("A new quality lies between 1.5 and 2.5 where 2")
    assert found["calibration"].title.startswith("In 2 of 3 parts probabilities are as they")
    assert found["confusion"].title.startswith("6 rows of 60 taken for another class, most of them")


def test_who_is_ahead_is_said_only_where_the_folds_can_tell(document):
    forest = document["scores"][1]
    forest |= {"mean": 0.9, "gap": {"mean": 0.4, "low": 0.3, "high": 0.5}}
    assert figures(document)["scores"].title.startswith("A forest is ahead: R² 0.9 against 0.5")
    forest |= {"mean": 0.51, "gap": {"mean": 0.01, "low": -0.1, "high": 0.12}}
    title = figures(document)["scores"].title
    assert title == "Ours and a forest cannot be told apart by these folds: R² 0.5 and 0.51"


def test_scores_are_drawn_over_the_range_that_matters(document):
    """Dots, no bars from 0; lines end where the other model may be, and a guess is in words."""
    figure = figures(document)["scores"]
    assert {trace["mode"] for trace in figure.data} == {"markers"}
    assert [trace["x"] for trace in figure.data] == [[0.5], [0.4]]
    lines = figure.data[1]["error_x"]
    assert 0.4 - lines["arrayminus"][0] == pytest.approx(0.35)
    assert 0.4 + lines["array"][0] == pytest.approx(0.45)


def test_every_measure_of_every_model_is_on_the_page(document):
    page = render([document])
    assert "MAE" in page
    assert page.index("a forest") < page.index("the mean")


def test_plotly_knows_every_property_drawn(document):
    go = pytest.importorskip("plotly.graph_objects")
    for figure in figures(document).values():
        go.Figure(data=plotted(figure.data), layout=plotted(figure.layout))


def test_columns_are_drawn_by_weight(document):
    labels = figures(document)["importances"].layout["yaxis"]["ticktext"]
    assert labels == ["b", "a", "c"]


PARTS = (
    "importances", "feature_matrix", "dependence", "effects", "interactions", "predicted",
    "calibration", "confusion",
)  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
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
