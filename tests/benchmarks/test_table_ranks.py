"""What the benchmark of tables computes from predictions, and how it divides its tables."""

import argparse
import importlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def sets(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("table_sets")


@pytest.fixture
def ranks(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("table_ranks")


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("table_page")


def test_a_third_of_the_tables_is_kept_and_no_table_is_in_both_parts(sets):
    for task, names in (("regression", sets.REGRESSION), ("classification", sets.CLASSIFICATION)):
        choose, confirm = sets.names_of(task, "choose"), sets.names_of(task, "confirm")
        assert sorted(choose + confirm) == sorted(names) == list(names)
        assert not set(choose) & sets.KEPT
        assert set(confirm) <= sets.KEPT
        assert len(confirm) == len(names) // 3


def test_the_calibration_error_of_what_is_said_half_the_time(ranks):
    sure = np.repeat([0.9, 0.6], 50)
    right = np.concatenate([np.arange(50) < 45, np.arange(50) < 20])
    # The first half is right as often as it says, the second a fifth of the time less.
    assert ranks.calibration_error(sure, right) == pytest.approx(0.1, rel=1e-12)


def test_mean_ranks_and_their_interval(ranks):
    losses = pd.DataFrame({"a": [1.0, 1.0, 1.0], "b": [2.0, 3.0, 2.0], "c": [3.0, 2.0, 2.0]})
    found = ranks.mean_ranks(losses)
    assert found["rank"].tolist() == pytest.approx([1, (2 + 3 + 2.5) / 3, (3 + 2 + 2.5) / 3])
    assert found.loc["a"].tolist() == [1, 1, 1]
    assert found["low"]["b"] < found["rank"]["b"] < found["high"]["b"]


def test_scores_of_two_folds(ranks, sets):
    y = np.array([0, 1, 1, 0, 0, 1])
    rows = sets.Rows("t", "classification", np.zeros((6, 1)), np.zeros(1, int), ("x",), y)
    folds = [(np.arange(3, 6), np.arange(3)), (np.arange(3), np.arange(3, 6))]
    said = [np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([[1.0, 0.0]] * 3)]
    scores = ranks.judged(rows, folds, [(part, np.array([1.0, 0.5])) for part in said])
    first = -np.log([0.9, 0.8, 0.4]).mean()
    sure = -(2 * np.log(1 / 1.001) + np.log(1e-3 / 1.001)) / 3
    assert scores["loss"] == pytest.approx((first + sure) / 2, rel=1e-12)
    assert scores["auc"] == pytest.approx((1.0 + 0.5) / 2)
    assert scores["error"] == pytest.approx(1 / 3)
    assert (scores["fit"], scores["predict"]) == (2.0, 1.0)


def test_the_page_of_tables_is_what_the_scores_say(page, ranks):
    known = json.loads((FOLDER / "table_scores.json").read_text("utf-8"))
    parts = {}
    for task in page.TASKS:
        by_table = {n: known[f"{n}, 800 rows, 3 folds"] for n in page.names_of(task, "all")}
        order = [*page.OURS, *ranks.PEERS, *ranks.MORE]
        parts[task] = {
            n: {m: of[m] for m in order if m in of} for n, of in by_table.items()
        }  # fmt: skip
    text = (FOLDER.parent / "docs/how-to/tables.md").read_text("utf-8")
    options = argparse.Namespace(part="all")
    assert page.put(text, parts["regression"], parts["classification"], options) == text


def test_a_peer_whose_package_is_not_there_is_left_out(ranks, sets, monkeypatch, tmp_path, capsys):
    peers = importlib.import_module("table_peers")

    def lacking(classify, threads):
        raise ImportError("No module named 'networks'")

    monkeypatch.setitem(peers.METHODS, "TabM", (lacking, "coordinates"))
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(40, 2)), draw.normal(size=40)
    rows = sets.Rows("t", "regression", x, np.zeros(2, int), ("a", "b"), y)
    folds = ranks.folds_of(rows, 2)
    for folder in ("jobs", "results"):
        (tmp_path / folder).mkdir()
    job = ranks.as_job(rows, folds, ["TabM", "linear"], 1)
    np.savez(tmp_path / "jobs/t.npz", **job)
    monkeypatch.setattr("sys.argv", ["it", str(tmp_path / "jobs"), str(tmp_path / "results")])
    peers.main()
    assert "TabM is left out: No module named 'networks'" in capsys.readouterr().err
    found = ranks.read_back(tmp_path / "results/t.npz", rows, folds, ["TabM", "linear"])
    assert list(found) == ["linear"]
    assert found["linear"]["loss"] > 0.5


def test_a_page_names_the_tables_where_ours_are_far_behind(page):
    loss = {
        "RFM": 0.5,
        "IRKM": 0.5,
        "best": 0.3,
        "LightGBM": 0.4,
        "CatBoost": 0.3,
        "RFM, before": 9,
    }
    score = {m: {"loss": v, "fit": 2 * v, "predict": v} for m, v in loss.items()}
    less = {m: s for m, s in score.items() if m != "CatBoost"}
    text = page.put(
        f"a\n{page.BEGIN}\nold\n{page.END}\nb",
        {"abalone": score, "concrete": less, "wine_red": less},
        {},
        argparse.Namespace(part="all"),
    )
    assert text.startswith(f"a\n{page.BEGIN}\n\n| table | RFM |")
    assert text.endswith(f"\n\n{page.END}\nb")
    assert "| concrete | 0.500 | 0.500 | 0.300 | 0.400 | – |" in text
    assert (
        "| **mean rank, 2 tables to choose by** | **3.5** | **3.5** | **1.0** | **2.0** |" in text
    )
    assert "`abalone` (1.67 × that of CatBoost), `concrete` (1.25 × that of LightGBM)" in text
    assert "Losses of best more than 1.15 × the least of the others': on no table." in text
    assert "CatBoost ran on 1 tables. Mean ranks on these: best 1.5 (1.5–1.5), CatBoost 1.5" in text
    assert "0.600 on the 2 tables to choose by, 0.600 on the 1 tables kept" in text
    with pytest.raises(SystemExit, match="each once"):
        page.put("no marks", {}, {}, argparse.Namespace(part="all"))
