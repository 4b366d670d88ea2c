"""The benchmark of samplers, on a handful of trials."""

import importlib
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="needs Optuna: the extra search")
FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("bench_search")


def test_times_are_of_trials_after_so_many(bench):
    found = bench.sampling_times(bench.samplers(0)["random"], before=(2, 4), repeats=1)
    assert len(found) == 2
    assert min(found) >= 0


def test_a_feature_machine_is_tuned_and_scored_on_other_rows(bench):
    folds, test = bench.tuned(bench.samplers(0)["TPE"], seed=0, trials=2)
    assert folds <= 1
    assert test <= 1
