"""The benchmark that compares limits of stability with real steps."""

import importlib
import math
from dataclasses import replace
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("bench_limits")


def row(begins=1.0, **change):
    plain = {"network": "a", "linear": 1.0, "ahead": 1.0, "rates": {"begins": begins},
             "bias": [1.0, 1.0], "moved": 0.0}  # fmt: skip
    return plain | change


def test_what_begins_to_diverge(bench):
    assert not bench.begins([2.0, 1.0, 2.1])
    assert bench.begins([2.0, 1.0, 2.3])
    assert bench.begins([2.0, 1.0, math.nan])
    assert not bench.turns([2.0, 1.0, 1.19, 1.0])
    assert bench.turns([2.0, 1.0, 1.21])
    assert not bench.turns([2.0, 0.001, 0.02])


def test_criteria(bench):
    assert all(bench.criteria([row(), row(1.9), row(0.6)]).values())
    assert list(bench.criteria([row(), row(2.1)]).values()) == [False, False, True, True]
    assert list(bench.criteria([row(ahead=3.0)]).values()) == [True, False, True, True]
    assert list(bench.criteria([row(bias=[1.0, 1.6])]).values()) == [True, True, False, True]
    assert list(bench.criteria([row(moved=0.1)]).values()) == [True, True, True, False]
    assert list(bench.criteria([row(math.inf)]).values()) == [False, False, True, True]


def test_networks_to_judge_on_are_others(bench):
    aside = [case for case in bench.CASES if case.kept_aside]
    assert (len(aside), len(bench.CASES)) == (6, 14)
    assert len({case.name for case in bench.CASES}) == 14
    assert set(bench.QUICK) <= {case.name for case in bench.CASES if not case.kept_aside}


def test_one_network_is_measured(bench):
    case = next(case for case in bench.CASES if case.name == "MLP, momentum")
    x, y = case.data()
    found = bench.measured(replace(case, data=lambda: (x[:16], y[:16]), warm=2), 10, 3)
    assert found["rates"]["turns"] <= found["rates"]["begins"] <= found["rates"]["doubles"]
    assert found["moved"] == 0
    assert found["bias"] == pytest.approx([1, 1], rel=0.05)
    bench.show([found], bench.Console(width=200))
