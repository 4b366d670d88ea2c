import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("pybamm", reason="needs pip install 'overparam[battery]'")
FILE = Path(__file__).parents[2] / "benchmarks" / "bench_battery.py"


def test_every_way_is_timed_for_as_many_simulations_as_it_says():
    spec = importlib.util.spec_from_file_location("bench_battery", FILE)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    found = bench.measure(2)
    assert [number for _, number, _ in found] == [8, 1, 1]
    assert all(seconds > 0 for _, _, seconds in found)
