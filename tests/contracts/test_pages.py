"""A page tells one number of one thing, whatever was found; each kind of contradiction is seen."""

import copy
import math
import random
import re
from dataclasses import asdict

import pytest
from drawn_findings import OUTCOME, findings
from hypothesis import given, settings
from pages import disagreements

from overparam._json import strict
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.race.record import sweep_of, trials_of
from overparam.diagnosis.rate_of_run import interval_to_set, rate_to_set
from overparam.diagnosis.statements import conclude
from overparam.report import page

WILD = 7.5e11


@pytest.fixture(autouse=True, scope="module")
def _small_pages():
    patch = pytest.MonkeyPatch()
    patch.setattr(page, "plotly", str)  # 1.5 MB for each page
    yield
    patch.undo()


def document(found: Findings) -> dict:
    """A diagnosis with these findings, its series those that they would come from."""
    rate, meaning = rate_to_set(found)
    low, high = interval_to_set(found)
    planned = found.cut or found.steps
    series: dict = {
        "rate_sweep": {**sweep_of(found.outcome), "advised": rate, "low": low, "high": high},
        "race": trials_of(found.outcome),
    }
    losses = [value for value in found.losses if math.isfinite(value)]
    if losses:
        column = {"step": list(range(len(losses))), "value": losses}
        series |= {"loss": column, "loss_stretches": column}
    if found.test_measure == "error" and found.test_errors:
        steps = list(range(len(found.test_errors)))
        series["test_error"] = {"step": steps, "value": list(found.test_errors)}
    draw = random.Random(len(found.ratios))
    told = [(value, 0.1) for value in found.ratios]
    for _ in range(found.unsettled):
        told.insert(draw.randint(0, len(told)), (WILD, 0.9))
    if told:
        for name, values in zip(
            ("stability_ratio", "sharpness_residual"), zip(*told, strict=True), strict=True
        ):
            series[name] = {"step": list(range(len(told))), "value": list(values)}
    if math.isfinite(found.kernel_change):
        last, seen = found.kernel_step, found.kernel_change
        moved = [0.0, 3 * seen if last is None else seen]
        series["kernel_change"] = {"step": [0, last or found.steps], "value": moved}
        if last is None:
            series["kernel_change_after"] = {"step": [found.steps], "value": [seen]}
    return strict({
        "kind": "diagnosis",
        "data": {
            "steps_run": found.steps, "steps_planned": planned,
            "stopped": "diverged" if found.diverged else found.stopped,
        },
        "advice": {
            "learning_rate": found.outcome.rate, "interval": [low, high],
            "set": {"learning_rate": rate, "meaning": meaning},
        },
        "statements": [asdict(statement) for statement in conclude(found)],
        "events": list(found.events), "suspects": [], "series": series,
    })  # fmt: skip


@settings(max_examples=60)
@given(findings())
def test_a_page_tells_one_number_of_one_thing(found: Findings) -> None:
    assert not disagreements(document(found))


def replaced(text: str, by: str, name: str):
    """A change of what one statement says."""

    def change(specimen: dict) -> None:
        said = next(s for s in specimen["statements"] if s["name"] == name)
        assert re.search(text, said["text"]), said["text"]
        said["text"] = re.sub(text, by, said["text"], count=1)

    return change


def unknown(name: str):
    """A statement that cannot tell."""

    def change(specimen: dict) -> None:
        said = next(s for s in specimen["statements"] if s["name"] == name)
        said["level"] = "unknown"
        specimen["suspects"] = []

    return change


def settled(specimen: dict) -> None:
    """Nothing says any more what did not settle."""
    del specimen["series"]["sharpness_residual"]


def too_wide(specimen: dict) -> None:
    """An interval that holds a rate of which a training diverged."""
    lost = {"rate": 0.8, "order": 0, "steps": 10, "loss": None, "lost": True, "losses": [2.0, 9.0]}
    specimen["series"]["race"].append(lost)
    specimen["advice"]["interval"] = [0.1, 1.6]


def monitored(specimen: dict) -> None:
    """A reason that names what only a monitor takes."""
    specimen["events"] = [{"step": 1, "kind": "bad batch", "reason": "pass batch= at every step"}]


BROKEN = {
    "another loss": replaced(r"went from \S+", "went from 3.21", "progress"),
    "another share of the limit": replaced(r"used \S+", "used 0.123", "stability"),
    "another change of the kernel": replaced(r"changed by \S+", "changed by 77", "regime"),
    "another best rate": replaced(r"\S+ did best", "0.777 did best", "learning_rate"),
    "an end that is not said": replaced(r" The run.s part of.*", "", "progress"),
    "a limit beside cannot tell": unknown("stability"),
    "extremes that did not settle": settled,
    "another count of what did not settle": replaced(r"\(1 more", "(7 more", "stability"),
    "an interval with a rate that failed": too_wide,
    "an argument that nobody can pass": monitored,
}


KNOWN = Findings(
    optimizer="SGD", outcome=OUTCOME, rate=1e-3, rate_given=True, batch_size=32, n_train=1000,
    n_test=500, limits=[0.2, 0.1], ratios=[0.4, 0.6], unsettled=1,
    losses=[2.0 - 0.1 * i for i in range(10)], train_error=0.3, test_errors=[0.5, 0.4],
    kernel_change=0.7, output_spread=2.0, steps=400, cut=600, input_share=[0.5, 0.5],
)  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_each_kind_of_contradiction_is_seen(name) -> None:
    specimen = document(KNOWN)
    assert not disagreements(specimen)
    broken = copy.deepcopy(specimen)
    BROKEN[name](broken)
    assert disagreements(broken)
