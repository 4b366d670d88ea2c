"""The benchmark's methods agree, and a measurement of a tiny case runs."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.testing import assert_close

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_ntk.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    specification = importlib.util.spec_from_file_location("bench_ntk", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["bench_ntk"] = module
    specification.loader.exec_module(module)
    return module


def tiny(bench: ModuleType, name: str):
    case = bench.CASES[name]
    if case.model is bench.mlp:
        case = replace(case, model=lambda: bench.mlp(8))
    return replace(case, n=5, part=2)


CASES = ["mlp-64", "mlp-256", "mlp-2000", "cnn-100", "cnn-64", "cnn-64-full"]


@pytest.mark.parametrize("name", CASES)
def test_methods_agree(bench: ModuleType, name: str) -> None:
    case = tiny(bench, name)
    with torch.random.fork_rng():
        model, x = bench.inputs(case)
    kernels = [method(case, model, x) for method in bench.METHODS.values()]
    scale = float(kernels[0].abs().max())
    assert_close(kernels[0], kernels[1], rtol=1e-4, atol=1e-5 * scale)


def test_a_measurement_is_complete(bench: ModuleType) -> None:
    with torch.random.fork_rng():
        row = bench.measure(tiny(bench, "mlp-64"), "ours", 1)
    assert set(row) == {"minimum", "median", "peak_bytes", "flops", "floor"}
    assert row["flops"] > 0
    assert 0 < row["minimum"] <= row["median"]


def test_every_case_is_tested(bench: ModuleType) -> None:
    assert set(bench.CASES) == set(CASES)
