import pytest

from overparam.report.documents import read_documents
from overparam.report.figures import study_figures


def figures(*lines, **entry) -> list:
    series = {"one": {"title": "It falls", "lines": list(lines), **entry}}
    return study_figures(read_documents({"kind": "study", "series": series})[0])


def test_a_title_is_the_finding_the_study_stated(study):
    drawn = study_figures(read_documents(study)[0])
    assert [figure.title for figure in drawn] == [
        entry["title"] for entry in study["series"].values()
    ]


def test_axes_are_those_described():
    (figure,) = figures(
        {"name": "a", "x": [1, 10], "y": [1.0, 0.1]},
        x={"label": "width", "scale": "log"},
        y={"label": "change"},
    )
    assert figure.layout["xaxis"]["type"] == "log"
    assert figure.layout["yaxis"]["type"] == "linear"
    assert figure.layout["xaxis"]["title"]["text"] == "width"


def test_a_logarithm_of_zero_is_not_taken():
    (figure,) = figures({"x": [0, 10], "y": [1.0, 0.1]}, x={"scale": "log"})
    assert figure.layout["xaxis"]["type"] == "linear"


def test_words_on_an_axis_stay_words():
    (figure,) = figures({"x": ["2020-01-01", "7"], "y": [1.0, 0.1]}, kind="bar")
    assert figure.layout["xaxis"]["type"] == "category"


@pytest.mark.parametrize("lines", [[], [{"name": "a"}], [{"x": [], "y": []}]])
def test_a_description_without_points_is_not_drawn(lines):
    assert figures(*lines) == []


def test_a_matrix_lists_its_cells():
    (figure,) = figures({"x": [1, 2], "y": [5], "z": [[0.1, 0.2]]}, kind="heatmap")
    assert figure.data[0]["z"] == [[0.1, 0.2]]
    assert figure.tables[0].rows == [[1, 5, 0.1], [2, 5, 0.2]]
