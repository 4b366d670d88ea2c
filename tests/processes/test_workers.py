"""Workers that are killed: what they had is given out once more, or the run says so."""

import os
import signal
import threading

import pytest
from joblib import delayed, parallel_config

from overparam._workers import parallel, results, told_of_the_dead
from overparam.claims import CellsFailed, run_study

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL")


def test_tasks_of_a_worker_that_is_killed_are_given_out_once_more(modules, tmp_path):
    mortal, _ = modules
    tasks = [delayed(mortal.once)(str(tmp_path / str(value)), value) for value in range(2)]
    with told_of_the_dead("f(jobs=...)"):  # the marks of both are there after two deaths at most
        (tmp_path / "0").touch()
        assert results(lambda: tasks, 2, "f(jobs=...)") == [0, 1]
    with pytest.raises(ChildProcessError, match=r"`f\(jobs=...\)` .*Terminated.*\n.*fewer jobs"):
        results(lambda: [delayed(mortal.never)(value) for value in range(2)], 2, "f(jobs=...)")
    assert parallel(2)(tasks) == [0, 1]  # the next call has new workers


def test_a_study_computes_again_what_a_killed_worker_had(modules, tmp_path, monkeypatch):
    mortal, toy = modules
    monkeypatch.setenv("MORTAL", str(tmp_path / "mark"))
    study = toy.study(widths=range(1, 7), function=mortal.cell_killed_once)
    document = run_study(study, store=tmp_path / "s", n_jobs=2)
    assert document["claims"][0]["measured"] == 0.5
    assert (tmp_path / "mark").exists()


def test_a_cell_that_always_kills_its_worker_takes_no_finished_one_with_it(modules, tmp_path):
    mortal, toy = modules
    study = toy.study(widths=range(1, 7), function=mortal.cell_killed)
    with pytest.raises(CellsFailed, match=r"not computed, such as width=1.*Terminated") as failure:
        run_study(study, store=tmp_path / "s", n_jobs=2)
    # It and, at most, the one that was computed beside it.
    assert any(f"the other {stored} are stored" in str(failure.value) for stored in (4, 5))


def test_workers_leave_ctrl_c_to_the_process_that_started_them():
    tasks = [delayed(signal.pthread_sigmask)(signal.SIG_BLOCK, ()) for _ in range(2)]
    here = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert parallel(2)(tasks) == [{signal.SIGINT}] * 2
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == here == set()


def test_a_users_own_initializer_and_other_back_ends_are_left_alone():
    with parallel_config("loky", initializer=print):
        assert "initializer" not in parallel(2)._backend_kwargs
    with parallel_config("threading"):
        here = parallel(2)(delayed(threading.get_ident)() for _ in range(2))
    assert len(here) == 2
    assert parallel(2)._backend_kwargs["initargs"] == (os.getpid(),)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_process_takes_no_workers_of_its_parents(modules, tmp_path):
    mortal, _ = modules
    (tmp_path / "1").touch()
    tasks = [delayed(mortal.once)(str(tmp_path / "1"), 1) for _ in range(2)]
    assert parallel(2)(tasks) == [1, 1]
    child = os.fork()
    if not child:
        status = 1
        try:
            status = int(parallel(2)(tasks) != [1, 1])
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert parallel(2)(tasks) == [1, 1]
