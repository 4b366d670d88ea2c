"""On workers of Dask and of Ray everything is what it is on one machine, to the bit."""

import os
import signal
import sqlite3
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from torch import nn

from overparam.claims import CellsFailed, run_study
from overparam.cluster import ClusterLost, on_cluster
from overparam.fitting.fit import fit
from overparam.tangents import empirical_ntk_blocks_to_file, empirical_ntk_to_file

# What Dask and Ray leave open is theirs.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def comparable(document):
    return {key: value for key, value in document.items() if key not in ("seconds", "environment")}


def rows(store):
    with sqlite3.connect(store) as connection:
        return connection.execute("SELECT count(*) FROM cells").fetchone()[0]


def test_a_study_ends_in_the_same_document(toy, tmp_path, address):
    study = toy.study(widths=range(1, 9), replicates=2)
    alone = run_study(study, store=tmp_path / "alone")
    computed_here = len(toy.CALLS)
    with on_cluster(address):
        there = run_study(study, store=tmp_path / "there")
        again = run_study(study, store=tmp_path / "there", n_jobs=1)
    assert comparable(there) == comparable(alone) == comparable(again)
    assert computed_here == len(toy.CALLS) == 16
    assert rows(tmp_path / "there") == 16


def test_a_failing_cell_is_described_and_loses_no_other(toy, tmp_path, cluster):
    with pytest.raises(CellsFailed, match=r"1 of 4 cells .* other 3 are stored") as failure:
        run_study(toy.study(widths=(1, 2, 3, 4), breaks=(2,)), store=tmp_path / "s")
    assert "width=2, sleep=0.0, breaks=True, seed=0: ZeroDivisionError" in str(failure.value)
    assert rows(tmp_path / "s") == 3


def test_killed_workers_lose_no_cell_and_change_no_bit(toy, tmp_path, address):
    def study(breaks=()):
        return toy.study(
            range(1, 9), sleep=str(tmp_path), breaks=breaks, function=toy.mortal_cell,
            claims=[toy.claim()],
        )  # fmt: skip

    alone = run_study(study(), store=tmp_path / "alone")
    with on_cluster(address):
        there = run_study(study(breaks=(3, 6)), store=tmp_path / "there")
    assert (tmp_path / "3").exists()
    assert (tmp_path / "6").exists()
    assert there["claims"] == alone["claims"]
    assert there["series"] == alone["series"]
    assert rows(tmp_path / "there") == 8


def test_folds_score_the_same(address):
    settings = {"compare_with_baselines": False, "number_of_folds": 3}
    alone = fit("iris", **settings).document
    with on_cluster(address):
        there = fit("iris", **settings).document
    assert there["scores"][0]["folds"] == alone["scores"][0]["folds"]
    assert there["series"] == alone["series"]


class Counting(nn.Module):
    """A network that says how often it was unpacked, and where."""

    def __init__(self, folder):
        super().__init__()
        torch.manual_seed(0)
        self.folder = folder
        self.layers = nn.Sequential(nn.Linear(5, 33), nn.Tanh(), nn.Linear(33, 3))

    def __setstate__(self, state):
        super().__setstate__(state)
        with open(Path(self.folder) / str(os.getpid()), "a") as file:
            file.write("x")

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("to_file", [empirical_ntk_to_file, empirical_ntk_blocks_to_file])
def test_tiles_are_the_same_and_the_model_travels_once(tmp_path, address, to_file):
    x = torch.randn(33, 5, generator=torch.Generator().manual_seed(1))
    model = Counting(str(tmp_path))
    alone = to_file(model, x, path=tmp_path / "alone.npy", tile=11)
    threads = torch.get_num_threads()
    with on_cluster(address):
        there = to_file(model, x, path=tmp_path / "there.npy", tile=11)
    assert np.array_equal(alone, there)
    assert torch.get_num_threads() == threads
    unpacked = {file.name: file.read_text() for file in tmp_path.iterdir() if file.name.isdigit()}
    assert 1 <= len(unpacked) <= 2
    assert set(unpacked.values()) == {"x"}


def test_joblibs_own_loops_and_errors_come_back(cluster):
    def half(x):
        if x < 0:
            raise FloatingPointError(f"{x} is negative")
        return x / 2

    assert joblib.Parallel()(joblib.delayed(half)(x) for x in range(9)) == [x / 2 for x in range(9)]
    with pytest.raises(FloatingPointError, match="-1 is negative") as caught:
        joblib.Parallel()(joblib.delayed(half)(x) for x in (1, -1))
    assert "in half" in caught.value.__notes__[0]


def test_a_worker_of_another_version_is_refused(cluster, monkeypatch):
    there = {"Python": "2.7"}
    monkeypatch.setattr("overparam.cluster.backend.versions", lambda: there)
    with pytest.raises(ClusterLost, match=r"where Python 2\.7 is needed"):
        joblib.Parallel()(joblib.delayed(abs)(x) for x in range(3))


def unreadable(*_):
    raise ModuleNotFoundError("No module named 'somewhere'")


class Unreadable:
    def __reduce__(self):
        return unreadable, ()


def test_what_a_worker_cannot_unpack_is_an_error_and_not_waited_for(cluster):
    with pytest.raises(ModuleNotFoundError, match="somewhere"):
        joblib.Parallel()(joblib.delayed(id)(Unreadable()) for _ in range(3))


def end():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_kills_every_worker_is_an_error_and_not_waited_for(
    dask_cluster, dask_address, monkeypatch
):
    monkeypatch.setattr(dask_cluster.scheduler, "allowed_failures", 0)  # a restart takes seconds
    with (
        on_cluster(dask_address),
        pytest.raises(ClusterLost, match="expected workers that compute what they are given"),
    ):
        joblib.Parallel()(joblib.delayed(end)() for _ in range(2))


def test_ray_reports_to_nobody(ray_address):
    from ray._common.usage import usage_lib

    with on_cluster(ray_address):
        assert not usage_lib.usage_stats_enabled()
