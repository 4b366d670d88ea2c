"""The label-noise benchmark on a short training, without its peers."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    path = FOLDER / "bench_label_noise.py"
    specification = importlib.util.spec_from_file_location("bench_label_noise", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "bench_label_noise", module)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "TASKS", {"digits": (300, 4, 0.1)})
    return module


def test_a_short_run_and_its_row(bench):
    run = bench.train("digits", 0.2, seed=0)
    wrong = (run["given"] != run["true"]).numpy()
    assert wrong.mean() == pytest.approx(0.2, abs=0.08)
    assert len(run["errors"]) == 4
    assert run["best"] == min(run["errors"])
    if run["stop"] is None:
        np.testing.assert_array_equal(run["scores"]["margin"], run["scores"]["aum"])
    np.testing.assert_array_equal(run["scores"]["ours"], run["issues"]["score"])
    probabilities = bench.out_of_fold("digits", run)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    run["scores"] |= {"cleanlab_logistic": -probabilities[:, 0], "cleanlab_network": wrong}
    run["cleanlab_issues"] = wrong
    (row,) = bench.rows_of([run])
    assert row["cleanlab_network"] == 1
    assert row["cleanlab_precision"] == row["cleanlab_recall"] == 1
    assert row["ours"] > 0.7


def test_criteria_are_computed(bench):
    good = {"rate": 0.2, "ours": 0.99, "aum": 0.99, "cleanlab_logistic": 0.98,
            "cleanlab_network": 0.98, "error": 0.06, "best": 0.05}  # fmt: skip
    clean = {"rate": 0.0, "stop": None}
    assert all(bench.criteria([good], [clean]).values())
    for spoilt, failing in (({"aum": 0.996}, 1), ({"cleanlab_logistic": 0.995}, 1),
                            ({"cleanlab_network": math.nan}, 1), ({"ours": 0.97}, 3),
                            ({"error": 0.066}, 1)):  # fmt: skip
        held = bench.criteria([good, good | spoilt], [clean]).values()
        assert list(held).count(False) == failing
    stopped = bench.criteria([good], [clean, {"rate": 0.0, "stop": 7}]).values()
    assert list(stopped).count(False) == 1
