"""The page of a federated simulation: what its figures find, and what it survives."""

import pytest

from overparam.report import render
from overparam.report.documents import read_documents
from overparam.report.figures.federated import federated_figures


def figures(document) -> dict:
    return {figure.name: figure for figure in federated_figures(read_documents(document)[0])}


def plotted(value):
    if isinstance(value, dict):
        return {key: plotted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plotted(item) for item in value]
    return "#123456" if isinstance(value, str) and value.startswith("var(") else value


def test_findings_are_computed_from_the_numbers(federated):
    found = figures(federated)
    assert set(found) == {
        "rounds", "traffic", "clients", "drift", "consensus", "privacy", "trials",
    }  # fmt: skip
    assert found["rounds"].title.startswith("Test accuracy at the end: fadamgc 0.833")
    assert found["traffic"].title == "Numbers sent: 2 times as many by fadamgc as by scaffold"
    assert found["clients"].title.endswith("fadamgc 60\N{NO-BREAK SPACE}%, "
                                           "scaffold 50\N{NO-BREAK SPACE}%")  # fmt: skip
    assert found["consensus"].title.endswith("fadamgc 25\N{NO-BREAK SPACE}%, "
                                             "scaffold 25\N{NO-BREAK SPACE}%")  # fmt: skip
    assert found["privacy"].title == "ε spent: 1"
    assert found["trials"].title == "3 trials of every algorithm"
    for run in federated["runs"][:2]:
        run["curve"]["floats"][-1] *= 3
    assert "sent: 6 times" in figures(federated)["traffic"].title


def test_the_histogram_counts_every_client_once(federated):
    bars = {trace["name"]: trace["y"] for trace in figures(federated)["clients"].data}
    assert {name: sum(counts) for name, counts in bars.items()} == {"fadamgc": 6, "scaffold": 6}
    assert bars["fadamgc"][-1] == 2


def test_one_entry_of_the_key_for_each_algorithm(federated):
    shown = [trace["showlegend"] for trace in figures(federated)["rounds"].data]
    assert shown == [True, False, True, False]


def test_plotly_knows_every_property_drawn(federated):
    go = pytest.importorskip("plotly.graph_objects")
    for figure in figures(federated).values():
        go.Figure(data=plotted(figure.data), layout=plotted(figure.layout))


@pytest.mark.parametrize(
    ("series", "figure"),
    [("test_accuracy", None), ("floats", "traffic"), ("drift", "drift"), ("epsilon", "privacy")],
)
def test_what_was_not_measured_is_left_out(federated, series, figure):
    for run in federated["runs"]:
        del run["curve"][series]
    found = figures(federated)
    assert figure not in found
    assert "test " + ("accuracy" if figure else "loss") in found["rounds"].title.lower()


def test_a_simulation_without_anything_still_makes_a_page():
    assert "Nothing was simulated." in render([{"kind": "federated"}])


def test_names_are_shown_and_never_interpreted(federated):
    evil = "<script>alert(1)</script>"
    federated["data"]["name"] = federated["runs"][0]["algorithm"] = evil
    federated["tuning"][0]["algorithm"] = federated["spec"]["partition"]["kind"] = evil
    assert evil not in render([federated])
