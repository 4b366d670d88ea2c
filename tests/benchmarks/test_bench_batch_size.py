"""The batch-size benchmark on a few digits, and every benchmark's command line."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def test_larger_batches_need_fewer_steps(monkeypatch) -> None:
    path = FOLDER / "bench_batch_size.py"
    specification = importlib.util.spec_from_file_location("bench_batch_size", path)
    assert specification is not None
    assert specification.loader is not None
    bench = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(bench)
    monkeypatch.setattr(bench, "SIZES", [1, 16])
    features, y = bench.tangent_features(32)
    gram = (features @ features.T)[:, None, :, None]
    constants = bench.interpolation_constants(gram, y[:, None])
    one, many = bench.measure(features, y, constants)
    assert 0 < many["mass"] < one["mass"] < bench.LIMIT
    assert many["mass"] < many["sgd"] < bench.LIMIT


@pytest.mark.parametrize("path", sorted(FOLDER.glob("bench_*.py")), ids=lambda path: path.stem)
def test_every_benchmark_starts(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path), "--help"], capture_output=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr.decode()
