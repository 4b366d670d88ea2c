"""The benchmark of the monitor's overhead runs, and finds the weights unchanged."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
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
    row = bench.measure(name, limit=1.0, seconds=0.05, repeats=1, least=1)
    assert row["bitwise"]
    assert row["allowed"] == pytest.approx(2.03)
    assert row["measured"]["loss"] >= 1
    assert "norms" in row["probes"]


def test_the_ratio_is_of_totals_with_what_chance_makes_of_it(bench):
    assert bench.ratio_of_totals(np.array([[1.0, 1.1], [2.0, 2.2]])) == pytest.approx((1.1,) * 3)
    ratio, low, high = bench.ratio_of_totals(np.array([[1.0, 1.0]] * 9 + [[1.0, 3.0]]))
    assert ratio == pytest.approx(1.2)
    # A rare dear epoch is drawn 0 to 3 times in 90 of a hundred: binomial(10, 1/10).
    assert (low, high) == pytest.approx((1.0, 1.6))


def test_the_memory_of_a_process_is_its_own_and_not_its_parent_s():
    measuring = FILE.with_name("measuring.py")
    told = "from measuring import peak; print(peak())"
    parent = (
        "import subprocess, sys; held = b'1' * 2**27; "
        f"subprocess.run([sys.executable, '-c', {told!r}], check=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent], check=True, capture_output=True, text=True,
        cwd=measuring.parent, timeout=100,
    )  # fmt: skip
    assert int(done.stdout) < 2**27
