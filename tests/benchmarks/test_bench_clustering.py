"""The benchmark of clustering measures what it says."""

import importlib.util
import time
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_clustering.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_clustering", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_methods_take_the_iterations_asked_for_and_the_labels_of_the_definition(bench):
    found = bench.paired((4000, 4, 8), 1, time.process_time)
    assert set(found) == {"scikit-learn", "lifted", "gemm", "euclidean", "agreement"}
    assert found["agreement"] == 1
    assert found["scikit-learn"]["ratio"] == 1


def test_memory_is_told_by_the_number(bench):
    assert set(bench.memory(2000, 4, 8)) == {"lifted", "scikit-learn"}
