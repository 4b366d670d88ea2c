"""The benchmark of the causes of loss spikes on short trainings."""

import importlib
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("bench_spikes")


def row(case="bad batch", said="bad batch", **change):
    plain = {"case": case, "setting": "a", "network": "MLP", "seed": 0, "said": said, "at": 40,
             "step": 41, "right": said == case, "full": False, "placed": None, "false": 0,
             "warnings": []}  # fmt: skip
    return plain | change


def test_a_run_and_its_row_come_from_the_file_the_second_time(bench, tmp_path):
    case = next(case for case in bench.CASES if case.name == "NaN in a gradient")
    cells = bench.Cells(tmp_path / "cells.jsonl", bench.Limit())
    found = cells.of(case, bench.SETTINGS[0], 0)
    assert (found["said"], found["right"], found["placed"]) == ("numerical", True, True)
    again = bench.Cells(tmp_path / "cells.jsonl", bench.Limit())
    assert next(iter(again.rows.values())) == found
    bench.show([found], bench.Console(width=200))
    limited = bench.Cells(tmp_path / "cells.jsonl", bench.Limit(0.05, step=0.016, probes=True))
    assert limited.digest != again.digest  # what was said without a limit is not said again
    assert limited.of(case, bench.SETTINGS[0], 0)["said"]


def test_a_step_takes_at_least_as_long_as_the_clock_is_told(bench):
    clock = bench.Clock(2.0)
    start = clock()
    for _ in range(3):
        clock.begin()
        clock.end()
    assert 6.0 <= clock() - start < 7.0  # the rest is processor time of these lines


def test_one_of_three_settings_of_each_network_is_kept_aside(bench):
    count = Counter((s.network, s.kept_aside) for s in bench.SETTINGS)
    assert len({s.network for s in bench.SETTINGS}) == 5
    assert all(count[network, aside] == 2 - aside for network, aside in count)
    assert len(bench.CASES) >= 10
    assert len({s.name for s in bench.SETTINGS}) == len(bench.SETTINGS) == 15


def test_criteria(bench):
    good = [row() for _ in range(23)] + [row(said=None)]
    assert all(bench.criteria(bench.summary(good)).values())
    wrong = [row(said="state lost") for _ in range(3)]
    assert list(bench.criteria(bench.summary(good + wrong)).values()) == [False, True, True]
    silent = [row(said="unexplained") for _ in range(3)]
    assert list(bench.criteria(bench.summary(good + silent)).values()) == [False, False, True]
    full = [row("rates climb, full batch", "bad batch", full=True)]
    assert list(bench.criteria(bench.summary(good + full)).values()) == [True, True, False]


def test_a_warning_that_the_rate_explains_is_told_apart(bench):
    warning = {"step": 38, "signal": "update", "factor": 4.0, "rate": 3.9}
    climb = row("all rates climb", "above the limit", step=50, at=36, warnings=[warning])
    found = bench.summary([climb])
    assert (found["warned, rate climbs"], found["warned, not by the rate"]) == (1.0, 0.0)
    assert found["false warnings in 1000 steps"] == 0
    early = climb | {"at": 40}
    assert bench.summary([early])["false warnings in 1000 steps"] == 100
