"""The benchmark of the monitor's overhead runs, and finds the weights unchanged."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_overhead.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_overhead", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["tiny MLP", "small CNN", "CNN + BN", "small Transformer"])
def test_it_runs_and_the_weights_are_the_same(bench, name):
    row = bench.measure(name, limit=1.0, seconds=0.05, repeats=1)
    assert row["bitwise"]
    assert row["allowed"] == pytest.approx(2.03)
    assert row["measured"]["loss"] >= 1
    assert "norms" in row["probes"]
