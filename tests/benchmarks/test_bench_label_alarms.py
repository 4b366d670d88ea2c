"""The benchmark of alarms about labels on short trainings."""

import importlib
import math
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("bench_label_alarms")


def test_a_short_run_and_its_row(bench):
    row = bench.judged("digits_rare", bench.Flips(0.2), steps=60)
    assert row["replaced"] == pytest.approx(0.2, abs=0.08)
    assert row["epochs"] == 60 // (row["n"] // 32)
    assert 0 <= row["best"] <= row["stopped"] <= 1
    assert row["kind"] in ("random", "sound", "misfit", "few")
    bench.show([row, {"set": "a", "labels": "clean", "classes": 2, "rate": 0, "kind": "few"}])


def test_every_third_set_is_kept_aside_and_no_other(bench):
    assert set(bench.ASIDE) < set(bench.SETS)
    assert len(bench.ASIDE) * 3 == len(bench.SETS) >= 20
    assert not set(bench.ASIDE) & set(bench.PROMISED)


def test_criteria_and_counts(bench):
    clean = {"set": "iris", "rate": 0.0, "kind": "sound"}
    noisy = {"set": "digits", "rate": 0.2, "kind": "random", "recall": 0.9, "precision": 0.9}
    assert all(bench.criteria([clean, noisy]).values())
    for spoilt in ({"recall": 0.8}, {"precision": 0.7}, {"kind": "misfit"}):
        assert list(bench.criteria([clean, noisy | spoilt]).values()) == [True, False]
    assert list(bench.criteria([clean | {"kind": "random"}]).values()) == [False, True]
    assert bench.counts([clean, noisy]).startswith("false alarms 0 of 1 (1 called sound); true")


def test_the_precision_at_the_promised_recall(bench):
    wrong = bench.np.array([True, False, True, False])
    # 85 % of two are both: the second comes third.
    assert bench.ranked(bench.np.array([4.0, 3.0, 2.0, 1.0]), wrong) == pytest.approx(2 / 3)
    assert math.isnan(bench.ranked(bench.np.ones(2), wrong[1:2].repeat(2)))


def test_what_is_drawn_is_what_it_says(bench):
    x, y = bench.SETS["linear_30"](0)
    assert x.shape == (2000, 30)
    assert len(set(y.tolist())) == 30
    assert [str(flips) for flips in bench.flips_of("iris")] == ["clean", "20%"]
    assert bench.Flips(0.2, test_too=False) in bench.flips_of("digits")
    task, true, wrong, steps = bench.label_task("linear_4", bench.Flips(0.2, test_too=False))
    assert bool((task.examples.y_test == true).all())
    assert wrong.mean() == pytest.approx(0.2, abs=0.1)
    assert steps >= 500
