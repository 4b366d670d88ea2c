"""The batch-size benchmark on a few digits, and every benchmark's command line."""

import importlib.util
import runpy
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
def test_every_benchmark_starts(path: Path, monkeypatch, capsys) -> None:
    # In this process: a new one would import torch for each.
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    assert not end.value.code
    assert "usage:" in capsys.readouterr().out.lower()
