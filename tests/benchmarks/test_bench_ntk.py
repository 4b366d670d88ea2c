"""The benchmark's methods agree, and a measurement of a tiny case runs."""

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.testing import assert_close

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_ntk.py"


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    sys.path.insert(0, str(SCRIPT.parent))  # as running the script does
    specification = importlib.util.spec_from_file_location("bench_ntk", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["bench_ntk"] = module
    specification.loader.exec_module(module)
    yield module
    sys.path.remove(str(SCRIPT.parent))


@pytest.fixture
def tiny(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every case with narrow networks and five examples."""
    for name, case in bench.CASES.items():
        model = (lambda c=case: bench.mlp(c.outputs, 8)) if name.startswith("mlp") else case.model
        small = replace(case, model=model, n=5, part=2)
        monkeypatch.setitem(bench.CASES, name, small)
    with torch.random.fork_rng():
        yield


CASES = ["cnn-100", "cnn-1-1000", "cnn-1-64", "cnn-64", "cnn-64-full", "cnn-64-once", "mlp-1-1000",
         "mlp-1-256", "mlp-1000", "mlp-2000", "mlp-256", "mlp-64"]  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_methods_agree(bench: ModuleType, tiny: None, name: str) -> None:
    case, model, x = bench.inputs(name)
    kernels = [method(case, model, x) for method in bench.METHODS.values()]
    scale = float(kernels[0].abs().max())
    assert kernels[0].shape[2:] == ((case.outputs,) * 2 if case.kernel == "blocks" else ())
    assert_close(kernels[0], kernels[1], rtol=1e-4, atol=1e-5 * scale)


def test_a_measurement_is_complete(bench: ModuleType, tiny: None) -> None:
    row = bench.child("mlp-64", "ours", 1)
    times = {"minimum", "median", "cpu", "floor", "cpu_floor", "step", "cpu_step"}
    assert set(row) == times | {"peak_bytes", "flops", "norm"}
    assert row["flops"] > 0
    assert 0 < row["minimum"] <= row["median"]
    assert row["step"] > 0


def test_other_numbers_than_ours_stop_the_benchmark(bench: ModuleType) -> None:
    rows = [{"case": "mlp-64", "method": "ours", "norm": 1.0},
            {"case": "mlp-64", "method": "nngeometry", "norm": 1.0 + 1e-6}]  # fmt: skip
    bench.expect_agreement(rows)
    rows[1]["norm"] = 1.01
    with pytest.raises(RuntimeError, match="nngeometry differs"):
        bench.expect_agreement(rows)


def test_every_case_is_tested(bench: ModuleType) -> None:
    assert sorted(bench.CASES) == sorted(CASES)


PEER = SCRIPT.parents[1] / ".peers/neural-tangents"


@pytest.mark.skipif(
    not (PEER / "set-up-finished").exists(),
    reason="no .peers/neural-tangents: peer_neural_tangents.py --compare sets it up",
)
def test_infinite_kernels_are_those_of_neural_tangents(bench: ModuleType) -> None:
    import peer_neural_tangents

    differences = peer_neural_tangents.compare(PEER / "bin/python")
    assert len(differences) == 15
    assert max(differences.values()) <= 1e-5
