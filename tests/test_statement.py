"""A statement, and what a result that ends in statements does with them."""

import json
import math
from dataclasses import asdict
from unittest.mock import create_autospec

import pytest

from overparam._statement import Concluded, Statement, most_urgent_first
from overparam.diagnosis import Diagnosis
from overparam.fitting import TableFit
from overparam.fitting.saved_model import SavedModel

FOUND = [
    Statement("spikes", "It spiked.", 3.0, 0.0, "Lower the rate.", "critical"),
    Statement("test", "Nothing is said.", math.nan, math.nan, "", "unknown"),
]


def results() -> list[Concluded]:
    rows = [{**asdict(s), "value": s.value if s.value == s.value else None} for s in FOUND]
    document = {"kind": "fit", "statements": rows, "data": {"name": "half of a letter \udcff"}}
    data = {"name": "half of a letter \udcff", "shape": (2,)}
    return [
        Diagnosis({}, {}, data, {}, FOUND),
        TableFit(create_autospec(SavedModel, instance=True), document),
    ]


@pytest.mark.parametrize("result", results(), ids=lambda result: type(result).__name__)
def test_results_are_told_and_stored_alike(result, tmp_path):
    told = "[critical] It spiked.\n    → Lower the rate.\n[unknown] Nothing is said."
    assert result.summary() == told
    assert repr(result) == (
        f"<{type(result).__name__}: Lower the rate. "
        "(statements: 1 critical, 1 unknown; .summary() prints them)>"
    )
    shown = result._repr_html_()
    assert "<li><b>critical</b> It spiked.<br>→ Lower the rate.</li>" in shown
    assert shown.count("<li>") == 2
    text = result.to_json(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text("utf-8") == text  # whole letters or escapes

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    stored = json.loads(text, parse_constant=refuse)
    assert stored["statements"][1]["value"] is None
    assert set(stored["statements"][0]) == {
        "name", "text", "value", "threshold", "action", "level", "bar"
    }  # fmt: skip


def test_the_most_urgent_come_first_and_equals_as_given():
    levels = ["good", "unknown", "critical", "info", "warning", "info"]
    given = [Statement(str(i), "", 0, 0, "", level) for i, level in enumerate(levels)]
    found = most_urgent_first(given)
    assert [s.level for s in found] == ["critical", "warning", "info", "info", "good", "unknown"]
    assert [s.name for s in found if s.level == "info"] == ["3", "5"]
